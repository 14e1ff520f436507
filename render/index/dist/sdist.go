package dist

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"strings"
)

// inspectSdist looks into an sdist, .tar.gz or .zip, and returns PKG-INFO.
func inspectSdist(s *source, n Name, l Limits) ([]byte, error) {
	if strings.HasSuffix(n.Filename, ".zip") {
		return inspectZipSdist(s, n, l)
	}
	return inspectTarSdist(s, n, l)
}

// An sdistTop checks that all of an sdist lies in one folder, named like the file, and finds PKG-INFO.
type sdistTop struct {
	n     Name
	name  string // of the folder; "" until there is one
	found bool
}

// take returns whether a path is PKG-INFO's.
func (t *sdistTop) take(p string, k kind) (bool, error) {
	top, rest, inside := strings.Cut(p, "/")
	switch {
	case !inside && k != folder:
		return false, invalidf("%s does not lie in a folder named like the file: build it anew", quote(p))
	case t.name == "":
		project, version, ok := splitStem(top)
		if !ok || project != t.n.Project || version != t.n.Version {
			return false, invalidf("the folder %s is not named like the file: build it anew", quote(top))
		}
		t.name = top
	case t.name != top:
		return false, invalidf("it has two folders, %s and %s: build it anew", quote(t.name), quote(top))
	}
	if rest != "PKG-INFO" {
		return false, nil
	}
	if k != file {
		return false, invalidf("%s is not a file: build it anew", quote(p))
	}
	t.found = true
	return true, nil
}

func (t *sdistTop) missing() error {
	if t.found {
		return nil
	}
	return invalidf("it has no PKG-INFO in the folder %s: build it with a current tool (python -m build --sdist)", quote(t.name))
}

func tooMuchInfo(size int64, l Limits) error {
	if size <= l.Metadata {
		return nil
	}
	return invalidf("PKG-INFO has %d bytes; at most %d are allowed: shorten the description", size, l.Metadata)
}

func inspectZipSdist(s *source, n Name, l Limits) ([]byte, error) {
	z, err := openZip(s, l)
	if err != nil {
		return nil, err
	}
	top := sdistTop{n: n}
	var info bytes.Buffer
	for i := range z.entries {
		e := &z.entries[i]
		k := file
		if e.dir {
			k = folder
		}
		isInfo, err := top.take(e.name, k)
		if err != nil {
			return nil, err
		}
		w := io.Discard
		if isInfo {
			if err := tooMuchInfo(e.unpacked, l); err != nil {
				return nil, err
			}
			w = &info
		}
		if err := z.unpack(e, w); err != nil {
			return nil, err
		}
	}
	return info.Bytes(), top.missing()
}

// inspectTarSdist reads the archive once, from the first byte to the last.
func inspectTarSdist(s *source, n Name, l Limits) ([]byte, error) {
	z, err := gzip.NewReader(s.section(0, s.size))
	if err != nil {
		return nil, invalidf("it is not a gzip file: build or upload it anew")
	}
	// The zeros at the end, and paths, are unpacked, too: the bound holds for everything that comes out of gzip.
	bounded := &boundedReader{r: z, size: s.size, l: l}
	t := tar.NewReader(&tarGate{r: bounded})
	top, tree := sdistTop{n: n}, newTree(l.Entries)
	var info []byte
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, tornTar(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // git archive: which commit it was
			continue
		}
		k, err := tarKind(h)
		if err != nil {
			return nil, err
		}
		// Some are packed from ".": with "./" in front of every path, and an entry for that folder.
		if k == folder && (h.Name == "." || h.Name == "./") {
			continue
		}
		name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
		if err := tree.add(name, k); err != nil {
			return nil, err
		}
		isInfo, err := top.take(name, k)
		if err != nil {
			return nil, err
		}
		if err := l.unpacked(h.Size, s.size); err != nil {
			return nil, err
		}
		switch {
		case h.Typeflag == tar.TypeSymlink:
			err = checkSymlink(name, h.Linkname)
		case h.Typeflag == tar.TypeLink && tree.is(strings.TrimPrefix(h.Linkname, "./")) != file:
			err = invalidf("%s is a hard link to %s, which is no file before it: put the file itself in", quote(name), quote(h.Linkname))
		case isInfo:
			if err = tooMuchInfo(h.Size, l); err == nil {
				info, err = io.ReadAll(t)
			}
		default: // a torn file is found here, not at the next header
			_, err = io.Copy(io.Discard, t)
		}
		if err != nil {
			return nil, tornTar(err)
		}
	}
	if err := onlyZeros(bounded); err != nil {
		return nil, tornTar(err)
	}
	if bounded.n%512 != 0 { // Go doesn't mind, Python does
		return nil, tornTar(io.ErrUnexpectedEOF)
	}
	return info, top.missing()
}

// tarKind returns what an entry is; errors for those that have no place in an sdist.
func tarKind(h *tar.Header) (kind, error) {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return 0, invalidf("the entry %s is a sparse file: build it without holes", quote(h.Name))
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		if strings.HasSuffix(h.Name, "/") {
			return 0, invalidf("the file %s is named like a folder: build it anew", quote(h.Name))
		}
		return file, nil
	case tar.TypeDir:
		return folder, nil
	case tar.TypeSymlink, tar.TypeLink:
		return link, nil
	}
	return 0, invalidf("the entry %s is no file, folder or link (type %q): leave it out", quote(h.Name), h.Typeflag)
}

// checkSymlink checks that a link leads to somewhere in the sdist, on whatever way and whatever the top folder is called.
// ".." may stand only in front: there it leaves the link's own folder, which is no link, since no path leads through one;
// further on it might leave any.
func checkSymlink(name, target string) error {
	top, _, _ := strings.Cut(name, "/")
	up, rest := path.Dir(name), target
	for inside := true; inside; {
		if rest == ".." {
			rest = "../"
		}
		if rest, inside = strings.CutPrefix(rest, "../"); inside {
			up = path.Dir(up)
		}
	}
	if target == "" || strings.ContainsFunc(target, control) || strings.Contains(target, `\`) ||
		path.IsAbs(target) || len(target) > 1 && target[1] == ':' ||
		strings.Contains("/"+rest+"/", "/../") || up != top && !strings.HasPrefix(up, top+"/") {
		return invalidf("the link %s leads to %s, outside or not plainly inside: put the file itself in", quote(name), quote(target))
	}
	return nil
}

// tornTar makes a complaint of what gzip and tar say.
func tornTar(err error) error {
	if errors.Is(err, ErrInvalid) {
		return err
	}
	return invalidf("it is damaged, or something stands behind its end (%v): build or upload it anew", err)
}

// A boundedReader stops with a complaint where Limits do.
type boundedReader struct {
	r       io.Reader
	n, size int64
	l       Limits
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if over := b.l.unpacked(b.n, b.size); over != nil {
		return n, over
	}
	return n, err
}

// onlyZeros reads the rest, which fills the last block of a tar archive.
func onlyZeros(r io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if len(bytes.TrimLeft(buf[:n], "\x00")) > 0 {
			return invalidf("something stands behind the end of the tar archive: build it anew")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
