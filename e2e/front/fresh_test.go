//go:build e2e

package front

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestAfterAnInvalidation(t *testing.T) { each(t, afterAnInvalidation) }

func afterAnInvalidation(t *testing.T, s *site) {
	for i := range 30 {
		// Same length, within one second.
		for _, accept := range []string{"gzip", "br"} {
			s.fill("/page", "Accept-Encoding: "+accept)
		}
		before := s.front("GET", "/page", "Accept-Encoding: gzip")
		if !before.fromFile() || before.header.Get("Content-Encoding") != "gzip" {
			t.Fatalf("round %d: %d %v", i, before.status, before.header)
		}
		s.change.Add(1)
		s.run("purge", "--dir", s.dir, hostName+"/page")
		for _, headers := range [][]string{
			{"Accept-Encoding: gzip", "If-None-Match: " + before.header.Get("Etag")}, {"Accept-Encoding: br"}, nil,
		} {
			a := s.front("GET", "/page", headers...)
			if len(headers) == 2 && a.fromFile() {
				t.Errorf("answered from a file that was dropped: %v", a.header)
			}
			if a.status != 200 || len(a.header["Content-Encoding"]) == 0 && !strings.Contains(a.body, fmt.Sprintf("change %d<", s.change.Load())) {
				t.Fatalf("round %d, %q: %d %v %.60q", i, headers, a.status, a.header, a.body)
			}
		}
	}
}

// A body that has no length is one.
func TestNginxSeesChunkedBodies(t *testing.T) {
	s := newSite(t, servers[0])
	s.fill("/a")
	if a := s.frontWith("GET", "/a", "3\r\nabc\r\n0\r\n\r\n", chunked); a.status != 200 || a.fromFile() {
		t.Errorf("%d %q", a.status, a.by())
	}
}

// A twin without its page is none: what a bare rm of the page leaves.
func TestOrphanTwins(t *testing.T) { each(t, orphanTwins) }

func orphanTwins(t *testing.T, s *site) {
	s.fill("/page", "Accept-Encoding: gzip")
	pages := filepath.Join(s.live, "pages", hostName)
	if _, err := os.Stat(filepath.Join(pages, "page.page.gz")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(pages, "page.page")); err != nil {
		t.Fatal(err)
	}
	s.change.Add(1)
	if a := s.front("GET", "/page", "Accept-Encoding: gzip"); a.fromFile() {
		t.Errorf("answered from an orphan: %v", a.header)
	}
}

func TestMissesBehindAFence(t *testing.T) { each(t, missesBehindAFence) }

func missesBehindAFence(t *testing.T, s *site) {
	s.fill("/page")
	s.fill("/page", "Accept-Encoding: gzip")
	for _, accept := range []string{"Accept: */*", "Accept-Encoding: gzip"} {
		if !s.front("GET", "/page", accept).fromFile() {
			t.Fatal("not answered from its file")
		}
	}
	s.run("fence", "on", "--dir", s.dir)
	for _, accept := range []string{"Accept: */*", "Accept-Encoding: gzip"} {
		if a := s.front("GET", "/page", accept); a.status != 200 || strings.Contains(a.by(), "hit") {
			t.Errorf("behind a fence: %d %q", a.status, a.by())
		}
	}
	s.run("fence", "off", "--dir", s.dir)
	if a := s.front("GET", "/page"); !a.fromFile() {
		t.Errorf("the fence was lifted: %q", a.by())
	}
}

// Nobody is told that a page doesn't exist since there is nobody to make it.
func TestWhileItIsDown(t *testing.T) { each(t, whileItIsDown) }

func whileItIsDown(t *testing.T, s *site) {
	s.fill("/page")
	s.fill("/page", "Accept-Encoding: gzip")
	if err := s.ours.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"Accept: */*", "Accept-Encoding: gzip"} {
		if a := s.front("GET", "/page", accept); a.status != 502 {
			t.Errorf("%s: %d %q, want 502", accept, a.status, a.by())
		}
	}
}

// Between looking for a page and opening it there is time to drop it: that is a miss, and no 404.
func TestWhilePagesComeAndGo(t *testing.T) { each(t, whilePagesComeAndGo) }

func whilePagesComeAndGo(t *testing.T, s *site) {
	s.fill("/page")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		page := filepath.Join(s.live, "pages", hostName, "page.page")
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Rename(page, page+".aside")
				_ = os.Rename(page+".aside", page)
			}
		}
	})
	files, ours := 0, 0
	for range 3000 {
		a := s.front("GET", "/page")
		switch {
		case a.status != 200:
			t.Errorf("%d %q", a.status, a.by())
		case a.fromFile():
			files++
		default:
			ours++
		}
	}
	close(stop)
	wg.Wait()
	if files == 0 || ours == 0 {
		t.Errorf("%d answers from the file and %d from cachesrv: the race was not run", files, ours)
	}
}
