package middleware_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/position"
	"github.com/cachesrv/cachesrv/middleware"
)

// lagTime is how long what was invalidated settles in these tests, by a clock that they move by hand.
const lagTime = time.Minute

// lagged is a site whose store takes its origin to lag.
type lagged struct {
	*proxied
	now atomic.Int64
}

// newLagged returns one in which everything has settled.
func newLagged(t *testing.T, answer http.HandlerFunc, change ...func(*middleware.ProxyOptions)) *lagged {
	t.Helper()
	s := &lagged{}
	s.now.Store(int64(time.Hour))
	store := newStoreWith(t, cache.Options{Settle: lagTime, BootClock: func() time.Duration { return time.Duration(s.now.Load()) }})
	s.proxied = newProxied(t, answer, append(change, func(o *middleware.ProxyOptions) { o.Store = store })...)
	s.store = store
	s.now.Add(int64(lagTime)) // a new folder begins with all unsettled
	return s
}

// pass has time pass. What the proxy remembers of settling, by the real clock, it forgets.
func (s *lagged) pass(d time.Duration) {
	s.t.Helper()
	s.settled()
	s.now.Add(int64(d))
	s.proxy.Forget()
}

const isSettling = "fwd=uri-miss; detail=settling"

// wantSettling asks, and wants an answer that is not stored.
func (s *lagged) wantSettling(path string, headers ...string) {
	s.t.Helper()
	if g := s.get(path, headers...); g.cacheStatus() != isSettling {
		s.t.Errorf("%s, %s: Cache-Status %q", path, headers, g.cacheStatus())
	}
	s.wantNone(path, "it settles")
}

// wantStored asks, and wants an answer that is stored.
func (s *lagged) wantStored(path string) {
	s.t.Helper()
	if g := s.get(path); !strings.Contains(g.cacheStatus(), "; stored") {
		s.t.Errorf("%s: Cache-Status %q", path, g.cacheStatus())
	}
	s.settled()
	if _, ok := s.tags(path); !ok {
		s.t.Errorf("%s is not stored", path)
	}
}

// TestProxySettles: what was dropped, by whatever names it, is served and not stored until the origin has had time to see the
// change; and every answer says so. Other pages are stored meanwhile.
func TestProxySettles(t *testing.T) {
	for name, sel := range map[string]func(s *lagged) cache.Selection{
		"key": func(s *lagged) cache.Selection { return cache.Selection{Keys: []cache.Key{s.key("/a")}} },
		"tag": func(*lagged) cache.Selection { return cache.Selection{Tags: []string{"t"}} },
		"all": func(*lagged) cache.Selection { return cache.Selection{All: true} },
	} {
		t.Run(name, func(t *testing.T) {
			for _, first := range []string{"X-Nothing: x", "Range: bytes=0-0"} {
				s := newLagged(t, numbered("Cache-Control: max-age=60", "Surrogate-Key: t"))
				s.wantStored("/a")
				s.drop(sel(s))
				for _, header := range []string{first, "X-Nothing: x", "Range: bytes=0-0"} {
					s.wantSettling("/a", header)
				}
				if name == "key" {
					s.wantStored("/b")
				}
				s.pass(lagTime - 1)
				s.wantSettling("/a", first)
				s.pass(1)
				s.wantStored("/a")
			}
		})
	}
}

// TestProxyRemembersSettling: for as long as an answer would not be stored, none is tried; and not longer.
func TestProxyRemembersSettling(t *testing.T) {
	s := newLagged(t, numbered("Cache-Control: max-age=60"))
	s.drop(cache.Selection{Keys: []cache.Key{s.key("/a")}})
	s.wantSettling("/a")
	s.now.Add(int64(lagTime))
	s.wantSettling("/a") // it is remembered for a minute
	s.drop(cache.Selection{Keys: []cache.Key{s.key("/a")}})
	s.pass(lagTime - 1)
	s.wantSettling("/a") // it is remembered for a nanosecond
	s.settled()
	s.now.Add(1)
	s.wantStored("/a")
}

