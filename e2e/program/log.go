package program

import (
	"bytes"
	"sync"
)

// A Log keeps what a program prints: the first Bytes of it. It is safe for concurrent use.
type Log struct {
	Bytes int // default 1 MiB

	mu sync.Mutex
	b  bytes.Buffer
}

const defaultLogBytes = 1 << 20

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.Bytes
	if limit == 0 {
		limit = defaultLogBytes
	}
	if l.b.Len() < limit {
		l.b.Write(p)
	}
	return len(p), nil
}

// Len returns how much was kept so far, for Since.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Len()
}

// Since returns what was kept after Len had returned n.
func (l *Log) Since(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b.Bytes()[n:])
}

func (l *Log) String() string { return l.Since(0) }
