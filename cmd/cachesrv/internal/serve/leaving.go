package serve

import (
	"net/http"
	"sync"
	"time"
)

// leaving makes clients leave a server that stops, before it closes connections under them: an HTTP/1 client may be sending its
// next request in the moment in which its idle connection is closed, and can't know what became of it (RFC 9112 9.6).
type leaving struct {
	mu   sync.Mutex
	open int           // connections
	gone chan struct{} // closed when there is none; nil while nobody waits
	say  bool          // that the connection ends with this answer
}

// follow counts connections.
func (l *leaving) follow(state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateNew:
		l.open++
	case http.StateClosed, http.StateHijacked:
		l.open--
	}
	if l.open == 0 && l.gone != nil {
		close(l.gone)
		l.gone = nil
	}
}

// wait has answers end their connections (HTTP/2: say that no more requests are taken), and returns when there is none, or when
// the time is over. 0: at once.
func (l *leaving) wait(atMost time.Duration) {
	if atMost <= 0 {
		return
	}
	l.mu.Lock()
	l.say = true
	gone := make(chan struct{})
	if l.open == 0 {
		close(gone)
	} else {
		l.gone = gone
	}
	l.mu.Unlock()
	end := time.NewTimer(atMost)
	defer end.Stop()
	select {
	case <-gone:
	case <-end.C:
	}
}

func (l *leaving) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		say := l.say
		l.mu.Unlock()
		if say && len(r.Header["Upgrade"]) == 0 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
