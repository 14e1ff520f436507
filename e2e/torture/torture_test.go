package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// quick is a load that sees every violation within a moment.
func quick(seed uint64) Load {
	return Load{
		Seed: seed, Duration: 1500 * time.Millisecond, Pages: 8, Size: 3000, Readers: 12, Committers: 2, Rate: 200,
		Pause: time.Millisecond, Silence: 20 * time.Millisecond,
	}
}

func torture(t *testing.T, w wrong, fault Fault) *Report {
	t.Helper()
	load := quick(7)
	f := newFake(Site{Host: "fake.test", Pages: load.Pages, Size: load.Size, Extra: true}, w)
	defer func() { _ = f.Kill() }()
	r, err := Run(t.Context(), Config{
		Load: load, Target: f, Commit: byFake{f}, Source: f, Site: f.site, Fault: fault,
		UntilViolated: w.lose == 0 && !w.etagOnce,
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	t.Log(b.String())
	return r
}

type byFake struct{ *fake }

func (byFake) String() string { return "call" }

// The right fake passes, and has seen every way of reading.
func TestRight(t *testing.T) {
	r := torture(t, wrong{}, nil)
	if err := r.Verdict(); err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]int64{
		"hits": r.Hits, "misses": r.Misses, "304s": r.NotModified, "206s": r.Parts, "encoded answers": r.Encoded, "HEADs": r.Heads, "commits": r.Commits,
	} {
		if n == 0 {
			t.Errorf("the run had no %s", what)
		}
	}
	if r.Verified != int64(r.Load.Pages) {
		t.Errorf("%d of %d pages were verified", r.Verified, r.Load.Pages)
	}
}

// Every way of being wrong is found, as what it is.
func TestWrong(t *testing.T) {
	isTorn := func(r *Report) int64 { return r.Torn }
	isStale := func(r *Report) int64 { return r.Stale }
	tests := []struct {
		name string
		wrong
		found func(*Report) int64
		as    string // in an example
	}{
		{"publishes without a claim", wrong{publishAlways: true}, isStale, "after the invalidation of"},
		{"keeps twins", wrong{keepTwins: true}, isStale, "Accept-Encoding: gzip"},
		{"304 for an older version", wrong{etagOnce: true}, isStale, "If-None-Match"},
		// Torn, if its headers are of two versions; stale, if what they agree on was invalidated before. A run ends with the first.
		{"HEAD of an older version", wrong{headOld: true}, func(r *Report) int64 { return r.Torn + r.Stale }, "HEAD"},
		{"a part of another version than If-Range names", wrong{partOld: true}, isTorn, "is answered with a part of version"},
		{"loses invalidations", wrong{lose: 60}, isStale, ""},
		{"leaves pages old", wrong{lose: 60}, func(r *Report) int64 { return r.Survivors }, "in silence"},
		{"shows what was never committed", wrong{ahead: true}, func(r *Report) int64 { return r.Phantoms }, "has only"},
		{"fails", wrong{fail: true}, func(r *Report) int64 { return r.Failures }, "status 500"},
		{"never stores", wrong{never: true}, func(r *Report) int64 { return r.Uncacheable }, "was a hit"},
		{"ends with an older version", wrong{tear: func(a, older *fakeAnswer) {
			a.body = append(a.body[:2000:2000], older.body[2000:]...)
		}}, isTorn, "begins as version"},
		{"changes one byte", wrong{tear: func(a, _ *fakeAnswer) { a.body[2999] ^= 1 }}, isTorn, "at byte 2999"},
		{"is cut short", wrong{tear: func(a, _ *fakeAnswer) { a.body = a.body[:2048] }}, isTorn, "2048 bytes instead of 3000"},
		{"is empty", wrong{tear: func(a, _ *fakeAnswer) { a.body = nil }}, isTorn, "0 bytes instead of 3000"},
		{"is another page's body", wrong{tear: func(a, _ *fakeAnswer) {
			a.body = bytes.ReplaceAll(a.body, []byte("page 000"), []byte("page 001"))
		}}, isTorn, "the body of page"},
		{"has an older version's headers", wrong{tear: func(a, older *fakeAnswer) {
			if v := a.header.Get(ExtraHeader); v != "" {
				a.header.Set(ExtraHeader, strings.Replace(v, fmt.Sprintf("%010d", a.version), fmt.Sprintf("%010d", older.version), 1))
			}
		}}, isTorn, "X-Torture says"},
		{"has another page's headers", wrong{tear: func(a, _ *fakeAnswer) { a.header.Del(ExtraHeader) }}, isTorn, "X-Torture says"},
		{"has another page's type", wrong{tear: func(a, _ *fakeAnswer) { a.header.Set("Content-Type", "image/png") }}, isTorn, "Content-Type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := torture(t, tt.wrong, nil)
			if tt.found(r) == 0 {
				t.Errorf("not found: %v", r.Verdict())
			}
			if err := r.Verdict(); !errors.Is(err, ErrFailed) {
				t.Errorf("the verdict is %v", err)
			}
			if !strings.Contains(strings.Join(r.Examples, "\n"), tt.as) {
				t.Errorf("no example with %q:\n%s", tt.as, strings.Join(r.Examples, "\n"))
			}
		})
	}
}

