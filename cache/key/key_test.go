package key_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/cache/key"
)

func TestPath(t *testing.T) {
	long := "/" + strings.Repeat("a", key.MaxPath)
	for _, c := range []struct {
		in, want string
		err      error
	}{
		{"/", "/", nil},
		{"/a/b", "/a/b", nil},
		{"/%61", "/a", nil},
		{"/caf%c3%a9", "/caf%C3%A9", nil},
		{"/café", "/caf%C3%A9", nil},
		{"/cafe%CC%81", "/cafe%CC%81", nil}, // NFD is another key
		{"/%c0%af", "/%C0%AF", nil},         // overlong UTF-8 is bytes
		{"/a%40b", "/a@b", nil},
		{"/a b", "/a%20b", nil},
		{"/a%3fb", "/a%3Fb", nil},
		{"/a%23b", "/a%23b", nil},
		{"/a%25b", "/a%25b", nil},
		{"//x", "//x", nil},
		{"/a/", "/a/", nil},
		{"/.well-known/x", "/.well-known/x", nil},
		{"/...", "/...", nil},
		{"/a/../b", "", key.ErrInvalid},
		{"/%2e%2e/x", "", key.ErrInvalid},
		{"/.%2E/x", "", key.ErrInvalid},
		{"/./x", "", key.ErrInvalid},
		{"/x/.", "", key.ErrInvalid},
		{"/%00", "", key.ErrInvalid},
		{"/a\x00", "", key.ErrInvalid},
		{"/a\n", "", key.ErrInvalid},
		{"/a#b", "", key.ErrInvalid},
		{"/%zz", "", key.ErrInvalid},
		{"/%4", "", key.ErrInvalid},
		{"a", "", key.ErrInvalid},
		{"", "", key.ErrInvalid},
		{"/a%2fb", "", key.ErrUncacheable},
		{"/..%2fx", "", key.ErrUncacheable},
		{"/a%5cb", "", key.ErrUncacheable},
		{`/a\b`, "", key.ErrUncacheable},
		{"/account%0ax.css", "", key.ErrUncacheable},
		{long, "", key.ErrUncacheable},
		{strings.Repeat("/a", key.MaxSegments+1), "", key.ErrUncacheable},
	} {
		got, err := key.Path(c.in)
		if got != c.want && err == nil || !errors.Is(err, c.err) {
			t.Errorf("Path(%.40q) = %q, %v; want %q, %v", c.in, got, err, c.want, c.err)
		}
	}
}

