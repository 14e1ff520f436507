package middleware

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// TestTailPanic: when storing panics, the sender learns that the page has no end, and is not waited for.
func TestTailPanic(t *testing.T) {
	tl := newTail(&cache.Fill{}, func([]byte) error { panic("broken on purpose") })
	go func() {
		defer close(tl.done)
		tl.sendErr = tl.send(httptest.NewRecorder())
	}()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		defer func() { _ = recover() }()
		defer tl.close()
		_, _ = tl.add([]byte("part"), nil)
	}()
	select {
	case <-closed:
		if !errors.Is(tl.sendErr, errOrigin) {
			t.Errorf("%v", tl.sendErr)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the sender waits for ever")
	}
}

// TestBackgroundIsBounded: what is too much does not begin, and there is room again when something has ended.
func TestBackgroundIsBounded(t *testing.T) {
	var b background
	release := make(chan struct{})
	begin := func() bool { return b.begin(slog.Default(), func() { <-release }) }
	for i := range maxBackground {
		if !begin() {
			t.Fatalf("no more than %d", i)
		}
	}
	if begin() {
		t.Error("one too many")
	}
	release <- struct{}{}
	for end := time.Now().Add(10 * time.Second); !begin(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no room again")
		}
	}
	close(release)
	b.close()
}
