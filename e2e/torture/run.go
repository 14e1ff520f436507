package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// A run is one Run under way.
type run struct {
	Config
	ledger *ledger
	memos  memos
	etags  *etags
	end    context.CancelFunc // ends the load

	gate sync.RWMutex // held shared by each commit, exclusively by whoever needs a database at rest
	up   sync.RWMutex // held shared by each read of a file, exclusively while the target is started

	counts struct {
		reads, notModified, parts, encoded, heads, unjudged, commits, kills, verified, excused, unsettled atomic.Int64

		from map[From]*atomic.Int64 // never changed
	}
	seconds float64

	readLatency, commitLatency, invalidationLatency histogram
}

func newRun(c Config) *run {
	r := &run{Config: c, memos: newMemos(c.Load.Pages), etags: newETags()}
	r.ledger = newLedger(c.Load.Pages, func() {
		if c.UntilViolated {
			r.end()
		}
	})
	r.end = func() {}
	r.counts.from = map[From]*atomic.Int64{}
	for _, f := range []From{Hit, Miss, Collapsed, Bypass, File, Absent} {
		r.counts.from[f] = new(atomic.Int64)
	}
	return r
}

// load lets readers, committers and the fault loose, for the duration or until the fault has done its work.
func (r *run) load(ctx context.Context) error {
	r.Logger.Info("load begins", "target", r.Target, "means", r.Commit, "seed", r.Load.Seed)
	ctx, r.end = context.WithTimeout(ctx, r.Load.Duration)
	defer r.end()
	began := time.Now()
	defer func() { r.seconds = time.Since(began).Seconds() }()

	g, ctx := errgroup.WithContext(ctx)
	for n := range r.Load.Readers {
		g.Go(func() error { return r.read(ctx, n) })
	}
	for n := range r.Load.Committers {
		g.Go(func() error { return r.commit(ctx, n) })
	}
	if r.Fault != nil {
		g.Go(func() error {
			defer r.end()
			if err := r.Fault.Run(ctx, &Stage{run: r, Rand: r.rand(harming, 0)}); err != nil {
				return fmt.Errorf("fault %s: %w", r.Fault, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// A role is what a goroutine does in a run.
type role uint64

const (
	reading role = iota
	pausing
	committing
	harming
	verifying
)

// rand returns the source of one goroutine's choices.
func (r *run) rand(as role, n int) *rand.Rand {
	return rand.New(rand.NewPCG(r.Load.Seed, mix(uint64(as), uint64(n))))
}

// reader returns the n-th reader of the load. One in eight reads files, if there is a folder; of the others, half don't
// say anything about encodings, and half ask for all sorts.
func (r *run) reader(n int) Reader {
	if r.Folder != nil && n%8 == 7 {
		return &fileReader{up: &r.up, folder: r.Folder, pages: r.Pages, memos: r.memos, rand: r.rand(reading, n)}
	}
	return r.client(r.rand(reading, n), n%2 == 1)
}

func (r *run) client(rnd *rand.Rand, encodings bool) *client {
	return newClient(r.Target.BaseURL, r.Pages, r.memos, r.etags, rnd, encodings)
}

// read is one reader's loop.
func (r *run) read(ctx context.Context, n int) error {
	reader := r.reader(n)
	defer closeAll(reader)
	rnd := r.rand(pausing, n)
	for ctx.Err() == nil {
		page := rnd.IntN(r.Load.Pages)
		required := r.ledger.requires(page)
		began := time.Now()
		// The load's end doesn't cut requests off: an answer under way is judged too. Readers bound their requests.
		a, err := reader.Read(context.WithoutCancel(ctx), page)
		if err != nil {
			r.failed(page, err)
		} else {
			r.readLatency.add(time.Since(began))
			r.count(a)
			r.ledger.judge(page, required, a)
		}
		pause(ctx, time.Duration(rnd.Int64N(int64(2*r.Load.Pause))))
	}
	return nil
}

// failed records a request that was not answered, or not with a page.
func (r *run) failed(page int, err error) {
	switch {
	case errors.Is(err, ErrTorn):
		r.ledger.report(torn, "page %d: %v", page, err)
	case r.Fault != nil && !errors.Is(err, errDenied):
		r.counts.excused.Add(1)
	default:
		r.ledger.report(failure, "page %d: %v", page, err)
	}
}

func (r *run) count(a Answer) {
	r.counts.from[a.From].Add(1)
	if a.From == Absent {
		return
	}
	if r.counts.reads.Add(1) == r.Load.Reads {
		r.end()
	}
	if a.NotModified {
		r.counts.notModified.Add(1)
	}
	if a.Part {
		r.counts.parts.Add(1)
	}
	if a.Encoding != "" {
		r.counts.encoded.Add(1)
	}
	if a.Ask.Method == "HEAD" {
		r.counts.heads.Add(1)
	}
	if a.Version == 0 {
		r.counts.unjudged.Add(1)
	}
}

// commit is one committer's loop. It keeps its rate on average, but doesn't make up for what it missed.
func (r *run) commit(ctx context.Context, n int) error {
	rnd := r.rand(committing, n)
	gap := time.Duration(float64(time.Second) * float64(r.Load.Committers) / r.Load.Rate)
	next := time.Now()
	for {
		next = next.Add(time.Duration(rnd.Int64N(int64(2 * gap))))
		if late := time.Since(next); late > gap {
			next = next.Add(late)
		}
		pause(ctx, time.Until(next))
		if ctx.Err() != nil {
			return nil
		}
		r.commitOne(ctx, rnd.IntN(r.Load.Pages))
	}
}

func (r *run) commitOne(ctx context.Context, page int) {
	r.gate.RLock()
	defer r.gate.RUnlock()
	if ctx.Err() != nil {
		return // it was waiting for a fault that ended the load
	}
	began := time.Now()
	c, err := r.Commit.Commit(context.WithoutCancel(ctx), page)
	if err != nil {
		if r.Fault != nil {
			r.counts.unsettled.Add(1)
			return
		}
		r.ledger.report(failure, "commit of page %d: %v", page, err)
		return
	}
	r.commitLatency.add(time.Since(began))
	if c.Invalidation > 0 {
		r.invalidationLatency.add(c.Invalidation)
	}
	r.counts.commits.Add(1)
	r.ledger.invalidated(page, c.Version)
	for _, other := range c.Also {
		r.ledger.invalidated(other.Page, other.Version)
	}
}

// silence waits, compares every page with the database, and inspects the folder.
func (r *run) silence(ctx context.Context) error {
	pause(ctx, r.Load.Silence)
	if err := r.verify(ctx); err != nil {
		return err
	}
	if r.Folder == nil {
		return nil
	}
	flaws, err := r.Folder.Inspect(ctx, r.Fault != nil)
	if err != nil {
		return err
	}
	for _, f := range flaws {
		r.ledger.report(flaw, "%s", f)
	}
	return nil
}

// Verifying a page takes at most so many requests until one is a hit: twins are still being made of it, and hooks may
// replay an invalidation of it.
const (
	attempts     = 50
	attemptPause = 20 * time.Millisecond
	verifiers    = 8 // pages are verified so many at a time
)

// owe has the ledger require what the database has, with the database at rest.
func (r *run) owe(ctx context.Context) error {
	versions, err := r.Source.Versions(ctx)
	if err != nil {
		return fmt.Errorf("asking for the committed versions: %w", err)
	}
	if len(versions) != r.Load.Pages {
		return fmt.Errorf("the source has %d pages instead of %d", len(versions), r.Load.Pages)
	}
	for page, version := range versions {
		r.ledger.invalidated(page, version)
	}
	return nil
}

// verify reads every page in every way, with the database at rest: each must show exactly the database's version, and
// must become a hit. This ends every run, and follows every crash.
func (r *run) verify(ctx context.Context) error {
	if err := r.owe(ctx); err != nil {
		return err
	}
	var g errgroup.Group
	for first := range verifiers {
		g.Go(func() error {
			reader := r.client(r.rand(verifying, first), false)
			defer closeAll(reader)
			for page := first; page < r.Load.Pages; page += verifiers {
				r.verifyPage(ctx, reader, page)
				r.counts.verified.Add(1)
			}
			return nil
		})
	}
	return g.Wait()
}

// verifyPage ends with the first thing that is wrong.
func (r *run) verifyPage(ctx context.Context, c *client, page int) {
	ways := append([]string{""}, encodings...)
	if r.Folder != nil {
		files := &fileReader{folder: r.Folder, pages: r.Pages, memos: r.memos}
		for _, encoding := range ways {
			if a, err := files.ask(page, Ask{Method: "GET", Encoding: encoding}); !r.compare(page, a, err) {
				return
			}
		}
	}
	for _, encoding := range ways {
		if a, err := c.ask(ctx, page, Ask{Method: "GET", Encoding: encoding}); !r.compare(page, a, err) {
			return
		}
	}
	for range attempts {
		a, err := c.ask(ctx, page, Ask{Method: "GET"})
		if !r.compare(page, a, err) || a.From == Hit {
			return
		}
		pause(ctx, attemptPause)
	}
	r.ledger.report(uncacheable, "page %d: none of %d requests in silence was a hit", page, attempts)
}

// compare judges an answer given in silence.
func (r *run) compare(page int, a Answer, err error) (ok bool) {
	switch version := r.ledger.requires(page); {
	case errors.Is(err, ErrTorn):
		r.ledger.report(torn, "page %d, in silence: %v", page, err)
	case err != nil:
		r.ledger.report(failure, "page %d, in silence: %v", page, err)
	case a.From == Absent:
		return true
	case a.Version < version:
		r.ledger.report(survivor, "page %d: version %d by %s (%s) in silence, the database has %d", page, a.Version, a.From, a.Ask, version)
	case a.Version > version:
		r.ledger.report(phantom, "page %d: version %d by %s (%s), the database has only %d", page, a.Version, a.From, a.Ask, version)
	default:
		return true
	}
	return false
}

func (r *run) report() *Report {
	c := &r.counts
	report := &Report{
		Seed: r.Load.Seed, Target: r.Target.String(), Means: r.Commit.String(), Fault: "none", Control: r.Control,
		Load: r.Load, Seconds: r.seconds,
		Reads: c.reads.Load(), Hits: c.from[Hit].Load(), Misses: c.from[Miss].Load(), Collapsed: c.from[Collapsed].Load(),
		Bypasses: c.from[Bypass].Load(), Files: c.from[File].Load(), Absent: c.from[Absent].Load(),
		NotModified: c.notModified.Load(), Parts: c.parts.Load(), Encoded: c.encoded.Load(), Heads: c.heads.Load(), Unjudged: c.unjudged.Load(),
		Commits: c.commits.Load(), Kills: c.kills.Load(), Verified: c.verified.Load(), Repeated: r.etags.repeated.Load(),
		Excused: c.excused.Load(), Unsettled: c.unsettled.Load(),
		Read: r.readLatency.percentiles(), Commit: r.commitLatency.percentiles(), Invalidation: r.invalidationLatency.percentiles(),
	}
	if r.Fault != nil {
		report.Fault = r.Fault.String()
	}
	r.ledger.enter(report)
	return report
}

// pause waits, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
