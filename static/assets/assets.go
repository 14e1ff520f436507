// Package assets serves the files that pages for people need beside themselves: the style sheet, a script, an icon.
// Each has its content's fingerprint in its name, so clients may keep it for ever: a new version is another URL, and
// the pages that name it are rendered anew.
package assets

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed style.css copy.js icon.svg
var files embed.FS

// Prefix is where assets lie on a site.
const Prefix = "/assets/"

// The policy that goes with them: a year is the longest that caches heed.
const cacheControl = "public, max-age=31536000, immutable"

type asset struct {
	url, contentType, etag string
	content                []byte
}

// all returns the assets by name. They are part of the program: computed once, when first asked for.
var all = sync.OnceValue(func() map[string]asset {
	byName := make(map[string]asset)
	entries, _ := fs.ReadDir(files, ".") // an embed.FS doesn't fail
	for _, e := range entries {
		content, _ := files.ReadFile(e.Name())
		sum := sha256.Sum256(content)
		print := hex.EncodeToString(sum[:8])
		ext := path.Ext(e.Name())
		byName[e.Name()] = asset{
			url:         Prefix + strings.TrimSuffix(e.Name(), ext) + "." + print + ext,
			contentType: contentTypes[ext],
			etag:        `"` + print + `"`,
			content:     content,
		}
	}
	return byName
})

// contentTypes are stated here: mime.TypeByExtension asks the machine, and machines differ.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// URL returns the path under which a site has the asset. It panics if there is no asset of that name: names stand in
// programs.
func URL(name string) string {
	a, ok := all()[name]
	if !ok {
		panic("assets: there is no asset " + name)
	}
	return a.url
}

// Handler answers GET and HEAD below Prefix: the current assets, by their current URLs; 404 to anything else. An old
// fingerprint is a 404 too, as its content is gone.
func Handler() http.Handler {
	byURL := make(map[string]asset)
	for _, a := range all() {
		byURL[a.url] = a
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "assets are for GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		a, ok := byURL[r.URL.Path]
		if !ok {
			h.Set("Cache-Control", "no-store")
			http.Error(w, "there is no such asset", http.StatusNotFound)
			return
		}
		h.Set("Content-Type", a.contentType)
		h.Set("Cache-Control", cacheControl)
		h.Set("Etag", a.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
	})
}