// A fault excuses requests that fail, and nothing else: what a crash lost is found.
func TestKillAtRandom(t *testing.T) {
	kills := KillAtRandom{Kills: 3, Every: 50 * time.Millisecond}
	r := torture(t, wrong{}, kills)
	if err := r.Verdict(); err != nil || r.Kills != 3 || r.Verified != 4*int64(r.Load.Pages) {
		t.Errorf("%d kills, %d pages verified: %v", r.Kills, r.Verified, err)
	}
	if r := torture(t, wrong{forget: true}, kills); r.Survivors == 0 {
		t.Errorf("what the crash lost was not found: %v", r.Verdict())
	}
}

// A fault that the end of the load, or a violation, finds at work is allowed to finish.
func TestKillWhenTheLoadEnds(t *testing.T) {
	load := quick(7)
	for _, load.Duration = range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond} {
		f := newFake(Site{Host: "fake.test", Pages: load.Pages, Size: load.Size}, wrong{})
		r, err := Run(t.Context(), Config{
			Load: load, Target: f, Commit: byFake{f}, Source: f, Site: f.site, Fault: KillAtRandom{Every: time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Violations() > 0 || r.Kills == 0 || r.Verified != (r.Kills+1)*int64(load.Pages) {
			t.Errorf("%d kills, %d pages verified: %v", r.Kills, r.Verified, r.Verdict())
		}
		_ = f.Kill()
	}
}

// A fault whose kills don't fit into the load is an error, not a success.
func TestTooFewKills(t *testing.T) {
	f := newFake(Site{Host: "fake.test", Pages: 8, Size: 3000}, wrong{})
	defer func() { _ = f.Kill() }()
	_, err := Run(t.Context(), Config{
		Load: quick(7), Target: f, Commit: byFake{f}, Source: f, Site: f.site,
		Fault: KillAtRandom{Kills: 1000, Every: 100 * time.Millisecond},
	})
	if err == nil || !strings.Contains(err.Error(), "kills when the load ended") {
		t.Errorf("the error is %v", err)
	}
}

// A run that saw nothing proves nothing.
func TestNothing(t *testing.T) {
	load := quick(7)
	load.Rate = 0.001
	f := newFake(Site{Host: "fake.test", Pages: load.Pages, Size: load.Size}, wrong{})
	defer func() { _ = f.Kill() }()
	r, err := Run(t.Context(), Config{Load: load, Target: f, Commit: byFake{f}, Source: f, Site: f.site})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verdict(); err == nil || !strings.Contains(err.Error(), "proves nothing") {
		t.Errorf("without a commit, the verdict is %v", err)
	}
}

// What the database can't say can't be verified.
func TestNoSource(t *testing.T) {
	f := newFake(Site{Host: "fake.test", Pages: 8, Size: 3000}, wrong{})
	defer func() { _ = f.Kill() }()
	_, err := Run(t.Context(), Config{Load: quick(7), Target: f, Commit: byFake{f}, Source: noSource{}, Site: f.site})
	if !errors.Is(err, errNoSource) {
		t.Errorf("the error is %v", err)
	}
}

type noSource struct{}

var errNoSource = errors.New("gone")

func (noSource) Versions(context.Context) ([]int64, error) { return nil, errNoSource }

func TestCacheStatus(t *testing.T) {
	for value, want := range map[string]From{
		"":                                    Bypass,
		"cachesrv; hit":                       Hit,
		"cachesrv;hit;ttl=30":                 Hit,
		"cachesrv; hit, nginx; fwd=miss":      Hit,
		"cachesrv; fwd=miss; stored":          Miss,
		"cachesrv; fwd=uri-miss;detail=x":     Miss,
		"cachesrv; fwd=stale; fwd-status=200": Miss,
		"cachesrv; fwd=miss; collapsed":       Collapsed,
		"cachesrv; hit; collapsed":            Collapsed,
		"cachesrv; fwd=bypass; detail=hit":    Bypass,
		"cachesrv; fwd=method":                Bypass,
	} {
		if got := from(map[string][]string{"Cache-Status": {value}}); got != want {
			t.Errorf("%q is a %s, not a %s", value, got, want)
		}
	}
}

func TestSiteBody(t *testing.T) {
	s := Site{Pages: 64, Size: 15_000}
	for _, version := range []int64{1, 2, math.MaxInt32} {
		for _, page := range []int{0, 63} {
			body := s.Body(page, version)
			if len(body) != s.Size {
				t.Fatalf("%d bytes", len(body))
			}
			if got, err := s.Read(page, body); err != nil || got != version {
				t.Errorf("page %d version %d is read as %d, %v", page, version, got, err)
			}
		}
	}
}

// A part tells its version wherever it begins and ends, and whether it is all of that version.
func TestReadPart(t *testing.T) {
	s := Site{Pages: 64, Size: 3000}
	body, other := s.Body(7, 12), s.Body(7, 13)
	for first := 0; first+minPart <= len(body); first += 11 { // 57 bytes to the line, so that it begins everywhere
		for _, length := range []int{minPart, minPart + 1, 500} {
			part := body[first:min(len(body), first+length)]
			if got, err := s.ReadPart(7, first, part); err != nil || got != 12 {
				t.Fatalf("%d bytes from %d are read as version %d, %v", len(part), first, got, err)
			}
			mixed := append(part[:len(part)-20:len(part)-20], other[first+len(part)-20:][:20]...)
			if _, err := s.ReadPart(7, first, mixed); !errors.Is(err, ErrTorn) && !bytes.Equal(mixed, part) {
				t.Fatalf("a mixture of %d bytes from %d: %v", len(part), first, err)
			}
			if _, err := s.ReadPart(8, first, part); !errors.Is(err, ErrTorn) {
				t.Fatalf("another page's: %v", err)
			}
		}
	}
	if _, err := s.ReadPart(7, 5, body[5:50]); !errors.Is(err, ErrTorn) {
		t.Errorf("too short: %v", err)
	}
}

func TestPercentiles(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	p := h.percentiles()
	for _, c := range []struct{ got, want float64 }{{p.P50, 500}, {p.P99, 990}, {p.P999, 999}, {p.Max, 1000}} {
		if c.got < c.want || c.got > c.want*1.07 {
			t.Errorf("%v ms instead of %v", c.got, c.want)
		}
	}
	h.add(0)
	h.add(time.Hour * 24 * 365)
	if p := h.percentiles(); p.Count != 1002 {
		t.Errorf("%d counted", p.Count)
	}
}

func TestReportJSON(t *testing.T) {
	r := torture(t, wrong{}, nil)
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(b, &again); err != nil || again.Hits != r.Hits || again.Read != r.Read || again.Load != r.Load {
		t.Errorf("the report comes back as %+v, %v", again, err)
	}
}
