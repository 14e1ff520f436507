package index_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/index"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

const (
	jsonType = "application/vnd.pypi.simple.v1+json"
	htmlType = "application/vnd.pypi.simple.v1+html"
	pip      = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
)

// The pages, byte by byte: other programs read them.
func TestSimplePages(t *testing.T) {
	s := newSite(t)
	wheel := s.add(tea).File
	old := tea
	old.Version = "1.10"
	sdist := s.add(old, true).File
	if err := s.catalog.Yank(t.Context(), catalog.Operator("alice"), "tea-house", "1.10", `too "hot" & <b>`); err != nil {
		t.Fatal(err)
	}
	s.add(sample.Dist{Name: "cup", Version: "2"})
	p, err := s.catalog.Project(t.Context(), "tea-house")
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.catalog.Projects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const stamp = "2006-01-02T15:04:05.000000Z"

	a := s.get("/simple/tea-house/", "Accept", pip).want(t, 200, "fwd=uri-miss; stored")
	want := fmt.Sprintf(`{"alternate-locations":[],"files":[`+
		`{"core-metadata":{"sha256":"%[1]s"},"data-dist-info-metadata":{"sha256":"%[1]s"},"filename":"tea_house-1.2-py3-none-any.whl",`+
		`"hashes":{"sha256":"%[2]s"},"requires-python":"\u003e=3.8,\u003c4","size":%[3]d,"upload-time":"%[4]s","url":"/files/%[5]s","yanked":false},`+
		`{"core-metadata":false,"data-dist-info-metadata":false,"filename":"tea_house-1.10.tar.gz",`+
		`"hashes":{"sha256":"%[6]s"},"requires-python":"\u003e=3.8,\u003c4","size":%[7]d,"upload-time":"%[8]s","url":"/files/%[9]s","yanked":"too \"hot\" \u0026 \u003cb\u003e"}`+
		`],"meta":{"_last-serial":%[10]d,"api-version":"1.4"},"name":"tea-house","project-status":{"status":"active"},"versions":["1.2","1.10"]}`,
		wheel.MetadataSHA256, wheel.SHA256, wheel.Size, wheel.Uploaded.UTC().Format(stamp), wheel.Path(),
		sdist.SHA256, sdist.Size, sdist.Uploaded.UTC().Format(stamp), sdist.Path(), p.Serial)
	want = strings.NewReplacer(`\u003e`, ">", `\u003c`, "<", `\u0026`, "&").Replace(want)
	got := strings.NewReplacer(`\u003e`, ">", `\u003c`, "<", `\u0026`, "&").Replace(a.body)
	if got != want || !json.Valid([]byte(a.body)) {
		t.Errorf("JSON:\n%s\nwant\n%s", got, want)
	}
	if h := a.Header; h.Get("Content-Type") != jsonType || h.Get("X-Pypi-Last-Serial") != fmt.Sprint(p.Serial) || h.Get("Etag") == "" ||
		h.Get("Cache-Control") != "no-cache" || !strings.Contains(h.Get("Vary"), "Accept") || h.Get("Access-Control-Allow-Origin") != "*" ||
		h.Get("Access-Control-Expose-Headers") != "X-PyPI-Last-Serial" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", h)
	}

	wantHTML := fmt.Sprintf(`<!DOCTYPE html>
<html lang="en">
  <head>
    <meta name="pypi:repository-version" content="1.4">
    <meta name="pypi:project-status" content="active">
    <title>Links for tea-house</title>
  </head>
  <body>
    <h1>Links for tea-house</h1>
    <a href="/files/%[1]s#sha256=%[2]s" data-requires-python="&gt;=3.8,&lt;4" data-dist-info-metadata="sha256=%[3]s" data-core-metadata="sha256=%[3]s">tea_house-1.2-py3-none-any.whl</a><br>
    <a href="/files/%[4]s#sha256=%[5]s" data-requires-python="&gt;=3.8,&lt;4" data-yanked="too &#34;hot&#34; &amp; &lt;b&gt;">tea_house-1.10.tar.gz</a><br>
  </body>
</html>
<!--SERIAL %[6]d-->`, wheel.Path(), wheel.SHA256, wheel.MetadataSHA256, sdist.Path(), sdist.SHA256, p.Serial)
	for accept, contentType := range map[string]string{"text/html": "text/html; charset=utf-8", htmlType: htmlType} {
		a := s.get("/simple/tea-house/", "Accept", accept).want(t, 200, "fwd=uri-miss; stored")
		if a.body != wantHTML || a.Header.Get("Content-Type") != contentType {
			t.Errorf("%s (%s):\n%s\nwant\n%s", accept, a.Header.Get("Content-Type"), a.body, wantHTML)
		}
	}

	a = s.get("/simple/", "Accept", jsonType).want(t, 200, "fwd=uri-miss; stored")
	cup, _ := s.catalog.Project(t.Context(), "cup")
	if want := fmt.Sprintf(`{"meta":{"_last-serial":%d,"api-version":"1.4"},"projects":[{"_last-serial":%d,"name":"cup"},{"_last-serial":%d,"name":"Tea.House"}]}`,
		list.Serial, cup.Serial, p.Serial); a.body != want {
		t.Errorf("list:\n%s\nwant\n%s", a.body, want)
	}
	a = s.get("/simple/", "Accept", "text/html").want(t, 200, "fwd=uri-miss; stored")
	if want := fmt.Sprintf(`<!DOCTYPE html>
<html lang="en">
  <head>
    <meta name="pypi:repository-version" content="1.4">
    <title>Simple index</title>
  </head>
  <body>
    <a href="/simple/cup/">cup</a><br>
    <a href="/simple/tea-house/">Tea.House</a><br>
  </body>
</html>
<!--SERIAL %d-->`, list.Serial); a.body != want || a.Header.Get("X-Pypi-Last-Serial") != fmt.Sprint(list.Serial) {
		t.Errorf("list:\n%s\nwant\n%s", a.body, want)
	}
}

