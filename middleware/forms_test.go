package middleware_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
)

// A clock shows what it is set to. It may be read while it is set.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time      { return time.Unix(0, c.at.Load()) }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d)) }
func urlOf(path string) cache.Key    { return cache.Key{Host: "a.example", Path: path} }

// TestForms: each URL has its own bound, within a window that moves.
func TestForms(t *testing.T) {
	c := &clock{}
	c.add(time.Hour)
	f := middleware.NewForms(c.now)
	for i := range middleware.MaxForms {
		if f.Full(urlOf("/a")) {
			t.Fatalf("full after %d forms", i)
		}
		f.Add(urlOf("/a"))
		c.add(time.Second)
	}
	if !f.Full(urlOf("/a")) || f.Full(urlOf("/b")) {
		t.Error("the bound is not one of a URL")
	}
	c.add(middleware.FormsWindow - middleware.MaxForms*time.Second - 1)
	if !f.Full(urlOf("/a")) {
		t.Error("the window is too short")
	}
	c.add(1) // the first one is out of it
	if f.Full(urlOf("/a")) {
		t.Error("the window does not end")
	}
	f.Add(urlOf("/a"))
	if !f.Full(urlOf("/a")) {
		t.Error("more than one form has left the window")
	}
	c.add(time.Second)
	if f.Full(urlOf("/a")) {
		t.Error("the second form does not leave the window")
	}
}

// TestFormsForget: the memory is bounded, and the oldest URL goes first.
func TestFormsForget(t *testing.T) {
	f := middleware.NewForms(new(clock).now)
	fill := func(k cache.Key) {
		for range middleware.MaxForms {
			f.Add(k)
		}
	}
	for n := range middleware.MaxFormsURLs {
		fill(urlOf("/" + strconv.Itoa(n)))
	}
	if !f.Full(urlOf("/" + strconv.Itoa(0))) {
		t.Error("forgotten too early")
	}
	for n := range 3 {
		fill(urlOf("/more" + strconv.Itoa(n)))
		if f.Full(urlOf("/"+strconv.Itoa(n))) || !f.Full(urlOf("/"+strconv.Itoa(n+1))) || !f.Full(urlOf("/more"+strconv.Itoa(n))) {
			t.Errorf("not the oldest is forgotten for the %d. one more", n+1)
		}
	}
	if urls, ring := f.Counted(); urls != middleware.MaxFormsURLs || ring != urls {
		t.Errorf("%d URLs, %d in the ring", urls, ring)
	}
}

// TestProxyForms: one client can't have any number of forms of one page stored; what is there is served and renewed.
func TestProxyForms(t *testing.T) {
	var n atomic.Int64
	age := "0"
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "User-Agent")
		w.Header().Set("Cache-Control", "max-age=60")
		if r.UserAgent() == "old" {
			w.Header().Set("Age", age)
			w.Header().Set("Etag", `"`+age+`"`)
		}
		fmt.Fprint(w, n.Add(1))
	})
	c := &clock{}
	c.add(time.Hour)
	s.proxy.SetFormsClock(c.now)
	form := func(i int) string { return "User-Agent: " + strconv.Itoa(i) }
	s.expect("/a", "1", "fwd=uri-miss; stored", "User-Agent: first")
	age = "61"
	s.expect("/a", "2", "fwd=vary-miss; stored", "User-Agent: old")
	for i := 2; i <= middleware.MaxForms; i++ {
		s.expect("/a", strconv.Itoa(i+1), "fwd=vary-miss; stored", form(i))
	}
	for range 2 {
		if g := s.get("/a", "User-Agent: new"); g.cacheStatus() != `fwd=vary-miss; detail="too many forms"` {
			t.Errorf("one more: %s", g.cacheStatus())
		}
	}
	s.expect("/a", "1", "hit", "User-Agent: first")
	s.expect("/a", "3", "hit", form(2))
	age = "0"
	if g := s.get("/a", "User-Agent: old"); g.cacheStatus() != "fwd=stale; stored" {
		t.Errorf("a form that is there: %s", g.cacheStatus())
	}
	s.settled()
	s.expectHitOf("/a", "User-Agent: old")
	if g := s.get("/b", "User-Agent: new"); !strings.HasSuffix(g.cacheStatus(), "fwd=uri-miss; stored") {
		t.Errorf("another URL: %s", g.cacheStatus())
	}
	c.add(middleware.FormsWindow)
	if g := s.get("/a", "User-Agent: new"); g.cacheStatus() != "fwd=vary-miss; stored" {
		t.Errorf("later: %s", g.cacheStatus())
	}
}

func (s *proxied) expectHitOf(path string, headers ...string) {
	s.t.Helper()
	if g := s.get(path, headers...); !strings.HasPrefix(g.cacheStatus(), "hit") {
		s.t.Errorf("%s: %s", path, g.cacheStatus())
	}
}
