package httpcache_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// TestNote: notes say what they said when pages of theirs were stored: old folders hold them.
func TestNote(t *testing.T) {
	for note, want := range map[string]httpcache.Life{
		"":  {Fresh: httpcache.Forever},
		"1": {},
		"1 b1795176000000 f3600000 w1000 i2000 h v m sab yAccept,Foo tCDN-Cache-Control: max-age=1, x": {
			Born: noon, Fresh: hour, WhileRevalidate: time.Second, IfError: 2 * time.Second, Heuristic: true, Validate: true, Must: true,
			Selected: "ab", Vary: []string{"Accept", "Foo"}, Target: "CDN-Cache-Control: max-age=1, x",
		},
		"1 f* sab yFoo": {Fresh: httpcache.Forever, Selected: "ab", Vary: []string{"Foo"}},
	} {
		got, err := httpcache.ParseLife(note)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %v", note, got, err)
		}
		if got := want.Note(); got != note {
			t.Errorf("%+v: %q, want %q", want, got, note)
		}
	}
	for _, note := range []string{
		" ", "2", "2 f1", "1 ", "1  f1", "1 f", "1 f0", "1 f-1", "1 f01", "1 f+1", "1 f1 f1", "1 w1 f1", "1 fx", "1 f99999999999999999999",
		"1 f2147483648001", "1 t", "1 y", "1 x", "1 h1", "1 f*", "f1", "1 b", "1 b1 ", "1 m v", `{"fresh":1}`, "1 h\n",
	} {
		if l, err := httpcache.ParseLife(note); !errors.Is(err, httpcache.ErrNote) {
			t.Errorf("%q: %+v %v", note, l, err)
		}
	}
}

// TestNoteRoundTrip: whatever Judge made comes back from its note, as the same.
func TestNoteRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, p := drawExchange(t), drawPolicy(t)
		v := httpcache.Judge(x, p)
		note := v.Life.Note()
		got, err := httpcache.ParseLife(note)
		if err != nil || strings.ContainsAny(note, "\r\n\t\x00") {
			t.Fatalf("%q: %v", note, err)
		}
		if v.Why == "" && !reflect.DeepEqual(got, v.Life) {
			t.Fatalf("%q:\n%+v\n%+v", note, got, v.Life)
		}
	})
}

// FuzzParseLife: what is read is written again as it was.
func FuzzParseLife(f *testing.F) {
	for _, note := range []string{"", "1", "1 b1795176000000 f3600000 w1000 i2000 h v m sab yAccept,Foo tCDN-Cache-Control: x", "1 f* sab yFoo", "1 b-5 f1"} {
		f.Add(note)
	}
	f.Fuzz(func(t *testing.T, note string) {
		l, err := httpcache.ParseLife(note)
		if err == nil && l.Note() != note || err != nil && !errors.Is(err, httpcache.ErrNote) {
			t.Fatalf("%q: %+v %v", note, l, err)
		}
		if err == nil && (l.Fresh < 0 || l.WhileRevalidate < 0 || l.IfError < 0) {
			t.Fatalf("%+v", l)
		}
	})
}

func BenchmarkParseLife(b *testing.B) {
	note := httpcache.Judge(exchange(200, "Cache-Control: max-age=60, stale-while-revalidate=9", "Vary: Accept-Language, Cookie"), httpcache.Policy{}).Life.Note()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := httpcache.ParseLife(note); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFreshAt is what each hit asks. It must not allocate: TestHitAllocates.
func BenchmarkFreshAt(b *testing.B) {
	l := httpcache.Life{Born: noon, Fresh: time.Hour}
	now := noon.Add(time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		if !l.FreshAt(now) || l.Age(now) != time.Minute || !l.Selects(nil) {
			b.Fatal("not fresh")
		}
	}
}

func BenchmarkSelects(b *testing.B) {
	h := header("Accept-Language: de-AT,de;q=0.9,en;q=0.8", "User-Agent: x")
	vary := []string{"Accept-Language"}
	l := httpcache.Life{Vary: vary, Selected: httpcache.Select(vary, h)}
	b.ReportAllocs()
	for b.Loop() {
		if !l.Selects(h) {
			b.Fatal("not selected")
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	x := exchange(200, "Cache-Control: public, max-age=60", "Content-Type: text/html", etag, "Date: "+at(0), "Vary: Accept-Encoding")
	b.ReportAllocs()
	for b.Loop() {
		if v := httpcache.Judge(x, httpcache.Policy{}); v.Why != "" {
			b.Fatal(v.Why)
		}
	}
}

// TestHitAllocates: the questions of a hit cost no memory.
func TestHitAllocates(t *testing.T) {
	l := httpcache.Life{Born: noon, Fresh: time.Hour, WhileRevalidate: time.Hour, IfError: time.Hour}
	now, h := noon.Add(90*time.Minute), header("A: b")
	if n := testing.AllocsPerRun(100, func() {
		_ = l.FreshAt(now) || l.MayServeWhileRevalidating(now) && l.MayServeOnError(now) && l.Selects(h) && l.Age(now) > l.Left(now)
		_ = httpcache.Demand{}.Accepts(l, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
