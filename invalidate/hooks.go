package invalidate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// Bounds of a replay.
const (
	maxReplay      = 100_000               // rows; a folder that missed more drops everything
	maxReplayBytes = 64 << 20              // bytes of their names; likewise
	replayChunk    = 1_000                 // names per invalidation, about
	closeTimeout   = 5 * time.Second       // for the replay at the end
	replayTimeout  = time.Minute           // for one replay or trim, so that a dead connection can't hold it for ever
	minWait        = 20 * time.Millisecond // before a replay that follows trouble; it doubles
	trimInterval   = time.Minute           // between two looks for rows past their retention
	trimChunk      = 1_000                 // rows deleted per transaction
	maxOwn         = 100_000               // rows remembered as applied by the hook; more are applied twice
	complainEvery  = time.Minute           // the same trouble is not logged more often
	patience       = 10 * time.Second      // before an unknown commit is a trouble
)

// A source is the outbox of one kind of database.
type source interface {
	// read returns the committed rows that a position lacks, and the position that has them.
	read(ctx context.Context, from cache.Position) (batch, error)
	// trim deletes rows past their retention.
	trim(ctx context.Context) error
}

// A batch is what a source says in one consistent look.
type batch struct {
	rows     []row
	position cache.Position // contains rows and everything before
	// resync, if not empty, is why it can't be known what the position lacks: everything must be dropped.
	resync string
	// over reports whether a commit whose outcome was unknown when read was called is over: rolled back, or contained
	// in position.
	over func(commit string) bool
}

// hooks is what the hooks of every kind of database have in common: the cache folder's side.
type hooks struct {
	store  Store
	source source
	kind   string // "pgx", "sqlite"
	o      Options
	log    *slog.Logger

	replaying sync.Mutex // held by a replay
	own       ownRows
	wake      chan struct{}
	stop      context.CancelFunc
	stopped   chan struct{}
}

func newHooks(kind string, store Store, o Options) *hooks {
	return &hooks{store: store, kind: kind, o: o, log: o.Logger.With("source", o.Source), wake: make(chan struct{}, 1)}
}

// start replays what the folder missed, lets the store serve, and goes on replaying until Close.
func (h *hooks) start(ctx context.Context) error {
	unresolved, err := h.replay(ctx)
	if err != nil {
		return err
	}
	if unresolved > 0 { // they stay withheld meanwhile
		h.soon()
	}
	if err := h.store.Unfence(ctx); err != nil {
		return fmt.Errorf("invalidate: let the store serve: %w", err)
	}
	ctx, h.stop = context.WithCancel(context.Background()) // until Close
	h.stopped = make(chan struct{})
	go h.run(ctx)
	return nil
}

// Close stops the replay and waits for it. Transactions may still commit and invalidate; a commit whose outcome is
// unknown stays withheld until hooks of the folder run again. Call it before the store's Close.
func (h *hooks) Close() error {
	h.stop()
	<-h.stopped
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if _, err := h.replay(ctx); err != nil {
		h.log.Warn("the folder's position in the outbox could not be brought up to date at the end", "err", err)
	}
	return nil
}

// Replay applies, now, committed rows that were not yet applied, as the hooks do on their own every
// Options.ReplayInterval. Commits that returned before it was called are applied when it returns nil. Safe for
// concurrent use.
func (h *hooks) Replay(ctx context.Context) error {
	_, err := h.replay(ctx)
	return err
}

// run replays at intervals, sooner after trouble, and trims the outbox.
func (h *hooks) run(ctx context.Context) {
	defer close(h.stopped)
	var (
		wait    = h.o.ReplayInterval
		timer   = time.NewTimer(wait)
		gone    = complaint{log: h.log}
		stuck   = complaint{log: h.log, patience: patience}
		trimmed time.Time
	)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
			if wait > minWait { // else it is due already
				wait = minWait
				timer.Reset(wait)
			}
			continue
		case <-timer.C:
		}
		unresolved, err := h.replay(ctx)
		if ctx.Err() != nil {
			return
		}
		gone.report(err, "committed invalidations can't be applied: is the database gone?")
		var open error
		if unresolved > 0 {
			open = fmt.Errorf("%d commits are neither committed nor rolled back", unresolved)
		}
		stuck.report(open, "what unknown commits named is not cached; if their sessions hang, end them (pg_terminate_backend)")
		if err != nil || open != nil {
			wait = min(2*wait, h.o.ReplayInterval)
		} else {
			wait = h.o.ReplayInterval
		}
		if err == nil && time.Since(trimmed) > min(trimInterval, h.o.Retention/10) {
			trimmed = time.Now()
			if err := h.trim(ctx); err != nil && ctx.Err() == nil {
				h.log.Warn("rows past their retention could not be deleted from the outbox; trying again", "err", err)
			}
		}
		timer.Reset(wait)
	}
}

