package torture

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
)

// A fake is a site with a cache in memory, right or wrong: the target on which the checker itself is checked. Right, it
// follows the one rule: claim, then read, then publish, and publishing fails if anyone invalidated since the claim.
type fake struct {
	site   Site
	render time.Duration // at most
	wrong  wrong

	server *httptest.Server
	base   atomic.Pointer[string]
	mu     sync.Mutex
	pages  []fakePage
	left   int // invalidations until one is lost
}

type fakePage struct {
	version   int64 // committed
	published *fakeAnswer
	twin      *fakeAnswer
	claim     int // number of the claim that is held; 0: none
	claims    int
}

type fakeAnswer struct {
	version int64
	header  http.Header
	body    []byte
}

// wrong is how a fake breaks its promises; the zero value keeps them.
type wrong struct {
	publishAlways bool                                   // publish even if the claim is gone
	keepTwins     bool                                   // an invalidation leaves the twin, and a fill too
	etagOnce      bool                                   // a page's ETag never changes, so that a 304 confirms anything
	partOld       bool                                   // If-Range is passed over
	headOld       bool                                   // HEAD is answered from the page that was published first
	forget        bool                                   // a crash loses invalidations, as one between COMMIT and hook does
	lose          int                                    // the invalidation that is lost, and all after it
	fail          bool                                   // one request in a hundred is answered 500
	never         bool                                   // nothing is stored
	ahead         bool                                   // shows versions that were never committed
	tear          func(a *fakeAnswer, older *fakeAnswer) // changes what is published
}

func newFake(site Site, w wrong) *fake {
	f := &fake{site: site, render: 5 * time.Millisecond, wrong: w, pages: make([]fakePage, site.Pages), left: w.lose}
	for i := range f.pages {
		f.pages[i].version = 1
	}
	return f
}

func (f *fake) String() string { return "fake" }

func (f *fake) Start(context.Context) error {
	f.server = httptest.NewServer(f)
	f.base.Store(&f.server.URL)
	return nil
}

func (f *fake) Stop(context.Context) error { return f.Kill() }

func (f *fake) Kill() error {
	f.server.CloseClientConnections()
	f.server.Close()
	if f.wrong.forget {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i := range f.pages {
			f.pages[i].version++
		}
	}
	return nil
}

func (f *fake) BaseURL() string {
	if base := f.base.Load(); base != nil {
		return *base
	}
	return ""
}

func (f *fake) Commit(_ context.Context, page int) (Commit, error) {
	f.mu.Lock()
	f.pages[page].version++
	version := f.pages[page].version
	f.mu.Unlock()

	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wrong.lose > 0 {
		if f.left--; f.left <= 0 {
			return Commit{Version: version}, nil
		}
	}
	p := &f.pages[page]
	p.claim, p.published = 0, nil
	if !f.wrong.keepTwins {
		p.twin = nil
	}
	return Commit{Version: version, Invalidation: time.Microsecond}, nil
}

func (f *fake) Versions(ctx context.Context) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	versions := make([]int64, len(f.pages))
	for i, p := range f.pages {
		versions[i] = p.version
	}
	return versions, nil
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var page int
	if _, err := fmt.Sscanf(r.URL.Path, "/s/%d/page", &page); err != nil || r.Host != f.site.Host {
		http.Error(w, "no such page", http.StatusNotFound)
		return
	}
	if f.wrong.fail && rand.IntN(100) == 0 {
		http.Error(w, "no luck", http.StatusInternalServerError)
		return
	}
	f.mu.Lock()
	p := &f.pages[page]
	hit, version, claim := p.published, p.version, 0
	if hit != nil && p.twin != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && !strings.Contains(r.Header.Get("Accept-Encoding"), ";") {
		hit = p.twin
	}
	if hit == nil && p.claim == 0 {
		p.claims++
		claim = p.claims
		p.claim = claim
	}
	f.mu.Unlock()

	status := "fake; hit"
	if hit == nil {
		status = "fake; fwd=miss"
		time.Sleep(rand.N(f.render))
		hit = f.fill(page, version, claim)
	}
	w.Header().Set("Cache-Status", status)
	f.answer(w, r, hit)
}

// fill renders a version, and publishes it if the claim is (still) held.
func (f *fake) fill(page int, version int64, claim int) *fakeAnswer {
	a := f.rendered(page, version)
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &f.pages[page]
	if claim == 0 || p.claim != claim && !f.wrong.publishAlways || f.wrong.never {
		return a
	}
	p.published, p.claim = a, 0
	if p.twin == nil || !f.wrong.keepTwins {
		p.twin = a.gzipped()
	}
	return a
}

func (f *fake) rendered(page int, version int64) *fakeAnswer {
	if f.wrong.ahead {
		version++
	}
	a := &fakeAnswer{version: version, header: http.Header{}, body: f.site.Body(page, version)}
	a.header.Set("Content-Type", ContentType)
	a.header.Set("ETag", fmt.Sprintf(`"%d"`, version))
	if f.wrong.etagOnce {
		a.header.Set("ETag", `"1"`)
	}
	if f.site.HasExtra(page) {
		a.header.Set(ExtraHeader, f.site.ExtraValue(page, version))
	}
	if f.wrong.tear != nil {
		older := &fakeAnswer{version: version - 1, body: f.site.Body(page, version-1)}
		f.wrong.tear(a, older)
	}
	return a
}

func (a *fakeAnswer) gzipped() *fakeAnswer {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(a.body)
	_ = z.Close()
	h := a.header.Clone()
	h.Set("Content-Encoding", "gzip")
	h.Set("ETag", strings.TrimSuffix(h.Get("ETag"), `"`)+`-gz"`)
	return &fakeAnswer{a.version, h, b.Bytes()}
}

func (f *fake) answer(w http.ResponseWriter, r *http.Request, a *fakeAnswer) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(a.body)))
	switch {
	case r.Header.Get("If-None-Match") == a.header.Get("ETag"):
		w.Header().Del("Content-Length")
		w.WriteHeader(http.StatusNotModified)
	case f.part(w, r, a):
	case r.Method == http.MethodHead && f.wrong.headOld:
		w.Header().Set("ETag", `"1"`)
	default:
		_, _ = w.Write(a.body) // net/http leaves it out of a HEAD's answer
	}
}

// part answers a request for a part, if it is to be answered so.
func (f *fake) part(w http.ResponseWriter, r *http.Request, a *fakeAnswer) bool {
	var first, last int
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); n != 2 || a.header.Get("Content-Encoding") != "" || last >= len(a.body) {
		return false
	}
	if held := r.Header.Get("If-Range"); held != "" && held != a.header.Get("ETag") && !f.wrong.partOld {
		return false
	}
	w.Header().Set("Content-Length", fmt.Sprint(1+last-first))
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(a.body)))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(a.body[first : last+1])
	return true
}
