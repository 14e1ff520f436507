package front

import (
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/cache/key"
)

func site() *Site {
	return &Site{
		Hosts: []Host{{"a.example", "a.example"}, {"www.a.example", "a.example"}, {"b.example:8080", "b.example:8080"}, {"[::1]", "[::1]"}},
		Live:  "/run/cachesrv/x", Upstream: "127.0.0.1:8080", Query: []string{"page", "a b", "q"},
	}
}

func mapping(t testing.TB, s *Site) *Mapping {
	m, err := Map(*s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// odd are targets made of what servers read in different ways, and of the bounds.
func odd() *rapid.Generator[string] {
	part := rapid.SampledFrom([]string{
		"a", "B", "~", "_", "-", ".", "..", "...", ".a", "a.page", "x.page", ".page", ".gz", "a.tmp", "%2e", "%2E", "%2F", "%2f", "%5C", "\\", "%00", "%0A",
		"%41", "%C3%A9", "%c3%a9", "%25", "%23", "%3F", "%zz", "%", "+", "!", "'", "(", "@", ":", ";", ",", "*", "$", "=", "\xc3\xa9", "\xff", "#", "é",
		"?", "?page=1", "?q=2", "?page=1&q=2", "?q=1&page=2", "?page=%2F", "?page=%41", "?page=a+b", "?a%20b=1", "?a%20b=1&page", "&", "&q", "&page=3", "?x=1",
		"/", "/", "/", "//", "/./", "/../", "index.html", "%20", " ", "%7E", "%7F", "[", "%5B", "%60", "%7B",
		strings.Repeat("n", 119), strings.Repeat("%C3%A9", 20), strings.Repeat("s/", 60), strings.Repeat("v", 700),
	})
	return rapid.Custom(func(t *rapid.T) string {
		return "/" + strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "parts"), "")
	})
}

// want is the file that the middleware would read for a request; "" if there is none, or if its name is not the request's.
func want(s *Site, host, target string) string {
	name, err := key.Host(host)
	if err != nil {
		return ""
	}
	k := key.Key{}
	for _, h := range s.Hosts {
		if h.Name == name {
			k.Host = h.Key
		}
	}
	if k.Host == "" {
		return ""
	}
	path, query, _ := strings.Cut(target, "?")
	if strings.Contains(query, "#") {
		return ""
	}
	if k.Path, err = key.Path(path); err != nil {
		return ""
	}
	if k.Query, err = key.Query(query, s.Query, nil); err != nil {
		return ""
	}
	return k.File().Page()
}

func TestFileIsThatOfTheKey(t *testing.T) {
	s := site()
	all := site()
	all.Query = []string{key.AllQueries}
	maps := map[*Site]*Mapping{s: mapping(t, s), all: mapping(t, all)}
	pages := 0
	rapid.Check(t, func(t *rapid.T) {
		target := odd().Draw(t, "target")
		host := rapid.SampledFrom([]string{"a.example", "A.example", "www.a.example.", "a.example:80", "a.example:443", "a.example:8080", "b.example", "B.example.:8080", "[::1]:80", "c.example", ""}).Draw(t, "host")
		for s, m := range maps {
			if file, ok := m.File(host, target); ok {
				pages++
				if w := want(s, host, target); file != w {
					t.Fatalf("%q %q: %q, and its key lies in %q", host, target, file, w)
				}
			}
		}
	})
	if pages == 0 {
		t.Error("no target was a page: nothing was compared")
	}
}