func TestHost(t *testing.T) {
	for _, c := range []struct {
		in, want string
	}{
		{"Example.ORG", "example.org"},
		{"example.org.", "example.org"},
		{"example.org:80", "example.org"},
		{"example.org:443", "example.org"},
		{"example.org:8443", "example.org:8443"},
		{"127.0.0.1:8080", "127.0.0.1:8080"},
		{"[::1]:8080", "[::1]:8080"},
		{"[::1]", "[::1]"},
		{"a_b", "a_b"},
	} {
		if got, err := key.Host(c.in); got != c.want || err != nil {
			t.Errorf("Host(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "..", ".", "a..b", "a/b", "a b", "a:b", "a:", "[::1", "[]", "[x]", "[:a]", "[1.2.3.4]", "[::1%eth0]", "[::1]]", "h\x00", "é", "\u212aey", "\u0130x", "a:123456", strings.Repeat("a", 256), "a@b", "a%2fb"} {
		if got, err := key.Host(in); !errors.Is(err, key.ErrInvalid) {
			t.Errorf("Host(%q) = %q, %v; want ErrInvalid", in, got, err)
		}
	}
}

func TestQuery(t *testing.T) {
	listed, ignored := []string{"q", "page"}, []string{"utm_*", "fbclid"}
	for _, c := range []struct {
		in, want string
		err      error
	}{
		{"", "", nil},
		{"q=a+b", "q=a%20b", nil},
		{"q=a%20b", "q=a%20b", nil},
		{"q=2&page=1", "page=1&q=2", nil},
		{"q=2&q=1", "q=2&q=1", nil},
		{"q", "q", nil},
		{"q=", "q=", nil},
		{"&&q=1&", "q=1", nil},
		{"utm_source=x&q=1&fbclid=y", "q=1", nil},
		{"%71=1", "q=1", nil},
		{"x=1", "", key.ErrUncacheable},
		{"q=1;page=2", "", key.ErrUncacheable},
		{"q=%zz", "", key.ErrUncacheable},
		{"Q=1", "", key.ErrUncacheable},
		{"q=" + strings.Repeat("x", key.MaxQuery), "", key.ErrUncacheable},
	} {
		got, err := key.Query(c.in, listed, ignored)
		if got != c.want && err == nil || !errors.Is(err, c.err) {
			t.Errorf("Query(%.40q) = %q, %v; want %q, %v", c.in, got, err, c.want, c.err)
		}
	}
}

// TestEveryQuery: with AllQueries the order stays, ignored parameters go, and what servers read in different ways has no page.
func TestEveryQuery(t *testing.T) {
	for in, want := range map[string]string{
		"b=2&a=1&a=0": "b=2&a=1&a=0", "b=x+y&utm_source=z&%61": "b=x%20y&a", "": "", "utm_x": "",
	} {
		got, err := key.Query(in, []string{key.AllQueries}, []string{"utm_*"})
		if got != want || err != nil {
			t.Errorf("Query(%q) = %q, %v; want %q", in, got, err, want)
		}
		k := key.Key{Host: "h", Path: "/", Query: got}
		if again, err := key.Parse(k.String()); again != k || err != nil {
			t.Errorf("%s comes back as %s, %v", k, again, err)
		}
	}
	if _, err := key.Query("a;b", []string{key.AllQueries}, nil); !errors.Is(err, key.ErrUncacheable) {
		t.Errorf("a;b: %v", err)
	}
	k := key.Key{Host: "h", Path: "/", Query: "b=2&a=1&a=0"}
	if got := k.Sorted().Query; got != "a=1&a=0&b=2" {
		t.Errorf("sorted, it is %q", got)
	}
}

func TestParse(t *testing.T) {
	for in, want := range map[string]key.Key{
		"example.org/a?b=2&a=1#json":    {Host: "example.org", Path: "/a", Query: "b=2&a=1", Variant: "json"},
		"http://EXAMPLE.org:80/":        {Host: "example.org", Path: "/"},
		"https://example.org:443/a%62":  {Host: "example.org", Path: "/ab"},
		"http://127.0.0.1:8080/notes/1": {Host: "127.0.0.1:8080", Path: "/notes/1"},
		"/notes/1":                      {Path: "/notes/1"},
		"h//x":                          {Host: "h", Path: "//x"},
	} {
		if got, err := key.Parse(in); got != want || err != nil {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "example.org", "ftp://h/", "h/../x", "h/a#" + strings.Repeat("v", 65), "h/a#a b", "http:///.."} {
		if got, err := key.Parse(in); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", in, got)
		}
	}
}

func TestPrefixCovers(t *testing.T) {
	for _, c := range []struct {
		prefix string
		in     string
		want   bool
	}{
		{"h/a", "h/a", true}, {"h/a", "h/a?x=1", true}, {"h/a", "h/a/", true}, {"h/a", "h/a/b", true}, {"h/a", "h/a#json", true},
		{"h/a", "h/ab", false}, {"h/a", "h/", false}, {"h/a", "g/a", false}, {"h/a/", "h/a", true},
		{"/a", "g/a/b", true}, {"h/", "h/x", true}, {"/", "h/x", true},
		{"h/" + strings.Repeat("a", key.MaxPath-1), "h/" + strings.Repeat("a", key.MaxPath-1), true}, // at the bounds
		{"h" + strings.Repeat("/a", key.MaxSegments), "h" + strings.Repeat("/a", key.MaxSegments), true},
	} {
		p, err := key.ParsePrefix(c.prefix)
		if err != nil {
			t.Fatal(err)
		}
		k, err := key.Parse(c.in)
		if err != nil {
			t.Fatal(err)
		}
		if p.Covers(k) != c.want {
			t.Errorf("%s covers %s: want %v", c.prefix, c.in, c.want)
		}
		if again, err := key.ParsePrefix(p.String()); again != p || err != nil {
			t.Errorf("prefix %q reads back as %q, %v", p, again, err)
		}
	}
}

// TestFileNames fixes the layout: other servers and people's scripts rely on it.
func TestFileNames(t *testing.T) {
	for in, want := range map[string]string{
		"h/":               "h/.page",
		"h/a":              "h/a.page",
		"h/a/":             "h/a/.page",
		"h/a/b":            "h/a/b.page",
		"h//x":             "h/%/x.page",
		"h/a?x=1&y=%20":    "h/a?x=1&y=%20.page",
		"h/a#json":         "h/a.page@/json",
		"h/a#a.gz":         "h/a.page@/a%2Egz",
		"h/index.html":     "h/index.html.page",
		"h/a.tmp":          "h/a.tmp.page",
		"h/a.page":         "h/a.page.page",
		"h/a.page/b":       "h/a%2Epage/b.page",
		"h/a.page.tmp/b":   "h/a%2Epage.tmp/b.page",
		"h/.hidden/.x":     "h/%2Ehidden/%2Ex.page",
		"h/inventory.db":   "h/inventory.db.page",
		"h/a@b":            "h/a%40b.page",
		"h/caf%C3%A9":      "h/caf%C3%A9.page",
		"127.0.0.1:8080/a": "127.0.0.1:8080/a.page",
	} {
		k, err := key.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		f := k.File()
		if f.Page() != want {
			t.Errorf("%s lies at %s, want %s", in, f.Page(), want)
		}
		if k.Variant == "" && f.Claim() != want+".tmp" {
			t.Errorf("%s is claimed at %s", in, f.Claim())
		}
	}
}

func TestLongNames(t *testing.T) {
	a := key.Key{Host: "h", Path: "/" + strings.Repeat("a", 300) + "/" + strings.Repeat("%C3%A9", 100), Query: "q=" + strings.Repeat("x", 300), Variant: strings.Repeat(".", 60)}
	b := a
	b.Path += "b"
	if a.File().Page() == b.File().Page() {
		t.Error("two long keys share a file")
	}
	for name := range strings.SplitSeq(a.File().Page()+".stale", "/") {
		if len(name) > 255 {
			t.Errorf("a name of %d bytes", len(name))
		}
	}
	if got, err := key.ParseFile(a.File().Claim()); !errors.Is(err, key.ErrHashed) || got.Kind != key.KindClaim {
		t.Errorf("a hashed claim reads back as %+v, %v", got, err)
	}
}

// TestNoTwoKeysShareAFile: over random keys, files are unique, and each reads back as its key.
func TestNoTwoKeysShareAFile(t *testing.T) {
	seen := map[string]key.Key{}
	segment := rapid.OneOf(rapid.StringMatching(`[a-c./~%@?]{0,4}`),
		rapid.SampledFrom([]string{"", "index.html", "a.tmp", "a.page", ".page", "a.page@", "a.page.gz", "%", "%2E", ".stale"}))
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + strings.Join(rapid.SliceOfN(rapid.Map(segment, escape), 1, 3).Draw(t, "segments"), "/")
		canonical, err := key.Path(path)
		if err != nil {
			t.Skip(err)
		}
		k := key.Key{Host: "h", Path: canonical, Variant: rapid.SampledFrom([]string{"", "json", "a.gz", "%"}).Draw(t, "variant")}
		if k.Query, err = key.Query(rapid.StringMatching(`(a=[a./]{0,3}(&b)?)?`).Draw(t, "query"), []string{"a", "b"}, nil); err != nil {
			t.Fatal(err)
		}
		f := k.File()
		names := map[string]key.Parsed{
			f.Page():               {Key: k},
			f.Private():            {Key: k, Private: true},
			f.Page() + ".stale":    {Key: k, Kind: key.KindStale},
			f.Private() + ".stale": {Key: k, Kind: key.KindStale, Private: true},
			f.Page() + ".gz":       {Key: k, Kind: key.KindTwin, Twin: ".gz"},
			f.Private() + ".br":    {Key: k, Kind: key.KindTwin, Twin: ".br", Private: true},
		}
		for name, parsed := range names {
			if other, ok := seen[name]; ok && other != k {
				t.Fatalf("%v and %v share %s", k, other, name)
			}
			seen[name] = k
			if got, err := key.ParseFile(name); err != nil || got != parsed {
				t.Fatalf("%s reads back as %+v, %v; want %+v", name, got, err, parsed)
			}
		}
		if again, err := key.Parse(k.String()); again != k || err != nil {
			t.Fatalf("%q reads back as %+v, %v", k.String(), again, err)
		}
	})
}

