package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cachesrv/cachesrv/middleware"
)

// TestBackground: what has begun is waited for, and nothing begins once it is closed: not even from what is waited for.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b middleware.Background
		log := slog.New(slog.DiscardHandler)
		var late, closed atomic.Bool
		if !b.Begin(log, func() {
			time.Sleep(time.Second)
			late.Store(b.Begin(log, func() {}))
		}) {
			t.Error("nothing begins")
		}
		go func() { b.Close(); closed.Store(true) }()
		synctest.Wait()
		if closed.Load() {
			t.Error("it does not wait")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !closed.Load() || late.Load() {
			t.Errorf("closed %v, began after that %v", closed.Load(), late.Load())
		}
		b.Close() // once more
	})
}

// A logged is a log in memory, which panics once at a message.
type logged struct {
	slog.Handler
	mu     sync.Mutex
	text   bytes.Buffer
	panics string
}

func newLogged(panics string) *logged {
	l := &logged{panics: panics}
	l.Handler = slog.NewTextHandler(&l.text, nil)
	return l
}

func (l *logged) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.panics != "" && strings.HasPrefix(r.Message, l.panics) {
		l.panics = ""
		panic("broken on purpose")
	}
	return l.Handler.Handle(ctx, r)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

const panicked = "panicked; it is given up"

// TestProxyPanicWhileStored: a panic where a page is stored while it is sent leaves nothing behind, and the client's answer is broken
// off.
func TestProxyPanicWhileStored(t *testing.T) {
	log := newLogged("a page can't be stored")
	body := strings.Repeat("x", 6<<20)
	s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.(http.Flusher).Flush() // without a length
		_, _ = io.WriteString(w, body)
	}, func(o *middleware.ProxyOptions) { o.Logger = slog.New(log) })
	s.front.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // net/http recovers
	res, err := http.Get(s.front.URL + "/a")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("%d bytes, and that is all", len(got))
	}
	s.settled()
	s.proxy.Close()
	if _, err := s.store.Lookup(s.key("/a")); err == nil {
		t.Error("published")
	}
}

// TestProxyPanicInRenewal: the same, where a page is renewed.
func TestProxyPanicInRenewal(t *testing.T) {
	log := newLogged("a page can't be stored")
	s := newProxied(t, numbered("Cache-Control: max-age=5, stale-while-revalidate=60", "Age: 6"), func(o *middleware.ProxyOptions) { o.Logger = slog.New(log) })
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("X-Long", strings.Repeat("x", 60<<10)) // more than a page may have
		fmt.Fprint(w, "new")
	})
	s.expect("/a", "1", "hit; detail=graced")
	for deadline := time.Now().Add(10 * time.Second); s.proxy.Renewals() > 0 || log.count(panicked) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d renewals; logged:\n%s", s.proxy.Renewals(), log.text.String())
		}
	}
	s.settled()
	s.expect("/a", "1", "hit; detail=graced")
}

// TestProxyClosesUnderLoad: requests that are still under way when the proxy closes begin nothing any more, and end.
func TestProxyClosesUnderLoad(t *testing.T) {
	body := strings.Repeat("x", 200_000)
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=5, stale-while-revalidate=60")
		w.Header().Set("Age", "6")
		_, _ = io.WriteString(w, body)
	})
	s.get("/renewed")
	s.settled()
	var under sync.WaitGroup
	stop := make(chan struct{})
	started := make(chan struct{}, 1000)
	for i := range 8 {
		under.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				for _, path := range []string{fmt.Sprintf("/%d/%d", i, n), "/renewed"} {
					if resp, err := http.Get(s.front.URL + path); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
				}
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 16 {
		<-started
	}
	s.proxy.Close()
	if n := s.proxy.Renewals(); n > 0 {
		t.Errorf("%d renewals go on", n)
	}
	close(stop)
	under.Wait()
}

// TestProxyClosed: a request that comes too late is answered, and nothing begins in the background.
func TestProxyClosed(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=5, stale-while-revalidate=60", "Age: 6"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.proxy.Close()
	s.expect("/a", "2", "fwd=bypass; detail=closed")
	s.expect("/b", "3", "fwd=bypass; detail=closed")
	if _, err := s.store.Lookup(s.key("/b")); err == nil {
		t.Error("stored")
	}
}

// TestProxyLogsDropsOnce: a store that drops nothing any more is no reason to fill the log.
func TestProxyLogsDropsOnce(t *testing.T) {
	log := newLogged("")
	s := newProxied(t, numbered(), func(o *middleware.ProxyOptions) { o.Logger = slog.New(log) })
	_ = s.store.Close()
	for range 20 {
		s.do("POST", "/a")
	}
	if n := log.count("could not be dropped"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
