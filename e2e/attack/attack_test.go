//go:build e2e

// Package attack sends bad input, byte by byte, to the real program: to the example and to the package index. The numbers
// are those of docs/SECURITY.md.
package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/program"
)

var binary string

func TestMain(m *testing.M) { program.Main(m, &binary) }

// A kind of program, and where it has what the attacks aim at.
type kind struct {
	name string
	args []string
	page string // "/folder/name": one that may be there or not
}

var (
	example = kind{"example", []string{"example"}, "/notes/1"}
	index   = kind{"index", []string{"index"}, "/project/tea/"}
)

// onEach runs a test against each program.
func onEach(t *testing.T, test func(t *testing.T, p *server)) {
	for _, k := range []kind{example, index} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t, k))
		})
	}
}

// A server is the real binary, serving.
type server struct {
	kind
	t    *testing.T
	bin  string
	dir  string
	addr string
}

func start(t *testing.T, k kind, flags ...string) *server {
	t.Helper()
	p := &server{kind: k, t: t, dir: filepath.Join(t.TempDir(), "data"), bin: binary, addr: program.FreeAddress(t)}
	args := append(append(k.args[:1:1], "--listen", p.addr, "--dir", p.dir, "--live", filepath.Join(filepath.Dir(p.dir), "live")), flags...)
	program.LaunchOurs(t, p.addr, new(program.Log), exec.Command(p.bin, args...))
	return p
}

// send sends raw bytes on a connection of their own, and reads one answer.
func (p *server) send(raw string) (*http.Response, string) {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		p.t.Logf("write: %v", err) // the server may have answered and closed already
	}
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("%.100q: no answer: %v", raw, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatalf("%.100q: %v", raw, err)
	}
	return res, string(body)
}

func (p *server) get(target string, headers ...string) (*http.Response, string) {
	p.t.Helper()
	return p.send(p.request("GET", target, headers...))
}

func (p *server) request(method, target string, headers ...string) string {
	host := "Host: " + p.addr + "\r\n"
	for _, h := range headers {
		if strings.HasPrefix(h, "Host:") {
			host = ""
		}
	}
	return method + " " + target + " HTTP/1.1\r\n" + host + strings.Join(append(headers, "Connection: close"), "\r\n") + "\r\n\r\n"
}

// stored lists the keys in the cache, as `cachesrv ls` tells them.
func (p *server) stored() []string {
	p.t.Helper()
	out, err := exec.Command(p.bin, "ls", "--dir", p.dir, "--json").Output()
	if err != nil {
		p.t.Fatalf("ls: %v", err)
	}
	var keys []string
	d := json.NewDecoder(bytes.NewReader(out))
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			p.t.Fatalf("ls: %v in %.200s", err, out)
		}
		for _, e := range entries(v) {
			keys = append(keys, fmt.Sprint(e["key"]))
		}
	}
	return keys
}

// entries takes one object, or a list of them.
func entries(v any) (found []map[string]any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			found = append(found, entries(e)...)
		}
	case map[string]any:
		found = append(found, v)
	}
	return found
}

// TestNothingIsStored sends what must be refused, or answered past the cache.
func TestNothingIsStored(t *testing.T) { onEach(t, nothingIsStored) }

