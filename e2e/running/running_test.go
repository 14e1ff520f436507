//go:build e2e

package running

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// proxyArgs is the command line of a proxy in front of a site.
func proxyArgs(s *site, dir string, more ...string) []string {
	return append([]string{"proxy", "--origin", s.URL, "--host", s.host, "--policy", "until-invalidated",
		"--dir", filepath.Join(dir, "data"), "--live", filepath.Join(dir, "live")}, more...)
}

// TestRestart: while the program is stopped and started on a socket that stays open, every request is answered.
func TestRestart(t *testing.T) {
	for _, secret := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS=%t", secret), func(t *testing.T) {
			s, dir := newSite(t), t.TempDir()
			args := proxyArgs(s, dir)
			if secret {
				cert, key := certificate(t, dir)
				args = append(args, "--tls-cert", cert, "--tls-key", key)
			}
			u := newUnit(t, true, args...)
			u.start()
			l := newLoad(u.addr, s.host, secret, 32)
			for range restarts {
				l.more(t, 300)
				u.stop()
				u.start()
			}
			l.more(t, 300)
			l.end()
			l.check(t)
		})
	}
}

// TestReload: while settings are taken on and refused, every request is answered; and what is refused changes nothing.
func TestReload(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	file := filepath.Join(dir, "cachesrv.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	u := newUnit(t, false, proxyArgs(s, dir, "--config", file)...)
	u.start()
	reload := func() {
		u.signal(syscall.SIGHUP)
		if said := u.await("RELOADING=1"); !strings.Contains(said, "\nMONOTONIC_USEC=") {
			t.Errorf("systemd takes no RELOADING=1 without the time: %q", said)
		}
		u.await("READY=1")
	}
	l := newLoad(u.addr, s.host, false, 16)
	end := s.race(8, 2, func() string { return u.addr })
	for i := range reloads {
		l.more(t, 100)
		switch i % 4 {
		case 0:
			write("rules:\n  - path: /1\n    cache: false\n")
		case 1:
			write("rules:\n  - path: /2\n    query: [q]\n")
		case 2:
			write("") // as at the start
		case 3:
			write("rules: nonsense\n")
		}
		reload()
	}
	l.more(t, 100)
	end()
	l.end()
	l.check(t)
	if s.stale.Load() > 0 || s.hits.Load() == 0 {
		t.Errorf("%d stale answers, %d hits", s.stale.Load(), s.hits.Load())
	}
	if !strings.Contains(u.log.String(), "refused") || !strings.Contains(u.log.String(), "cachesrv.yaml:1") {
		t.Errorf("what is wrong, and where, is not logged:\n%s", u.log.String())
	}
	// What is asked for in the file is done.
	write("rules:\n  - path: /3\n    cache: false\n")
	reload()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	before := s.misses.Load()
	for range 3 {
		if err := s.read(c, u.addr, 3); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.misses.Load() - before; got != 3 {
		t.Errorf("a path that is not to be cached was answered by the origin %d times of 3", got)
	}
}

// TestKill: kill -9, and a start on the same folder, in the middle of purges and fills.
func TestKill(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	u := newUnit(t, true, proxyArgs(s, dir)...)
	u.start()
	end := s.race(16, 4, func() string { return u.addr })
	for range kills {
		before := s.hits.Load()
		until(t, func() bool { return s.hits.Load() > before+200 })
		u.kill()
		u.start()
	}
	end()
	t.Logf("%d hits, %d misses, %d kills", s.hits.Load(), s.misses.Load(), kills)
	if n := s.stale.Load(); n > 0 {
		t.Errorf("%d stale answers", n)
	}
}

// TestInstances: two on one folder; what is purged through one is gone for the other.
func TestInstances(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	a, b := newUnit(t, false, proxyArgs(s, dir)...), newUnit(t, false, proxyArgs(s, dir)...)
	a.start()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		if err := s.read(c, a.addr, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	before := s.hits.Load()
	if err := s.read(c, b.addr, 0); err != nil || s.hits.Load() != before+1 {
		t.Errorf("a second instance, on another address, does not answer from the first one's pages: %v", err)
	}
	var turn atomic.Int64
	end := s.race(16, 4, func() string { return []*unit{a, b}[turn.Add(1)%2].addr })
	time.Sleep(racing)
	a.stop() // the other one goes on
	before = s.hits.Load()
	until(t, func() bool { return s.hits.Load() > before+100 })
	if _, err := os.Lstat(filepath.Join(dir, "live")); err != nil {
		t.Errorf("the live link went with the first instance: %v", err)
	}
	end()
	t.Logf("%d hits, %d misses", s.hits.Load(), s.misses.Load())
	if n := s.stale.Load(); n > 0 {
		t.Errorf("%d stale answers", n)
	}
}

// TestControl: a race in which changes are not purged has stale answers, and they are counted.
func TestControl(t *testing.T) {
	s := newSite(t)
	s.careless = true
	u := newUnit(t, false, proxyArgs(s, t.TempDir())...)
	u.start()
	end := s.race(4, 1, func() string { return u.addr })
	defer end()
	until(t, func() bool { return s.stale.Load() > 0 })
}

// TestFence: by hand, while there is load: past the cache, and then from it again.
func TestFence(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	data := filepath.Join(dir, "data")
	u := newUnit(t, false, proxyArgs(s, dir)...)
	u.start()
	l := newLoad(u.addr, s.host, false, 8)
	end := s.race(8, 2, func() string { return u.addr })
	for stop := time.Now().Add(racing); time.Now().Before(stop); {
		before := s.hits.Load()
		until(t, func() bool { return s.hits.Load() > before+50 })
		run(t, "fence", "on", "--dir", data)
		l.more(t, 50) // those that were under way when the fence came are through
		hits, misses := s.hits.Load(), s.misses.Load()
		until(t, func() bool { return s.misses.Load() > misses+50 })
		if got := s.hits.Load() - hits; got > 8 { // each reader may have been between its answer and its count
			t.Errorf("%d hits behind the fence", got)
		}
		run(t, "fence", "off", "--dir", data)
	}
	end()
	l.end()
	l.check(t)
	if n := s.stale.Load(); n > 0 {
		t.Errorf("%d stale answers", n)
	}
}

// TestWatchdog: a program that hangs says nothing any more. It is killed; then other servers find no page, until it runs again.
func TestWatchdog(t *testing.T) {
	s, dir := newSite(t), t.TempDir()
	u := newUnit(t, true, proxyArgs(s, dir)...)
	u.watchdog = 400 * time.Millisecond
	u.start()
	for range 3 {
		u.await("WATCHDOG=1")
	}
	live := filepath.Join(dir, "live")
	if _, err := os.Stat(filepath.Join(live, "pages")); err != nil {
		t.Fatal(err)
	}
	u.signal(syscall.SIGSTOP)
	for silent := false; !silent; { // what it had said before may still be on its way
		select {
		case <-u.said:
		case <-time.After(u.watchdog):
			silent = true
		}
	}
	u.kill()
	if _, err := os.Lstat(live); err != nil {
		t.Fatalf("the live link went by itself: nothing is shown here: %v", err)
	}
	stopPost(t, s, dir)
	if _, err := os.Lstat(live); err == nil {
		t.Error("the service is dead, and other servers still find its pages")
	}
	u.start()
	if _, err := os.Stat(filepath.Join(live, "pages")); err != nil {
		t.Error(err)
	}
	// It leaves alone what another instance serves from.
	stopPost(t, s, dir)
	if _, err := os.Lstat(live); err != nil {
		t.Error("the link of an instance that lives is gone")
	}
	// Nobody it may have to wait for keeps it from ending.
	u.signal(syscall.SIGSTOP)
	began := time.Now()
	stopPost(t, s, dir)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// stopPost does what the unit says is to be done when the service has stopped.
func stopPost(t *testing.T, s *site, dir string) {
	t.Helper()
	file := filepath.Join(dir, "unit.yaml")
	text := fmt.Sprintf("dir: %s\norigins: %s\n", filepath.Join(dir, "data"), s.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(run(t, "conf", "systemd", "--config", file, "--binary", binary)) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStopPost="+binary+" "); ok {
			t.Log(run(t, strings.Fields(command)...))
			return
		}
	}
	t.Fatal("the unit has no ExecStopPost=")
}

func until(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

func certificate(t testing.TB, dir string) (cert, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"site.example"}, NotAfter: time.Now().Add(time.Hour)}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
