//go:build linux && cachesrv_fault && !cachesrv_portable

package cache

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/key"
)

var largerFor = flag.Duration("larger", 10*time.Second, "how long to try random schedules of larger worlds")

// largerKeys are the pages of a larger world: a URL in two variants, and another host.
var largerKeys = []string{"h/a", "h/a#json", "g/a"}

// largerSteps bounds a random schedule. A process that waits for another's lock makes a step each time it looks.
const largerSteps = 20_000

// TestLargerWorlds tries random schedules of worlds of four and five processes of every kind, on three pages, with a crash in
// every second one: for -larger, from -seed. A failure prints the schedule, which TestSchedule runs again.
func TestLargerWorlds(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var seed uint64
	if _, err := fmt.Sscan(flagValue("seed"), &seed); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	begin := time.Now()
	var total largerResult
	for time.Since(begin) < *largerFor {
		if wrong := tryLarger(t, r, *controlFlag, &total); wrong != "" {
			t.Fatalf("seed %d, after %s: %s", seed, total, wrong)
		}
		total.worlds++
	}
	fmt.Printf("larger worlds, seed %d: %s in %s\n", seed, total, time.Since(begin).Round(time.Second))
	if total.crashes == 0 || total.recoveries == 0 || total.hits == 0 {
		t.Error("that shows nothing: no crash, no recovery, or no hit")
	}
}

type largerResult struct{ worlds, schedules, calls, crashes, recoveries, hits int }

func (r largerResult) String() string {
	return fmt.Sprintf("%d worlds, %d schedules, %d calls, %d crashes, %d recoveries, %d hits of fresh readers", r.worlds, r.schedules, r.calls, r.crashes, r.recoveries, r.hits)
}

// schedulesEach is how many schedules are tried in one world, before another is made.
const schedulesEach = 40

func tryLarger(t *testing.T, r *rand.Rand, control string, total *largerResult) (wrong string) {
	name := randomWorld(r)
	kinds, begin, err := parseWorld(name)
	if err != nil {
		t.Fatal(err)
	}
	fault.SetControl(control)
	defer fault.SetControl("")
	w := newWorld(t, kinds, begin)
	w.many(name)
	fault.SetHook(w)
	defer fault.SetHook(nil)
	defer w.close()
	for range schedulesEach {
		w.reset()
		schedule := w.randomSchedule(r, total)
		wrong := w.wrong
		w.end()
		total.schedules++
		if wrong != "" {
			var calls strings.Builder
			runSchedule(t, name, scheduleText(schedule), control, func(format string, a ...any) { fmt.Fprintf(&calls, "\t"+format+"\n", a...) })
			return fmt.Sprintf("%s\ngo test -tags cachesrv_fault ./cache -run '^TestSchedule$' -v -control='%s' -schedule='%s:%s'\n%s", wrong, control, name, scheduleText(schedule), &calls)
		}
	}
	return ""
}

// randomWorld names a world of four or five processes, at least one of them a fill, on random pages. One fence at most: to
// lift one is to lift all. No fill from a source that lags where there is a bare rm: what that drops, nobody can hold back.
func randomWorld(r *rand.Rand) string {
	plain := r.IntN(4) == 0
	words := []string{"fill"}
	for range 3 + r.IntN(2) {
		k := everyKind[r.IntN(len(everyKind))]
		for plain && (k.grace || k == privateKind || k.lags) || !plain && k.plain || k == fenceKind && slices.Contains(words, k.name) {
			k = everyKind[r.IntN(len(everyKind))]
		}
		word := k.name
		if n := r.IntN(2 * len(largerKeys)); k != fenceKind && n > 0 && n < len(largerKeys) && !(plain && n == 1) {
			word += fmt.Sprintf("@%d", n)
		}
		words = append(words, word)
	}
	if plain && !slices.Contains(words, "bare") {
		words[len(words)-1] = "bare"
	}
	return strings.Join(words, ",") + "/" + string([]start{empty, withPage, withTwin}[r.IntN(3)]) + "/many"
}

// many makes it a world of several pages, whose states are not told apart.
func (w *world) many(name string) {
	w.random = true
	w.keys = nil
	for _, text := range largerKeys {
		k, err := key.Parse(text)
		w.must(err)
		w.keys = append(w.keys, k)
	}
	list, _, _ := strings.Cut(name, "/")
	w.pagesOf = nil
	for word := range strings.SplitSeq(list, ",") {
		n := 0
		if _, text, ok := strings.Cut(word, "@"); ok {
			_, err := fmt.Sscan(text, &n)
			w.must(err)
		}
		w.pagesOf = append(w.pagesOf, n)
	}
}

