package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render"
)

// These tests run in a synctest bubble: synctest.Wait returns when every request is answered or blocked, and time
// stands still meanwhile. So each race is driven into exactly one order.

// start sends a request in the background.
func (s *site) start(r *http.Request) <-chan answer {
	done := make(chan answer, 1)
	go func() { done <- s.send(r) }()
	return done
}

// blocking is a handler whose renders end one by one: each reads the version, says so, and waits.
type blocking struct {
	version atomic.Int64 // the database
	renders atomic.Int64
	goOn    chan struct{}
	respond func(w http.ResponseWriter, r *http.Request, version int64)
}

func newBlocking() *blocking { return &blocking{goOn: make(chan struct{})} }

func (b *blocking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.renders.Add(1)
	v := b.version.Load() // the snapshot
	select {
	case <-b.goOn:
	case <-r.Context().Done():
		return
	}
	render.Tags(r.Context(), "t")
	if b.respond != nil {
		b.respond(w, r, v)
		return
	}
	text(w, "version %d", v)
}

// finish lets renders end until the request is answered. (With a broken cache it may be answered without one.)
func (b *blocking) finish(request <-chan answer) answer {
	for {
		select {
		case b.goOn <- struct{}{}:
		case a := <-request:
			return a
		}
	}
}

const page = "http://a.example/page"

func TestCollapseHundredRequestsIntoOneRender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocking()
		s := newSite(t, middleware.Options{}, b.ServeHTTP)
		leader := s.start(newRequest("GET", page))
		synctest.Wait()
		var waiters []<-chan answer
		for range 99 {
			waiters = append(waiters, s.start(newRequest("GET", page)))
		}
		synctest.Wait()
		b.finish(leader).want(t, 200, "fwd=uri-miss; stored")
		for _, w := range waiters {
			a := <-w
			a.want(t, 200, "fwd=uri-miss; collapsed")
			if a.body != "version 0" {
				t.Errorf("waiter got %q", a.body)
			}
		}
		if n := b.renders.Load(); n != 1 {
			t.Errorf("%d renders for 100 requests, want 1", n)
		}
	})
}

// A waiter never gets a fill that an invalidation has overtaken, whether it came before or after the invalidation.
func TestWaiterNeverGetsAnOlderFill(t *testing.T) {
	selections := map[string]cache.Selection{
		"tag": {Tags: []string{"t"}},
		"key": {Keys: []cache.Key{{Host: "a.example", Path: "/page"}}},
		"all": {All: true},
	}
	for name, sel := range selections {
		for _, waiterFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/waiterFirst=%v", name, waiterFirst), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBlocking()
					s := newSite(t, middleware.Options{}, b.ServeHTTP)
					leader := s.start(newRequest("GET", page))
					synctest.Wait()
					var waiter <-chan answer
					if waiterFirst {
						waiter = s.start(newRequest("GET", page))
						synctest.Wait()
					}
					b.version.Store(1) // COMMIT
					s.invalidate(sel)  // hook
					if !waiterFirst {
						waiter = s.start(newRequest("GET", page))
						synctest.Wait()
					}
					b.goOn <- struct{}{} // the leader's render ends
					first := <-leader
					first.want(t, 200, "fwd=uri-miss; detail=invalidated")
					if first.body != "version 0" || first.Header.Get("Cache-Control") != "no-cache" {
						t.Errorf("the leader got %q, %v", first.body, first.Header)
					}
					second := b.finish(waiter) // now the waiter renders
					second.want(t, 200, "fwd=uri-miss; stored")
					if second.body != "version 1" {
						t.Errorf("the waiter got %q", second.body)
					}
					third := s.get(page)
					third.want(t, 200, "hit")
					if third.body != "version 1" {
						t.Errorf("then a hit has %q", third.body)
					}
				})
			})
		}
	}
}