// The second request is a hit, with the same answer; each form is a page of its own, whatever way it was asked for.
func TestFormsArePages(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	for _, tt := range []struct{ path, accept, contentType, status string }{
		{"/simple/tea-house/", "", "text/html; charset=utf-8", "fwd=uri-miss; stored"},
		{"/simple/tea-house/", pip, jsonType, "fwd=uri-miss; stored"},
		{"/simple/tea-house/", htmlType, htmlType, "fwd=uri-miss; stored"},
		{"/simple/tea-house/", jsonType + ";q=0.5", jsonType, "hit"},
		{"/simple/tea-house/", "application/vnd.pypi.simple.latest+json", jsonType, "hit"},
		{"/simple/tea-house/", "application/vnd.pypi.simple.latest+html", htmlType, "hit"},
		{"/simple/tea-house/", "*/*", "text/html; charset=utf-8", "hit"},
		{"/simple/tea-house/?format=application/vnd.pypi.simple.v1%2Bjson", "text/html", jsonType, "hit"},
		{"/simple/tea-house/?format=application/vnd.pypi.simple.latest%2Bhtml", "", htmlType, "hit"},
		{"/simple/tea-house/?format=text/html", pip, "text/html; charset=utf-8", "hit"},
		{"/simple/tea-house/?other=1", "", "text/html; charset=utf-8", "fwd=bypass"},
	} {
		var header []string
		if tt.accept != "" {
			header = []string{"Accept", tt.accept}
		}
		a := s.get(tt.path, header...).want(t, 200, tt.status)
		if a.Header.Get("Content-Type") != tt.contentType || !strings.Contains(a.body, "tea_house-1.2") {
			t.Errorf("%s, Accept %q: %s\n%s", tt.path, tt.accept, a.Header.Get("Content-Type"), a.body)
		}
	}
	for _, path := range []string{"/simple/", "/simple/tea-house/", "/simple/nothing/"} {
		for range 2 {
			a := s.get(path, "Accept", "image/png").want(t, http.StatusNotAcceptable, "")
			if a.cacheStatus() != "" || !strings.Contains(a.body, jsonType) || a.Header.Get("Vary") != "Accept" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %q %v", path, a.body, a.Header)
			}
			s.get(path+"?format=application/json").want(t, http.StatusNotAcceptable, "")
		}
	}
}

func TestConditionalAndHead(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	first := s.get("/simple/tea-house/", "Accept", pip).want(t, 200, "fwd=uri-miss; stored")
	a := s.get("/simple/tea-house/", "Accept", pip, "If-None-Match", first.Header.Get("Etag")).want(t, 304, "hit")
	if a.body != "" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("304: %q %v", a.body, a.Header)
	}
	a = s.do(http.MethodHead, "/simple/tea-house/", nil, "Accept", pip).want(t, 200, "hit")
	if a.body != "" || a.ContentLength != int64(len(first.body)) || a.Header.Get("Etag") != first.Header.Get("Etag") {
		t.Errorf("HEAD: %v", a.Header)
	}
	s.do(http.MethodHead, "/project/tea-house/", nil).want(t, 200, "fwd=uri-miss; detail=head")
	s.get("/project/tea-house/").want(t, 200, "fwd=uri-miss; stored")
}

