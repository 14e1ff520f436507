package cache_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// The pages of the model: two hosts, paths that begin each other, queries, variants.
var (
	modelHosts = []string{"g.example", "h.example"}
	modelPaths = []string{"/", "/a", "/a/b", "/ab", "/a.page/b"}
	modelForms = []string{"", "?x=1", "#json"}
	modelTags  = []string{"r", "s", "t"}
)

// A modelPage is what the simplest of all caches would know of a publication.
type modelPage struct {
	body   string
	tags   []string
	grace  bool
	graced bool
}

// A model says, without a file, what Invalidate must drop and what it must leave.
type model struct {
	pages map[string]modelPage
	// published counts the publications of each key in this generation. The rows of earlier ones may still be there, and
	// what names one of them may drop its successor with it, or end its grace: that is allowed, and the model follows.
	published map[string]int
}

// names reads a selection by its texts, segment by segment.
func (m *model) names(sel cache.Selection, k string, p modelPage) bool {
	url, variant, _ := strings.Cut(k, "#")
	host, rest, _ := strings.Cut(url, "/")
	path, _, _ := strings.Cut("/"+rest, "?")
	for _, named := range sel.Keys {
		text, v, _ := strings.Cut(named.String(), "#")
		if (text == url || text == "/"+rest) && (v == "" || v == variant) {
			return true
		}
	}
	for _, prefix := range sel.Prefixes {
		if (prefix.Host == "" || prefix.Host == host) && strings.HasPrefix(path+"/", prefix.Path+"/") {
			return true
		}
	}
	return sel.All || slices.ContainsFunc(p.tags, func(t string) bool { return slices.Contains(sel.Tags, t) })
}

func drawKey(t *rapid.T) string {
	return rapid.SampledFrom(modelHosts).Draw(t, "host") + rapid.SampledFrom(modelPaths).Draw(t, "path") + rapid.SampledFrom(modelForms).Draw(t, "form")
}

func drawSelection(t *rapid.T) (sel cache.Selection) {
	for range rapid.IntRange(1, 2).Draw(t, "names") {
		host := rapid.SampledFrom(append([]string{""}, modelHosts...)).Draw(t, "named host")
		switch rapid.SampledFrom([]string{"key", "key", "tag", "tag", "prefix", "prefix", "prefix", "all"}).Draw(t, "kind") {
		case "key":
			k, err := key.Parse(host + rapid.SampledFrom(modelPaths).Draw(t, "named path") + rapid.SampledFrom(modelForms).Draw(t, "named form"))
			if err != nil {
				t.Fatal(err)
			}
			sel.Keys = append(sel.Keys, k)
		case "tag":
			sel.Tags = append(sel.Tags, rapid.SampledFrom(modelTags).Draw(t, "tag"))
		case "prefix":
			p, err := key.ParsePrefix(host + rapid.SampledFrom(modelPaths).Draw(t, "named path"))
			if err != nil {
				t.Fatal(err)
			}
			sel.Prefixes = append(sel.Prefixes, p)
		case "all":
			sel.All = rapid.IntRange(0, 3).Draw(t, "really") == 0
		}
	}
	sel.Soft = rapid.IntRange(0, 2).Draw(t, "soft") == 0
	return sel
}

// quickly has rapid make fewer and shorter runs, unless -every asks for all.
func quickly(t *testing.T, checks, steps string) {
	if *every {
		return
	}
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.steps": steps} {
		f := flag.Lookup(name)
		if old := f.Value.String(); old == f.DefValue {
			_ = f.Value.Set(value)
			t.Cleanup(func() { _ = f.Value.Set(old) })
		}
	}
}

// TestSelections compares a store with the model over random histories of fills and invalidations, hard and soft, also of
// what is being filled, by two stores of one folder, and over reopenings.
func TestSelections(t *testing.T) {
	quickly(t, "6", "20")
	rapid.Check(t, func(rt *rapid.T) { newHistory(t, rt).run(rt) })
}

// A history is one run: two stores of a folder, the fills that are open, and the model.
type history struct {
	t      *testing.T
	dir    string
	stores [2]*cache.Store
	open   map[string]*openFill // by URL: its forms share a claim
	model
	bodies int
}

