package indextest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Build builds the program, as anybody would or with further flags, into a folder, and returns its path.
func Build(dir, name string, flags ...string) (path string, err error) {
	path = filepath.Join(dir, name)
	c := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), "github.com/cachesrv/cachesrv/cmd/cachesrv")...)
	c.Stderr = os.Stderr
	return path, c.Run()
}

// A Log keeps what an index logs: the first Bytes of it. It is safe for concurrent use.
type Log struct {
	Bytes int

	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < l.Bytes {
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
