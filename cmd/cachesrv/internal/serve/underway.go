package serve

import (
	"context"
	"net/http"
	"sync"
)

// underway counts the requests whose handlers have not returned. http.Server closes the connections of those that take
// too long, and does not wait for them; but what they use must not be closed before.
type underway struct {
	mu    sync.Mutex
	count int
	none  chan struct{} // closed when the count is 0; nil while nobody waits
}

func (u *underway) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.add(1)
		defer u.add(-1)
		next.ServeHTTP(w, r)
	})
}

func (u *underway) add(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count += n
	if u.count == 0 && u.none != nil {
		close(u.none)
		u.none = nil
	}
}

// wait returns when no handler is running, or ctx's error. One call at a time.
func (u *underway) wait(ctx context.Context) error {
	u.mu.Lock()
	none := make(chan struct{})
	if u.count == 0 {
		close(none)
	} else {
		u.none = none
	}
	u.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
