//go:build e2e

package proxy

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/program"
)

// TestStaticFiles: Python's file server says when files were changed, and no more; they are pages for a tenth of their age.
func TestStaticFiles(t *testing.T) {
	files := t.TempDir()
	long := strings.Repeat("0123456789abcdef", 200_000) // 3.2 MB
	content := map[string]string{"index.html": "<p>start</p>", "style.css": "p { color: red }", "sub/page.html": "<p>sub</p>", "big.bin": long, "ä b.txt": "name"}
	put := func(name, text string) {
		path := filepath.Join(files, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-10 * 24 * time.Hour)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range content {
		put(name, text)
	}
	addr := program.FreeAddress(t)
	host, port, _ := strings.Cut(addr, ":")
	program.Launch(t, addr, new(program.Log), exec.Command("/usr/bin/python3", "-m", "http.server", "--bind", host, "--directory", files, port))
	p := front(t, "http://"+addr)

	for target, want := range map[string]string{
		"/": content["index.html"], "/index.html": content["index.html"], "/style.css": content["style.css"], "/sub/page.html": content["sub/page.html"],
		"/big.bin": long, "/%C3%A4%20b.txt": content["ä b.txt"],
	} {
		direct := ask(t, http.MethodGet, "http://"+addr+target, "")
		first := p.get(target)
		second := p.becomesHit(target)
		for i, a := range []answer{first, second} {
			if a.StatusCode != 200 || a.body != want {
				t.Errorf("%s, answer %d: %d, %d bytes of %d", target, i+1, a.StatusCode, len(a.body), len(want))
			}
			for _, name := range []string{"Content-Type", "Last-Modified"} {
				if a.Header.Get(name) != direct.Header.Get(name) {
					t.Errorf("%s, answer %d: %s %q, and %q from the origin", target, i+1, name, a.Header.Get(name), direct.Header.Get(name))
				}
			}
		}
		if !first.stored() || second.Header.Get("Age") == "" {
			t.Errorf("%s: Cache-Status %q, then Age %q", target, first.status(), second.Header.Get("Age"))
		}
		modified := direct.Header.Get("Last-Modified")
		if a := p.get(target, "If-Modified-Since: "+modified); a.StatusCode != http.StatusNotModified || !a.hit() || a.body != "" {
			t.Errorf("%s: not modified: %d, %q", target, a.StatusCode, a.status())
		}
		if a := ask(t, http.MethodHead, p.url(target), ""); a.StatusCode != 200 || a.ContentLength != int64(len(want)) {
			t.Errorf("%s: HEAD: %d, length %d", target, a.StatusCode, a.ContentLength)
		}
	}
	// Python's server knows no ranges; its pages have them all the same.
	if a := p.get("/big.bin", "Range: bytes=1000000-1000015"); a.StatusCode != http.StatusPartialContent || a.body != long[1000000:1000016] ||
		a.Header.Get("Content-Range") != fmt.Sprintf("bytes 1000000-1000015/%d", len(long)) {
		t.Errorf("range: %d, %q, %q", a.StatusCode, a.body, a.Header.Get("Content-Range"))
	}
	// What is no page is answered as the origin does, each time.
	if a := p.neverHit("/missing"); a.StatusCode != http.StatusNotFound {
		t.Errorf("missing: %d", a.StatusCode)
	}
	if a := p.get("/sub"); a.StatusCode != http.StatusMovedPermanently || !strings.HasSuffix(a.Header.Get("Location"), "/sub/") {
		t.Errorf("folder: %d, %q", a.StatusCode, a.Header.Get("Location"))
	}
	if a := ask(t, http.MethodPost, p.url("/index.html"), "a=b"); a.StatusCode != http.StatusNotImplemented {
		t.Errorf("POST: %d", a.StatusCode)
	}
	// A file's change is not seen until somebody says so, and then at once.
	put("style.css", "p { color: blue }")
	if a := p.becomesHit("/style.css"); a.body != content["style.css"] {
		t.Errorf("fresh, but not from the cache: %q", a.body)
	}
	p.command("purge", p.addr+"/style.css")
	if a := p.get("/style.css"); a.body != "p { color: blue }" || a.hit() {
		t.Errorf("after the purge: %q, %q", a.body, a.status())
	}
	p.sound()
}
