package middleware

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/cachesrv/cachesrv/cache"
)

// flights are the fills of this process under way, one per URL: whoever would fill the same URL waits for the end of
// the flight. Nothing is handed over then: a waiter looks the page up itself, and so never gets one that was
// invalidated after it came.
type flights struct {
	mu    sync.Mutex
	urls  map[cache.Key]*flight
	ended atomic.Uint64 // flights so far; written under mu
}

type flight struct {
	ended chan struct{} // closed at its end
	late  chan struct{} // holds one element for each waiter that has lost its patience and asks the origin itself
}

// maxLate bounds those: of thousands that wait for a slow origin, all would lose their patience in the same moment.
const maxLate = 64

// join begins a flight, to be ended with leave (any number of times); or it returns the one under way.
func (f *flights) join(url cache.Key) (leave func(), busy *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if under, ok := f.urls[url]; ok {
		return nil, under
	}
	if f.urls == nil {
		f.urls = make(map[cache.Key]*flight)
	}
	begun := &flight{make(chan struct{}), make(chan struct{}, maxLate)}
	f.urls[url] = begun
	return sync.OnceFunc(func() {
		f.mu.Lock()
		delete(f.urls, url)
		f.ended.Add(1)
		f.mu.Unlock()
		close(begun.ended)
	}), nil
}

// notPages remembers keys whose fill turned out to be no page, for a while and at most maxNotPages of them: their
// requests don't queue for each other (hit-for-miss).
type notPages struct {
	until *otter.Cache[cache.Key, noted]
	store *cache.Store // which notes why, for explain
}

type noted struct {
	why   string
	until time.Time
}

func newNotPages(store *cache.Store) *notPages {
	return &notPages{otter.Must(&otter.Options[cache.Key, noted]{MaximumSize: maxNotPages}), store}
}

func (n *notPages) remember(k cache.Key, why string, life time.Duration) {
	n.until.Set(k, noted{why, time.Now().Add(life)})
	n.store.NoteUnstored(k, why)
}

func (n *notPages) find(k cache.Key) (why string, ok bool) {
	e, ok := n.until.GetIfPresent(k)
	return e.why, ok && time.Now().Before(e.until)
}

// limited logs one kind of trouble at most every logInterval, and counts the rest.
type limited struct {
	last       atomic.Int64 // unix nanoseconds
	suppressed atomic.Int64
}

func (l *limited) log(log *slog.Logger, level slog.Level, message string, args ...any) {
	last, now := l.last.Load(), time.Now().UnixNano()
	if now-last < int64(logInterval) && last != 0 || !l.last.CompareAndSwap(last, now) {
		l.suppressed.Add(1)
		return
	}
	if n := l.suppressed.Swap(0); n > 0 {
		args = append(args, "suppressed", n)
	}
	log.Log(context.Background(), level, message, args...)
}
