package key_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache/key"
)

// FuzzHost: what is taken for a host is one, in one spelling, and a name that can stand for a folder; and the spellings
// that clients use for it are that same one.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"Example.ORG", "example.org.", "a:80", "a:8080", "[::1]:443", "[::1]", "..", "a/b", "a:", "a..b", "\u212aey.example", "a@b", "a:80:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		host, err := key.Host(raw)
		if err != nil {
			return
		}
		for i := range len(raw) {
			if raw[i] <= ' ' || raw[i] >= 0x7f {
				t.Fatalf("%q is taken for %q", raw, host)
			}
		}
		if host == "" || len(host) > key.MaxHost || strings.Trim(host, ".") == "" || strings.ContainsAny(host, "/\\%?#@ ") || host != strings.ToLower(host) {
			t.Fatalf("%q is taken for %q", raw, host)
		}
		if u, err := url.Parse("http://" + host + "/x"); err != nil || u.Host != host || u.Path != "/x" {
			t.Fatalf("%q becomes %q, which a URL reads as %v, %v", raw, host, u, err)
		}
		name, port, hasPort := host, "", false
		if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
			name, port, hasPort = host[:i], host[i:], true
		}
		spellings := []string{host, strings.ToUpper(host)}
		if !strings.HasSuffix(name, "]") {
			spellings = append(spellings, name+"."+port)
		}
		if !hasPort {
			spellings = append(spellings, host+":80", host+":443")
		}
		for _, s := range spellings {
			if again, err := key.Host(s); len(s) <= key.MaxHost && (err != nil || again != host) {
				t.Errorf("%q is %q, %q is %q, %v", raw, host, s, again, err)
			}
		}
	})
}

// names lists every file that a key may ever lie in.
func names(k key.Key) []string {
	f := k.File()
	all := []string{f.Claim()}
	for _, form := range []string{f.Page(), f.Private()} {
		all = append(all, form, form+key.StaleSuffix)
		for _, twin := range key.TwinSuffixes() {
			all = append(all, form+twin)
		}
	}
	return all
}

// FuzzTwoKeys: a key is its text; no two keys share a file, of whatever kind, but for the claim of the variants of one
// URL; and each lies below its host's folder.
func FuzzTwoKeys(f *testing.F) {
	for _, s := range [][2]string{
		{"h/a", "h/a/"}, {"h/a", "h/a.page/b"}, {"h/a", "h/a.page.tmp/b"}, {"h/a.page/b", "h/a%2Epage/b"}, {"h/a#b", "h/a.page@/b"}, {"h/a?b", "h/a%3Fb"}, {"h/a.tmp", "h/a#.tmp"}, {"h//x", "h/%25/x"},
		{"http://H:80/%61", "h/a"}, {"h/a?x=1&y", "h/a?y&x=1"}, {"h/" + strings.Repeat("x", 121), "h/" + strings.Repeat("x", 40)}, {"/a", "h/a"},
		{"h/a#json", "h/a#json!"}, {"h/a", "h/a#gz"}, {"h/\xc3\xa9", "h/e%cc%81"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, text1, text2 string) {
		k1, err := key.Parse(text1)
		if err != nil {
			return
		}
		if again, err := key.Parse(k1.String()); err != nil || again != k1 {
			t.Fatalf("%q is %+v, whose text reads as %+v, %v", text1, k1, again, err)
		}
		if p, err := key.Path(k1.Path); err != nil || p != k1.Path {
			t.Fatalf("%q: the path %q is not canonical", text1, k1.Path)
		}
		if k1.Host == "" {
			return
		}
		seen := map[string]bool{}
		for _, name := range names(k1) {
			if !strings.HasPrefix(name, k1.Host+"/") || seen[name] {
				t.Fatalf("%q: %q, of %q", text1, name, names(k1))
			}
			seen[name] = true
			for segment := range strings.SplitSeq(name, "/") {
				if segment == "" || segment == "." || segment == ".." || len(segment) > 255 {
					t.Fatalf("%q: %q", text1, name)
				}
			}
		}
		k2, err := key.Parse(text2)
		if err != nil || k2.Host == "" || k1 == k2 {
			return
		}
		for i, name := range names(k2) {
			if seen[name] && (i > 0 || k1.Default() != k2.Default()) {
				t.Fatalf("%q and %q share %q", k1, k2, name)
			}
			for i := range len(name) {
				if name[i] == '/' && seen[name[:i]] {
					t.Fatalf("a folder of %q is a file of %q: %q", k2, k1, name)
				}
			}
		}
		if k1.Default() == k2.Default() && k1.File().Claim() != k2.File().Claim() {
			t.Fatalf("%q and %q are forms of one page and have two claims", k1, k2)
		}
	})
}

// FuzzPrefix: what a prefix covers by its meaning is what dropping it reaches by the names of files: its folder, the page
// beside it, and that page's queries.
func FuzzPrefix(f *testing.F) {
	for _, s := range [][2]string{
		{"h/a", "h/ab"}, {"h/a", "h/a/b"}, {"h/a/", "h/a?x=1"}, {"h/a", "h/a#json"}, {"h/", "h/x"}, {"h//", "h//x"}, {"/a", "g/a"}, {"h/a.page", "h/a"}, {"h/a", "h/a.page/b"},
		{"h/" + strings.Repeat("x", 130), "h/" + strings.Repeat("x", 131)}, {"h/a", "h/a/?x"}, {"h/a//", "h/a//b"}, {"h/a", "ha/a"}, {"h/a@", "h/a"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, prefix, page string) {
		p, err := key.ParsePrefix(prefix)
		if err != nil {
			return
		}
		if again, err := key.ParsePrefix(p.String()); err != nil || again != p {
			t.Fatalf("%q is %+v, whose text %q reads as %+v, %v", prefix, p, p.String(), again, err)
		}
		k, err := key.Parse(page)
		if err != nil || k.Host == "" {
			return
		}
		// A second reading of what a prefix means: by segments.
		whole, part := strings.Split(k.Path, "/"), strings.Split(p.Path, "/")
		covers := (p.Host == "" || p.Host == k.Host) && len(part) <= len(whole) && strings.Join(whole[:len(part)], "/") == p.Path
		if p.Covers(k) != covers {
			t.Fatalf("%q covers %q: %v", p, k, p.Covers(k))
		}
		if p.Host == "" {
			p.Host = k.Host
			if p.Host == "" {
				return
			}
		}
		own, ok := p.Key()
		queries, _ := p.Queries()
		for _, name := range names(k) {
			reached := strings.HasPrefix(name, p.Folder()+"/") || ok && (k.Default() == own || strings.HasPrefix(name, queries))
			if reached != p.Covers(k) {
				t.Fatalf("%q covers %q: %v; dropping it reaches %q: %v", p, k, p.Covers(k), name, reached)
			}
		}
	})
}
