// Package dist reads distribution files of Python, wheels and sdists: what their names say, what is in them, and
// whether they can be trusted. It is pure: it opens nothing but the file it is given, and writes nothing.
package dist

import (
	"errors"
	"fmt"
	"io"
)

// ErrInvalid is what every complaint about a file wraps; its text is for whoever uploads the file: one line of
// printable ASCII, at most 300 bytes.
var ErrInvalid = errors.New("invalid distribution")

// A Kind is a kind of distribution file, named as in the upload form's filetype.
type Kind string

const (
	Wheel Kind = "bdist_wheel"
	Sdist Kind = "sdist"
)

// A Name is what a file's name says of it.
type Name struct {
	Filename string
	Kind     Kind
	Project  string // normalised (PEP 503)
	Version  string // canonical (PEP 440)
	Python   string // "source" for an sdist, else the wheel's Python tag
}

// Metadata are the core metadata of a distribution (https://packaging.python.org/specifications/core-metadata/).
// The JSON form is what the database holds. Strings are valid UTF-8 without NUL.
type Metadata struct {
	MetadataVersion        string   `json:"metadata_version"`
	Name                   string   `json:"name"`    // as written
	Version                string   `json:"version"` // as written
	Summary                string   `json:"summary,omitempty"`
	Description            string   `json:"description,omitempty"` // lines end in \n
	DescriptionContentType string   `json:"description_content_type,omitempty"`
	Keywords               []string `json:"keywords,omitempty"`
	Author                 string   `json:"author,omitempty"`
	AuthorEmail            string   `json:"author_email,omitempty"`
	Maintainer             string   `json:"maintainer,omitempty"`
	MaintainerEmail        string   `json:"maintainer_email,omitempty"`
	License                string   `json:"license,omitempty"`
	LicenseExpression      string   `json:"license_expression,omitempty"`
	Classifiers            []string `json:"classifiers,omitempty"`
	HomePage               string   `json:"home_page,omitempty"`    // as written: not always http or https
	DownloadURL            string   `json:"download_url,omitempty"` // as written
	ProjectURLs            []Link   `json:"project_urls,omitempty"` // in their order
	Platforms              []string `json:"platforms,omitempty"`
	RequiresPython         string   `json:"requires_python,omitempty"`
	RequiresDist           []string `json:"requires_dist,omitempty"`
	ProvidesExtra          []string `json:"provides_extra,omitempty"`
}

// A Link is a labelled URL. The URL is as written: not always http or https.
type Link struct {
	Label string `json:"label"`
	URL   string `json:"url"`
}

// Limits bound what a distribution may unpack to. A zero field means its default.
type Limits struct {
	Entries  int   // files and folders in it; default 100,000
	Unpacked int64 // bytes, all files together; default 8 GiB. Of a tar archive, its own headers count, too
	Ratio    int64 // unpacked : packed, above 64 MiB unpacked; default 50
	Metadata int64 // bytes of METADATA or PKG-INFO; default 1 MiB
}

// ratioFrom is how many bytes anything may unpack to, whatever the ratio: small files of zeros are no attack.
const ratioFrom = 64 << 20

func (l Limits) withDefaults() Limits {
	if l.Entries <= 0 {
		l.Entries = 100_000
	}
	if l.Unpacked <= 0 {
		l.Unpacked = 8 << 30
	}
	if l.Ratio <= 0 {
		l.Ratio = 50
	}
	if l.Metadata <= 0 {
		l.Metadata = 1 << 20
	}
	return l
}

// unpacked says whether a file of the given size may unpack to so many bytes.
func (l Limits) unpacked(n, size int64) error {
	switch {
	case n > l.Unpacked:
		return invalidf("unpacks to more than %d bytes, the limit: leave files out or split it", l.Unpacked)
	case n > ratioFrom && n/l.Ratio > size:
		return invalidf("unpacks to more than %d times its %d bytes, the limit: leave out what is so repetitive", l.Ratio, size)
	}
	return nil
}

// A Distribution is a file that was looked into and found good.
type Distribution struct {
	Name
	Metadata Metadata
	Raw      []byte // METADATA or PKG-INFO, byte by byte
}

// Inspect looks into a file of the given name and size: every entry's path, the bounds, the metadata, and that name,
// version and file name agree. All of it is unpacked once, to nowhere, so that torn files and false sizes are found; the
// memory it takes depends on the number of entries, not on what they unpack to. Errors wrap ErrInvalid, but for those of
// reading r.
func Inspect(r io.ReaderAt, size int64, filename string, l Limits) (*Distribution, error) {
	n, err := ParseFilename(filename)
	if err != nil {
		return nil, err
	}
	s := &source{r: r, size: size}
	d, err := inspect(s, n, l.withDefaults())
	switch {
	case s.err != nil: // whatever came of it, it isn't the file's fault
		return nil, fmt.Errorf("read %s: %w", filename, s.err)
	case err != nil:
		return nil, invalidf("%s: %w", shorten(filename), err)
	}
	return d, nil
}

func inspect(s *source, n Name, l Limits) (*Distribution, error) {
	if s.size <= 0 {
		return nil, invalidf("the file is empty")
	}
	unpack, file := inspectWheel, "METADATA"
	if n.Kind == Sdist {
		unpack, file = inspectSdist, "PKG-INFO"
	}
	raw, err := unpack(s, n, l)
	if err != nil {
		return nil, err
	}
	m, err := parseMetadata(raw, file)
	if err != nil {
		return nil, err
	}
	if Normalize(m.Name) != n.Project {
		return nil, invalidf("%s says name %s, the file name says %s: build it anew", file, quote(m.Name), quote(n.Project))
	}
	if v, err := CanonicalVersion(m.Version); err != nil {
		return nil, invalidf("%s: %w", file, err)
	} else if v != n.Version {
		return nil, invalidf("%s says version %s, the file name says %s: build it anew", file, quote(m.Version), quote(n.Version))
	}
	return &Distribution{Name: n, Metadata: m, Raw: raw}, nil
}

// A source is the file. It keeps the first error of reading it apart from what is wrong with it. Callers ask only for
// what lies within size.
type source struct {
	r    io.ReaderAt
	size int64
	err  error
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if n == len(p) {
		return n, nil
	}
	if err == nil || err == io.EOF {
		err = fmt.Errorf("it ends before byte %d: %w", off+int64(len(p)), io.ErrUnexpectedEOF)
	}
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// section reads n bytes from off.
func (s *source) section(off, n int64) *io.SectionReader { return io.NewSectionReader(s, off, n) }
