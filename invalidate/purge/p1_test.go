package purge

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A node is a real store behind a real server, that answers PURGE and has the API.
type node struct {
	*testing.T
	store *cache.Store
	url   string
}

const (
	host = "example.org"
	page = host + "/docs/a"
)

func newNode(t *testing.T) *node {
	t.Helper()
	dir := t.TempDir()
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(Path, newAPI(t, store))
	mux.Handle("/", newHandler(t, store).Wrap(http.NotFoundHandler()))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return &node{t, store, srv.URL}
}

func (n *node) key(text string) cache.Key {
	n.Helper()
	k, err := key.Parse(text)
	if err != nil {
		n.Fatal(err)
	}
	return k
}

// A way drops the page, with whatever else, by one request.
type way struct {
	name    string
	method  string
	target  string
	headers []string
	body    string
	others  bool // it drops example.org/docs/b too
}

func ways() []way {
	api := func(body string, others bool) way {
		return way{"POST " + body, "POST", Path, []string{"Content-Type: application/json"}, body, others}
	}
	return []way{
		{"PURGE", Method, "/docs/a", nil, "", false},
		{"PURGE softly", Method, "/docs/a", []string{"Fastly-Soft-Purge: 1"}, "", false},
		{"Surrogate-Key", Method, "/", []string{"Surrogate-Key: a"}, "", false},
		{"Surrogate-Key softly", Method, "/", []string{"Surrogate-Key: a", "Fastly-Soft-Purge: 1"}, "", false},
		{"xkey-purge", Method, "/", []string{"xkey-purge: x, all"}, "", true},
		{"Cache-Tag", Method, "/", []string{"Cache-Tag: x,a"}, "", false},
		api(`{"keys":["example.org/docs/a"]}`, false),
		api(`{"keys":["/docs/a"]}`, false),
		api(`{"tags":["a"]}`, false),
		api(`{"prefixes":["example.org/docs/"]}`, true),
		api(`{"hosts":["example.org"]}`, true),
		api(`{"all":true}`, true),
		api(`{"all":true,"soft":true}`, true),
	}
}

// send sends one request, and returns what was dropped.
func (n *node) send(w way) answer {
	n.Helper()
	req, err := http.NewRequestWithContext(n.Context(), w.method, n.url+w.target, strings.NewReader(w.body))
	if err != nil {
		n.Fatal(err)
	}
	req.Host = host
	for _, h := range w.headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.Fatal(err)
	}
	defer res.Body.Close()
	var a answer
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || res.StatusCode != 200 {
		n.Fatalf("%s: %d, %v", w.name, res.StatusCode, err)
	}
	return a
}

func (n *node) claim(text string) *cache.Fill {
	n.Helper()
	f, err := n.store.Claim(n.Context(), n.key(text))
	if err != nil {
		n.Fatal(err)
	}
	if _, err := io.WriteString(f, "<p>old"); err != nil {
		n.Fatal(err)
	}
	return f
}

func (n *node) publish(f *cache.Fill, tags ...string) error {
	n.Helper()
	hit, err := f.Publish(n.Context(), cache.Meta{Tags: tags})
	if err == nil {
		_ = hit.Close()
	}
	if err := f.Close(); err != nil {
		n.Fatal(err)
	}
	return err
}

func (n *node) published(text string) bool {
	n.Helper()
	hit, err := n.store.Lookup(n.key(text))
	if err != nil {
		if !errors.Is(err, cache.ErrMiss) {
			n.Fatal(err)
		}
		return false
	}
	_ = hit.Close()
	return true
}