type openFill struct {
	*cache.Fill
	key       string
	page      modelPage
	must, may bool // fail
}

func newHistory(t *testing.T, rt *rapid.T) *history {
	h := &history{t: t, dir: t.TempDir(), open: map[string]*openFill{}, model: model{map[string]modelPage{}, map[string]int{}}}
	for i := range h.stores {
		h.stores[i] = h.opened(rt)
	}
	return h
}

func (h *history) opened(rt *rapid.T) *cache.Store {
	o := options(h.dir)
	o.SweepInterval = -1
	s, err := cache.Open(h.t.Context(), o)
	if err == nil {
		err = s.Unfence(h.t.Context())
	}
	if err != nil {
		rt.Fatal(err)
	}
	return s
}

func (h *history) run(rt *rapid.T) {
	defer func() {
		for _, f := range h.open {
			_ = f.Close()
		}
		for _, s := range h.stores {
			_ = s.Close()
		}
	}()
	rt.Repeat(map[string]func(*rapid.T){
		"fill": h.fill, "publish": h.publish, "fill several": h.several, "invalidate": h.invalidate, "invalidate again": h.invalidate, "reopen": h.reopen, "": h.check,
	})
}

func (h *history) store(rt *rapid.T) *cache.Store {
	return h.stores[rapid.IntRange(0, 1).Draw(rt, "store")]
}

func urlOf(k string) string { url, _, _ := strings.Cut(k, "#"); return url }

func (h *history) fill(rt *rapid.T) {
	k := drawKey(rt)
	page := modelPage{grace: rapid.Bool().Draw(rt, "grace"), tags: rapid.SliceOfNDistinct(rapid.SampledFrom(modelTags), 0, 2, rapid.ID).Draw(rt, "tags")}
	f, err := h.store(rt).Claim(h.t.Context(), mustKey(h.t, k))
	old := h.open[urlOf(k)]
	switch {
	case err != nil && (old == nil || !errors.Is(err, cache.ErrClaimed)):
		rt.Fatal(err)
	case err != nil:
		return
	case old != nil && !old.must && !old.may:
		rt.Fatalf("%s and %s are claimed at once", old.key, k)
	case old != nil:
		if old.end() == nil {
			rt.Fatalf("%s was published after its claim had gone to another", old.key)
		}
	}
	// A fill of a further form that ends removes the folder of forms, if that is empty, also from under its successor:
	// that one is lost, no more.
	may := old != nil && strings.Contains(old.key, "#")
	h.bodies++
	page.body = fmt.Sprint("page ", h.bodies)
	h.open[urlOf(k)] = &openFill{Fill: f, key: k, page: page, may: may}
}

// several fills pages, so that there is something to drop, and to leave.
func (h *history) several(rt *rapid.T) {
	for range 8 {
		h.fill(rt)
		h.publish(rt)
	}
}

func (f *openFill) end() error {
	defer f.Close()
	if _, err := f.Write([]byte(f.page.body)); err != nil {
		return err
	}
	m := cache.Meta{Header: html, Tags: f.page.tags}
	if f.page.grace {
		m.Grace = time.Hour
	}
	hit, err := f.Publish(context.Background(), m)
	if err == nil {
		err = hit.Close()
	}
	return err
}

func (h *history) publish(rt *rapid.T) {
	if len(h.open) == 0 {
		return
	}
	url := rapid.SampledFrom(slices.Sorted(maps.Keys(h.open))).Draw(rt, "url")
	f := h.open[url]
	delete(h.open, url)
	switch err := f.end(); {
	case err != nil && (!errors.Is(err, cache.ErrInvalidated) || !f.must && !f.may):
		rt.Fatalf("%s was not published: %v", f.key, err)
	case err == nil && f.must:
		rt.Fatalf("%s was published, though it was invalidated since its claim", f.key)
	case err == nil:
		h.pages[f.key] = f.page
		h.published[f.key]++
	}
}

