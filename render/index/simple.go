package index

import (
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cachesrv/cachesrv/render"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// apiVersion is that of the simple repository API (PEP 629); 1.4 is that of PEP 792.
const apiVersion = "1.4"

// simple answers /simple/ and /simple/NAME/, inside the cache.
func (s *Site) simple(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Vary", "Accept")
	f, ok := negotiate(r.Header["Accept"])
	if !ok {
		return fail(http.StatusNotAcceptable, "none of the forms of this page is acceptable")
	}
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple/"), "/")
	if name == "" {
		return s.simpleList(w, r, f)
	}
	return s.simpleProject(w, r, f, name)
}

func (s *Site) simpleList(w http.ResponseWriter, r *http.Request, f form) error {
	ctx := r.Context()
	render.Tags(ctx, catalog.AllProjects)
	list, err := s.catalog.Projects(ctx)
	if err != nil {
		return err
	}
	body := make([]byte, 0, 256+96*len(list.Projects))
	if f == formJSON {
		body = appendListJSON(body, list)
	} else {
		body = appendListHTML(body, list)
	}
	s.sendSimple(w, f, list.Serial, body)
	return nil
}

func (s *Site) simpleProject(w http.ResponseWriter, r *http.Request, f form, name string) error {
	ctx := r.Context()
	render.Tags(ctx, catalog.ProjectTag(name)) // the 404, too: it is dropped when the project comes
	p, err := s.catalog.Project(ctx, name)
	switch {
	case errors.Is(err, catalog.ErrNotFound) && s.o.Upstream != nil:
		render.NoStore(ctx, "upstream")
		h := w.Header()
		location := s.o.Upstream.String() + "/simple/" + name + "/"
		if mediaType, ok := ctx.Value(formatKey{}).(string); ok {
			location += "?format=" + url.QueryEscape(mediaType)
		}
		h.Set("Location", location)
		h.Set("Cache-Control", "no-store")
		send(w, http.StatusFound, plainText, nil)
		return nil
	case errors.Is(err, catalog.ErrNotFound):
		return fail(http.StatusNotFound, "There is no project %s here.", name)
	case err != nil:
		return err
	}
	var body []byte
	if f == formJSON {
		body = appendProjectJSON(body, p)
	} else {
		body = appendProjectHTML(body, p)
	}
	s.sendSimple(w, f, p.Serial, body)
	return nil
}

func (s *Site) sendSimple(w http.ResponseWriter, f form, serial int64, body []byte) {
	if !s.o.OmitSerial {
		w.Header().Set(serialHeader, strconv.FormatInt(serial, 10))
	}
	send(w, http.StatusOK, contentTypes[f], body)
}

// The pages are put together by hand: a list of all projects is long, and asked for often. Members of objects are in
// alphabetical order, as PyPI's are.

func appendListJSON(b []byte, list *catalog.Listing) []byte {
	b = append(b, `{"meta":{"_last-serial":`...)
	b = strconv.AppendInt(b, list.Serial, 10)
	b = append(b, `,"api-version":"`+apiVersion+`"},"projects":[`...)
	for i, p := range list.Projects {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"_last-serial":`...)
		b = strconv.AppendInt(b, p.Serial, 10)
		b = append(b, `,"name":`...)
		b = appendJSON(b, p.Name)
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

func appendListHTML(b []byte, list *catalog.Listing) []byte {
	b = append(b, `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta name="pypi:repository-version" content="`+apiVersion+`">
    <title>Simple index</title>
  </head>
  <body>
`...)
	for _, p := range list.Projects {
		b = append(b, `    <a href="/simple/`...)
		b = append(b, p.Normal...)
		b = append(b, `/">`...)
		b = appendHTML(b, p.Name)
		b = append(b, "</a><br>\n"...)
	}
	return appendEnd(b, list.Serial)
}

func appendEnd(b []byte, serial int64) []byte {
	b = append(b, "  </body>\n</html>\n<!--SERIAL "...)
	b = strconv.AppendInt(b, serial, 10)
	return append(b, "-->"...)
}

// A releaseFile is a file with what its release says of it.
type releaseFile struct {
	catalog.File
	yanked bool
	reason string
}

// filesInOrder lists a project's files from the oldest version to the newest, by name in each; and the versions.
func filesInOrder(p *catalog.Project) (versions []string, files []releaseFile) {
	releases := slices.Clone(p.Releases)
	slices.SortStableFunc(releases, func(a, b catalog.Release) int { return dist.CompareVersions(a.Version, b.Version) })
	for _, r := range releases {
		versions = append(versions, r.Version)
		first := len(files)
		for _, f := range r.Files {
			files = append(files, releaseFile{f, r.Yanked, r.YankedReason})
		}
		slices.SortFunc(files[first:], func(a, b releaseFile) int { return strings.Compare(a.Filename, b.Filename) })
	}
	return versions, files
}

// uploadTime is how PEP 700 writes times.
const uploadTime = "2006-01-02T15:04:05.000000Z"

func appendProjectJSON(b []byte, p *catalog.Project) []byte {
	versions, files := filesInOrder(p)
	b = append(b, `{"alternate-locations":[],"files":[`...)
	for i, f := range files {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"core-metadata":`...)
		b = appendMetadataHash(b, f.MetadataSHA256)
		b = append(b, `,"data-dist-info-metadata":`...)
		b = appendMetadataHash(b, f.MetadataSHA256)
		b = append(b, `,"filename":`...)
		b = appendJSON(b, f.Filename)
		b = append(b, `,"hashes":{"sha256":"`...)
		b = append(b, f.SHA256...)
		b = append(b, `"},"requires-python":`...)
		if f.RequiresPython == "" {
			b = append(b, "null"...)
		} else {
			b = appendJSON(b, f.RequiresPython)
		}
		b = append(b, `,"size":`...)
		b = strconv.AppendInt(b, f.Size, 10)
		b = append(b, `,"upload-time":"`...)
		b = f.Uploaded.UTC().AppendFormat(b, uploadTime)
		b = append(b, `","url":`...)
		b = appendJSON(b, fileURL(f.File))
		b = append(b, `,"yanked":`...)
		switch {
		case f.yanked && f.reason != "":
			b = appendJSON(b, f.reason)
		default:
			b = strconv.AppendBool(b, f.yanked)
		}
		b = append(b, '}')
	}
	b = append(b, `],"meta":{"_last-serial":`...)
	b = strconv.AppendInt(b, p.Serial, 10)
	b = append(b, `,"api-version":"`+apiVersion+`"},"name":`...)
	b = appendJSON(b, p.Normal)
	b = append(b, `,"project-status":{"status":"active"},"versions":[`...)
	for i, v := range versions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, v)
	}
	return append(b, `]}`...)
}