func (h *hooks) trim(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	return h.source.trim(ctx)
}

// soon makes run replay as soon as it may.
func (h *hooks) soon() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// replay brings the folder up to what is committed: read the rows its position lacks, drop what they name, store the
// position, release what was withheld for commits that are now over. Start, periodic run and recovery from unknown
// commits are this one function. It returns how many unknown commits of this source are not over yet.
func (h *hooks) replay(ctx context.Context) (unresolved int, err error) {
	h.replaying.Lock()
	defer h.replaying.Unlock()
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()

	withheld, err := h.withheld(ctx) // before the rows are read, see batch.over
	if err != nil {
		return 0, fmt.Errorf("invalidate: %w", err)
	}
	from, err := h.store.SourcePosition(ctx, h.o.Source)
	if err != nil {
		return 0, fmt.Errorf("invalidate: the folder's position in the outbox: %w", err)
	}
	own := h.own.take()
	defer func() {
		if err != nil {
			h.own.giveBack(own)
		}
	}()
	b, err := h.source.read(ctx, from)
	if err != nil {
		return 0, fmt.Errorf("invalidate: read the outbox: %w", err)
	}
	sels, unreadable := merge(b.rows, own)
	if unreadable != nil && b.resync == "" {
		b.resync = unreadable.Error()
	}
	if b.resync != "" {
		level := slog.LevelWarn
		if from == "" {
			level = slog.LevelDebug // a new folder, mostly
		}
		h.log.Log(ctx, level, "dropping every page: the cache folder can't know which invalidations it missed", "why", b.resync)
		sels = []cache.Selection{{All: true, Cause: "resync: " + b.resync}}
	}
	for _, sel := range sels {
		if _, err := h.store.Invalidate(ctx, sel); err != nil {
			return 0, fmt.Errorf("invalidate: apply the outbox: %w", err)
		}
	}
	if b.position != from { // only now: a crash before repeats what was just done
		if err := h.store.SetSourcePosition(ctx, h.o.Source, b.position); err != nil {
			return 0, fmt.Errorf("invalidate: store the folder's position in the outbox: %w", err)
		}
	}
	for id, commit := range withheld {
		if !b.over(commit) {
			unresolved++
			continue
		}
		// Its row, if it is committed, is among those applied: fills that began before it was visible are caught.
		if err := h.store.Release(ctx, id); err != nil {
			return 0, fmt.Errorf("invalidate: %w", err)
		}
		h.log.Info("the outcome of an unknown commit is final", "commit", id)
	}
	return unresolved, nil
}

// merge unites rows into few selections, leaving out those that the hooks of this process have applied.
func merge(rows []row, own map[string]struct{}) ([]cache.Selection, error) {
	var (
		sels   []cache.Selection
		chunks [2]struct { // hard and soft ones
			recording
			rows int
			last string
		}
	)
	for i := range chunks {
		chunks[i].maxNames, chunks[i].maxBytes = math.MaxInt, math.MaxInt // read and flush bound them
	}
	flush := func(soft int) error {
		c := &chunks[soft]
		r, ok := c.row()
		if !ok {
			return nil
		}
		r.tx = c.last
		if c.rows > 1 {
			r.cause = fmt.Sprintf("%d rows, the last of %s", c.rows, c.last)
		}
		sel, err := r.selection()
		sels = append(sels, sel)
		c.rewind(0)
		c.rows = 0
		return err
	}
	for _, r := range rows {
		if _, done := own[r.id]; done {
			continue
		}
		sel, err := r.selection()
		if err != nil {
			return nil, fmt.Errorf("row %s of %s can't be read: %w", r.id, r.tx, err)
		}
		names, err := namesOf(sel)
		if err != nil {
			return nil, fmt.Errorf("row %s of %s can't be read: %w", r.id, r.tx, err)
		}
		soft := 0
		if r.soft {
			soft = 1
		}
		c := &chunks[soft]
		c.add(names)
		c.rows++
		c.last = r.tx
		if c.mark() >= replayChunk {
			if err := flush(soft); err != nil {
				return nil, err
			}
		}
	}
	return sels, errors.Join(flush(0), flush(1))
}

