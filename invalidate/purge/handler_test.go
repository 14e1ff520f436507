package purge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A fakeStore records what it is told to drop.
type fakeStore struct {
	mu      sync.Mutex
	dropped cache.Dropped
	err     error
	calls   []cache.Selection
	gate    chan struct{} // if set, each call takes one element first
}

func (s *fakeStore) Invalidate(ctx context.Context, sel cache.Selection) (cache.Dropped, error) {
	s.mu.Lock()
	s.calls = append(s.calls, sel)
	s.mu.Unlock()
	if s.gate != nil {
		<-s.gate
	}
	if err := ctx.Err(); err != nil {
		return cache.Dropped{}, err
	}
	return s.dropped, s.err
}

func (s *fakeStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func keysOf(r *http.Request, target string) []cache.Key {
	k, err := key.Parse(r.Host + target)
	if err != nil || strings.Contains(target, "unlisted") {
		return nil
	}
	return []cache.Key{k}
}

func newHandler(t *testing.T, s Store) *Handler {
	t.Helper()
	h, err := NewHandler(HandlerOptions{Store: s, Keys: keysOf, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func local(r *http.Request) *http.Request {
	r.RemoteAddr = "127.0.0.1:99"
	return r
}

func ask(h http.Handler, r *http.Request) (status int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestHandler(t *testing.T) {
	k, err := key.Parse("example.com/a?x=1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		target  string
		headers []string
		dropped cache.Dropped
		sel     cache.Selection
		want    answer
	}{
		{"page", "/a?x=1", nil, cache.Dropped{Pages: 3, Twins: 2, Graced: 1, Claims: 1},
			cache.Selection{Keys: []cache.Key{k}, Cause: "PURGE example.com/a?x=1 from 127.0.0.1"}, answer{Dropped: 4, Graced: 1, Twins: 2, Fills: 1}},
		{"nothing there", "/a?x=1", nil, cache.Dropped{},
			cache.Selection{Keys: []cache.Key{k}, Cause: "PURGE example.com/a?x=1 from 127.0.0.1"}, answer{}},
		{"soft", "/a?x=1", []string{"Fastly-Soft-Purge: 1"}, cache.Dropped{Pages: 1},
			cache.Selection{Keys: []cache.Key{k}, Soft: true, Cause: "PURGE example.com/a?x=1 from 127.0.0.1"}, answer{Dropped: 1, Soft: true}},
		{"tags", "/a?x=1", []string{"Surrogate-Key: a b"}, cache.Dropped{Pages: 1},
			cache.Selection{Tags: []string{"a", "b"}, Cause: "PURGE of tags from 127.0.0.1"}, answer{Dropped: 1}},
		{"position", "/a?x=1", []string{"Cachesrv-Position: main=1.1@0/200", "Cachesrv-Position: b=2@5:5:"}, cache.Dropped{Pages: 1}, cache.Selection{
			Keys: []cache.Key{k}, Position: vector(t, "b=2@5:5:;main=1.1@0/200"), Cause: "PURGE example.com/a?x=1 from 127.0.0.1",
		}, answer{Dropped: 1}},
		{"position, tags", "/", []string{"Cachesrv-Position: main=1.1@0/200", "xkey-purge: a"}, cache.Dropped{Pages: 1}, cache.Selection{
			Tags: []string{"a"}, Position: vector(t, "main=1.1@0/200"), Cause: "PURGE of tags from 127.0.0.1",
		}, answer{Dropped: 1}},
		{"everything", "/", []string{"Surrogate-Key: a"}, cache.Dropped{Retired: true, Pages: 9},
			cache.Selection{Tags: []string{"a"}, Cause: "PURGE of tags from 127.0.0.1"}, answer{Dropped: 9, Everything: true}},
	} {
		store := &fakeStore{dropped: tt.dropped}
		status, body := ask(newHandler(t, store), local(newPurge(tt.target, tt.headers...)))
		var got answer
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || !reflect.DeepEqual(got, tt.want) || !strings.HasSuffix(body, "}\n") {
			t.Errorf("%s: %d %s, %v", tt.name, status, body, err)
		}
		if len(store.calls) != 1 || !reflect.DeepEqual(store.calls[0], tt.sel) {
			t.Errorf("%s: %+v", tt.name, store.calls)
		}
	}
}

func TestHandlerRefuses(t *testing.T) {
	far := func(r *http.Request) *http.Request { r.RemoteAddr = "192.0.2.1:9"; return r }
	for _, tt := range []struct {
		name   string
		r      *http.Request
		err    error
		status int
		want   string
		calls  int
	}{
		{"method", local(httptest.NewRequest("POST", "/", nil)), nil, 405, "send PURGE", 0},
		{"stranger", far(newPurge("/")), nil, 403, "--purge-from CIDR", 0},
		{"a stranger's bad request", far(newPurge("/a/../b")), nil, 403, "--purge-token-file", 0},
		{"malformed", local(newPurge("/", "Cache-Tag: a b")), nil, 400, "Cache-Tag", 0},
		{"no page", local(newPurge("/unlisted")), nil, 200, "no page can have this URL", 0},
		{"store fails", local(newPurge("/")), errors.New("disk"), 500, "cachesrv fence on", 1},
		{"store closed", local(newPurge("/")), fmt.Errorf("x: %w", cache.ErrClosed), 503, "send it again", 1},
	} {
		store := &fakeStore{err: tt.err}
		status, body := ask(newHandler(t, store), tt.r)
		if status != tt.status || !strings.Contains(body, tt.want) || store.count() != tt.calls {
			t.Errorf("%s: %d %s, %d calls", tt.name, status, body, store.count())
		}
		if !json.Valid([]byte(body)) || strings.Contains(body, "disk") {
			t.Errorf("%s: %s", tt.name, body)
		}
	}
	if _, err := NewHandler(HandlerOptions{Store: &fakeStore{}}); err == nil {
		t.Error("no Keys")
	}
	if _, err := NewHandler(HandlerOptions{Keys: keysOf}); err == nil {
		t.Error("no Store")
	}
}

// TestWrap: only PURGE is answered, and a refused one goes no further.
func TestWrap(t *testing.T) {
	passed := 0
	h := newHandler(t, &fakeStore{}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ }))
	for _, method := range []string{"GET", "POST", "purge", "PURGES"} {
		ask(h, local(httptest.NewRequest(method, "/", nil)))
	}
	if passed != 4 {
		t.Errorf("%d of 4 others", passed)
	}
	stranger := newPurge("/")
	if status, _ := ask(h, stranger); status != 403 || passed != 4 {
		t.Errorf("a stranger's PURGE: %d, %d went on", status, passed)
	}
}

// TestAnswerComesLast: nothing is answered before the store has returned, and a client that leaves does not keep it from that.
func TestAnswerComesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{gate: make(chan struct{})}
		h, api := newHandler(t, store), newAPI(t, store)
		for _, ask := range []func(http.ResponseWriter, context.Context){
			func(w http.ResponseWriter, ctx context.Context) {
				h.ServeHTTP(w, local(newPurge("/")).WithContext(ctx))
			},
			func(w http.ResponseWriter, ctx context.Context) {
				api.ServeHTTP(w, post(`{"all":true}`).WithContext(ctx))
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			w := &watched{ResponseRecorder: httptest.NewRecorder()}
			done := make(chan struct{})
			go func() { defer close(done); ask(w, ctx) }()
			synctest.Wait()
			cancel()
			synctest.Wait()
			if w.begun || store.count() == 0 {
				t.Fatal("answered before the store has")
			}
			store.gate <- struct{}{}
			<-done
			if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
}

// watched notices the first sign of an answer.
type watched struct {
	*httptest.ResponseRecorder
	begun bool
}

func (w *watched) WriteHeader(status int) { w.begun = true; w.ResponseRecorder.WriteHeader(status) }
func (w *watched) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseRecorder.Write(p)
}

// TestUnderway: so many at a time, and the others after them.
func TestUnderway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{gate: make(chan struct{})}
		h := newHandler(t, store)
		var wg sync.WaitGroup
		for range 3 * maxUnderway {
			wg.Go(func() { ask(h, local(newPurge("/"))) })
		}
		synctest.Wait()
		if n := store.count(); n != maxUnderway {
			t.Errorf("%d at a time", n)
		}
		close(store.gate)
		wg.Wait()
		if n := store.count(); n != 3*maxUnderway {
			t.Errorf("%d in all", n)
		}
	})
}
