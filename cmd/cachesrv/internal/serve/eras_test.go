package serve

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestEras: a request is answered by the era in which it began, which is closed when its last one has ended, or after a minute.
func TestEras(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var list []string
		closed := func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(list)
		}
		era := func(name string, hold chan struct{}) *Era {
			return &Era{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if hold != nil {
						<-hold
					}
					_, _ = io.WriteString(w, name)
				}),
				Close: func() {
					mu.Lock()
					defer mu.Unlock()
					list = append(list, name)
				},
			}
		}
		ask := func(e *Eras) string {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			return w.Body.String()
		}
		hold := make(chan struct{})
		e := NewEras(era("one", hold))
		first := make(chan string)
		go func() { first <- ask(e) }()
		synctest.Wait()
		if err := e.Replace(era("two", nil)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := ask(e); got != "two" || len(closed()) != 0 {
			t.Errorf("answered by %s; closed: %q", got, closed())
		}
		close(hold)
		if got := <-first; got != "one" {
			t.Errorf("a request that began before was answered by %s", got)
		}
		synctest.Wait()
		if len(closed()) != 1 {
			t.Errorf("closed: %q", closed())
		}

		// Who takes too long keeps nothing open, and not many may.
		stuck := make(chan struct{})
		if err := e.Replace(era("stuck", stuck)); err != nil {
			t.Fatal(err)
		}
		go ask(e)
		synctest.Wait()
		began := time.Now()
		if err := e.Replace(era("next", nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(eraTimeout + time.Second)
		synctest.Wait()
		if len(closed()) != 3 || closed()[2] != "stuck" {
			t.Errorf("after %v closed: %q", time.Since(began), closed())
		}
		for range maxEras {
			if err := e.Replace(era("held", stuck)); err != nil {
				t.Fatal(err)
			}
			go ask(e)
			synctest.Wait()
		}
		_ = e.Replace(era("held", stuck))
		if err := e.Replace(era("one too many", nil)); err == nil {
			t.Error("any number of old settings can be in use")
		}
		close(stuck)
		synctest.Wait()
		e.Close()
		if len(closed()) != 4+maxEras+1 {
			t.Errorf("closed: %q", closed())
		}
	})
}