// withheld returns the unknown commits of this source that are withheld in the folder, by their ids there.
func (h *hooks) withheld(ctx context.Context) (commits map[string]string, err error) {
	ids, err := h.store.Withheld(ctx)
	if err != nil {
		return nil, err
	}
	commits = make(map[string]string)
	for _, id := range ids {
		if commit, ok := strings.CutPrefix(id, h.withholdID("")); ok {
			commits[id] = commit
		}
	}
	return commits, nil
}

// withholdID is what a commit is withheld as. It tells whoever opens the folder next whose it is.
func (h *hooks) withholdID(commit string) string { return h.kind + ":" + h.o.Source + ":" + commit }

// committed invalidates what a transaction named that is now visible to new readers. It returns when P1 holds, or
// ErrNotInvalidated. The caller's context may have ended: its commit still counts.
func (h *hooks) committed(ctx context.Context, r row) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.o.ApplyTimeout)
	defer cancel()
	if err := h.invalidate(ctx, r); err != nil {
		h.log.Error("a committed transaction could not be applied to the cache; trying again", "transaction", r.tx, "err", err)
		h.soon()
		return fmt.Errorf("invalidate: %s: %w: %d keys, %d tags, %d prefixes, all %t: %w",
			r.tx, ErrNotInvalidated, len(r.keys), len(r.tags), len(r.prefixes), r.all, err)
	}
	h.own.add(r.id)
	return nil
}

func (h *hooks) invalidate(ctx context.Context, r row) error {
	sel, err := r.selection()
	if err == nil {
		_, err = h.store.Invalidate(ctx, sel)
	}
	return err
}

// unknown handles a COMMIT that was sent and not answered: the transaction may become visible at any later moment.
// Until it is over nothing it named may be published; what is there is dropped. Replay does the rest.
func (h *hooks) unknown(ctx context.Context, r row, commit string, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.o.ApplyTimeout)
	defer cancel()
	h.log.Warn("the outcome of a commit is unknown; what it named is not cached until it is final", "transaction", r.tx, "err", cause)
	sel, err := r.selection()
	if err == nil {
		err = h.store.Withhold(ctx, h.withholdID(commit), sel)
	}
	if err != nil {
		h.log.Error("an unknown commit could not be withheld: until it is final and replayed, pages may be cached that lack it",
			"transaction", r.tx, "err", err)
	}
	_, dropErr := h.store.Invalidate(ctx, sel)
	h.soon()
	return fmt.Errorf("invalidate: %s: %w: %w", r.tx, ErrCommitUnknown, errors.Join(cause, err, dropErr))
}

// record adds names to a transaction's recording.
func (h *hooks) record(r *recording, names []name) {
	if r.add(names) {
		h.log.Warn("a transaction names so much that it invalidates everything", "most names", h.o.MaxNames, "most bytes", maxBytes)
	}
}

// ownRows are the rows applied by this process's hooks since the last replay, which need not apply them again.
type ownRows struct {
	mu   sync.Mutex
	rows map[string]struct{}
}

func (o *ownRows) add(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rows == nil {
		o.rows = make(map[string]struct{})
	}
	if len(o.rows) < maxOwn {
		o.rows[id] = struct{}{}
	}
}

// take empties the set into the caller's hands. Every row in it was visible before: the read that follows contains it,
// and no later one returns it.
func (o *ownRows) take() map[string]struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows := o.rows
	o.rows = nil
	return rows
}

// giveBack undoes take after a replay that failed.
func (o *ownRows) giveBack(rows map[string]struct{}) {
	for id := range rows {
		o.add(id)
	}
}

// A complaint logs a lasting trouble once it has lasted for patience, from time to time after that, and its end.
type complaint struct {
	log      *slog.Logger
	patience time.Duration

	since, last time.Time // zero: no trouble; not logged
}

func (c *complaint) report(err error, what string) {
	now := time.Now()
	switch {
	case err == nil:
		if !c.last.IsZero() {
			c.log.Info("over: "+what, "lasted", now.Sub(c.since))
		}
		c.since, c.last = time.Time{}, time.Time{}
		return
	case c.since.IsZero():
		c.since = now
	}
	if now.Sub(c.since) >= c.patience && now.Sub(c.last) >= complainEvery {
		c.last = now
		c.log.Error(what, "err", err)
	}
}
