package cache

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// bare is a Store that has a folder and nothing else: enough for its small files.
func bare(t testing.TB) *Store {
	t.Helper()
	s := &Store{dir: t.TempDir(), log: slog.New(slog.DiscardHandler), o: Options{}.withDefaults()}
	if err := os.Mkdir(s.path(""), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.at, err = sys.OpenDir(fault.CacheOpen, s.path("")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.at.Close() })
	return s
}

func (s *Store) put(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(s.path(name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzFormat: a format file that is not whole is refused, never half believed; and what this program writes it reads
// back, wherever the live link lies.
func FuzzFormat(f *testing.F) {
	for _, s := range []string{"", "cachesrv-cache: 1\nplain: false\nlive: /run/x\n", "cachesrv-cache: 1\n", "cachesrv-cache: 2\nlive: /x\n", "- 1", "{", "cachesrv-cache: 1\nlive: [/x]\n", "\x00\x00", "cachesrv-cache: 1\nlive: /x\n---\nlive: /y\n"} {
		f.Add([]byte(s), "/run/cachesrv/0123456789ab")
	}
	for _, live := range []string{"/a: b", "/a #b", "/'", "/\"\\", "/a\nb: c", "/\t", "/\xff", "/\u2028", "/{{", "/a ", "/%", "/&a", "/é"} {
		f.Add([]byte("live: /x"), live)
	}
	s := bare(f)
	f.Fuzz(func(t *testing.T, raw []byte, live string) {
		s.put(t, "format", raw)
		if got, fresh, err := s.readFormat(); fresh || err == nil && (got.Version != formatVersion || got.Live == "") || err != nil && !errors.Is(err, ErrIncompatible) {
			t.Fatalf("%q is read as %+v, %v, %v", raw, got, fresh, err)
		}
		if !filepath.IsAbs(live) || strings.Contains(live, "\x00") {
			return
		}
		for _, want := range []format{{formatVersion, false, live, 0}, {formatVersion, true, live, 90 * time.Second}} {
			b, err := want.text()
			if err != nil {
				continue // refused when the folder is made
			}
			s.put(t, "format", b)
			if got, _, err := s.readFormat(); err != nil || got != want {
				t.Fatalf("%+v is written as %q and read as %+v, %v", want, b, got, err)
			}
		}
	})
}

// FuzzWithheld: what is withheld is withheld until it is released, and nothing else is; a file that can't be what this
// program has written withholds everything.
func FuzzWithheld(f *testing.F) {
	f.Add([]byte(`{"id":"pgx:db:1 x","tags":["a"]}`), "note:1", "h/a?x=1", "h/b")
	f.Add([]byte(`{}`), "\xff", "/a", "/")
	f.Add([]byte(`null`), "ä", "h/a#json", "h/a/")
	f.Add([]byte(`{"id":"id","keys":["not a key"]}`), "<&>", "h//x", "/a")
	f.Add([]byte{}, "a\"b", "h/%C3%A9", "h/%C3%A9")
	f.Add([]byte("{\"id\":\"id\"}\x00\x00"), "a", "h/a", "h/b")
	s := bare(f)
	f.Fuzz(func(t *testing.T, raw []byte, tag, keyText, prefixText string) {
		const id = "id"
		elsewhere := Key{Host: "nobody.example", Path: "/nothing"}
		held := func(k Key, tags ...string) bool {
			t.Helper()
			held, err := s.withheldFor(k, tags)
			if err != nil {
				t.Fatal(err)
			}
			return held
		}
		if err := os.Mkdir(s.path("withheld"), 0o755); err != nil {
			t.Fatal(err)
		}
		s.put(t, "withheld/"+withheldName(id), raw)
		all, err := s.readWithheld()
		if err != nil || len(all) != 1 || !all[0].All && all[0].ID != id {
			t.Fatalf("%q is read as %+v, %v", raw, all, err)
		}
		if all[0].All != held(elsewhere) && len(all[0].Keys)+len(all[0].Prefixes) == 0 {
			t.Fatalf("%q: elsewhere withheld: %v", raw, held(elsewhere))
		}
		if err := s.Release(context.Background(), all[0].ID); err != nil || held(elsewhere, "a") {
			t.Fatalf("%q can't be released: %v", raw, err)
		}

		sel := Selection{}
		k, keyErr := key.Parse(keyText)
		if keyErr == nil {
			sel.Keys = []Key{k}
		}
		p, prefixErr := key.ParsePrefix(prefixText)
		if prefixErr == nil {
			sel.Prefixes = []key.Prefix{p}
		}
		if CheckTag(tag) == nil {
			sel.Tags = []string{tag}
		}
		if sel.check() != nil {
			t.Fatalf("%+v is not what Invalidate takes", sel)
		}
		if err := s.Withhold(context.Background(), tag, sel); err != nil {
			t.Fatal(err)
		}
		if ids, err := s.Withheld(context.Background()); err != nil || !slices.Equal(ids, []string{tag}) && sel.Tags != nil {
			t.Fatalf("withheld as %q, %v", ids, err)
		}
		if sel.Tags != nil && !held(elsewhere, "other", tag) {
			t.Fatalf("the tag %q is not withheld", tag)
		}
		page := k
		if page.Host == "" {
			page.Host = elsewhere.Host
		}
		if keyErr == nil && !held(page) {
			t.Fatalf("%q is not withheld", k)
		}
		covered := Key{Host: p.Host, Path: p.Path + "/x"}
		if prefixErr == nil && !held(covered) {
			t.Fatalf("%q is not withheld below %q", covered, p)
		}
		if sel.Tags != nil && held(elsewhere, "other") && !(prefixErr == nil && p.Covers(elsewhere)) && !(keyErr == nil && sameURL(k, elsewhere)) {
			t.Fatalf("%+v withholds %q", sel, elsewhere)
		}
		if ids, _ := s.Withheld(context.Background()); len(ids) == 1 {
			if err := s.Release(context.Background(), ids[0]); err != nil || held(page) || held(elsewhere, tag) {
				t.Fatalf("still withheld, %v", err)
			}
		}
	})
}

// FuzzStoredHeader: headers come back from a row of the inventory as they were given; and no row, whatever became of it,
// gives headers that could end a line.
func FuzzStoredHeader(f *testing.F) {
	for _, s := range []string{"", "Link: <a>\r\nLink: <b>\r\n", "A: b\n c\r\n", "A\r\n", ": x\r\n", "A: \x00\r\n", "A:b\r\n\r\nC: d\r\n", "A: b", "A: b\rC: d\r\n", "a b: c\r\n"} {
		f.Add(s, "X-Note", "a", " ")
	}
	f.Add("", "link", "<a>; rel=x", "é\xff")
	f.Add("", "Content-Type", PlainContentType, "\t,")
	s := &Store{o: Options{}.withDefaults()}
	f.Fuzz(func(t *testing.T, raw, name, value1, value2 string) {
		if h, err := parseHeader(raw); err == nil {
			for name, values := range h {
				if strings.Contains(name, ":") || !validValue(name) ||
					slices.ContainsFunc(values, func(v string) bool { return !validValue(v) }) {
					t.Fatalf("%q is read as %q", raw, h)
				}
			}
		}
		h := http.Header{}
		for _, v := range []string{value1, value2} {
			if v = strings.TrimSpace(v); validValue(v) {
				h.Add(name, v)
			}
		}
		m := Meta{Header: h}
		text, err := (&Fill{s: s}).check(m)
		if err != nil || !isToken(name) || textproto.CanonicalMIMEHeaderKey(name) == "" || len(h) == 0 {
			return
		}
		if got, err := parseHeader(text); err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("%q is written as %q and read as %q, %v", h, text, got, err)
		}
	})
}

// validValue is what package render lets into a page.
func validValue(v string) bool {
	return !strings.ContainsFunc(v, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}