// What most URLs look like must not be left to cachesrv.
func TestFileOfCommonTargets(t *testing.T) {
	s := site()
	m := mapping(t, s)
	for target, file := range map[string]string{
		"/": "a.example/.page", "/a": "a.example/a.page", "/a/": "a.example/a/.page", "/a/b-c_d~e.html": "a.example/a/b-c_d~e.html.page",
		"/caf%C3%A9": "a.example/caf%C3%A9.page", "/a.page": "a.example/a.page.page", "/a?page=2": "a.example/a?page=2.page",
		"/a?page=2&q=x%20y": "a.example/a?page=2&q=x%20y.page", "/a?a%20b=1&page": "a.example/a?a%20b=1&page.page", "/a?page=1&page=2": "a.example/a?page=1&page=2.page",
		"/" + strings.Repeat("n", 120): "a.example/" + strings.Repeat("n", 120) + ".page", strings.Repeat("/s", 64): "a.example" + strings.Repeat("/s", 64) + ".page",
		"/a%20b": "a.example/a%20b.page", "/a%21": "a.example/a%21.page",
		// Left to cachesrv.
		"/a?": "", "/a?q=1&page=2": "", "/a?x=1": "", "/a?page=1&": "", "/a?page=%2f": "", "/a?page=a+b": "", "/a+b": "", "//": "", "/a//b": "", "/.well-known/x": "", "/a/../b": "", "/./a": "",
		"/%2e": "", "/a%2fb": "", "/a%2Fb": "", "/%5C": "", "/%00": "", "/%c3%a9": "", "/%41": "", "/é": "", "/a.page/b": "", "/x.page.y/b": "",
		"/" + strings.Repeat("n", 121): "", strings.Repeat("/s", 65): "", "/a?page=" + strings.Repeat("v", 116): "", strings.Repeat("/"+strings.Repeat("n", 100), 21): "",
		"http://a.example/": "", "*": "", "": "",
	} {
		got, _ := m.File("a.example", target)
		if got != file {
			t.Errorf("%.60q: %q, want %q", target, got, file)
		}
		if w := want(s, "a.example", target); file != "" && file != w {
			t.Errorf("%.60q: the key lies in %q", target, w)
		}
	}
}

func TestSiteIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Site){
		"name": func(s *Site) { s.Name = "a-b" }, "no host": func(s *Site) { s.Hosts = nil }, "host": func(s *Site) { s.Hosts[0].Name = "A" },
		"key": func(s *Site) { s.Hosts[0].Key = `a;"` }, "live": func(s *Site) { s.Live = "live" }, "live, odd": func(s *Site) { s.Live = "/a b;" },
		"upstream": func(s *Site) { s.Upstream = "" }, "upstream, odd": func(s *Site) { s.Upstream = "x; }" }, "listen": func(s *Site) { s.Listen = "80; }" },
		"query": func(s *Site) { s.Query = []string{""} }, "cookie": func(s *Site) { s.PublicCookies = []string{"a;b"} }, "sample": func(s *Site) { s.Sample = 101 },
		"header": func(s *Site) { s.Headers = [][2]string{{"A", `"; }`}} }, "variable": func(s *Site) { s.CacheControl = "$x" },
		"except": func(s *Site) { s.Except = []string{`"`} }, "bad pattern": func(s *Site) { s.Except = []string{`(`} },
		"part": func(s *Site) { s.Parts = []Part{{Prefix: "/a b/"}} }, "part, no folder": func(s *Site) { s.Parts = []Part{{Prefix: "/a"}} },
		"part, header":  func(s *Site) { s.Parts = []Part{{Prefix: "/a/", Headers: [][2]string{{"A", "$x"}}}} },
		"part, accept":  func(s *Site) { s.Parts = []Part{{Prefix: "/a/", Accept: "("}} },
		"part, vary":    func(s *Site) { s.Parts = []Part{{Prefix: "/a/", Vary: "}"}} },
		"too many":      func(s *Site) { s.Parts = make([]Part, MaxParts+1) },
		"module":        func(s *Site) { s.Modules = []string{"perl"} },
		"many hosts":    func(s *Site) { s.Hosts = make([]Host, MaxHosts+1) },
		"a placeholder": func(s *Site) { s.Headers = [][2]string{{"A", "{env.HOME}"}} },
	} {
		s := *site()
		s.Hosts = append([]Host(nil), s.Hosts...)
		change(&s)
		for server, print := range map[string]func(Site) (string, error){"nginx": Nginx, "caddy": Caddy} {
			if text, err := print(s); !errors.Is(err, ErrSite) || text != "" {
				t.Errorf("%s for %s: %v", name, server, err)
			}
		}
	}
	if _, err := Nginx(*site()); err != nil {
		t.Error(err)
	}
	if _, err := Caddy(*site()); err != nil {
		t.Error(err)
	}
}

