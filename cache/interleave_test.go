package cache_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
)

var (
	seed  = flag.Uint64("seed", 1, "of sampled schedules")
	every = flag.Bool("every", false, "run every schedule of the large worlds, not a sample")
)

// A world is a set of actors over one page and one datum. Each actor is a list of steps; a schedule is an order of all
// steps that keeps each actor's own. After a schedule, and after each of its steps, nothing older than the last
// finished invalidation may be served.
type world struct {
	t         *testing.T
	s         *cache.Store
	dir       string
	version   int // of the datum
	finished  int // the version whose invalidation has finished last
	published bool
}

type actor func(w *world) []func()

// filler claims, reads, publishes. One that can't claim does nothing more: it answers dynamically.
func filler(w *world) []func() {
	var f *cache.Fill
	read := 0
	return []func(){
		func() { f, _ = w.s.Claim(w.t.Context(), mustKey(w.t, "h/d/a")) },
		func() { read = w.version },
		func() {
			if f != nil && publish(f, fmt.Sprint(read), "tag:a") == nil {
				w.published = true
			}
		},
	}
}

// wrongFiller reads before it claims: the control.
func wrongFiller(w *world) []func() {
	steps := filler(w)
	return []func(){steps[1], steps[0], steps[2]}
}

// invalidator commits, then invalidates.
func invalidator(sel func(t testing.TB) cache.Selection) actor {
	return func(w *world) []func() {
		mine := 0
		return []func(){
			func() { w.version++; mine = w.version },
			func() {
				invalidate(w.t, w.s, sel(w.t))
				w.finished = max(w.finished, mine)
			},
		}
	}
}

// remover commits, then unlinks the claim and the page with two bare calls.
func remover(w *world) []func() {
	page := filepath.Join(w.dir, "cache/current/pages/h/d/a.page")
	mine := 0
	return []func(){
		func() { w.version++; mine = w.version },
		func() { os.Remove(page + ".tmp") },
		func() {
			os.Remove(page)
			w.finished = max(w.finished, mine)
		},
	}
}

// wrongRemover unlinks the page first: the control.
func wrongRemover(w *world) []func() {
	page := filepath.Join(w.dir, "cache/current/pages/h/d/a.page")
	mine := 0
	return []func(){
		func() { w.version++; mine = w.version },
		func() { os.Remove(page) },
		func() {
			os.Remove(page + ".tmp")
			w.finished = max(w.finished, mine)
		},
	}
}

// hastyRemover unlinks before the change is visible: the control.
func hastyRemover(w *world) []func() {
	steps := remover(w)
	return []func(){steps[1], func() { os.Remove(filepath.Join(w.dir, "cache/current/pages/h/d/a.page")) }, func() {
		w.version++
		w.finished = w.version
	}}
}

func keySelection(t testing.TB) cache.Selection    { return byKey(t, "h/d/a") }
func tagSelection(testing.TB) cache.Selection      { return byTag("tag:a") }
func prefixSelection(t testing.TB) cache.Selection { return byPrefix(t, "h/d") }
func allSelection(testing.TB) cache.Selection      { return cache.Selection{All: true} }

// run runs one schedule: the numbers of the actors in the order in which they move. It returns what was served
// wrongly, if anything.
func (w *world) run(actors []actor, schedule []int) (wrong string) {
	w.version, w.finished = 0, 0
	steps := make([][]func(), len(actors))
	for i, a := range actors {
		steps[i] = a(w)
	}
	for _, i := range schedule {
		steps[i][0]()
		steps[i] = steps[i][1:]
		if got := read(w.t, w.s, "h/d/a"); got != "" && got < fmt.Sprint(w.finished) {
			wrong = fmt.Sprintf("served version %s when %d was invalidated", got, w.finished)
		}
	}
	invalidate(w.t, w.s, byKey(w.t, "h/d/a"))
	return wrong
}

