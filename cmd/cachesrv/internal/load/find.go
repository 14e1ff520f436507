// Package load takes a folder of distributions into a package index: what pypiserver or a script has served so far, or
// what `pip download` has fetched.
package load

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/render/index/dist"
)

// MaxFiles bounds the files of one folder, those below it included.
const MaxFiles = 1_000_000

// A Candidate is a file whose name is that of a distribution.
type Candidate struct {
	Path string // as DIR/…
	Size int64  // when it was found
	dist.Name
}

// An Other is a file, or a folder, that is not taken in, and why.
type Other struct {
	Path string
	Why  error
}

// Found is what a folder holds.
type Found struct {
	Files   []Candidate // by project, older versions first
	Bytes   int64       // of all Files
	Skipped []Other     // what no index takes, by path
	Bad     []Other     // what should be a distribution and has a name that can't be one, or can't be read, by path
}

// Find walks a folder, recursively. Links to files are followed, as folders made for other servers have them; links to
// folders are not, as they may lead in circles. Hidden files and folders are skipped.
func Find(dir string) (*Found, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	if st, err := os.Stat(root); err != nil {
		return nil, err
	} else if !st.IsDir() {
		return nil, fmt.Errorf("%s: it is not a folder: name the one that the distributions lie in", dir)
	}
	f, seen := &Found{}, 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		shown := filepath.Join(dir, strings.TrimPrefix(path, root))
		if seen++; seen > MaxFiles {
			return fmt.Errorf("%s: more than %d files: import its folders one by one", dir, MaxFiles)
		}
		if err != nil { // a folder that can't be read: go on with the others
			if path == root {
				return err
			}
			f.Bad = append(f.Bad, Other{shown, reason(err)})
			return nil
		}
		hidden := path != root && strings.HasPrefix(d.Name(), ".")
		switch {
		case d.IsDir() && hidden:
			f.Skipped = append(f.Skipped, Other{shown, errors.New("a hidden folder")})
			return fs.SkipDir
		case d.IsDir():
			return nil
		case hidden:
			f.Skipped = append(f.Skipped, Other{shown, errors.New("a hidden file")})
			return nil
		}
		f.add(shown, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(f.Files, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), dist.CompareVersions(a.Version, b.Version),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Path, b.Path))
	})
	return f, nil
}

// add looks at what is no folder.
func (f *Found) add(path string, d fs.DirEntry) {
	if why := otherKind(d.Name()); why != "" {
		f.Skipped = append(f.Skipped, Other{path, errors.New(why)})
		return
	}
	st, err := os.Stat(path) // follows links
	switch {
	case err != nil:
		f.Bad = append(f.Bad, Other{path, reason(err)})
		return
	case st.IsDir():
		f.Skipped = append(f.Skipped, Other{path, errors.New("a link to a folder: only links to files are followed")})
		return
	case !st.Mode().IsRegular():
		f.Skipped = append(f.Skipped, Other{path, errors.New("not a regular file")})
		return
	}
	name, err := dist.ParseFilename(d.Name())
	if err != nil {
		f.Bad = append(f.Bad, Other{path, err})
		return
	}
	f.Files = append(f.Files, Candidate{path, st.Size(), name})
	f.Bytes += st.Size()
}

// others says by the end of a name what a file is that stood beside distributions and is none that an index takes.
var others = []struct{ suffix, why string }{
	{".egg", "an egg: the index takes wheels and sdists; build a wheel from its sources"},
	{".exe", "an installer: the index takes wheels and sdists (wheel convert makes a wheel of it)"},
	{".msi", "an installer: the index takes wheels and sdists"},
	{".rpm", "a package of an operating system"},
	{".deb", "a package of an operating system"},
	{".dmg", "a package of an operating system"},
	{".asc", "a signature: the index keeps none"},
	{".sig", "a signature: the index keeps none"},
	{".metadata", "metadata: the index takes them from the wheel"},
	{".attestation", "an attestation: the index keeps none"},
	{".tar.bz2", "an sdist must be a .tar.gz or .zip (PEP 527): build it anew"},
	{".tar.xz", "an sdist must be a .tar.gz or .zip (PEP 527): build it anew"},
	{".tar.z", "an sdist must be a .tar.gz or .zip (PEP 527): build it anew"},
	{".tar", "an sdist must be a .tar.gz or .zip (PEP 527): build it anew"},
	{".tgz", "an sdist must be a .tar.gz or .zip (PEP 527): build it anew"},
}

// otherKind says why a file of the name is no distribution; "" if it should be one.
func otherKind(name string) string {
	for _, suffix := range []string{".whl", ".tar.gz", ".zip"} {
		if strings.HasSuffix(name, suffix) {
			return ""
		}
	}
	lower := strings.ToLower(name)
	for _, o := range others {
		if strings.HasSuffix(lower, o.suffix) {
			return o.why
		}
	}
	return "neither a wheel (.whl) nor an sdist (.tar.gz, .zip)"
}

// reason is an error of the file system without the path, which stands before it.
func reason(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
