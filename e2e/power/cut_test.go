//go:build linux && (e2e || soak)

// Package power cuts the power of machines: an application with its database and its cache on one disk runs, the disk is
// copied as it is at some instant, the copy is mounted on the next machine, and the application started there.
//
// What must hold then (P1, P2 and P6 after a power cut): no page is served that is older, or newer, than what the copy of
// the database contains; nothing is torn, neither what we serve nor the files that another server reads; check finds
// nothing; every page can be filled, invalidated, and filled again. Unless there is a clean mark, no page of before the
// cut is served at all. A cut after a stop in order leaves the pages.
//
// The controls take the protection away, on copies of the same instants: the next machine says that it is the same boot;
// a clean mark that was used is there again; the outbox is not replayed. Each must find pages that are old, or torn.
//
// All choices follow from the seed that a test prints; what the kernel had written at the instant does not.
package power

import (
	"testing"
	"time"
)

// kinds lists the applications. The short form leaves out the last.
var kinds = []settings{{Hooks: false, Durable: true}, {Hooks: true, Durable: true}, {Hooks: true}, {}}[:kindsTried]

// onEach holds a test with each kind of application on each file system.
func onEach(t *testing.T, test func(b *bench, r *running)) {
	for _, fs := range fileSystems {
		t.Run(fs.name, func(t *testing.T) {
			t.Parallel() // with the other file system; the kinds are after each other
			for _, app := range kinds {
				t.Run(app.String(), func(t *testing.T) {
					b := newBench(t, fs)
					// Commits that are synced have the file system's journal written with them, now and then at the
					// wrong moment. Else little is written but by whole syncs, and there may be nothing to find.
					b.demanding = app.Durable
					r := b.start(b.machine(b.disks(app), app))
					r.order("start")
					r.reach("serving")
					test(b, r)
				})
			}
		})
	}
}

// Bounds of a test's choices.
const (
	mostCommits  = 40                     // between two cuts, above a quarter of it
	mostWait     = 50 * time.Millisecond  // after these
	transition   = 100 * time.Millisecond // a start or a stop is cut within this, so many times: within
	controlBound = 30                     // cuts until a control must have found something
)

func (b *bench) commits() int { return mostCommits/4 + b.rand.IntN(mostCommits) }

// several cuts a transition at several instants.
func (r *running) several() (cuts []*cut) {
	r.Helper()
	for range within {
		r.soon(transition / within)
		cuts = append(cuts, r.cut())
	}
	return cuts
}

// TestCutUnderLoad: fills, invalidations and commits are under way.
func TestCutUnderLoad(t *testing.T) {
	onEach(t, func(b *bench, r *running) {
		// Where the outbox is replayed it may heal what is old, but not what is torn.
		caught := func() bool {
			found := b.found[sameBoot.name]
			return !b.demanding || found.Stale > 0 || r.App.Hooks && found.Torn > 0
		}
		for n := 0; n < cutsEach || !caught() && n < controlBound; n++ {
			r.work(b.commits())
			b.soon(mostWait)
			c := r.cut()
			if n < cutsEach {
				c.judge(nothing, "under load")
			}
			if soaking || !caught() {
				c.try(sameBoot)
			}
			c.discard()
		}
		if !caught() {
			b.Errorf("no page came back within %d cuts", controlBound)
		}
		if b.demanding && b.linked == 0 {
			b.Error("no cut had a live link: that it is gone after Open shows nothing")
		}
		b.report(sameBoot)
	})
}

// TestCutAroundStopAndStart: within a stop, after it, within the start that follows, and after that.
func TestCutAroundStopAndStart(t *testing.T) {
	onEach(t, func(b *bench, r *running) {
		must := forgedMark
		if r.App.Hooks { // replay may heal what the mark lets through; without it commits stay unknown
			must = unreplayed
		}
		caught := func() bool { return !b.demanding || b.found[must.name].In > 0 }
		for n := 0; n < cycles || !caught() && n < controlBound; n++ {
			r.work(b.commits())
			r.order("stop")
			during := r.several()
			r.reach("stopped")
			c := r.cut()
			for _, c := range during {
				c.judgeAndDiscard(either, "within a stop")
			}
			c.judge(all, "after a stop")
			if r.App.Hooks {
				c.try(unreplayed)
			}
			c.discard()

			r.order("start")
			during = r.several()
			r.reach("serving")
			r.work(b.commits())
			c = r.cut()
			for _, c := range during {
				c.judgeAndDiscard(either, "within a start")
			}
			c.judge(nothing, "after the clean mark was used")
			if soaking || !r.App.Hooks {
				c.try(forgedMark)
			}
			c.discard()
		}
		b.report(must)
	})
}

// TestCutDuringRecovery: the power goes again while the next machine starts, or just after.
func TestCutDuringRecovery(t *testing.T) {
	onEach(t, func(b *bench, first *running) {
		for range recovered {
			first.work(b.commits())
			c := first.cut()
			second := b.start(b.machine(c.images, first.App))
			second.order("start")
			during := second.several()
			second.off()
			for _, c := range during {
				c.judgeAndDiscard(nothing, "during recovery")
			}
			c.discard()
		}
		b.report()
	})
}

// TestDatabaseOnAnotherDisk: commits that are not durable at once, a stop in order, and a cut. What the cache has is
// durable, as its stop sees to; of the database, on a disk of its own, the last commits may be gone. No page may show them:
// the cache's position, of the newest of them, is gone from the outbox, too.
func TestDatabaseOnAnotherDisk(t *testing.T) {
	for _, fs := range fileSystems {
		t.Run(fs.name, func(t *testing.T) {
			t.Parallel()
			app := settings{Hooks: true, Apart: true}
			b := newBench(t, fs)
			b.demanding = true
			r := b.start(b.machine(b.disks(app), app))
			stop := func(verb string) *cut {
				r.order("start")
				r.reach("serving")
				r.work(b.commits())
				r.order(verb)
				r.reach("stopped")
				return r.cut()
			}
			for range undone {
				stop("stop").judgeAndDiscard(either, "after a stop")
			}
			for range controlBound {
				c := stop("abandon")
				c.try(abandoned)
				c.discard()
				if b.found[abandoned.name].Undone > 0 {
					break
				}
			}
			b.report(abandoned)
		})
	}
}