// TestP1: once a request has been answered, in each of the ways, the page is gone, and a fill that was claimed before can't
// be published; one that is claimed afterwards can.
func TestP1(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			n := newNode(t)
			for _, text := range []string{page, page + "#json", host + "/docs/b"} {
				tags := []string{"a", "all"}
				if text == host+"/docs/b" {
					tags = []string{"all"}
				}
				if err := n.publish(n.claim(text), tags...); err != nil {
					t.Fatal(err)
				}
			}
			early := n.claim(page)
			a := n.send(w)
			if n.published(page) || n.published(page+"#json") {
				t.Error("the page is still there")
			}
			if n.published(host+"/docs/b") == w.others {
				t.Errorf("the other page is there: %v", !w.others)
			}
			want := 2
			if w.others {
				want = 3
			}
			if a.Dropped != want {
				t.Errorf("%+v, want %d", a, want)
			}
			if err := n.publish(early, "a", "all"); !errors.Is(err, cache.ErrInvalidated) {
				t.Errorf("a fill claimed before: %v", err)
			}
			if n.published(page) {
				t.Error("a fill claimed before is published")
			}
			if a := n.send(w); a.Dropped > 0 && !w.others {
				t.Errorf("when nothing is there: %+v", a)
			}
			if err := n.publish(n.claim(page), "a", "all"); err != nil || !n.published(page) {
				t.Errorf("a fill claimed afterwards: %v", err)
			}
		})
	}
}

// TestDryRun: nothing is dropped, and what would be is listed.
func TestDryRun(t *testing.T) {
	n := newNode(t)
	if err := n.publish(n.claim(page), "a"); err != nil {
		t.Fatal(err)
	}
	f := n.claim(host + "/b")
	for _, body := range []string{`{"tags":["a"],"dry_run":true}`, `{"all":true,"dry_run":true}`, `{"hosts":["example.org"],"dry_run":true}`} {
		a := n.send(way{"dry", "POST", Path, []string{"Content-Type: application/json"}, body, false})
		if a.Dropped != 1 || len(a.Keys) != 1 || a.Keys[0] != page || a.More || !a.DryRun {
			t.Errorf("%s: %+v", body, a)
		}
	}
	if !n.published(page) {
		t.Error("dropped")
	}
	if err := n.publish(f); err != nil {
		t.Errorf("a fill: %v", err)
	}
}

// TestSoftThenHard: a hard purge drops what a soft one has left, and says so.
func TestSoftThenHard(t *testing.T) {
	n := newNode(t)
	f := n.claim(page)
	hit, err := f.Publish(t.Context(), cache.Meta{Tags: []string{"a"}, Grace: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = hit.Close(), f.Close()
	soft, hard := ways()[1], ways()[0]
	if a := n.send(soft); a.Dropped != 1 || !a.Soft || n.published(page) {
		t.Errorf("soft: %+v", a)
	}
	g, err := n.store.Graced(n.key(page))
	if err != nil {
		t.Fatalf("not graced: %v", err)
	}
	_ = g.Close()
	if a := n.send(hard); a.Dropped != 1 || a.Graced != 1 || a.Soft {
		t.Errorf("hard: %+v", a)
	}
	if _, err := n.store.Graced(n.key(page)); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("still graced: %v", err)
	}
}

// TestP1UnderLoad: while fills go on, no lookup that begins after a request has been answered finds a page that was read
// before what it followed.
func TestP1UnderLoad(t *testing.T) {
	n := newNode(t)
	var source atomic.Int64 // what a fill reads
	stop := make(chan struct{})
	var filling sync.WaitGroup
	k := n.key(page)
	for range 3 {
		filling.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				f, err := n.store.Claim(t.Context(), k)
				if err != nil {
					continue
				}
				_, _ = fmt.Fprint(f, source.Load())
				if hit, err := f.Publish(t.Context(), cache.Meta{Tags: []string{"a", "all"}}); err == nil {
					_ = hit.Close()
				}
				_ = f.Close()
			}
		})
	}
	defer filling.Wait()
	defer close(stop)
	found := 0
	for range 5 {
		for _, w := range ways() {
			changed := source.Add(1)
			n.send(w)
			for range 5 {
				hit, err := n.store.Lookup(k)
				if err != nil {
					continue
				}
				found++
				body := hit.Identity()
				if got, err := strconv.ParseInt(string(body.Bytes), 10, 64); err != nil || got < changed {
					t.Fatalf("%s: version %d is served after %d was purged, %v", w.name, got, changed, err)
				}
				_ = hit.Close()
			}
		}
	}
	if found == 0 {
		t.Error("no page was ever found: this test tests nothing")
	}
}
