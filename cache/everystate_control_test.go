//go:build linux && cachesrv_fault && !cachesrv_portable

package cache

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// TestEveryStateControls breaks the protocol in each way there is, and asserts that the search finds it, in the smallest world
// that shows it. A search that can't find these shows nothing.
func TestEveryStateControls(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, c := range []struct{ control, world, found string }{
		{fault.ClaimAfterRead, "fill,key/empty", "the page is version 0, and 1 was invalidated"},
		{fault.PageBeforeClaim, "fill,key/empty", "the page is version 0, and 1 was invalidated"},
		{fault.PublishByRename, "fill,fill,key/empty", "is torn"},
		{fault.CompareAndRename, "fill,fill,key/empty", "is torn"},
		{fault.CompareAndRename, "fill,fill,bare/empty", "is torn"},
		{fault.TagsUnchecked, "fill,tag/empty", "the page is version 0, and 1 was invalidated"},
		{fault.CounterAfterRead, "fill,tag/empty", "the page is version 0, and 1 was invalidated"},
		{fault.KeepRowsClaim, "fill,tag/empty", "the page is version 0, and 1 was invalidated"},
		{fault.KeepTwins, "fill,bare/twin", "a twin of another publication than the page"},
		{fault.KeepTwins, "fill,key,twin/page", "twin"},
		{fault.ReopenedFolder, "fill,prefix/empty", "the page is version 0, and 1 was invalidated"},
		{fault.HeldFolder, "prefix,reader/page", "a hit is version 0, and 1 was invalidated"},
		{fault.StaleBeforePage, "key,soft,graced/page", "graced page is version 0"},
		{fault.SettleUnnoticed, "lagging,key,tick/empty", "the page is version 0, and 1 was invalidated"},
		{fault.SettleLate, "lagging,key,tick/empty", "the page is version 0, and 1 was invalidated"},
		{fault.SettleAtPublish, "lagging,key,tick/empty", "the page is version 0, and 1 was invalidated"},
		{fault.SettleAtPublish, "lagging,tag,tick/empty", "the page is version 0, and 1 was invalidated"},
		{fault.RowsBeforeUnlinks, "tag/page", "the page is there, and our server has a miss"},
	} {
		t.Run(c.control+" "+c.world, func(t *testing.T) {
			fault.SetControl(c.control)
			defer fault.SetControl("")
			r := explore(t, c.world, limits{200_000, 5 * time.Minute}, true)
			r.Control = c.control
			t.Logf("%s\nfound: %s\n%s", r, r.Failed, r.replay())
			if r.Failed == "" || !strings.Contains(r.Failed, c.found) {
				t.Errorf("not found: %q", r.Failed)
			}
			if again := runSchedule(t, r.World, r.Schedule, c.control, t.Logf); again != r.Failed {
				t.Errorf("its schedule, run again, gives %q", again)
			}
			if mended := runSchedule(t, r.World, r.Schedule, "", func(string, ...any) {}); mended != "" {
				t.Errorf("the protocol as it is fails on it, too: %s", mended)
			}
		})
	}
}

// TestSleepSetsLoseNoState compares searches that leave out permutations with searches that leave out nothing but what was
// seen before.
func TestSleepSetsLoseNoState(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, world := range []string{
		"fill,fill/empty", "fill,twin/page", "fill,key/empty", "fill,bare/twin", "twin,tag/page", "twin,twin/page", "key,tag/twin", "tag,reader/twin",
		"fill,prefix/twin", "soft,key/page", "key,key,reader/twin",
	} {
		with := explore(t, world, limits{200_000, 5 * time.Minute}, true)
		without := explore(t, world, limits{200_000, 5 * time.Minute}, false)
		if with.States != without.States || with.Ends != without.Ends || with.Failed+without.Failed != "" {
			t.Errorf("%s: %d states and %d ends with sleep sets, %d and %d without %s %s",
				world, with.States, with.Ends, without.States, without.Ends, with.Failed, without.Failed)
		}
		if with.Slept == 0 {
			t.Errorf("%s: nothing was left out, so this compares nothing", world)
		}
		t.Logf("%-20s %6d states, %6d schedules with sleep sets, %6d without", world, with.States, with.Schedules, without.Schedules)
	}
}