// schedules calls f for every order of the actors' steps. Of actors that are alike, the first moves first: the other
// orders only exchange their names.
func schedules(actors []actor, alike [][2]int, f func([]int) bool) {
	left := make([]int, len(actors))
	for i, a := range actors {
		left[i] = len(a(&world{}))
	}
	started := make([]bool, len(actors))
	var order []int
	var visit func() bool
	visit = func() bool {
		done := true
		for i := range left {
			if left[i] == 0 {
				continue
			}
			done = false
			skip := false
			for _, pair := range alike {
				skip = skip || pair[1] == i && !started[pair[0]]
			}
			if skip {
				continue
			}
			was := started[i]
			started[i] = true
			left[i]--
			order = append(order, i)
			ok := visit()
			order = order[:len(order)-1]
			left[i]++
			started[i] = was
			if !ok {
				return false
			}
		}
		return !done || f(order)
	}
	visit()
}

// TestEveryInterleaving: the PyPI list's "two writers and two invalidators in every interleaving". The worlds of four
// are sampled here and run whole with -every (make soak).
func TestEveryInterleaving(t *testing.T) {
	key, tag, prefix, all := invalidator(keySelection), invalidator(tagSelection), invalidator(prefixSelection), invalidator(allSelection)
	for _, c := range []struct {
		name   string
		actors []actor
		alike  [][2]int
		plain  bool
		wrong  bool // a control: some schedule must be found to fail
	}{
		{"two fills, key", []actor{filler, filler, key}, [][2]int{{0, 1}}, false, false},
		{"two fills, tag", []actor{filler, filler, tag}, [][2]int{{0, 1}}, false, false},
		{"two fills, prefix", []actor{filler, filler, prefix}, [][2]int{{0, 1}}, false, false},
		{"two fills, all", []actor{filler, filler, all}, [][2]int{{0, 1}}, false, false},
		{"two fills, rm", []actor{filler, filler, remover}, [][2]int{{0, 1}}, true, false},
		{"fill, rm, rm", []actor{filler, remover, remover}, [][2]int{{1, 2}}, true, false},
		{"fill, key, tag", []actor{filler, key, tag}, nil, false, false},
		{"two fills, two keys", []actor{filler, filler, key, key}, [][2]int{{0, 1}, {2, 3}}, false, false},
		{"two fills, key and tag", []actor{filler, filler, key, tag}, [][2]int{{0, 1}}, false, false},
		{"two fills, tag and prefix", []actor{filler, filler, tag, prefix}, [][2]int{{0, 1}}, false, false},
		{"two fills, two rms", []actor{filler, filler, remover, remover}, [][2]int{{0, 1}, {2, 3}}, true, false},
		{"control: read before claim", []actor{wrongFiller, filler, key}, nil, false, true},
		{"control: page before claim", []actor{filler, filler, wrongRemover}, [][2]int{{0, 1}}, true, true},
		{"control: before the commit is visible", []actor{filler, hastyRemover}, nil, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := fastDir(t)
			s := open(t, dir, func(o *cache.Options) { o.Plain = c.plain })
			w := &world{t: t, s: s, dir: dir}
			const sample = 1200
			chance := 1.0
			if total := count(c.actors, c.alike); !*every && total > sample {
				chance = float64(sample) / float64(total)
			}
			r := rand.New(rand.NewPCG(*seed, 0))
			n, found := 0, ""
			schedules(c.actors, c.alike, func(order []int) bool {
				if chance < 1 && r.Float64() > chance {
					return true
				}
				n++
				if wrong := w.run(c.actors, order); wrong != "" {
					found = fmt.Sprintf("schedule %v: %s", order, wrong)
				}
				return found == ""
			})
			switch {
			case c.wrong && found == "":
				t.Errorf("the control was not caught in %d schedules", n)
			case !c.wrong && found != "":
				t.Error(found)
			case !c.wrong && !w.published:
				t.Error("nothing was ever published: the test shows nothing")
			}
			t.Logf("%d schedules (seed %d) %s", n, *seed, found)
		})
	}
}

func count(actors []actor, alike [][2]int) (n int) {
	schedules(actors, alike, func([]int) bool { n++; return true })
	return n
}

// fastDir returns a folder in memory where there is one: it is the order of calls that is tested, not the disk.
func fastDir(t testing.TB) string {
	t.Helper()
	if st, err := os.Stat("/dev/shm"); err != nil || !st.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "cachesrv-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
