//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A suite runs cases, one after another, in one world as long as nothing goes wrong in it.
type suite struct {
	t       *testing.T
	program string
	env     []string
	w       *world
}

// casesPerWorld bounds the use of a folder: how many calls a change takes depends on how much there is.
const casesPerWorld = 60

func newSuite(t *testing.T, program func() (string, error), env ...string) *suite {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{t: t, program: path, env: env}
	t.Cleanup(s.leave)
	return s
}

// world returns one in which the program runs.
func (s *suite) world(ctx context.Context) *world {
	if s.w != nil && (s.w.cases >= casesPerWorld || s.w.down()) {
		s.leave()
	}
	if s.w == nil {
		w, err := newWorld(ctx, s.program, s.env...)
		if err != nil {
			s.t.Fatal(err)
		}
		s.w = w
	}
	return s.w
}

// leave ends the world. The next one is new.
func (s *suite) leave() {
	if s.w == nil {
		return
	}
	if err := s.w.close(); err != nil {
		s.t.Error(err)
	}
	s.w = nil
}

// record lists the calls of an operation, as often as seen in several goes; each must end well.
func (s *suite) record(ctx context.Context, op operation) (seen map[call]int) {
	s.t.Helper()
	seen = make(map[call]int)
	for range recordings {
		w := s.world(ctx)
		w.cases++
		if err := op.prepare(ctx, w); err != nil {
			s.t.Fatalf("%s: %v", op.name, err)
		}
		var r recorder
		o, err := op.run(ctx, w, r.on(w))
		if err != nil || !o.ok() {
			s.t.Fatalf("%s, with nothing wrong: %v, %v\n%s", op.name, o, err, w.log.Since(0))
		}
		for nr := range r.strange {
			s.t.Errorf("%s makes the call %d, which this test does not know: does it concern a file? (call_test.go)", op.name, nr)
		}
		for _, c := range r.calls {
			seen[c]++
		}
	}
	return seen
}

// casesOf are all of an operation, in an order that does not depend on chance.
func casesOf(op operation, seen map[call]int) (cases []kase) {
	calls := slices.SortedFunc(maps.Keys(seen), func(a, b call) int { return strings.Compare(a.String(), b.String()) })
	for _, c := range calls {
		for _, k := range kinds {
			if k.of(c) {
				cases = append(cases, kase{op, c, k, 2*seen[c] < recordings})
			}
		}
	}
	return cases
}

// attempts bounds how often an operation is repeated until it makes a call.
const attempts = 4

// try runs a case. met is false if the operation did not make the call.
func (s *suite) try(ctx context.Context, c kase) (j judgement, met bool, log string) {
	for range attempts {
		w := s.world(ctx)
		w.cases++
		mark := w.log.Len()
		if err := c.op.prepare(ctx, w); err != nil {
			s.t.Errorf("%v: before it: %v\n%s", c, err, w.log.Since(mark))
			s.leave()
			continue
		}
		mark = w.log.Len()
		i := &injector{target: c.call, change: c.kind.change}
		o, err := c.op.run(ctx, w, i.on(w))
		if err != nil {
			s.t.Fatalf("%v: %v", c, err)
		}
		if !i.met {
			if !o.ok() {
				s.t.Errorf("%v: the call was not made, and the operation failed: %v\n%s", c, o, w.log.Since(mark))
				s.leave()
			}
			continue
		}
		j = w.judge(ctx, c, o, mark)
		log = w.log.Since(mark)
		if len(j.wrong) > 0 {
			s.leave()
		}
		return j, true, log
	}
	return judgement{}, false, ""
}

// A tally is what became of an operation's cases.
type tally struct {
	calls, rare int
	cases, met  map[string]int // by kind
	steady      int            // cases of calls that are not rare
	unsteady    int            // of those, cases that were not met
	results     map[string]int
	bad         int
	unmet       []string
	took        time.Duration
}

// TestEveryCall has each call of each operation go wrong in each way; the short form, a sample of them.
func TestEveryCall(t *testing.T) {
	r := choices(t)
	ctx := t.Context()
	tallies := make(map[string]*tally)
	ran := false
	for _, op := range operations {
		if *oneCase != "" && !strings.HasPrefix(*oneCase, op.name+" ") || *only != "" && *only != op.name {
			continue
		}
		s := newSuite(t, right)
		seen := s.record(ctx, op)
		cases := casesOf(op, seen)
		y := &tally{calls: len(seen), cases: map[string]int{}, met: map[string]int{}, results: map[string]int{}}
		tallies[op.name] = y
		for _, n := range seen {
			if 2*n < recordings {
				y.rare++
			}
		}
		if *verbose {
			for _, c := range slices.SortedFunc(maps.Keys(seen), func(a, b call) int { return strings.Compare(a.String(), b.String()) }) {
				t.Logf("%s: %v (%d of %d)", op.name, c, seen[c], recordings)
			}
		}
		began := time.Now()
		for _, c := range choose(r, cases) {
			ran = true
			y.run(ctx, s, c)
		}
		y.took = time.Since(began)
		s.leave()
	}
	if !ran {
		t.Fatalf("there is no case %q", *oneCase)
	}
	report(t, tallies)
}

