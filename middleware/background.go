package middleware

import (
	"log/slog"
	"runtime/debug"
	"sync"
)

// A background holds what goes on after the request that began it. Its zero value is ready. Its methods may be called
// concurrently.
//
// A server that stops waits for its handlers only for so long: one that is late may begin something when close waits
// already, for a store that is closed next. So close ends the beginning, too.
type background struct {
	mu     sync.Mutex
	closed bool
	count  int // under way
	under  sync.WaitGroup
}

// maxBackground bounds what is under way at a time, renewals and publications: clients that have their answers don't wait for the store
// any more, however slow that is.
const maxBackground = maxRenewals + 64

// begin runs f in a goroutine of its own, unless the background is closed or full: then it reports false. Nobody above that
// goroutine would recover from a panic, and the program would end: f must leave things in order by its deferred calls.
func (b *background) begin(log *slog.Logger, f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.count == maxBackground {
		return false
	}
	b.count++
	b.under.Go(func() {
		defer func() {
			b.mu.Lock()
			b.count--
			b.mu.Unlock()
		}()
		recovered(log, f)
	})
	return true
}

// recovered runs f, and logs a panic.
func recovered(log *slog.Logger, f func()) {
	defer func() {
		if cause := recover(); cause != nil {
			log.Error("a fill in the background panicked; it is given up", "panic", cause, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// close waits for what is under way. Nothing begins any more.
func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.under.Wait()
}