// TestSearchMeetsItsBound: a world that is not searched whole fails.
func TestSearchMeetsItsBound(t *testing.T) {
	if r := explore(t, "fill,key/empty", limits{100, time.Minute}, true); !strings.Contains(r.Failed, "bound") {
		t.Errorf("%d states, bounded by 100: %q", r.States, r.Failed)
	}
	if r := explore(t, "fill,key/empty", limits{100_000, time.Nanosecond}, true); !strings.Contains(r.Failed, "bound") {
		t.Errorf("%d states within a nanosecond: %q", r.States, r.Failed)
	}
}

// TestSurprises: what the feet of calls take for constant is watched.
func TestSurprises(t *testing.T) {
	if r := explore(t, "fill,all/empty", limits{100_000, time.Minute}, true); !strings.Contains(r.Failed, "surprise") {
		t.Errorf("a world in which the generation changes: %q", r.Failed)
	}
	if r := explore(t, "private,key/empty", limits{100_000, time.Minute}, true); !strings.Contains(r.Failed, "surprise") {
		t.Errorf("a world with files that nobody expects: %q", r.Failed)
	}
}

// TestLargerWorldsControls: random schedules find most of what the search of every state finds.
func TestLargerWorldsControls(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const patience = 4_000 // schedules; each control is found in some hundreds at this seed
	for _, control := range []string{
		fault.ClaimAfterRead, fault.TagsUnchecked, fault.PublishByRename, fault.KeepTwins, fault.KeepRowsClaim, fault.RowsBeforeUnlinks,
		fault.StaleBeforePage,
	} {
		t.Run(control, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			var total largerResult
			for total.schedules < patience {
				if wrong := tryLarger(t, r, control, &total); wrong != "" {
					first, _, _ := strings.Cut(wrong, "\n")
					t.Logf("after %s: %s", total, first)
					return
				}
			}
			t.Errorf("not found in %s", total)
		})
	}
}

// TestStatesTellAll: from what is taken for one state, the same choice leads to what is taken for one state, however it was
// reached. If not, something that matters is not in the state's text, and searches would leave out what they should not.
func TestStatesTellAll(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	names := []string{"fill,key/empty", "fill,tag,tag/twin", "fill,twin,key/twin", "fill,fill,key/twin", "fill,twin,bare/page", "fill,tag,reader/empty", "twin,prefix,reader/page", "key,soft,graced/page"}
	if flagValue("every") == "true" {
		names = slices.Concat(names, worlds(2), worlds(3), moreWorlds, muchMoreWorlds)
	}
	for _, world := range names {
		met, wrong := walk(t, world, 600, false)
		if wrong != "" {
			t.Errorf("%s: %s", world, wrong)
		}
		if met < 10 {
			t.Errorf("%s: only %d choices were met twice: that compares nothing", world, met)
		}
		t.Logf("%s: %d choices met again", world, met)
	}
	if _, wrong := walk(t, "fill,tag,key/twin", 600, true); wrong == "" {
		t.Error("the control, a process that is not told the invalidation counter, was not found")
	}
}

// walk runs random schedules and compares where equal choices in equal states lead.
func walk(t *testing.T, name string, schedules int, forgetful bool) (met int, wrong string) {
	kinds, begin, err := parseWorld(name)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, kinds, begin)
	w.forgetful = forgetful
	fault.SetHook(w)
	defer fault.SetHook(nil)
	r := rand.New(rand.NewPCG(1, 2))
	type move struct {
		from  digest
		slot  int
		crash bool
	}
	led := make(map[move]digest)
	by := make(map[move]string)
	var c canon
	for range schedules {
		w.reset()
		st, _ := w.state(&c)
		var done []choice
		for len(w.choices()) > 0 {
			choices := w.choices()
			pick := choices[r.IntN(len(choices))]
			if pick.crash && r.IntN(8) > 0 {
				continue
			}
			m := move{st.all, slices.Index(st.slots, pick.proc), pick.crash}
			done = append(done, pick)
			w.do(pick)
			st, _ = w.state(&c)
			if before, ok := led[m]; !ok {
				led[m], by[m] = st.all, scheduleText(done)
			} else if met++; before != st.all && wrong == "" {
				wrong = "the last choices of these schedules are the same, in the same state, and lead to different ones: " + by[m] + " " + scheduleText(done)
			}
			if w.wrong != "" {
				t.Fatal(w.wrong)
			}
		}
		w.end()
	}
	return met, wrong
}