// appendMetadataHash says whether FILE.metadata is there (PEP 714), and its hash.
func appendMetadataHash(b []byte, sha256 string) []byte {
	if sha256 == "" {
		return append(b, "false"...)
	}
	b = append(b, `{"sha256":"`...)
	b = append(b, sha256...)
	return append(b, `"}`...)
}

func appendProjectHTML(b []byte, p *catalog.Project) []byte {
	_, files := filesInOrder(p)
	b = append(b, `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta name="pypi:repository-version" content="`+apiVersion+`">
    <meta name="pypi:project-status" content="active">
    <title>Links for `...)
	b = append(b, p.Normal...)
	b = append(b, "</title>\n  </head>\n  <body>\n    <h1>Links for "...)
	b = append(b, p.Normal...)
	b = append(b, "</h1>\n"...)
	for _, f := range files {
		b = append(b, `    <a href="`...)
		b = appendHTML(b, fileURL(f.File))
		b = append(b, "#sha256="...)
		b = append(b, f.SHA256...)
		b = append(b, '"')
		if f.RequiresPython != "" {
			b = appendAttribute(b, "data-requires-python", f.RequiresPython)
		}
		if f.MetadataSHA256 != "" {
			b = appendAttribute(b, "data-dist-info-metadata", "sha256="+f.MetadataSHA256)
			b = appendAttribute(b, "data-core-metadata", "sha256="+f.MetadataSHA256)
		}
		if f.yanked {
			b = appendAttribute(b, "data-yanked", f.reason)
		}
		b = append(b, '>')
		b = appendHTML(b, f.Filename)
		b = append(b, "</a><br>\n"...)
	}
	return appendEnd(b, p.Serial)
}

func appendAttribute(b []byte, name, value string) []byte {
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, `="`...)
	b = appendHTML(b, value)
	return append(b, '"')
}

// appendHTML escapes text for HTML, also within quotes.
func appendHTML(b []byte, s string) []byte {
	if strings.IndexFunc(s, func(c rune) bool { return c == '<' || c == '>' || c == '&' || c == '\'' || c == '"' }) < 0 {
		return append(b, s...)
	}
	return append(b, html.EscapeString(s)...)
}

// appendJSON appends a string in JSON.
func appendJSON(b []byte, s string) []byte {
	if strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) < 0 {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	quoted, _ := json.Marshal(s) // a string always can be
	return append(b, quoted...)
}

// fileURL is where a file is fetched. It is an absolute path: the site may have several names, and pages are the same
// for all of them.
func fileURL(f catalog.File) string {
	return "/files/" + strings.TrimSuffix(f.Path(), f.Filename) + escapeSegment(f.Filename)
}

// escapeSegment writes a segment of a path as URLs here have it: the characters of versions ("1!2.0+local") stay.
func escapeSegment(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!+", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}