// found are cases that were once wrong.
var found = []kase{
	// The fence lifted, the old pages were served again.
	{op: operationNamed("invalidation"), call: call{"readlinkat", "cache/current", 1}, kind: kindNamed("EIO")},
	// The upload was answered 503 and its file removed; after the kill its row was back.
	{op: operationNamed("upload"), call: call{"fsync", "index.db-wal", 1}, kind: kindNamed("EIO,killed")},
	{op: operationNamed("upload"), call: call{"fsync", "index.db-wal", 1}, kind: kindNamed("happened,killed")},
	// It answered past the cache for good, and did not say so.
	{op: operationNamed("recovery"), call: call{"newfstatat", "cache/dropping", 3}, kind: kindNamed("EIO")},
}

// TestFound runs the cases that found a fault in the program, whatever the sample.
func TestFound(t *testing.T) {
	for _, c := range found {
		t.Run(c.String(), func(t *testing.T) {
			j, met, log := newSuite(t, right).try(t.Context(), c)
			if !met || len(j.wrong) > 0 {
				t.Errorf("met: %v; %q\n%s", met, j.wrong, log)
			}
		})
	}
}

// choose returns the cases to run.
func choose(r *rand.Rand, cases []kase) []kase {
	if *oneCase != "" {
		return slices.DeleteFunc(cases, func(c kase) bool { return c.String() != *oneCase })
	}
	cases = slices.DeleteFunc(cases, func(c kase) bool { return !ofPart(c.String()) })
	r.Shuffle(len(cases), func(a, b int) { cases[a], cases[b] = cases[b], cases[a] }) // so that what was run says something when a run is cut short
	if *most > 0 {
		cases = cases[:min(*most, len(cases))]
	}
	return cases
}

// ofPart reports whether a case is one of those that this run was asked for.
func ofPart(name string) bool {
	var k, n uint32
	if _, err := fmt.Sscanf(*part, "%d/%d", &k, &n); err != nil || k < 1 || k > n {
		panic(fmt.Sprintf("-part=%s: it is K/N, from 1/N to N/N", *part))
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32()%n == k-1
}

func (y *tally) run(ctx context.Context, s *suite, c kase) {
	y.cases[c.kind.name]++
	if !c.rare {
		y.steady++
	}
	began := time.Now()
	j, met, log := s.try(ctx, c)
	if !met {
		y.unmet = append(y.unmet, c.String())
		if !c.rare {
			y.unsteady++
		}
		return
	}
	y.met[c.kind.name]++
	y.results[j.result]++
	if *verbose {
		s.t.Logf("%v: %s in %s", c, j.result, time.Since(began).Round(time.Millisecond))
	}
	if len(j.wrong) > 0 {
		y.bad++
		s.t.Errorf("%v (%s):\n  %s\nlog:\n%s", c, j.result, strings.Join(j.wrong, "\n  "), log)
	}
}

// mostUnmet is the share of cases whose call may not have come, of calls that come in most goes; fewUnmet, how many may
// not in a sample that is too small for shares.
const mostUnmet, fewUnmet = 0.10, 2

func report(t *testing.T, tallies map[string]*tally) {
	t.Helper()
	var b strings.Builder
	for _, op := range operations {
		y := tallies[op.name]
		if y == nil {
			continue
		}
		fmt.Fprintf(&b, "%s: %d calls (%d of them in less than half of the goes), %s\n", op.name, y.calls, y.rare, y.took.Round(time.Second))
		for _, k := range kinds {
			fmt.Fprintf(&b, "    %-14s %5d cases, %5d met\n", k.name, y.cases[k.name], y.met[k.name])
		}
		for _, result := range slices.Sorted(maps.Keys(y.results)) {
			fmt.Fprintf(&b, "    %-14s %5d\n", result, y.results[result])
		}
		fmt.Fprintf(&b, "    %d wrong, %d not met (%d of calls that come in most goes)\n", y.bad, len(y.unmet), y.unsteady)
		for _, c := range y.unmet {
			fmt.Fprintf(&b, "        %s\n", c)
		}
		if y.unsteady > fewUnmet && float64(y.unsteady) > mostUnmet*float64(y.steady) {
			t.Errorf("%s: %d of %d cases of calls that come in most goes were not met", op.name, y.unsteady, y.steady)
		}
	}
	t.Log("\n" + b.String())
}
