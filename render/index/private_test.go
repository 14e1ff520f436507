package index_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/index"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/static/assets"
)

// In a private index all who have a token share the pages; nobody else gets them, also from the cache.
func TestPrivate(t *testing.T) {
	s := newSite(t, func(o *index.Options) { o.Private = true })
	f := s.add(tea).File
	bob := s.user("bob")
	reader, secret, err := s.catalog.AddToken(t.Context(), catalog.Token{User: "bob", Scope: catalog.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"/", "/simple/", "/simple/tea-house/", "/project/tea-house/", "/project/tea-house/1.2/", "/user/alice/", "/simple/nothing/"}
	for _, path := range paths {
		status := 200
		if path == "/simple/nothing/" {
			status = 404
		}
		first := s.get(path, "Basic", "__token__:"+s.token).want(t, status, "fwd=uri-miss; stored")
		for _, who := range []string{"__token__:" + bob, "bob:" + secret} {
			a := s.get(path, "Basic", who, "Accept", "*/*").want(t, status, "hit")
			if a.body != first.body || a.Header.Get("Cache-Control") != "private, no-cache" || a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %v", path, a.Header)
			}
		}
	}
	paths = append(paths, "/search?q=tea", "/simple/Tea.House", "/files/"+f.Path(), "/nothing", "/robots.txt", "/legacy/", "/simple/tea-house/?format=text/html")
	if err := s.catalog.RevokeToken(t.Context(), reader.ID); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for _, who := range []string{"", "__token__:wrong", "alice:" + bob, "bob:" + secret, ":"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				a := s.do(method, path, nil, "Basic", who).want(t, http.StatusUnauthorized, "")
				if !strings.HasPrefix(a.Header.Get("Www-Authenticate"), "Basic ") || strings.Contains(a.body, "ea.House") || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Etag") != "" {
					t.Errorf("%s %s as %q: %v\n%s", method, path, who, a.Header, a.body)
				}
			}
		}
	}
	if a := s.get("/files/"+f.Path(), "Basic", "bob:"+bob).want(t, 200, ""); a.Header.Get("Cache-Control") != "max-age=365000000, immutable, private" {
		t.Errorf("file: %v", a.Header)
	}
	if a := s.get("/search?q=tea", "Basic", "bob:"+bob).want(t, 200, ""); a.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("search: %v", a.Header)
	}
	s.get(assets.URL("style.css")).want(t, 200, "")
	// Uploads say what they need themselves.
	filename, content := tea.Wheel()
	contentType, body := formOf(fields(tea, content), filename, content)
	a := s.do(http.MethodPost, "/legacy/", strings.NewReader(string(body)), "Content-Type", contentType, "Basic", "__token__:wrong").want(t, 403, "")
	if !strings.Contains(a.Status, "Invalid or non-existent authentication") {
		t.Error(a.Status)
	}
	s.upload(tea).want(t, 200, "")
}

// Authorize admits nobody by itself: only whom Handler has let in.
func TestAuthorize(t *testing.T) {
	r := httptest.NewRequest("GET", "/simple/", nil)
	r.SetBasicAuth("__token__", "x")
	if ok, err := index.Authorize(r); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// Where everybody may read, credentials and cookies make a request one client's own: it is answered, past the cache.
func TestPublicWithCredentials(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	s.get("/simple/tea-house/").want(t, 200, "fwd=uri-miss; stored")
	s.get("/simple/tea-house/", "Basic", "__token__:wrong").want(t, 200, "fwd=bypass")
	s.get("/simple/tea-house/", "Cookie", "session=1").want(t, 200, "fwd=bypass")
	s.get("/simple/tea-house/").want(t, 200, "hit")
}
