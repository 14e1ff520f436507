package serve

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// An Era is what answers a site's requests under one set of settings, until others are taken on.
type Era struct {
	http.Handler
	// Maker says what the pages of this era depend on.
	Maker Maker
	// Begin puts into force what is not part of Handler, as a certificate. It can't fail. Nil: nothing.
	Begin func()
	// Retire keeps what its requests fill from being published, from when it has returned: what was claimed before, and is
	// invalidated then, never is. Nil: nothing is filled.
	Retire func()
	// Close ends what goes on in the background, and tunnels. Requests are under way only if they took too long. Nil: nothing.
	Close func()
}

func (e *Era) retire() {
	if e.Retire != nil {
		e.Retire()
	}
}

func (e *Era) close() {
	if e.Close != nil {
		e.Close()
	}
}

// Bounds of what a reload leaves behind: for how long requests that began before it may go on with the settings of then, and how
// many sets of settings are in use that way.
const (
	eraTimeout = time.Minute
	maxEras    = 4
)

// Eras is the handler of a site: that of the current era. A request is answered by one era from beginning to end.
type Eras struct {
	mu      sync.Mutex
	current *counted

	places chan struct{} // holds an element for each old era in use
	ended  context.Context
	end    context.CancelFunc
	old    sync.WaitGroup
}

// counted is an era, and the requests it is answering.
type counted struct {
	*Era
	underway underway
}

// NewEras begins with an era. Close it.
func NewEras(first *Era) *Eras {
	e := &Eras{current: &counted{Era: first}, places: make(chan struct{}, maxEras)}
	e.ended, e.end = context.WithCancel(context.Background())
	if first.Begin != nil {
		first.Begin()
	}
	return e
}

func (e *Eras) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	now := e.current
	now.underway.add(1) // under the lock: an era that is replaced knows of all its requests
	e.mu.Unlock()
	defer now.underway.add(-1)
	now.ServeHTTP(w, r)
}

// Current returns the era that answers requests that begin now.
func (e *Eras) Current() *Era {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current.Era
}

// errEras says that too many old settings are in use.
var errEras = errors.New("requests are still answered with the settings of several earlier reloads: try again in a minute")

// Replace begins an era. Requests under way finish in the old one, which is closed when the last one has ended, or after a minute.
func (e *Eras) Replace(next *Era) error {
	select {
	case e.places <- struct{}{}:
	default:
		return errEras
	}
	// First: a change under way in the old era must know the next one's pages before there is any.
	if next.Begin != nil {
		next.Begin()
	}
	e.mu.Lock()
	old := e.current
	e.current = &counted{Era: next}
	e.mu.Unlock()
	e.old.Go(func() {
		defer func() { <-e.places }()
		ctx, cancel := context.WithTimeout(e.ended, eraTimeout)
		defer cancel()
		_ = old.underway.wait(ctx)
		old.close()
	})
	return nil
}

// Close closes all eras. Call it when no request is under way.
func (e *Eras) Close() {
	e.end()
	e.old.Wait()
	e.Current().close()
}