// A page that is invalidated faster than it renders is still answered, after a bounded number of tries.
func TestInvalidatedFasterThanRendered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocking()
		s := newSite(t, middleware.Options{}, b.ServeHTTP)
		var requests []<-chan answer
		for range 6 {
			requests = append(requests, s.start(newRequest("GET", page)))
			synctest.Wait()
		}
		for answered := 0; answered < len(requests); answered++ {
			s.invalidate(cache.Selection{Tags: []string{"t"}})
			b.goOn <- struct{}{}
			synctest.Wait()
		}
		past := 0
		for _, r := range requests {
			a := <-r
			if a.StatusCode != 200 {
				t.Errorf("answered %d", a.StatusCode)
			}
			if a.status() == `cachesrv; fwd=uri-miss; detail="invalidated faster than rendered"` {
				past++
			}
		}
		if n := b.renders.Load(); n != 6 || past != 3 {
			t.Errorf("%d renders, %d past the cache; want 6 and 3", n, past)
		}
		s.nothingStored()
	})
}

func TestWaiterLeavesAtOnceWhenItsClientDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocking()
		s := newSite(t, middleware.Options{}, b.ServeHTTP)
		leader := s.start(newRequest("GET", page))
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		waiter := s.start(newRequest("GET", page).WithContext(ctx))
		synctest.Wait()
		leave()
		(<-waiter).want(t, 503, "detail=gone") // while the leader still renders
		b.finish(leader).want(t, 200, "fwd=uri-miss; stored")
	})
}

func TestWaitersRetryAtOnceWhenTheLeaderFails(t *testing.T) {
	failures := map[string]func(t *testing.T, b *blocking, leave context.CancelFunc){
		"disconnect": func(t *testing.T, b *blocking, leave context.CancelFunc) { leave() },
		"deadline":   func(t *testing.T, b *blocking, leave context.CancelFunc) { time.Sleep(5 * time.Second) },
		"panic": func(t *testing.T, b *blocking, leave context.CancelFunc) {
			b.respond = func(http.ResponseWriter, *http.Request, int64) {
				b.respond = nil
				panic(http.ErrAbortHandler)
			}
			b.goOn <- struct{}{}
		},
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocking()
				s := newSite(t, middleware.Options{}, b.ServeHTTP)
				ctx, leave := context.WithTimeout(t.Context(), 5*time.Second)
				defer leave()
				ended := make(chan any, 1)
				go func() {
					defer func() { ended <- recover() }()
					s.send(newRequest("GET", page).WithContext(ctx))
				}()
				synctest.Wait()
				waiter := s.start(newRequest("GET", page))
				synctest.Wait()
				fail(t, b, leave)
				if cause := <-ended; (cause != nil) != (name == "panic") {
					t.Errorf("the leader ended with %v", cause)
				}
				b.finish(waiter).want(t, 200, "fwd=uri-miss; stored")
				s.get(page).want(t, 200, "hit")
			})
		})
	}
}

func TestWaiterIsPatientForMaxWaitOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocking()
		s := newSite(t, middleware.Options{MaxWait: 3 * time.Second}, b.ServeHTTP)
		leader := s.start(newRequest("GET", page))
		synctest.Wait()
		began := time.Now()
		waiter := s.start(newRequest("GET", page))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if b.renders.Load() != 2 || time.Since(began) != 3*time.Second {
			t.Fatalf("after %s: %d renders", time.Since(began), b.renders.Load())
		}
		third := s.start(newRequest("GET", page)) // one that comes now does not wait at all
		synctest.Wait()
		if b.renders.Load() != 3 {
			t.Fatal("the third request waits")
		}
		close(b.goOn)
		(<-waiter).want(t, 200, `fwd=uri-miss; detail="waited too long"`)
		(<-third).want(t, 200, `fwd=uri-miss; detail=slow`)
		(<-leader).want(t, 200, "fwd=uri-miss; stored")
	})
}

func TestHitForMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocking()
		b.respond = func(w http.ResponseWriter, r *http.Request, v int64) {
			render.NoStore(r.Context(), "made for you")
			text(w, "version %d", v)
		}
		s := newSite(t, middleware.Options{}, b.ServeHTTP)
		first := s.start(newRequest("GET", page))
		synctest.Wait()
		var waiters []<-chan answer
		for range 10 {
			waiters = append(waiters, s.start(newRequest("GET", page)))
		}
		synctest.Wait()
		if n := b.renders.Load(); n != 1 {
			t.Fatalf("%d renders", n)
		}
		b.goOn <- struct{}{}
		(<-first).want(t, 200, `fwd=uri-miss; detail="NoStore: made for you"`)
		synctest.Wait()
		if n := b.renders.Load(); n != 11 {
			t.Errorf("%d renders under way after the first turned out to be no page, want all 11", n)
		}
		for range waiters {
			b.goOn <- struct{}{}
		}
		for _, w := range waiters {
			(<-w).want(t, 200, `fwd=uri-miss; detail="NoStore: made for you"`)
		}
		s.nothingStored()
		// Ten seconds later it may have become a page.
		time.Sleep(10 * time.Second)
		b.respond = nil
		again := s.start(newRequest("GET", page))
		synctest.Wait()
		b.finish(again).want(t, 200, "fwd=uri-miss; stored")
	})
}

// One that streams lets the waiters go when it starts to, not when it ends.
func TestStreamDoesNotHoldItsWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renders atomic.Int64
		end := make(chan struct{})
		s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
			renders.Add(1)
			text(w, "begin,")
			w.(http.Flusher).Flush()
			<-end
			_, _ = io.WriteString(w, "end")
		})
		first := s.start(newRequest("GET", page))
		second := s.start(newRequest("GET", page))
		synctest.Wait()
		if renders.Load() != 2 {
			t.Fatalf("%d renders while the first one streams", renders.Load())
		}
		close(end)
		for _, c := range []<-chan answer{first, second} {
			a := <-c
			a.want(t, 200, "fwd=uri-miss; detail=streamed")
			if a.body != "begin,end" || !a.flushed {
				t.Errorf("got %q", a.body)
			}
		}
		s.nothingStored()
	})
}

// A slow client holds neither the claim nor the waiters.
func TestSlowClientHoldsNobody(t *testing.T) {
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprint("stored=", stored), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocking()
				s := newSite(t, middleware.Options{}, b.ServeHTTP)
				slow := &slowWriter{header: make(http.Header), read: make(chan struct{})}
				done := make(chan struct{})
				go func() {
					defer close(done)
					s.ServeHTTP(slow, newRequest("GET", page))
				}()
				synctest.Wait()
				if !stored {
					s.invalidate(cache.Selection{Tags: []string{"t"}})
				}
				b.goOn <- struct{}{}
				synctest.Wait() // the leader now writes to its client
				next := s.start(newRequest("GET", page))
				if !stored {
					b.goOn <- struct{}{}
				}
				a := <-next
				if a.StatusCode != 200 {
					t.Error(a.StatusCode)
				}
				s.get(page).want(t, 200, "hit")
				close(slow.read)
				<-done
			})
		})
	}
}

// Nor where the answer is no page: another process may fill the URL meanwhile.
func TestSlowClientOfNoPageHoldsNoClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
			render.NoStore(r.Context(), "today")
			text(w, "x")
		})
		slow := &slowWriter{header: make(http.Header), read: make(chan struct{})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeHTTP(slow, newRequest("GET", page))
		}()
		synctest.Wait()
		fill, err := s.store.Claim(t.Context(), keyOf(t, "a.example/page"))
		if err != nil {
			t.Fatal(err)
		}
		_ = fill.Close()
		close(slow.read)
		<-done
	})
}

type slowWriter struct {
	header http.Header
	read   chan struct{}
}

func (w *slowWriter) Header() http.Header { return w.header }
func (w *slowWriter) WriteHeader(int)     {}
func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.read
	return len(p), nil
}

