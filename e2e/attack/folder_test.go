//go:build e2e

package attack

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// files lists the files of the cache whose names end so.
func (p *server) files(suffix string) (found []string) {
	_ = filepath.WalkDir(filepath.Join(p.dir, "cache", "current")+"/", func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, suffix) && !d.IsDir() {
			found = append(found, path)
		}
		return nil
	})
	return found
}

func (p *server) claims() []string { return p.files(".page.tmp") }

// sound has the folder checked by the program.
func (p *server) sound() {
	p.t.Helper()
	if out, err := exec.Command(p.bin, "check", "--dir", p.dir).CombinedOutput(); err != nil {
		p.t.Errorf("check: %v\n%s", err, out)
	}
}

// kept waits until a page is stored.
func (p *server) kept(target string) {
	p.t.Helper()
	await(p.t, func() string {
		if res, _ := p.get(target); !cached(res) {
			return fmt.Sprintf("%s: Cache-Status %q", target, res.Header.Get("Cache-Status"))
		}
		return ""
	})
}

// TestAttack11_ProxyPlanted (and 43): what lies where a claim or a page belongs is neither followed, nor served, nor written to,
// nor does it keep the page from being cached.
func TestAttack11_ProxyPlanted(t *testing.T) {
	p := proxyTo(t, newOrigin(t, nil))
	secret := filepath.Join(t.TempDir(), "secret")
	const text = "not for you"
	if err := os.WriteFile(secret, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.kept("/x")
	for name, plant := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(secret, path) },
		"dangling":  func(path string) error { return os.Symlink(secret+"-2", path) },
		"hard link": func(path string) error { return os.Link(secret, path) },
		"fifo":      func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"file":      func(path string) error { return os.WriteFile(path, []byte("half a pa"), 0o644) },
	} {
		name = strings.ReplaceAll(name, " ", "-")
		claim := filepath.Join(p.dir, "cache/current/pages", p.addr, name+".page.tmp")
		if err := plant(claim); err != nil {
			t.Fatal(err)
		}
		if res, body := p.get("/" + name); res.StatusCode != 200 || body != "GET /"+name {
			t.Errorf("%s at a claim: %d %q", name, res.StatusCode, body)
		}
		for _, tree := range []string{"pages", "private"} {
			page := filepath.Join(p.dir, "cache/current", tree, p.addr, name+"-2.page")
			if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := plant(page); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if res, body := p.get("/" + name + "-2"); res.StatusCode != 200 || body != "GET /"+name+"-2" {
				t.Errorf("%s at a page: %d %q", name, res.StatusCode, body)
			}
		}
	}
	p.kept("/file") // a crashed fill's claim
	if got, err := os.ReadFile(secret); err != nil || string(got) != text {
		t.Errorf("the file outside is %q, %v", got, err)
	}
	if _, err := os.Lstat(secret + "-2"); err == nil {
		t.Error("a dangling link was followed")
	}
}

// A paused is an origin whose answer to /slow stops in the midst, until the test says go.
func paused(t *testing.T) (o *origin, half, proceed chan struct{}, page string) {
	half, proceed = make(chan struct{}), make(chan struct{})
	page = strings.Repeat("0123456789abcdef", 20_000)
	failed := make(chan struct{})
	o = newOrigin(t, func(q *asked, c net.Conn) {
		if q.target != "/slow" {
			_, _ = io.WriteString(c, ok(q.String()))
			return
		}
		all := ok(page)
		_, _ = io.WriteString(c, all[:len(all)/2])
		half <- struct{}{}
		select {
		case <-proceed:
			_, _ = io.WriteString(c, all[len(all)/2:])
		case <-failed:
		}
	})
	t.Cleanup(func() { close(failed) })
	return o, half, proceed, page
}

// underWay asks for /slow, has something done in the midst of the fill, and returns what the client got.
func (p *server) underWay(half, proceed chan struct{}, meanwhile func()) string {
	got := make(chan string, 1)
	go func() { got <- p.exchange(p.request("GET", "/slow")) }()
	<-half
	await(p.t, func() string {
		if len(p.claims()) == 0 {
			return "no claim"
		}
		return ""
	})
	meanwhile()
	proceed <- struct{}{}
	_, body, _ := strings.Cut(<-got, "\r\n\r\n")
	return body
}