// TestProxySettlesRenewals: nor is a page renewed by a 304 of such an origin, or with the tags of one; and after a soft purge the
// graced page answers.
func TestProxySettlesRenewals(t *testing.T) {
	grace := func(o *middleware.ProxyOptions) { o.Grace = time.Minute }
	s := newLagged(t, numbered("Cache-Control: max-age=60", "Surrogate-Key: t"), grace)
	s.wantStored("/a")
	kept := s.get("/a").body
	s.drop(cache.Selection{Tags: []string{"t"}, Soft: true})
	if g := s.get("/a"); g.body == kept || g.cacheStatus() != isSettling {
		t.Errorf("%q, Cache-Status %q", g.body, g.cacheStatus())
	}
	asked := s.asked.Load()
	s.expect("/a", kept, "hit; detail=graced")
	s.count(asked)

	s = newLagged(t, numbered("Cache-Control: max-age=5", "Age: 6", `ETag: "v"`))
	s.wantStored("/a")
	s.drop(cache.Selection{Tags: []string{"new"}})
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Surrogate-Key", "new")
		w.Header().Set("Etag", `"v"`)
		w.WriteHeader(http.StatusNotModified)
	})
	if g := s.get("/a"); g.status != 200 || !strings.HasPrefix(g.cacheStatus(), "fwd=stale; fwd-status=304; detail=settling") {
		t.Errorf("%d, Cache-Status %q", g.status, g.cacheStatus())
	}
	s.wantNone("/a", "its origin may not have seen what the tag was dropped for")
}

// at answers with a position, or with none.
func at(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if text != "" {
			w.Header()[position.Header] = strings.Split(text, "|")
		}
		fmt.Fprint(w, "page")
	}
}

// TestProxyPosition: an answer is stored if its origin has seen what was required; no client sees the header; what can't be read
// is no page.
func TestProxyPosition(t *testing.T) {
	required, err := position.Parse("main=1.1@0/200")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"main=1.1@0/200":                "fwd=uri-miss; stored",
		"main=1.1@0/201":                "fwd=uri-miss; stored",
		"main=1.1@0/1FF":                "fwd=uri-miss; detail=behind",
		"main=2.1@0/201":                "fwd=uri-miss; detail=behind",
		"":                              "fwd=uri-miss; stored", // of one that names none, nothing is required
		"main":                          `fwd=uri-miss; detail="malformed Cachesrv-Position"`,
		"main=1.1@0/201|main=1.1@0/202": `fwd=uri-miss; detail="malformed Cachesrv-Position"`,
	} {
		for _, header := range []string{"X-Nothing: x", "Range: bytes=0-0"} {
			s := newProxied(t, at(text))
			s.drop(cache.Selection{Keys: []cache.Key{s.key("/other")}, Position: required})
			g := s.get("/a", header)
			if g.cacheStatus() != want && !strings.HasPrefix(g.cacheStatus(), want+"; ttl=") {
				t.Errorf("%q, %s: Cache-Status %q, want %q", text, header, g.cacheStatus(), want)
			}
			g.seesNoTags(t, text)
			if _, stored := s.tags("/a"); stored != strings.HasSuffix(want, "stored") {
				t.Errorf("%q, %s: stored %v", text, header, stored)
			}
			s.do("HEAD", "/a").seesNoTags(t, "HEAD")
			s.do("GET", "/a", "Authorization: x").seesNoTags(t, "passed")
		}
	}
}

// TestProxyBehindCatchesUp: an origin that is behind is asked again soon.
func TestProxyBehindCatchesUp(t *testing.T) {
	s := newProxied(t, at("main=1.1@0/100"))
	s.set(func(w http.ResponseWriter, r *http.Request) { // the answer to a change says where the change is
		at("main=1.1@0/180")(w, r)
	})
	s.do("POST", "/a")
	s.set(at("main=1.1@0/100"))
	s.expect("/a", "page", "fwd=uri-miss; detail=behind")
	s.expect("/a", "page", "fwd=uri-miss; detail=behind")
	s.set(at("main=1.1@0/200"))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s.get("/a")
		if _, ok := s.tags("/a"); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is never stored")
		}
	}
}

