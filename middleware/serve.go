package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/render"
	"github.com/cachesrv/cachesrv/static"
)

// serve answers one request: from its page, by filling it, or past the cache. It returns what the handler returned.
func (c *Cache) serve(w http.ResponseWriter, r *http.Request, next render.Func) error {
	k, bypass, err := c.identify(r)
	switch {
	case err != nil:
		c.fail(w, err)
		return nil
	case bypass == "method":
		setStatus(w, "fwd=method")
		return next(w, r)
	case bypass != "":
		setStatus(w, "fwd=bypass"+detail(bypass))
		return next(w, r)
	}
	hit, err := c.o.Store.Lookup(k)
	if err == nil {
		c.answer(w, r, &hit, "hit")
		return nil
	}
	switch {
	case errors.Is(err, cache.ErrFenced):
		return c.past(w, r, next, "fenced")
	case !errors.Is(err, cache.ErrMiss):
		c.trouble.log(c.log, slog.LevelError, "a page can't be looked up; answering past the cache", "key", k, "err", err)
		return c.past(w, r, next, "store")
	case r.Method == http.MethodHead:
		return c.past(w, r, next, "head") // it would make a page without a body
	}
	return c.miss(w, r, k, next)
}

// answer serves a page and closes the hit.
func (c *Cache) answer(w http.ResponseWriter, r *http.Request, hit *cache.Hit, status string) {
	setPageStatus(w, status, hit)
	static.Serve(w, r, hit, c.serving)
	_ = hit.Close()
}

// past renders past the cache: the handler sees the request as it came, and answers the client itself.
func (c *Cache) past(w http.ResponseWriter, r *http.Request, next render.Func, why string) error {
	setStatus(w, "fwd=uri-miss"+detail(why))
	return next(w, r)
}

// fail answers a request that identify refused.
func (c *Cache) fail(w http.ResponseWriter, err error) {
	status, text := http.StatusInternalServerError, "the request could not be authorized"
	if errors.Is(err, key.ErrInvalid) {
		status, text = http.StatusBadRequest, "malformed request"
	} else {
		c.trouble.log(c.log, slog.LevelError, "Options.Authorize failed; answered 500", "err", err)
	}
	setStatus(w, `detail="`+text+`"`)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, status)
}

// miss fills the page, or waits for whoever does. A waiter is answered with a page that it looked up after its own
// arrival; so an invalidation before its arrival can't be undone by a fill that began earlier.
func (c *Cache) miss(w http.ResponseWriter, r *http.Request, k cache.Key, next render.Func) error {
	if what, ok := cache.SnapshotMark(r.Context()); ok {
		c.trap.log(c.log, slog.LevelWarn, "no page is stored for requests that read the database before our middleware claims: "+
			"mount it outside of whatever takes that snapshot", "snapshot", what, "key", k)
		setStatus(w, "fwd=bypass; detail=snapshot")
		return next(w, r)
	}
	if path, _ := sent(r); path != k.Path {
		// Its page would be right for it, but a router may see in "/%61" something else than in "/a".
		return c.past(w, r, next, "spelling")
	}
	patience := time.NewTimer(c.o.MaxWait)
	defer patience.Stop()
	for range maxRounds {
		if why, ok := c.notPages.find(k); ok {
			return c.past(w, r, next, why)
		}
		leave, busy := c.flights.join(k.Default())
		if busy == nil {
			return c.lead(w, r, k, next, leave, patience.C)
		}
		if hit, err := c.o.Store.Graced(k); err == nil {
			c.answer(w, r, &hit, "hit; detail=graced")
			return nil
		}
		select {
		case <-busy.ended:
		case <-patience.C:
			c.notPages.remember(k, "slow", notPageLife) // later ones need not be so patient
			return c.past(w, r, next, "waited too long")
		case <-r.Context().Done():
			c.gone(w)
			return nil
		}
		if hit, err := c.o.Store.Lookup(k); err == nil {
			c.answer(w, r, &hit, "fwd=uri-miss; collapsed")
			return nil
		}
	}
	return c.past(w, r, next, "invalidated faster than rendered")
}

// gone ends a request whose context ended while it waited. Mostly nobody reads this; but an empty 200 must not be
// what remains.
func (c *Cache) gone(w http.ResponseWriter) {
	setStatus(w, "detail=gone")
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "the request ended while it waited for the page", http.StatusServiceUnavailable)
}