// TestAttack12_ProxySwappedFolder: a folder that is swapped for a link under a fill leads nowhere else.
func TestAttack12_ProxySwappedFolder(t *testing.T) {
	o, half, proceed, page := paused(t)
	p := proxyTo(t, o)
	p.kept("/x")
	elsewhere := t.TempDir()
	body := p.underWay(half, proceed, func() {
		for _, tree := range []string{"pages", "private"} {
			host := filepath.Join(p.dir, "cache/current", tree, p.addr)
			if _, err := os.Lstat(host); err != nil {
				continue
			}
			if err := os.Rename(host, host+"-away"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(elsewhere, host); err != nil {
				t.Fatal(err)
			}
		}
	})
	if body != page {
		t.Errorf("the client got %d bytes of %d", len(body), len(page))
	}
	for i := range 3 {
		if _, body := p.get(fmt.Sprintf("/x%d", i)); body != fmt.Sprintf("GET /x%d", i) {
			t.Errorf("afterwards: %q", body)
		}
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) > 0 {
		t.Errorf("elsewhere: %q, %v", left, err)
	}
}

// TestAttack13_ProxyCopiedClaim: a claim that has a second name is never published.
func TestAttack13_ProxyCopiedClaim(t *testing.T) {
	o, half, proceed, page := paused(t)
	p := proxyTo(t, o)
	body := p.underWay(half, proceed, func() {
		for i, claim := range p.claims() {
			if err := os.Link(claim, filepath.Join(filepath.Dir(p.dir), fmt.Sprintf("copy-%d", i))); err != nil {
				t.Fatal(err)
			}
		}
	})
	if body != page {
		t.Errorf("the client got %d bytes of %d", len(body), len(page))
	}
	if keys := p.stored(); len(keys) > 0 {
		t.Errorf("stored: %q", keys)
	}
	p.sound()
}

// TestAttack41_ProxyAdministration: clients can't purge, and what can is not reached from the network.
func TestAttack41_ProxyAdministration(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) {
		if q.method != "GET" {
			_, _ = io.WriteString(c, answerOf("405 Method Not Allowed", "", "Cache-Control: no-store"))
			return
		}
		_, _ = io.WriteString(c, ok(q.String()))
	})
	p := proxyTo(t, o, "--purge-from", "192.0.2.0/24")
	p.kept("/x")
	for _, method := range []string{"PURGE", "BAN", "INVALIDATE", "DELETE"} {
		for _, target := range []string{"/x", "/*", "/", "/..%2fx", "*"} {
			for _, a := range p.converse(t, p.request(method, target, "Surrogate-Key: *", "X-Purge-Regex: .*")) {
				if a.status < 400 {
					t.Errorf("%s %s: %v", method, target, a)
				}
			}
		}
	}
	if res, _ := p.get("/x"); !cached(res) {
		t.Errorf("purged by a client: %q", res.Header.Get("Cache-Status"))
	}
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		cmd := exec.Command(p.bin, "proxy", "--origin", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--dir", filepath.Join(t.TempDir(), "data"), "--live", filepath.Join(t.TempDir(), "live"), "--admin", addr)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "loopback") {
			t.Errorf("--admin %s: %v\n%s", addr, err, out)
		}
	}
}

// TestAttack44_ProxyDamage: a page that was cut short, or is another file, under a running proxy is not served.
func TestAttack44_ProxyDamage(t *testing.T) {
	p := proxyTo(t, newOrigin(t, nil))
	for name, harm := range map[string]func(path string) error{
		"cut":   func(path string) error { return os.Truncate(path, 3) },
		"empty": func(path string) error { return os.Truncate(path, 0) },
		"grown": func(path string) error { return os.Truncate(path, 5000) },
		"foreign": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.WriteFile(path, []byte("foreign"), 0o644)
		},
	} {
		p.kept("/" + name)
		for _, page := range p.files("/" + name + ".page") {
			if err := harm(page); err != nil {
				t.Fatal(err)
			}
		}
		if res, body := p.get("/" + name); res.StatusCode != 200 || body != "GET /"+name {
			t.Errorf("%s: %d %q", name, res.StatusCode, body)
		}
	}
	p.sound()
}
