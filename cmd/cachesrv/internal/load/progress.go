package load

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
)

// interval is the time between two lines of progress. What is over sooner shows none.
const interval = time.Second

// Progress shows how far a load has come: on a terminal in one line that changes, else in lines. Its methods are safe
// for concurrent use.
type Progress struct {
	found *Found // the whole
	began time.Time
	files atomic.Int64
	bytes atomic.Int64

	mu       sync.Mutex // of what is written
	w        io.Writer
	terminal bool
	shown    bool // a line stands on the terminal

	stop    chan struct{}
	stopped sync.WaitGroup
}

// NewProgress shows on w, each second until Stop, how much of what was found is done.
func NewProgress(w io.Writer, found *Found) *Progress { return newProgress(w, found, isTerminal(w)) }

func newProgress(w io.Writer, found *Found, terminal bool) *Progress {
	p := &Progress{found: found, began: time.Now(), w: w, terminal: terminal, stop: make(chan struct{})}
	p.stopped.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-t.C:
				p.show()
			}
		}
	})
	return p
}

func (p *Progress) done() { p.files.Add(1) }

// Printf writes a line of something else to w, which may be the same terminal.
func (p *Progress) Printf(w io.Writer, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(w, format, args...)
}

// Stop ends the showing, once.
func (p *Progress) Stop() {
	close(p.stop)
	p.stopped.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

// Took is the time since the beginning.
func (p *Progress) Took() time.Duration { return time.Since(p.began) }

func (p *Progress) show() {
	files, bytes := p.files.Load(), p.bytes.Load()
	rate := float64(bytes) / p.Took().Seconds()
	line := fmt.Sprintf("%d of %d files, %s of %s, %s/s", files, len(p.found.Files),
		unit.Size(bytes).Short(), unit.Size(p.found.Bytes).Short(), unit.Size(rate).Short())
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	p.clear()
	fmt.Fprint(p.w, line)
	p.shown = true
}

// clear removes the line from the terminal.
func (p *Progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