func TestRedirects(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	for path, want := range map[string]string{
		"/simple":                             "/simple/",
		"/simple/tea-house":                   "/simple/tea-house/",
		"/simple/Tea.House":                   "/simple/tea-house/",
		"/simple/Tea__House/":                 "/simple/tea-house/",
		"/simple/Tea_House/?format=text/html": "/simple/tea-house/?format=text/html",
		"/simple/NOTHING/":                    "/simple/nothing/",
		"/project/tea-house":                  "/project/tea-house/",
		"/project/Tea.House/":                 "/project/tea-house/",
		"/project/tea-house/1.2":              "/project/tea-house/1.2/",
		"/project/Tea-House/v1.2/":            "/project/tea-house/1.2/",
		"/project/tea-house/1.2.0/":           "/project/tea-house/1.2/",
		"/user/alice":                         "/user/alice/",
		"/user/ALICE/":                        "/user/alice/",
		"/search/":                            "/search",
		"/search/?q=x":                        "/search?q=x",
	} {
		for range 2 {
			a := s.get(path).want(t, http.StatusMovedPermanently, "")
			if a.Header.Get("Location") != want {
				t.Errorf("%s leads to %q, want %q", path, a.Header.Get("Location"), want)
			}
			if c := a.cacheStatus(); strings.Contains(c, "stored") || strings.Contains(c, "hit") {
				t.Errorf("%s: %s", path, c)
			}
		}
	}
}

