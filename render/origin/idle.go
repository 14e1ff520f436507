package origin

import (
	"sync"
	"time"
)

const (
	maxIdle     = 64 // connections, of all lanes together
	idleTimeout = time.Minute
)

// idle are the connections that wait for a request, in each lane the one idle for the longest time first. The zero
// value is ready.
type idle struct {
	mu     sync.Mutex
	conns  [lanes][]*conn
	closed bool
	timer  *time.Timer // runs while there are any
}

// take returns the connection used last, if it can be used still.
func (i *idle) take(l lane, now time.Time) *conn {
	for {
		i.mu.Lock()
		n := len(i.conns[l]) - 1
		if n < 0 {
			i.mu.Unlock()
			return nil
		}
		c := i.conns[l][n]
		i.conns[l][n] = nil
		i.conns[l] = i.conns[l][:n]
		i.mu.Unlock()
		if now.Sub(c.since) < idleTimeout && c.alive() {
			return c
		}
		_ = c.Close()
	}
}

// keep reports whether it took the connection; else it is the caller's to close.
func (i *idle) keep(c *conn, now time.Time) bool {
	c.since = now
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return false
	}
	if i.count() >= maxIdle {
		i.dropOldest()
	}
	i.conns[c.lane] = append(i.conns[c.lane], c)
	if i.timer == nil {
		i.timer = time.AfterFunc(idleTimeout, i.expire)
	}
	return true
}

// makeRoom closes connections until no more than n are left: those in use and these together keep to MaxConns.
func (i *idle) makeRoom(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.count() > n {
		i.dropOldest()
	}
}

func (i *idle) count() int {
	n := 0
	for _, conns := range i.conns {
		n += len(conns)
	}
	return n
}

func (i *idle) dropOldest() {
	oldest := lane(-1)
	for l, conns := range i.conns {
		if len(conns) > 0 && (oldest < 0 || conns[0].since.Before(i.conns[oldest][0].since)) {
			oldest = lane(l)
		}
	}
	_ = i.conns[oldest][0].Close()
	i.conns[oldest] = append(i.conns[oldest][:0], i.conns[oldest][1:]...)
}

// expire closes what has been idle for too long: the origin may have closed it long ago, and nobody would notice.
func (i *idle) expire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.timer = nil
	if i.closed {
		return
	}
	now := time.Now()
	for l := range i.conns {
		for len(i.conns[l]) > 0 && now.Sub(i.conns[l][0].since) >= idleTimeout {
			_ = i.conns[l][0].Close()
			i.conns[l] = append(i.conns[l][:0], i.conns[l][1:]...)
		}
	}
	if i.count() > 0 {
		i.timer = time.AfterFunc(idleTimeout/4, i.expire)
	}
}

func (i *idle) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
	if i.timer != nil {
		i.timer.Stop()
	}
	for l := range i.conns {
		for _, c := range i.conns[l] {
			_ = c.Close()
		}
		i.conns[l] = nil
	}
}