// escape percent-encodes what rapid drew so that it stands for itself in a path.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte("%?/", s[i]) >= 0 {
			b.WriteString("%" + string("0123456789ABCDEF"[s[i]>>4]) + string("0123456789ABCDEF"[s[i]&15]))
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func FuzzKeyToFile(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/%2e", "/a.page/x", "//", "/a@b", "/%25", "/" + strings.Repeat("x", 200), "/é"} {
		f.Add(s, "a=1", "json")
	}
	f.Fuzz(func(t *testing.T, path, query, variant string) {
		k := key.Key{Host: "h", Variant: variant}
		var err error
		if k.Path, err = key.Path(path); err != nil {
			t.Skip()
		}
		if again, err := key.Path(k.Path); again != k.Path || err != nil {
			t.Fatalf("%q is not canonical: %q, %v", k.Path, again, err)
		}
		if k.Query, err = key.Query(query, []string{"a", "b"}, []string{"u*"}); err != nil {
			t.Skip()
		}
		if again, err := key.Parse(k.String()); err != nil || again != k {
			t.Skip() // the variant is none
		}
		page := k.File().Page()
		for name := range strings.SplitSeq(page, "/") {
			if name == "" || name == "." || name == ".." || len(name) > 244 || strings.Contains(name, "\x00") {
				t.Fatalf("%+v lies at %q", k, page)
			}
		}
		got, err := key.ParseFile(page)
		if errors.Is(err, key.ErrHashed) {
			return
		}
		if want := (key.Parsed{Key: k}); err != nil || got != want {
			t.Fatalf("%q reads back as %+v, %v; want %+v", page, got, err, want)
		}
	})
}

func FuzzFileToKey(f *testing.F) {
	for _, s := range []string{"h/.page", "h/a.page.tmp", "h/a.page@/json.gz", "h/%/x.page", "h/a?b.page", "h/%2E.page", "h/a.page!", "h/a.page!.gz", "h/a.page@/json!.stale"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := key.ParseFile(name)
		if err != nil {
			return
		}
		page := got.Key.File().Page()
		if got.Private {
			page = got.Key.File().Private()
		}
		want := map[key.Kind]string{
			key.KindPage: page, key.KindClaim: got.Key.File().Claim(), key.KindStale: page + key.StaleSuffix, key.KindTwin: page + got.Twin,
		}[got.Kind]
		if want != name {
			t.Fatalf("%q reads as %+v, which lies at %q", name, got, want)
		}
	})
}