// What is known not to be there is a page, too; and the first upload replaces it.
func TestUnknownProject(t *testing.T) {
	s := newSite(t)
	paths := []string{"/simple/tea-house/", "/project/tea-house/", "/project/tea-house/1.2/"}
	for _, path := range paths {
		a := s.get(path).want(t, 404, "fwd=uri-miss; stored")
		s.get(path).want(t, 404, "hit")
		if !strings.Contains(a.body, "project tea-house here") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	s.get("/simple/").want(t, 200, "fwd=uri-miss; stored")
	s.get("/user/alice/").want(t, 200, "fwd=uri-miss; stored")
	s.get("/user/nobody/").want(t, 404, "fwd=uri-miss; stored")
	s.get("/").want(t, 200, "fwd=uri-miss; stored")
	s.upload(tea).want(t, 200, "")
	for _, path := range append(paths, "/simple/", "/", "/user/alice/") {
		if a := s.get(path).want(t, 200, "fwd=uri-miss; stored"); !strings.Contains(a.body, "Tea.House") && !strings.Contains(a.body, "tea_house-1.2") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	// Names that no project can have, and versions that are none, are not remembered: there are too many.
	for _, path := range []string{"/simple/-x/", "/simple/a%20b/", "/project/.x/", "/project/tea-house/x.y/", "/simple/a/b/", "/nothing", "/user/%C3%A9/"} {
		if a := s.get(path).want(t, 404, ""); a.cacheStatus() != "" {
			t.Errorf("%s: %s", path, a.cacheStatus())
		}
	}
}

// After each change the very next request sees it, in every form and on every page.
func TestChangesAreSeenAtOnce(t *testing.T) {
	s := newSite(t)
	for round := range 4 {
		d := tea
		d.Version = fmt.Sprintf("1.%d", round)
		s.upload(d).want(t, 200, "")
		name := "tea_house-" + d.Version + "-py3-none-any.whl"
		for _, r := range [][]string{
			{"/simple/tea-house/", "Accept", pip}, {"/simple/tea-house/", "Accept", htmlType}, {"/simple/tea-house/"}, {"/project/tea-house/"}, {"/project/tea-house/" + d.Version + "/"},
		} {
			for _, status := range []string{"fwd=uri-miss; stored", "hit"} {
				if a := s.get(r[0], r[1:]...).want(t, 200, status); !strings.Contains(a.body, name) {
					t.Errorf("%v after the upload of %s:\n%s", r, d.Version, a.body)
				}
			}
		}
	}
	s.do(http.MethodPost, "/project/tea-house/1.3/yank", strings.NewReader(url.Values{"reason": {"too <hot>"}}.Encode()),
		"Basic", "alice:"+s.token, "Content-Type", "application/x-www-form-urlencoded").want(t, 200, "")
	for _, path := range []string{"/simple/tea-house/", "/project/tea-house/1.3/"} {
		if a := s.get(path).want(t, 200, "fwd=uri-miss; stored"); !strings.Contains(a.body, "too &lt;hot&gt;") {
			t.Errorf("%s:\n%s", path, a.body)
		}
	}
	s.do(http.MethodPost, "/project/tea-house/1.3/unyank", nil, "Basic", "alice:"+s.token).want(t, 200, "")
	if a := s.get("/simple/tea-house/").want(t, 200, "fwd=uri-miss; stored"); strings.Contains(a.body, "yanked") {
		t.Errorf("still yanked:\n%s", a.body)
	}
	s.do(http.MethodDelete, "/project/tea-house/1.3/tea_house-1.3-py3-none-any.whl", nil, "Basic", "alice:"+s.token).want(t, 200, "")
	if a := s.get("/simple/tea-house/").want(t, 200, "fwd=uri-miss; stored"); strings.Contains(a.body, "tea_house-1.3") {
		t.Errorf("still there:\n%s", a.body)
	}
	s.do(http.MethodDelete, "/project/tea-house/1.2/", nil, "Basic", "alice:"+s.token).want(t, 200, "")
	s.get("/project/tea-house/1.2/").want(t, 404, "fwd=uri-miss; stored")
	s.do(http.MethodDelete, "/project/Tea-House/", nil, "Basic", "alice:"+s.token).want(t, 200, "")
	s.get("/simple/tea-house/").want(t, 404, "fwd=uri-miss; stored")
	if a := s.get("/simple/").want(t, 200, "fwd=uri-miss; stored"); strings.Contains(a.body, "Tea") {
		t.Errorf("still listed:\n%s", a.body)
	}
}

func TestUpstream(t *testing.T) {
	s := newSite(t, func(o *index.Options) { o.Upstream, _ = url.Parse("https://pypi.example/base/") })
	s.add(tea)
	s.get("/simple/tea-house/").want(t, 200, "")
	for range 2 {
		a := s.get("/simple/unknown/", "Accept", pip).want(t, http.StatusFound, "fwd=uri-miss")
		if a.Header.Get("Location") != "https://pypi.example/base/simple/unknown/" || strings.Contains(a.cacheStatus(), "stored") || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", a.Header)
		}
	}
	for format, want := range map[string]string{
		"application/vnd.pypi.simple.v1%2Bjson": "?format=application%2Fvnd.pypi.simple.v1%2Bjson",
		"text/html&other=%0d%0ax":               "?format=text%2Fhtml",
	} {
		a := s.get("/simple/unknown/?format="+format).want(t, http.StatusFound, "")
		if got := a.Header.Get("Location"); got != "https://pypi.example/base/simple/unknown/"+want {
			t.Errorf("format=%s leads to %s", format, got)
		}
	}
	s.get("/project/unknown/").want(t, 404, "")
	d := tea
	d.Name = "unknown"
	s.upload(d).want(t, 200, "")
	s.get("/simple/unknown/", "Accept", pip).want(t, 200, "")
}

func TestOmitSerial(t *testing.T) {
	s := newSite(t, func(o *index.Options) { o.OmitSerial = true })
	s.add(tea)
	for _, path := range []string{"/simple/tea-house/", "/simple/"} {
		for _, status := range []string{"fwd=uri-miss; stored", "hit"} {
			if a := s.get(path).want(t, 200, status); a.Header["X-Pypi-Last-Serial"] != nil || !strings.Contains(a.body, "<!--SERIAL ") {
				t.Errorf("%s: %v\n%s", path, a.Header, a.body)
			}
		}
	}
}

// Pages for people have no headers of their own: another server can serve them. (The store keeps what only we can serve
// under names that end in "!".)
func TestPagesForPeopleArePlain(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	for _, path := range []string{"/", "/project/tea-house/", "/project/tea-house/1.2/", "/user/alice/"} {
		s.get(path).want(t, 200, "fwd=uri-miss; stored")
	}
	live, err := filepath.EvalSymlinks(filepath.Join(s.dir, "live"))
	if err != nil {
		t.Fatal(err)
	}
	var plain []string
	err = filepath.WalkDir(filepath.Join(live, "pages"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, "page") {
			plain = append(plain, path)
		}
		return err
	})
	if err != nil || len(plain) != 4 {
		t.Errorf("plain pages: %q, %v", plain, err)
	}
}
