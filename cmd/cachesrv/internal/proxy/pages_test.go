package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
)

// TestPages: the keys of a changed URL are those of every host with the same origin for its path, each by its own rule.
func TestPages(t *testing.T) {
	list := []rules.Rule{
		{Path: "/b", Query: []string{"x"}},
		{Host: "one.example", Path: "/c", Query: []string{}, IgnoreQuery: []string{"x"}},
		{Path: "/files", Origin: "http://files"},
	}
	c := config(list, "one.example=http://a", "two.example=http://a", "else.example=http://b")
	c.Policy = rules.Explicit
	s, err := newSites(c, here(), says)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host, target string
		want         []string // without the port's hosts
	}{
		{"one.example", "/a?y=1", []string{"one.example/a?y=1", "two.example/a?y=1"}},
		{"TWO.example.", "/%61?y=1", []string{"one.example/a?y=1", "two.example/a?y=1"}},
		{"else.example", "/a", []string{"else.example/a"}},
		{"one.example", "/b?x=1", []string{"one.example/b?x=1", "two.example/b?x=1"}},
		{"one.example", "/b?y=1", nil},
		{"two.example", "/c?x=1", []string{"one.example/c", "two.example/c?x=1"}},
		{"one.example", "/files/x", []string{"else.example/files/x", "one.example/files/x", "two.example/files/x"}},
		{"one.example", "/a%2fb", nil},
		{"nobody.example", "/a", nil},
		{"..", "/a", nil},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Host = tt.host
		var got []string
		for _, k := range s.pages(r, tt.target) {
			if !strings.Contains(k.Host, ":") {
				got = append(got, k.String())
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s%s: %q, want %q", tt.host, tt.target, got, tt.want)
		}
	}
}

// TestPagesOfMany: where it would take too long to tell hosts apart, the keys are for every host, under each rule's parameters.
func TestPagesOfMany(t *testing.T) {
	var origins []string
	for i := range maxNames {
		origins = append(origins, fmt.Sprintf("h%d.example=http://a", i))
	}
	many := make([]rules.Rule, rules.MaxRules)
	for i := range many {
		many[i].Path = fmt.Sprintf("/%d", i)
	}
	many[7].Query = []string{}
	many[7].IgnoreQuery = []string{"x"}
	for name, c := range map[string]struct {
		rules   []rules.Rule
		origins []string
		want    []string
	}{
		"hosts":    {nil, origins, []string{"/a?x=1"}},
		"rules":    {many, origins[:6], []string{"/a", "/a?x=1"}},
		"one less": {many, origins[:4], nil},
	} {
		conf := config(c.rules, c.origins...)
		conf.Policy = rules.Explicit
		s, err := newSites(conf, here(), says)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/", nil)
		r.Host = "h0.example"
		var got []string
		for _, k := range s.pages(r, "/a?x=1") {
			if k.Host == "" {
				got = append(got, k.Path+strings.TrimSuffix("?"+k.Query, "?"))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestChangeDropsEverywhere: what a request changes is dropped under every name of its origin, and by the rule of the URL that
// its answer names.
func TestChangeDropsEverywhere(t *testing.T) {
	back := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				w.Header().Set("Location", "/b?x=1&utm_source=mail")
				return
			}
			w.Header().Set("Cache-Control", "max-age=60")
			fmt.Fprint(w, name)
		}))
		t.Cleanup(s.Close)
		return s
	}
	one, other := back("one"), back("other")
	c := config([]rules.Rule{{Path: "/a", Query: []string{}}, {Path: "/b", Query: []string{"x"}, IgnoreQuery: []string{"utm_*"}}},
		"one.example="+one.URL, "two.example="+one.URL, "else.example="+other.URL)
	c.Policy = rules.Explicit
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := newEngine(c, store, log)
	defer e.close()
	if e.sites, err = newSites(c, here(), e.handler); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(e.sites)
	defer front.Close()
	do := func(method, host, target string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, front.URL+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.Header.Get("Cache-Status")
	}
	hosts, targets := []string{"one.example", "two.example", "else.example"}, []string{"/a", "/b?x=1", "/c"}
	for _, host := range hosts {
		for _, target := range targets {
			for deadline := time.Now().Add(10 * time.Second); !strings.HasPrefix(do("GET", host, target), "cachesrv; hit"); {
				if time.Now().After(deadline) {
					t.Fatalf("%s%s is not stored", host, target)
				}
			}
		}
	}
	do("POST", "two.example", "/a")
	for _, host := range hosts {
		for _, target := range targets {
			dropped := host != "else.example" && target != "/c"
			if got := do("GET", host, target); strings.HasPrefix(got, "cachesrv; hit") == dropped {
				t.Errorf("%s%s: %s", host, target, got)
			}
		}
	}
}
