//go:build e2e

package front

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/static/front"
)

// targets are made of what servers read in different ways.
func targets(n int) []string {
	parts := []string{
		"a", "B", "~", "_", "-", ".", "..", ".a", "a.page", ".page", ".gz", "%2e", "%2E", "%2F", "%2f", "%5C", "\\", "%41", "%C3%A9", "%c3%a9", "%25", "%23", "%3F",
		"+", "!", "'", "@", ":", ";", ",", "*", "$", "=", "\xc3\xa9", "\xff", "#", "?", "?page=1", "?q=2", "?page=1&q=2", "?q=1&page=2", "?page=%2F", "?page=%41", "?page=a+b",
		"?q&q", "&", "&q", "?x=1", "/", "/", "/", "//", "/./", "/../", "index.html", "%20", "%7E", "%7F", "%5B", "%60", "%zz", "%00", "%0A", "{", "|", "[", "^",
		strings.Repeat("n", 119), strings.Repeat("%C3%A9", 20), strings.Repeat("s/", 60), strings.Repeat("v", 700),
	}
	r := rand.New(rand.NewPCG(6, 5))
	list := make([]string, n)
	for i := range list {
		list[i] = "/"
		for range r.IntN(8) {
			list[i] += parts[r.IntN(len(parts))]
		}
	}
	return list
}

func TestLooksForTheFileOfTheKey(t *testing.T) { each(t, looksForTheFileOfTheKey) }

func looksForTheFileOfTheKey(t *testing.T, s *site) {
	query := []string{"page", "q"}
	m, err := front.Map(front.Site{Hosts: []front.Host{{Name: hostName, Key: hostName}}, Live: "/x", Upstream: "x:1", Query: query})
	if err != nil {
		t.Fatal(err)
	}
	pages, left, refused := 0, 0, 0
	for _, target := range targets(rounds) {
		a := ask(t, s.probe, "GET", target)
		if a.status != 200 {
			refused++ // by the server itself
			continue
		}
		file, ok := m.File(hostName, target)
		if !ok {
			file = ".none"
			left++
		} else {
			pages++
			path, q, _ := strings.Cut(target, "?")
			k := key.Key{Host: hostName}
			if k.Path, err = key.Path(path); err != nil {
				t.Fatalf("%q: %v", target, err)
			}
			if k.Query, err = key.Query(q, query, nil); err != nil {
				t.Fatalf("%q: %v", target, err)
			}
			if k.File().Page() != file {
				t.Errorf("%.200q: its key lies in %q, and the mapping says %q", target, k.File().Page(), file)
			}
		}
		if a.body != "/"+file {
			t.Errorf("%.200q: looked for is %q, want %q", target, a.body, file)
		}
	}
	t.Logf("%d pages, %d left to cachesrv, %d refused", pages, left, refused)
	if pages < rounds/50 || left < rounds/50 {
		t.Error("too few to say anything")
	}
}