// randomSchedule runs one. Half of them choose evenly at every step, the others let one process run until it is interrupted:
// few interruptions, at random places, find what many do not.
func (w *world) randomSchedule(r *rand.Rand, total *largerResult) (schedule []choice) {
	crashAt := -1
	if r.IntN(2) == 0 {
		crashAt = r.IntN(150)
	}
	even := r.IntN(2) == 0
	now := 0
	for step := range largerSteps {
		var running []int
		for i, p := range w.procs {
			if !p.done {
				running = append(running, i)
			}
		}
		if len(running) == 0 {
			if r.IntN(8) == 0 {
				total.recoveries++
				w.recover()
			}
			return schedule
		}
		if even || !slices.Contains(running, now) || r.IntN(12) == 0 {
			now = running[r.IntN(len(running))]
		}
		c := choice{now, step >= crashAt && crashAt >= 0 && w.crashes > 0 && w.procs[now].moved}
		if c.crash {
			total.crashes++
		}
		wrote := c.crash || w.procs[now].at.mode == fault.Write
		schedule = append(schedule, c)
		w.do(c)
		total.calls++
		if wrote {
			total.hits += w.checkAll()
		}
		if w.wrong != "" {
			return schedule
		}
	}
	w.fail("a schedule of more than %d steps: processes wait for each other", largerSteps)
	return schedule
}

// checkAll is the oracle where there are several pages, and fences. It counts the hits.
func (w *world) checkAll() (hits int) {
	follows := w.follows()
	for i, k := range w.keys {
		if !follows {
			continue
		}
		hit, err := w.fresh.Lookup(k)
		if err == nil {
			hits++
			w.judge("a fresh reader's hit", contentOf(hit.Identity().Bytes), w.finished[i])
			w.fresh.memory.pages.Invalidate(k)
			if w.fenced > 0 {
				w.fail("a hit behind a fence")
			}
		}
		if hit, err := w.fresh.Graced(k); err == nil {
			w.judge("a fresh reader's graced page", contentOf(hit.Identity().Bytes), w.dropped[i])
			if w.fenced > 0 {
				w.fail("a graced page behind a fence")
			}
		}
	}
	for i, k := range w.keys {
		path := filepath.Join(w.dir, "live/pages", k.File().Page())
		c, found := w.read(path)
		if !found {
			continue
		}
		w.judge("the page", c, w.finished[i])
		if w.fenced > 0 {
			w.fail("a page for other servers behind a fence")
		}
		if twin, found := w.read(path + ".gz"); found {
			w.judge("the twin", twin, w.finished[i])
			if twin.version != c.version || !twin.twin {
				w.fail("the twin is of version %d, and its page %d", twin.version, c.version)
			}
		}
	}
	w.fresh.keep.clear()
	return hits
}

// follows reports whether the fresh reader can look without waiting for a process that stands still with the lock of
// generations.
func (w *world) follows() bool {
	if name, err := os.Readlink(filepath.Join(w.dir, "cache/current")); err == nil && name == w.fresh.gen.Load().name {
		return true
	}
	l := flock.New(filepath.Join(w.dir, "cache/generations"))
	defer l.Close()
	free, err := l.TryLock()
	w.must(err)
	return free
}

// resetMany undoes what only larger worlds do: other generations, fences, other folders.
func (w *world) resetMany() {
	for _, mark := range []string{"fenced", "drop", "dropping"} {
		w.must(ignoreGone(unix.Unlink(filepath.Join(w.dir, "cache", mark))))
	}
	if _, err := os.Stat(w.pages()); err != nil {
		w.fresh.keep.round(context.Background()) // a retirement was cut short
	}
	g, err := w.fresh.current(context.Background())
	w.must(err)
	defer g.drop()
	w.must(w.fresh.makeLive())
	if g.name != w.generation {
		w.generation = g.name
		w.must(w.conn.Close())
		w.connect()
	}
	w.must(removeAll(w.pages()))
	w.dirty = true
	for _, s := range append(w.stores, w.fresh) {
		for _, k := range w.keys {
			s.memory.pages.Invalidate(k)
		}
	}
}

// connect opens the inventory for the test's own use.
func (w *world) connect() {
	var err error
	w.conn, err = sqlite.OpenConn(filepath.Join(w.dir, "cache/current/inventory.db"), sqlite.OpenReadWrite|sqlite.OpenWAL)
	w.must(err)
	w.must(sqlitex.ExecuteTransient(w.conn, "PRAGMA synchronous=off", nil))
}

// close frees a world before its test ends.
func (w *world) close() {
	for _, s := range append(w.stores, w.fresh) {
		closeWorldStore(s)
	}
	_ = w.conn.Close()
	if err := os.RemoveAll(w.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Error(err)
	}
}
