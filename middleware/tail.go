package middleware

import (
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/cachesrv/cachesrv/cache"
)

// A tail is a page under way: the request's goroutine stores it, another one sends what is stored so far. So a client that
// takes its answer slowly holds up nobody but itself.
type tail struct {
	mu    sync.Mutex
	grown sync.Cond
	fill  *cache.Fill // until all is stored, or no more can be
	write func([]byte) error
	ended bool
	err   error    // why it ended
	size  int64    // stored so far
	small []byte   // that, unless it is in
	file  *os.File // to read from
	lost  error    // it can't be

	done    chan struct{} // closed when the sender has ended:
	sent    int64
	sendErr error
}

func newTail(fill *cache.Fill, write func([]byte) error) *tail {
	t := &tail{fill: fill, write: write, done: make(chan struct{})}
	t.grown.L = &t.mu
	return t
}

// add stores what one Read has returned. It reports whether that is the last that is stored, and why: nil at the page's end, errOrigin
// if the origin broke it off, or what the fill says; then the part is not stored.
func (t *tail) add(part []byte, readErr error) (end bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.grown.Broadcast()
	if t.ended {
		return true, t.err
	}
	if len(part) > 0 {
		err = t.write(part)
	}
	if err == nil && readErr != nil && readErr != io.EOF {
		err = errOrigin
	}
	if end = err != nil || readErr != nil; end {
		t.ended, t.err = true, err
		t.look() // the fill is published or closed next
		t.fill = nil
	}
	return end, err
}

// close has the sender break its answer off if storing has ended without a word, in a panic; waits for it; and lets go of
// what it reads from.
func (t *tail) close() {
	t.mu.Lock()
	if !t.ended {
		t.ended, t.err, t.fill = true, errOrigin, nil
		t.lost = errOrigin
		t.grown.Broadcast()
	}
	t.mu.Unlock()
	<-t.done
	if t.file != nil {
		_ = t.file.Close()
	}
}

// look notes what the fill holds. A file is read through a descriptor of our own.
func (t *tail) look() {
	t.size, t.small = t.fill.Written()
	if t.small == nil && t.size > 0 && t.file == nil && t.lost == nil {
		file, err := t.fill.Open()
		if err != nil {
			t.size, t.lost = t.sent, err
			return
		}
		t.file = file
	}
}

// wait returns what there is beyond what was sent, when there is something or all is there.
func (t *tail) wait() (size int64, small []byte, ended bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		if !t.ended {
			t.look()
		}
		if t.ended || t.size > t.sent || t.lost != nil {
			return t.size, t.small, t.ended, t.lost
		}
		t.grown.Wait()
	}
}

// send sends what is stored, as it comes, until no more is.
func (t *tail) send(w http.ResponseWriter) error {
	for {
		size, small, ended, err := t.wait()
		if err != nil {
			return err
		}
		for t.sent < size {
			n := min(size-t.sent, 8*chunkSize)
			if small == nil {
				_, err = io.Copy(w, io.NewSectionReader(t.file, t.sent, n))
			} else {
				_, err = w.Write(small[t.sent : t.sent+n])
			}
			if err != nil {
				return err
			}
			t.sent += n
		}
		if ended {
			return nil
		}
		flush(w)
	}
}