// nginx bounds the length of a word.
func TestLongPatterns(t *testing.T) {
	s := *site()
	s.Query = []string{strings.Repeat("x", 5000)}
	if text, err := Nginx(s); !errors.Is(err, ErrSite) || text != "" {
		t.Error(err)
	}
	if _, err := Caddy(s); err != nil {
		t.Error(err)
	}
}

func TestHeadersOfParts(t *testing.T) {
	s := site()
	s.CacheControl = "no-cache"
	s.Headers = [][2]string{{"A", "1"}, {"B", "2"}, {"B", "3"}}
	s.Parts = []Part{{Prefix: "/x/", Headers: [][2]string{{"B", "3"}, {"C", "4"}, {"Cache-Control", "max-age=5"}}, Vary: "Accept"}, {Prefix: "/y/", Headers: s.Headers}}
	want := []varied{
		{"Vary", "Accept-Encoding", [][2]string{{"^/x/", "Accept, Accept-Encoding"}}},
		{"Cache-Control", "no-cache", [][2]string{{"^/x/", "max-age=5"}}},
		{"A", "1", [][2]string{{"^/x/", ""}}}, {"B", "3", nil}, {"C", "", [][2]string{{"^/x/", "4"}}},
	}
	if got := s.varied(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

// A site of everything that has a pattern or a value of its own, for what comes out.
func TestCaddyfileForm(t *testing.T) {
	s := site()
	s.Name, s.PublicCookies, s.Except, s.Sample = "shop", []string{"a`b", "_ga*"}, []string{"^/x/"}, 50
	s.Parts = []Part{{Prefix: "/x/", Headers: [][2]string{{"C", "4"}}, Accept: `^text/html\z`}}
	for listen, line := range map[string]string{
		"": "a.example, www.a.example, b.example:8080, [::1] {", "80": "http://:80 {", "127.0.0.1:81 reuseport": "http://:81 {", "unix:/run/x": "http:// {",
	} {
		s.Listen = listen
		text, err := Caddy(*s)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%q: no line %q", listen, line)
		}
		if indented(text) != text || strings.Contains(text, "a`b") || strings.Contains(text, "{{") {
			t.Errorf("%q:\n%s", listen, text)
		}
	}
	if ids := sampledIDs(1); ids != "^(?:00|01)" || sampledIDs(0) != "" || !regexp.MustCompile(sampledIDs(100)).MatchString("ff") {
		t.Errorf("%s", ids)
	}
}

func FuzzFile(f *testing.F) {
	f.Add("a.example", "/a?page=1")
	s := site()
	m := mapping(f, s)
	f.Fuzz(func(t *testing.T, host, target string) {
		if file, ok := m.File(host, target); ok && file != want(s, host, target) {
			t.Fatalf("%q %q: %q, and its key lies in %q", host, target, file, want(s, host, target))
		}
	})
}

// Where two names stand for one cookie, a matcher that backtracks takes twice as long for each cookie more.
func TestCookieFormIsUnambiguous(t *testing.T) {
	for want, public := range map[string][]string{
		`^(?:(?:_ga[^=;, ]*|lang)(?:=[^;, ]*)?(?:; |\z))*\z`: {"_gat", "_ga*", "lang", "_ga_*", "_ga*", "lang"},
		`^(?:(?:[^=;, ]*)(?:=[^;, ]*)?(?:; |\z))*\z`:         {"a", "*", "a*"},
	} {
		if got := cookieForm(public); got != want {
			t.Errorf("%q:\n%s, want\n%s", public, got, want)
		}
	}
}
