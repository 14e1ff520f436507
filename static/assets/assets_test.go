package assets_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/static/assets"
)

func get(method, path string, header ...string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	assets.Handler().ServeHTTP(w, r)
	return w
}

func TestAssets(t *testing.T) {
	for name, contentType := range map[string]string{"style.css": "text/css; charset=utf-8", "copy.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		url := assets.URL(name)
		if stem, ext, _ := strings.Cut(name, "."); !regexp.MustCompile(`^/assets/` + stem + `\.[0-9a-f]{16}\.` + ext + `$`).MatchString(url) {
			t.Errorf("%s is at %s", name, url)
		}
		w := get("GET", url)
		h := w.Header()
		if w.Code != 200 || w.Body.Len() == 0 || h.Get("Content-Type") != contentType || h.Get("Cache-Control") != "public, max-age=31536000, immutable" || h.Get("Last-Modified") != "" {
			t.Errorf("%s: %d, %d bytes, %v", name, w.Code, w.Body.Len(), h)
		}
		if again := get("GET", url, "If-None-Match", h.Get("Etag")); again.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", name, again.Code)
		}
		if head := get("HEAD", url); head.Code != 200 || head.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d, %d bytes", name, head.Code, head.Body.Len())
		}
	}
	for _, path := range []string{"/assets/", "/assets/style.css", "/assets/style.0000000000000000.css", "/assets/assets.go", "/assets/../assets.go", "/style.css"} {
		if w := get("GET", path); w.Code != 404 || strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
	}
	if w := get("POST", assets.URL("style.css")); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, %v", w.Code, w.Header())
	}
}

func TestUnknownAsset(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an unknown asset has a URL")
		}
	}()
	assets.URL("none.css")
}