// Pauses between two looks at a fill of another process.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// lead claims the page for this process's requests and fills it. Where another process has the claim, it waits for
// that one's page.
func (c *Cache) lead(w http.ResponseWriter, r *http.Request, k cache.Key, next render.Func, leave func(), patience <-chan time.Time) error {
	defer leave()
	if fault.Broken(fault.ClaimAfterRead) {
		next = render.Ahead(c.forEveryone(r.Context(), r, k), next)
		fault.Pause(20 * time.Millisecond)
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		fill, err := c.take(r.Context(), k)
		if err == nil {
			// It may have been published between our lookup and the claim.
			if hit, err := c.o.Store.Lookup(k); err == nil {
				_ = fill.Close()
				leave()
				c.answer(w, r, &hit, "fwd=uri-miss; collapsed")
				return nil
			}
			return c.fill(w, r, k, fill, next, leave)
		}
		if !errors.Is(err, cache.ErrClaimed) {
			if r.Context().Err() == nil && !errors.Is(err, errRetired) {
				c.trouble.log(c.log, slog.LevelError, "a page can't be claimed; answering past the cache", "key", k, "err", err)
			}
			leave()
			return c.past(w, r, next, "store")
		}
		if hit, err := c.o.Store.Graced(k); err == nil {
			leave()
			c.answer(w, r, &hit, "hit; detail=graced")
			return nil
		}
		select {
		case <-time.After(pause):
		case <-patience:
			c.notPages.remember(k, "slow", notPageLife)
			leave()
			return c.past(w, r, next, "waited too long")
		case <-r.Context().Done():
			leave()
			c.gone(w)
			return nil
		}
		if hit, err := c.o.Store.Lookup(k); err == nil {
			leave()
			c.answer(w, r, &hit, "fwd=uri-miss; collapsed")
			return nil
		}
	}
}

// fill renders the page under its claim, publishes it, and answers. The flight is left as soon as the outcome is
// known, before the first byte goes to what may be a slow client; whatever happens, nothing of the fill is left.
func (c *Cache) fill(w http.ResponseWriter, r *http.Request, k cache.Key, fill *cache.Fill, next render.Func, leave func()) error {
	defer fill.Close()
	fault.Point(fault.FillClaimed)
	passed, returned := false, false
	defer func() {
		if returned {
			return
		}
		// The handler panicked. Where a graced page can answer instead, the panic ends here.
		_ = fill.Close()
		leave()
		if passed {
			return
		}
		hit, err := c.o.Store.Graced(k)
		if err != nil {
			return
		}
		cause := recover()
		if cause == nil || cause == http.ErrAbortHandler { // nil: runtime.Goexit
			_ = hit.Close()
			if cause != nil {
				panic(cause)
			}
			return
		}
		c.log.Error("a handler panicked; answered with the graced page", "key", k, "panic", cause, "stack", string(debug.Stack()))
		c.answer(w, r, &hit, "fwd=stale; fwd-status=500; detail=graced")
	}()
	a := render.Handler(w, c.forEveryone(r.Context(), r, k), fill, next, render.Options{
		Vary: c.o.Vary, Grace: c.o.Grace, Private: c.o.Authorize != nil,
		GaveUp: func(why string) {
			passed = true
			c.notPages.remember(k, why, notPageLife)
			leave()
			setStatus(w, "fwd=uri-miss"+detail(why))
		},
	})
	returned = true
	life := notPageLife
	if a.Passed {
		return a.Err
	}
	if a.Why == "" {
		hit, err := fill.Publish(context.WithoutCancel(r.Context()), a.Meta)
		if err == nil {
			leave()
			c.answer(w, r, &hit, "fwd=uri-miss; stored")
			return a.Err
		}
		a.Why, life = c.unpublished(k, err)
		a.Lasting = life > 0
		if len(a.Header()["Cache-Control"]) == 0 && len(a.Header()["Expires"]) == 0 {
			w.Header().Set("Cache-Control", c.serving.CacheControl) // a page all the same, to the client
		}
	}
	if a.Lasting {
		if a.Status >= 500 {
			life = min(life, failedLife)
		}
		c.notPages.remember(k, a.Why, life)
	}
	a.Release()
	leave()
	if a.Status >= 500 {
		if hit, err := c.o.Store.Graced(k); err == nil {
			c.answer(w, r, &hit, "fwd=stale; fwd-status="+strconv.Itoa(a.Status)+"; detail=graced")
			return a.Err
		}
	}
	setStatus(w, "fwd=uri-miss"+detail(a.Why))
	_ = a.Send(w)
	return a.Err
}

// unpublished says why a page was not published, and for how long the next ones will fare the same.
func (c *Cache) unpublished(k cache.Key, err error) (why string, life time.Duration) {
	if why, life = lagging(err); why != "" {
		return why, life
	}
	switch {
	case errors.Is(err, cache.ErrInvalidated):
		return "invalidated", 0
	case errors.Is(err, cache.ErrFull):
		c.trouble.log(c.log, slog.LevelWarn, "a page is not stored", "key", k, "err", err)
		return "full", 0
	case errors.Is(err, cache.ErrTooLarge), errors.Is(err, cache.ErrNotPlain), errors.Is(err, key.ErrInvalid):
		c.trouble.log(c.log, slog.LevelWarn, "a page can't be stored", "key", k, "err", err)
		return "not storable: " + err.Error(), notPageLife
	default:
		c.trouble.log(c.log, slog.LevelError, "a page can't be published; answered past the cache", "key", k, "err", err)
		return "store", 0
	}
}
