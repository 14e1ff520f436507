package index_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cachesrv/cachesrv/render/index/sample"
)

func TestFiles(t *testing.T) {
	s := newSite(t)
	_, content := tea.Wheel()
	f := s.add(tea).File
	path := "/files/" + f.Path()
	a := s.get(path).want(t, 200, "")
	h := a.Header
	if a.body != string(content) || h.Get("Content-Type") != "application/octet-stream" || h.Get("Cache-Control") != "max-age=365000000, immutable, public" ||
		h.Get("Etag") != `"`+f.Blake2b+`"` || h.Get("Last-Modified") != "" || h.Get("Accept-Ranges") != "bytes" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d bytes of %d, %v", len(a.body), len(content), h)
	}
	a = s.get(path+".metadata").want(t, 200, "")
	if sum := sha256.Sum256([]byte(a.body)); hex.EncodeToString(sum[:]) != f.MetadataSHA256 || a.Header.Get("Etag") == h.Get("Etag") {
		t.Errorf("metadata: %v\n%s", a.Header, a.body)
	}
	n := len(content)
	for header, want := range map[string][]byte{
		"bytes=0-9": content[:10], "bytes=10-": content[10:], "bytes=-7": content[n-7:], "bytes=-99999999": content, "bytes=5-5": content[5:6],
	} {
		if a := s.get(path, "Range", header).want(t, http.StatusPartialContent, ""); a.body != string(want) {
			t.Errorf("%s: %d bytes, want %d", header, len(a.body), len(want))
		}
	}
	s.get(path, "Range", "bytes=99999999-").want(t, http.StatusRequestedRangeNotSatisfiable, "")
	if a := s.get(path, "Range", "bytes="+strings.Repeat("0-,", 100)+"0-").want(t, 200, ""); a.body != string(content) {
		t.Errorf("100 ranges: %d bytes", len(a.body))
	}
	s.get(path, "If-None-Match", h.Get("Etag")).want(t, http.StatusNotModified, "")
	s.get(path, "If-Range", `"other"`, "Range", "bytes=0-9").want(t, 200, "")
	s.get(path, "If-Modified-Since", "Fri, 20 Nov 2099 00:00:00 GMT").want(t, 200, "")
	if a := s.do(http.MethodHead, path, nil).want(t, 200, ""); a.ContentLength != int64(n) {
		t.Errorf("HEAD: %v", a.Header)
	}
}

// Only what the catalog could have put there is opened.
func TestFilesElsewhere(t *testing.T) {
	s := newSite(t)
	f := s.add(tea).File
	good := f.Path()
	digest := good[:strings.LastIndexByte(good, '/')]
	secret := filepath.Join(s.dir, "files", "secret.txt")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(s.dir, "files", digest)
	if err := syscall.Mkfifo(filepath.Join(folder, "fifo-1.0-py3-none-any.whl"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(s.dir, "index.db"), filepath.Join(folder, "link-1.0-py3-none-any.whl")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "dir-1.0-py3-none-any.whl"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "files", "00"), nil, 0o600); err != nil { // where a folder is looked for
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/files/":                404,
		"/files":                 404,
		"/files/secret.txt":      404,
		"/files/" + digest:       404,
		"/files/" + digest + "/": 404,
		"/files/" + digest + "/other-1.0-py3-none-any.whl":           404,
		"/files/" + good + "/x":                                      404,
		"/files/" + good + "/":                                       404,
		"/files/" + strings.ToUpper(digest) + "/" + f.Filename:       404,
		"/files/../index.db":                                         400,
		"/files/%2e%2e/index.db":                                     400,
		"/files/..%2findex.db":                                       404,
		"/files/" + digest + "/../" + f.Filename:                     400,
		"/files/" + digest + "/%00" + f.Filename:                     400,
		"/files/" + digest + "/..%5c" + f.Filename:                   404,
		"/files//" + good:                                            404,
		"/files/00/00/" + strings.Repeat("0", 60) + "/" + f.Filename: 404,
		"/files/" + digest + "/fifo-1.0-py3-none-any.whl":            404,
		"/files/" + digest + "/dir-1.0-py3-none-any.whl":             404,
	} {
		a := s.get(path)
		if a.StatusCode != want || strings.Contains(a.body, "secret") || strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %s, want %d; %v", path, a.Status, want, a.Header)
		}
	}
	if a := s.get("/files/" + digest + "/link-1.0-py3-none-any.whl"); a.StatusCode == 200 || strings.Contains(a.body, "SQLite") {
		t.Errorf("a link out of the folder: %s", a.Status)
	}
}

// A file larger than one pace goes out whole, also in parts.
func TestLargeFile(t *testing.T) {
	s := newSite(t)
	noise := make([]byte, 700<<10)
	_, _ = rand.Read(noise)
	d := sample.Dist{Name: "large", Version: "1", Modules: map[string]string{"large.py": "x = '" + hex.EncodeToString(noise[:300<<10]) + "'\n", "large.bin": string(noise[300<<10:])}}
	_, content := d.Wheel()
	f := s.add(d).File
	if len(content) < 600<<10 {
		t.Fatalf("only %d bytes", len(content))
	}
	if a := s.get("/files/"+f.Path()).want(t, 200, ""); !bytes.Equal([]byte(a.body), content) {
		t.Errorf("%d bytes, want %d", len(a.body), len(content))
	}
	if a := s.get("/files/"+f.Path(), "Range", "bytes=100000-599999").want(t, 206, ""); !bytes.Equal([]byte(a.body), content[100000:600000]) {
		t.Errorf("%d bytes", len(a.body))
	}
	if a := s.get("/files/"+f.Path(), "Range", "bytes=0-9,300000-300009").want(t, 206, ""); !strings.Contains(a.body, string(content[300000:300010])) {
		t.Errorf("two ranges: %d bytes", len(a.body))
	}
}