// TestProxyChangeWithoutPosition: a change that nobody knows the position of may lie behind all that were named, so a replica that
// is no further than these does not bring the old page back; and a page that is dropped for what it is, is no such change.
func TestProxyChangeWithoutPosition(t *testing.T) {
	const lagging = "main=1.1@0/200"
	for name, c := range map[string]struct {
		required string // before
		change   http.HandlerFunc
		want     string
	}{
		"broken off":      {lagging, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "behind"},
		"none":            {lagging, at(""), "behind"},
		"malformed":       {lagging, at("main"), "behind"},
		"the first":       {"", at("main"), "behind"},
		"on two lines":    {"", at("main=1.1@0/300|main=1.1@0/301"), "behind"},
		"with a position": {"", at(lagging), "stored"},
		"not in use":      {"", at(""), "stored"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newProxied(t, at(lagging))
			required, err := position.Parse(c.required)
			if err != nil {
				t.Fatal(err)
			}
			s.drop(cache.Selection{Keys: []cache.Key{s.key("/other")}, Position: required})
			s.set(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					c.change(w, r)
					return
				}
				at(lagging)(w, r)
			})
			s.do("POST", "/a")
			if g := s.get("/a"); !strings.Contains(g.cacheStatus(), c.want) {
				t.Errorf("Cache-Status %q", g.cacheStatus())
			}
			s.settled()
			if _, stored := s.tags("/a"); stored != (c.want == "stored") {
				t.Errorf("stored: %t", stored)
			}
		})
	}
}

// TestProxyDropsWithoutChange: that a page is dropped for what an answer about it is, says nothing of what others must contain.
func TestProxyDropsWithoutChange(t *testing.T) {
	required, err := position.Parse("main=1.1@0/200")
	if err != nil {
		t.Fatal(err)
	}
	etag := func(tag, control string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", tag)
			w.Header().Set("Age", "6")
			w.Header().Set("Cache-Control", control)
			w.Header().Set(position.Header, "main=1.1@0/200")
			fmt.Fprint(w, "page")
		}
	}
	for method, again := range map[string]http.HandlerFunc{
		"HEAD": etag(`"w"`, "max-age=5"),
		"GET":  etag(`"w"`, "no-store"),
	} {
		s := newProxied(t, etag(`"v"`, "max-age=5"))
		s.drop(cache.Selection{Keys: []cache.Key{s.key("/other")}, Position: required})
		s.get("/a")
		s.settled()
		s.wantTags("/a", "")
		s.set(again)
		s.do(method, "/a")
		s.settled()
		s.wantNone("/a", method)
		s.set(etag(`"v"`, "max-age=5"))
		s.get("/b")
		s.settled()
		s.wantTags("/b", "")
	}
}

// TestProxyBehindKeeps: a page that is there, and that nothing has dropped, is not lost because a replica is asked to renew it
// that lags behind what another page required.
func TestProxyBehindKeeps(t *testing.T) {
	required, err := position.Parse("main=1.1@0/200")
	if err != nil {
		t.Fatal(err)
	}
	s := newProxied(t, numbered("Cache-Control: max-age=5, stale-if-error=60", "Age: 6", `ETag: "v"`, "Cachesrv-Position: main=1.1@0/100"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.drop(cache.Selection{Keys: []cache.Key{s.key("/b")}, Position: required})
	s.expect("/a", "2", "fwd=stale; detail=behind")
	s.wantTags("/a", "")
	for _, c := range [][2]string{{"0/150", "detail=behind"}, {"0/200", "stored"}} {
		s.set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"v"`)
			w.Header().Set(position.Header, "main=1.1@"+c[0])
			w.WriteHeader(http.StatusNotModified)
		})
		s.proxy.Forget()
		s.expect("/a", "1", "fwd=stale; fwd-status=304; "+c[1])
		s.wantTags("/a", "")
	}
}
