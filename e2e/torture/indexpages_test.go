package torture

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// simpleJSON and simpleHTML are pages of a project with these releases, as an index of ours makes them.
func simpleJSON(project int, serial int64, releases ...int64) string {
	var files, versions []string
	for _, n := range releases {
		f := tortured(project, n)
		files = append(files, fmt.Sprintf(`{"filename":%q,"url":"/files/%s","hashes":{"sha256":%q}}`, f.Filename, f.Path(), f.SHA256()))
		versions = append(versions, fmt.Sprintf("%q", f.Version))
	}
	return fmt.Sprintf(`{"meta":{"api-version":"1.4","_last-serial":%d},"name":%q,"versions":[%s],"files":[%s]}`,
		serial, indexProject(project), strings.Join(versions, ","), strings.Join(files, ","))
}

func simpleHTML(project int, serial int64, releases ...int64) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html><body>\n")
	for _, n := range releases {
		f := tortured(project, n)
		fmt.Fprintf(&b, "<a href=\"/files/%s#sha256=%s\">%s</a><br />\n", f.Path(), f.SHA256(), f.Filename)
	}
	fmt.Fprintf(&b, "</body></html>\n<!--SERIAL %d-->", serial)
	return b.String()
}

// Pages of an index that no index ever had are found torn.
func TestIndexPages(t *testing.T) {
	const json, html, people, listJSON, listHTML = 0, 1, 3, 8, 9
	newPages := func() *indexPages { return &indexPages{projects: 2, lists: 3, serial: true} }
	read := func(p *indexPages, page int, body string) (int64, error) { return p.Read(page, 200, []byte(body)) }
	list := func(serial int64, of ...string) string {
		return fmt.Sprintf(`{"meta":{"api-version":"1.4","_last-serial":%d},"projects":[%s]}`, serial, strings.Join(of, ","))
	}
	first, second := `{"name":"torture-00","_last-serial":7}`, `{"name":"torture-01","_last-serial":9}`
	shown := tortured(0, 2)
	good := map[string]struct {
		page    int
		body    string
		version int64
	}{
		"json":      {json, simpleJSON(0, 9, 1, 2), 3},
		"html":      {html, simpleHTML(0, 9, 1, 2), 3},
		"people":    {people, "<p>" + shown.Filename + " " + shown.SHA256() + "</html>\n", 3},
		"list json": {listJSON, list(9, first, second), 10},
		"list html": {listHTML, `<html><a href="/simple/torture-00/">torture-00</a><a href="/simple/torture-01/">torture-01</a></html><!--SERIAL 9-->`, 10},
	}
	p := newPages()
	for name, g := range good {
		if version, err := read(p, g.page, g.body); err != nil || version != g.version {
			t.Errorf("%s: version %d, %v", name, version, err)
		}
	}
	if version, err := p.Read(json, 404, []byte("not found")); err != nil || version != 1 {
		t.Errorf("a 404: version %d, %v", version, err)
	}
	for name, bad := range map[string]struct {
		page int
		body string
	}{
		"cut":                     {json, good["json"].body[:200]},
		"a release is missing":    {json, simpleJSON(0, 9, 1, 3)},
		"html cut":                {html, good["html"].body[:len(good["html"].body)-4]},
		"html cut inside":         {html, good["html"].body[:300]},
		"another project":         {json, simpleJSON(1, 9, 1, 2)},
		"another serial":          {json, simpleJSON(0, 8, 1, 2)},
		"html of another serial":  {html, simpleHTML(0, 8, 1, 2)},
		"another digest":          {html, strings.Replace(good["html"].body, shown.SHA256(), strings.Repeat("0", 64), 1)},
		"a version without files": {json, strings.Replace(good["json"].body, `"1.2"]`, `"1.2","1.3"]`, 1)},
		"people cut":              {people, strings.TrimSuffix(good["people"].body, "</html>\n")},
		"people, another digest":  {people, strings.Replace(good["people"].body, shown.SHA256(), "", 1)},
		"people, another project": {people, strings.ReplaceAll(good["people"].body, "torture_00", "torture_01")},
		"list without the newest": {listJSON, list(9, first)},
		"list in disorder":        {listJSON, list(9, second, first)},
		"list short of one":       {listJSON, list(9, second)},
		"empty":                   {html, ""},
	} {
		if version, err := read(p, bad.page, bad.body); !errors.Is(err, ErrTorn) {
			t.Errorf("%s: version %d, %v", name, version, err)
		}
	}

	head := func(contentType, serial string) http.Header {
		return http.Header{"Content-Type": {contentType}, serialHeader: {serial}}
	}
	if err := p.Check(json, 3, 200, head(indextest.JSON, "9")); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another type":     p.Check(json, 3, 200, head("text/html; charset=utf-8", "9")),
		"another serial":   p.Check(json, 3, 200, head(indextest.JSON, "8")),
		"a list's serial":  p.Check(listJSON, 10, 200, head(indextest.JSON, "8")),
		"404 with a page":  p.Check(json, 3, 404, head(indextest.JSON, "9")),
		"200 without one":  p.Check(json, 1, 200, head(indextest.JSON, "9")),
		"serial, left out": (&indexPages{projects: 2, lists: 3}).Check(json, 3, 200, head(indextest.JSON, "9")),
	} {
		if !errors.Is(err, ErrTorn) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
