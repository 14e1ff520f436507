// Package purge is invalidation over HTTP, under the names that operators know: PURGE as of Varnish, Fastly and nginx,
// and a JSON API for the admin listener.
//
//	PURGE /notes/1                                   drops the page of this URL, with its variants and twins
//	PURGE / + Surrogate-Key: note:1 all-notes        drops what declared one of these tags; see Read for the other names
//	POST /invalidate {"tags":["note:1"]}             the same through the API; see API for all it can name
//
// Both answer when cache.Store.Invalidate has returned, so P1 holds from then on: no request that starts afterwards is
// answered with what was dropped, fills in flight included. Send them when the change is visible to new readers, and not
// before: a page that is rendered in between contains the old state.
//
// A client that leaves does not stop an invalidation that has been read: many send and don't wait.
package purge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// Store is what is needed of a cache: *cache.Store.
type Store interface {
	Invalidate(ctx context.Context, sel cache.Selection) (cache.Dropped, error)
}

// Bounds of the invalidations that are with the store at a time, and of how long those beyond wait their turn. They wait here, as
// in the store the wait for the inventory has an end, after which everything is dropped. How many wait is bounded by the
// server's connections.
const (
	maxUnderway = 8
	turnTimeout = 10 * time.Second
)

// Turns bound the invalidations that are with a store at a time, of all that share them. The zero value is ready for use, and
// safe for concurrent use.
type Turns struct {
	once  sync.Once
	slots chan struct{} // holds one element for each invalidation under way
}

// take waits for a turn, and reports whether there was one in time. Then done ends it.
func (t *Turns) take() (done func(), ok bool) {
	t.once.Do(func() { t.slots = make(chan struct{}, maxUnderway) })
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots }, true
	case <-time.After(turnTimeout):
		return nil, false
	}
}

// A dropper hands invalidations to the store.
type dropper struct {
	store Store
	log   *slog.Logger
	turns *Turns
}

func newDropper(store Store, turns *Turns, log *slog.Logger) (*dropper, error) {
	if store == nil {
		return nil, errors.New("purge: Store is nil: give it the *cache.Store that holds the pages")
	}
	if log == nil {
		log = slog.Default()
	}
	if turns == nil {
		turns = new(Turns)
	}
	return &dropper{store, log, turns}, nil
}

// drop carries out a selection. An error is one that the client is to be told as it is.
func (d *dropper) drop(ctx context.Context, sel cache.Selection) (answer, error) {
	done, ok := d.turns.take() // whether or not the client still waits
	if !ok {
		return answer{}, refuse(http.StatusServiceUnavailable, fmt.Sprintf("nothing was dropped: %d other invalidations have been under way for %v; send it again", maxUnderway, turnTimeout))
	}
	defer done()
	dropped, err := d.store.Invalidate(context.WithoutCancel(ctx), sel)
	switch {
	case errors.Is(err, cache.ErrClosed):
		return answer{}, refuse(http.StatusServiceUnavailable, "nothing was dropped: the server is stopping; send it again")
	case err != nil && sel.DryRun:
		d.log.Error("a dry run failed", "cause", sel.Cause, "err", err)
		return answer{}, refuse(http.StatusInternalServerError, "the dry run failed; the server's log says why")
	case err != nil:
		d.log.Error("pages could not be dropped; fence the cache (cachesrv fence) until that works", "cause", sel.Cause, "err", err)
		return answer{}, &refusal{http.StatusInternalServerError,
			"the pages could not be dropped, and may still be served: fence the cache (cachesrv fence on) until this works; the server's log says why", true}
	}
	d.log.Debug("invalidated over HTTP", "cause", sel.Cause, "soft", sel.Soft, "dry_run", sel.DryRun, "pages", dropped.Pages, "graced", dropped.Graced, "everything", dropped.Retired)
	return newAnswer(sel, dropped), nil
}

// An answer says what was dropped. It is the body of every 200.
type answer struct {
	Dropped    int      `json:"dropped"`            // pages, all variants, graced ones included
	Graced     int      `json:"graced"`             // the graced ones among them
	Twins      int      `json:"twins"`              // compressed siblings
	Fills      int      `json:"fills"`              // unfinished fills that will not be published; see cache.Dropped.Claims
	Everything bool     `json:"everything"`         // all was dropped: asked for, or because it could not be dropped alone
	Soft       bool     `json:"soft,omitempty"`     // those with a grace were not dropped but graced
	DryRun     bool     `json:"dry_run,omitempty"`  // nothing was dropped; the numbers say what would be
	Repeated   bool     `json:"repeated,omitempty"` // the Idempotency-Key has come before; the numbers are those of this time
	Keys       []string `json:"keys,omitempty"`     // of a dry run, at most 10,000
	More       bool     `json:"more,omitempty"`     // there are more keys than listed
	Note       string   `json:"note,omitempty"`     // why nothing was there
}

func newAnswer(sel cache.Selection, d cache.Dropped) answer {
	a := answer{
		Dropped: d.Pages + d.Graced, Graced: d.Graced, Twins: d.Twins, Fills: d.Claims,
		Everything: d.Retired, Soft: sel.Soft, DryRun: sel.DryRun,
	}
	for _, k := range d.Keys {
		a.Keys = append(a.Keys, k.String())
	}
	a.More = sel.DryRun && len(a.Keys) < a.Dropped
	return a
}

// A refusal is an error that becomes an answer.
type refusal struct {
	status int
	text   string
	failed bool // what was named may still be served
}

func refuse(status int, text string) error { return &refusal{status: status, text: text} }

func (r *refusal) Error() string { return r.text }

// statusOf maps the errors of this package to a status.
func statusOf(err error) int {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r.status
	case errors.Is(err, ErrForbidden):
		return http.StatusForbidden
	case errors.Is(err, ErrMalformed):
		return http.StatusBadRequest
	case errors.Is(err, ErrKeyReused):
		return http.StatusUnprocessableEntity
	default:
		return http.StatusInternalServerError
	}
}

// send writes an answer of one line: for programs, and readable in a terminal.
func send(w http.ResponseWriter, status int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	_ = lines.Encode(body) // a client that has left
}

func sendError(w http.ResponseWriter, err error) {
	send(w, statusOf(err), struct {
		Error string `json:"error"`
	}{err.Error()})
}
