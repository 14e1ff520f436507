package purge

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurns: those who share turns have so many together; who waits too long for one is told to send it again, and is not
// carried out behind their back.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, turns := &fakeStore{gate: make(chan struct{})}, new(Turns)
		var handlers []http.Handler
		for range 2 {
			h, err := NewHandler(HandlerOptions{Store: store, Keys: keysOf, Turns: turns, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			handlers = append(handlers, h)
		}
		api, err := NewAPI(APIOptions{Store: store, Turns: turns, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		var first, late sync.WaitGroup
		for i := range maxUnderway {
			first.Go(func() {
				if status, body := ask(handlers[i%2], local(newPurge("/"))); status != http.StatusOK {
					t.Errorf("%d %s", status, body)
				}
			})
		}
		synctest.Wait()
		asks := []func() (int, string){
			func() (int, string) { return ask(handlers[0], local(newPurge("/"))) },
			func() (int, string) { return ask(handlers[1], local(newPurge("/"))) },
			func() (int, string) { return ask(api, post(`{"all":true}`)) },
		}
		began := time.Now()
		for _, a := range asks {
			late.Go(func() {
				status, body := a()
				if status != http.StatusServiceUnavailable || !strings.Contains(body, "send it again") {
					t.Errorf("%d %s", status, body)
				}
				if waited := time.Since(began); waited != turnTimeout {
					t.Errorf("it has waited for %v", waited)
				}
			})
		}
		late.Wait()
		close(store.gate)
		first.Wait()
		if n := store.count(); n != maxUnderway {
			t.Errorf("%d have come to the store", n)
		}
		for _, a := range asks { // now there are turns again
			if status, body := a(); status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
		}
	})
}