// Another process is one more Store on the folder.
func TestWaitsForTheFillOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocking()
		s := newSite(t, middleware.Options{}, b.ServeHTTP)
		k := keyOf(t, "a.example/page")
		other, err := cache.Open(t.Context(), cache.Options{Dir: s.store.Dir()})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := other.Unfence(t.Context()); err != nil {
			t.Fatal(err)
		}
		theirs, err := other.Claim(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		waiter := s.start(newRequest("GET", page))
		time.Sleep(time.Second)
		if _, err := io.WriteString(theirs, "theirs"); err != nil {
			t.Fatal(err)
		}
		hit, err := theirs.Publish(t.Context(), cache.Meta{Header: http.Header{"Content-Type": {"text/plain"}}})
		if err != nil {
			t.Fatal(err)
		}
		_ = hit.Close()
		_ = theirs.Close()
		a := <-waiter
		a.want(t, 200, "fwd=uri-miss; collapsed")
		if a.body != "theirs" || b.renders.Load() != 0 {
			t.Errorf("got %q, %d renders", a.body, b.renders.Load())
		}

		// One that gives up leaves the claim to us.
		s.invalidate(cache.Selection{Keys: []cache.Key{k}})
		if theirs, err = other.Claim(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		waiter = s.start(newRequest("GET", page))
		time.Sleep(time.Second)
		_ = theirs.Close()
		b.finish(waiter).want(t, 200, "fwd=uri-miss; stored")

		// One that hangs costs a bounded wait.
		s.invalidate(cache.Selection{Keys: []cache.Key{k}})
		if theirs, err = other.Claim(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		waiter = s.start(newRequest("GET", page))
		b.finish(waiter).want(t, 200, `fwd=uri-miss; detail="waited too long"`)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("waited %s, want 10s", waited)
		}
		_ = theirs.Close()
	})
}

func TestGraced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocking()
		graced := func(w http.ResponseWriter, r *http.Request, v int64) {
			render.Grace(r.Context(), time.Minute)
			text(w, "version %d", v)
		}
		b.respond = graced
		s := newSite(t, middleware.Options{}, b.ServeHTTP)
		r := s.start(newRequest("GET", page))
		b.finish(r).want(t, 200, "fwd=uri-miss; stored")

		// A soft purge: one request renders, the others get the graced page meanwhile.
		b.version.Store(1)
		s.invalidate(cache.Selection{Tags: []string{"t"}, Soft: true})
		leader := s.start(newRequest("GET", page))
		synctest.Wait()
		a := s.get(page)
		a.want(t, 200, "hit; detail=graced")
		if a.body != "version 0" {
			t.Errorf("graced: %q", a.body)
		}
		a = b.finish(leader)
		a.want(t, 200, "fwd=uri-miss; stored")
		if a.body != "version 1" {
			t.Errorf("leader: %q", a.body)
		}
		s.get(page).want(t, 200, "hit")

		// A render that fails is covered by the graced page, while the grace lasts: by status, and by panic.
		for name, fail := range map[string]func(w http.ResponseWriter, r *http.Request, v int64){
			"status": func(w http.ResponseWriter, r *http.Request, v int64) {
				http.Error(w, "no database", http.StatusServiceUnavailable)
			},
			"panic": func(w http.ResponseWriter, r *http.Request, v int64) { panic("no database") },
		} {
			time.Sleep(2 * time.Second) // a failure is remembered for a second
			s.invalidate(cache.Selection{Tags: []string{"t"}, Soft: true})
			b.respond = fail
			r = s.start(newRequest("GET", page))
			a = b.finish(r)
			a.want(t, 200, "fwd=stale; fwd-status=50")
			if a.body != "version 1" {
				t.Errorf("%s: %q", name, a.body)
			}
		}
		// A hard invalidation leaves nothing to serve.
		time.Sleep(2 * time.Second)
		s.invalidate(cache.Selection{Tags: []string{"t"}})
		b.respond = func(w http.ResponseWriter, r *http.Request, v int64) {
			http.Error(w, "no database", http.StatusServiceUnavailable)
		}
		r = s.start(newRequest("GET", page))
		b.finish(r).want(t, 503, `fwd=uri-miss; detail="status 503"`)
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var renders atomic.Int64
		s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			text(w, "render %d", renders.Add(1))
		})
		s.get(page).want(t, 200, "fwd=uri-miss; stored; ttl=60")
		time.Sleep(45 * time.Second)
		a := s.get(page)
		a.want(t, 200, "hit; ttl=15")
		if a.Header.Get("Cache-Control") != "max-age=60" || a.Header.Get("Age") != "45" {
			t.Errorf("%v", a.Header)
		}
		time.Sleep(15 * time.Second)
		a = s.get(page)
		a.want(t, 200, "fwd=uri-miss; stored; ttl=60")
		if a.body != "render 2" {
			t.Errorf("%q", a.body)
		}
	})
}