func (h *history) invalidate(rt *rapid.T) {
	sel := drawSelection(rt)
	if _, err := h.store(rt).Invalidate(h.t.Context(), sel); err != nil {
		rt.Fatal(err)
	}
	whole := sel // a key takes the claim of its URL from all forms
	whole.Keys = slices.Clone(sel.Keys)
	for i := range whole.Keys {
		whole.Keys[i].Variant = ""
	}
	for url, f := range h.open {
		f.must = f.must || h.names(whole, f.key, f.page)
		for k := range h.published { // a row that is dropped takes the claim of its URL, too
			f.may = f.may || urlOf(k) == url
		}
	}
	for k, p := range h.pages {
		again := h.published[k] > 1
		switch named := h.names(sel, k, p); {
		case named && !(sel.Soft && p.grace):
			delete(h.pages, k)
		case named && (!again || h.gracedBody(h.stores[0], k) == p.body):
			p.graced = true
			h.pages[k] = p
		case named, again && !p.graced && read(h.t, h.stores[0], k) == "" && h.gracedBody(h.stores[0], k) == "", again && p.graced && h.gracedBody(h.stores[0], k) == "":
			delete(h.pages, k) // with an earlier one
		}
	}
	if sel.All && !sel.Soft {
		clear(h.published) // with the generation
	}
}

func (h *history) gracedBody(s *cache.Store, k string) string {
	hit, err := s.Graced(mustKey(h.t, k))
	if err != nil {
		return ""
	}
	defer hit.Close()
	return content(h.t, hit.Identity())
}

func (h *history) reopen(rt *rapid.T) {
	if len(h.open) > 0 {
		return // Close waits for fills
	}
	i := rapid.IntRange(0, 1).Draw(rt, "store")
	if err := h.stores[i].Close(); err != nil {
		rt.Fatal(err)
	}
	h.stores[i] = h.opened(rt)
}

// check compares all that either store may serve with the model.
func (h *history) check(rt *rapid.T) {
	for _, host := range modelHosts {
		for _, path := range modelPaths {
			for _, form := range modelForms {
				k := host + path + form
				p, there := h.pages[k]
				served, graced := p.body, ""
				if p.graced {
					served, graced = "", p.body
				}
				for i, s := range h.stores {
					if got := read(h.t, s, k); got != served {
						rt.Fatalf("store %d serves %q for %s, want %q (%v)", i, got, k, served, there)
					}
				}
				if got := h.gracedBody(h.stores[1], k); got != graced {
					rt.Fatalf("%q is graced for %s, want %q (%v)", got, k, graced, there)
				}
			}
		}
	}
}

// TestPositions compares the positions of several sources with a map, over reopenings and over everything that can happen
// to the pages: a position never goes back, and is lost only with the pages that it speaks of.
func TestPositions(t *testing.T) {
	quickly(t, "5", "15")
	rapid.Check(t, func(rt *rapid.T) {
		h := newHistory(t, rt)
		defer func() {
			for _, s := range h.stores {
				_ = s.Close()
			}
		}()
		sources := []string{"a", "b", "ä b"}
		positions := map[string]cache.Position{}
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(rt *rapid.T) {
				n++
				source := rapid.SampledFrom(sources).Draw(rt, "source")
				positions[source] = cache.Position(fmt.Sprint(n, rapid.StringN(0, 8, -1).Draw(rt, "text")))
				if err := h.store(rt).SetSourcePosition(t.Context(), source, positions[source]); err != nil {
					rt.Fatal(err)
				}
			},
			"set concurrently": func(rt *rapid.T) {
				n++
				var all sync.WaitGroup
				var errs [3]error
				for i, source := range sources {
					p := cache.Position(fmt.Sprint(n, " of ", source))
					positions[source] = p
					all.Go(func() { errs[i] = h.stores[i%2].SetSourcePosition(t.Context(), source, p) })
				}
				all.Wait()
				if err := errors.Join(errs[:]...); err != nil {
					rt.Fatal(err)
				}
			},
			"everything": func(rt *rapid.T) { // what was applied stays applied
				if _, err := h.store(rt).Invalidate(t.Context(), cache.Selection{All: true, Soft: rapid.Bool().Draw(rt, "soft")}); err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": h.reopen,
			"": func(rt *rapid.T) {
				for _, source := range append(sources, "unknown") {
					for i, s := range h.stores {
						if got, err := s.SourcePosition(t.Context(), source); err != nil || got != positions[source] {
							rt.Fatalf("store %d: the position of %s is %q, %v; want %q", i, source, got, err, positions[source])
						}
					}
				}
			},
		})
	})
}