func nothingIsStored(t *testing.T, p *server) {
	p.get("/")
	before := p.stored()
	if len(before) != 1 {
		t.Fatalf("after one page: %q", before)
	}
	long := strings.Repeat("x", 5000)
	cut := strings.LastIndex(strings.TrimSuffix(p.page, "/"), "/") + 1
	folder, name := p.page[:cut], p.page[cut:]
	for _, c := range []struct {
		attack int
		raw    string
		status []int // any of these
	}{
		{1, p.request("GET", "/a/../b"), []int{400, 404}},
		{1, p.request("GET", "/%2e%2e/x"), []int{400, 404}},
		{1, p.request("GET", "/..%2fx"), []int{400, 404}},
		{1, p.request("GET", folder+"..%2f..%2findex.db"), []int{400, 404}},
		{2, p.request("GET", folder+"%00"), []int{400}},
		{3, p.request("GET", folder[:len(folder)-1]+"%2f"+name), []int{404}},
		{3, p.request("GET", folder[:len(folder)-1]+"%5c"+name), []int{404}},
		{3, p.request("GET", folder[:len(folder)-1]+`\`+name), []int{400, 404}},
		{5, p.request("GET", "/#frag"), []int{400}},
		{6, p.request("GET", "/"+long), []int{404, 414, 431}},
		{14, p.request("GET", "/", "Host: .."), []int{400, 421}},
		{14, p.request("GET", "/", "Host: a/b"), []int{400, 421}},
		{14, p.request("GET", "/", "Host: evil.example"), []int{421}},
		{14, "GET / HTTP/1.0\r\n\r\n", []int{400, 421}},
		{16, p.request("GET", p.page, "X-Forwarded-Host: evil.example", "X-HTTP-Method-Override: DELETE"), []int{200, 404}},
		{18, p.request("GET", p.page, "Content-Length: 3") + "abc", []int{200, 404}},
		{19, p.request("GET", "/?a=1;b=2"), []int{200, 400}},
		{19, p.request("GET", "/?a=%zz"), []int{200, 400}},
		{19, p.request("GET", "/?a=1&a=2"), []int{200, 400}},
		{21, p.request("GET", p.page, "Authorization: Basic eDp5"), []int{200, 404}},
		{21, p.request("GET", p.page, "Cookie: session=1"), []int{200, 404}},
		{26, p.request("GET", p.page, "X-Long: "+strings.Repeat("y", 64<<10)), []int{431}},
		{27, p.request("GET", p.page, "X-Bad: a\x01b\x7f"), []int{200, 400, 404}},
		{27, p.request("GET", p.page, "X-Bad: a\x00b"), []int{400}},
		{30, p.request("HEAD", p.page), []int{200, 404}},
		{30, p.request("OPTIONS", p.page), []int{200, 204, 404, 405}},
		{36, p.request("TRACE", p.page), []int{404, 405, 400}},
	} {
		res, _ := p.send(c.raw)
		ok := false
		for _, s := range c.status {
			ok = ok || res.StatusCode == s
		}
		if !ok {
			t.Errorf("attack %d: %.60q: status %d, want one of %v", c.attack, c.raw, res.StatusCode, c.status)
		}
		if s := res.Header.Get("Cache-Status"); strings.Contains(s, "stored") || strings.Contains(s, "hit") {
			t.Errorf("attack %d: %.60q: Cache-Status %q", c.attack, c.raw, s)
		}
	}
	if after := p.stored(); len(after) != 1 {
		t.Errorf("stored meanwhile: %q", after)
	}
	// And the page is what it was, for everyone.
	if res, body := p.get("/"); res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Status"), "hit") || strings.Contains(body, "evil") {
		t.Errorf("/ afterwards: %d %q", res.StatusCode, res.Header.Get("Cache-Status"))
	}
}

// TestSpellings (attacks 4, 7, 8, 10): spellings that are different keys, and those that are one.
func TestSpellings(t *testing.T) { onEach(t, spellings) }

func spellings(t *testing.T, p *server) {
	for _, target := range []string{"/x/%C3%A9", "/x/e%CC%81", "/x/%C0%AF", "/X/%C3%A9", "/x/", "/x", "//x", "/x.gz", "/x.tmp", "/x.page", "/x.stale", "/index.html", "/inventory.db"} {
		res, _ := p.get(target)
		if res.StatusCode != 404 && res.StatusCode != 301 {
			t.Errorf("%s: status %d", target, res.StatusCode)
		}
		if strings.Contains(res.Header.Get("Cache-Status"), "hit") {
			t.Errorf("%s is answered from another's page", target)
		}
	}
	files := 0
	_ = filepath.WalkDir(filepath.Dir(p.dir), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(path, p.dir) {
			files++
		}
		return nil
	})
	if files > 0 {
		t.Errorf("%d files outside of the folder", files)
	}
}

// TestAttack20_Queries: only listed parameters make pages.
func TestAttack20_Queries(t *testing.T) { onEach(t, queries) }

func queries(t *testing.T, p *server) {
	p.get("/")
	for i := range 300 {
		p.get(fmt.Sprintf("/?q%d=%d", i, i))
	}
	if keys := p.stored(); len(keys) != 1 {
		t.Errorf("%d pages after 300 query strings: %.200q", len(keys), keys)
	}
}

// TestAttack28And29: malformed headers, and ranges, on a hit.
func TestAttack28And29_Headers(t *testing.T) { onEach(t, headers) }

func headers(t *testing.T, p *server) {
	_, page := p.get("/")
	for _, h := range []string{
		"Accept-Encoding: ;;;,,gzip;q=x,\x01", "Accept-Encoding: gzip;q=2", "If-None-Match: \"", "If-None-Match: W/", "If-Match: ,,,",
		"Range: bytes=-", "Range: bytes=9-1", "Range: lines=1-2", "Range: bytes=99999999999999999999-", "Range: bytes=0-,0-,0-,0-,0-",
		"Range: bytes=" + strings.TrimSuffix(strings.Repeat("0-1,", 100), ","), "If-Modified-Since: yesterday", "If-Range: x",
	} {
		res, body := p.get("/", h)
		switch res.StatusCode {
		case 200:
			if body != page {
				t.Errorf("%.60q: another body of %d bytes", h, len(body))
			}
			if !strings.Contains(res.Header.Get("Cache-Status"), "hit") {
				t.Errorf("%.60q: Cache-Status %q", h, res.Header.Get("Cache-Status"))
			}
		case 400, 412, 416:
		case 206:
			if len(body) > 4*len(page) {
				t.Errorf("%.60q: %d bytes of a page of %d", h, len(body), len(page))
			}
		default:
			t.Errorf("%.60q: status %d", h, res.StatusCode)
		}
	}
	res, body := p.get("/", "Range: bytes=1-3")
	if res.StatusCode != 206 || body != page[1:4] || res.Header.Get("Content-Range") != fmt.Sprintf("bytes 1-3/%d", len(page)) {
		t.Errorf("range: %d %q %q", res.StatusCode, body, res.Header.Get("Content-Range"))
	}
	res, body = p.get("/", "Range: bytes=-5")
	if res.StatusCode != 206 || body != page[len(page)-5:] {
		t.Errorf("suffix range: %d %q", res.StatusCode, body)
	}
	if keys := p.stored(); len(keys) != 1 {
		t.Errorf("stored: %q", keys)
	}
}

// TestAttack43_OrphanedClaim: a crash that leaves a .tmp, and what is planted there, doesn't keep a page from being cached.
func TestAttack43_OrphanedClaim(t *testing.T) { onEach(t, orphanedClaim) }

func orphanedClaim(t *testing.T, p *server) {
	p.get("/")
	host := filepath.Join(p.dir, "cache/current/pages", p.addr)
	if err := os.WriteFile(filepath.Join(host, ".page.tmp"), []byte("half a pa"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(host, ".page")); err != nil {
		t.Fatal(err)
	}
	res, body := p.get("/")
	if !strings.Contains(res.Header.Get("Cache-Status"), "stored") || strings.Contains(body, "half a pa") {
		t.Errorf("after an orphan: %q", res.Header.Get("Cache-Status"))
	}
	if out, err := exec.Command(p.bin, "check", "--dir", p.dir).CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}

// TestAttack44_Damage: a page cut short under a running server is not served whole lengths.
func TestAttack44_Damage(t *testing.T) { onEach(t, damage) }

func damage(t *testing.T, p *server) {
	_, page := p.get("/")
	if err := os.Truncate(filepath.Join(p.dir, "cache/current/pages", p.addr, ".page"), 10); err != nil {
		t.Fatal(err)
	}
	res, body := p.get("/")
	if len(body) != len(page) || res.StatusCode != 200 {
		t.Errorf("after truncation: %d, %d bytes of %d", res.StatusCode, len(body), len(page))
	}
	if out, err := exec.Command(p.bin, "check", "--dir", p.dir).CombinedOutput(); err != nil {
		t.Errorf("check: %v\n%s", err, out)
	}
}
