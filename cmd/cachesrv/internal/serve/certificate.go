package serve

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// certificateCheck is how often, at most, the files of a certificate are looked at.
const certificateCheck = 3 * time.Second

// A Certificate is one read from two files, again when they change: whoever renews it need not tell us.
// Handshakes look at most every 3 s, and none waits for another one's reading.
type Certificate struct {
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]

	mu        sync.Mutex // held while the files are looked at
	cert, key string     // their paths
	looked    time.Time  // when they were
	tried     [2]fileStamp
}

// fileStamp tells one content of a file from the next. A renewal by rename changes inode and time, one in place the time.
type fileStamp struct {
	info     os.FileInfo
	modified time.Time
	size     int64
}

func (s fileStamp) equal(other fileStamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil // two that are missing are equal
	}
	return os.SameFile(s.info, other.info) && s.modified.Equal(other.modified) && s.size == other.size
}

// LoadCertificate reads a certificate chain and its key, both PEM.
func LoadCertificate(cert, key string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key, log: log, looked: time.Now()}
	c.tried = stamps(c.cert, c.key)
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("%w: name the certificate chain and its key with --tls-cert and --tls-key", err)
	}
	return c, nil
}

func (c *Certificate) load() error {
	pair, err := readPair(c.cert, c.key)
	if err == nil {
		c.current.Store(pair)
	}
	return err
}

func readPair(cert, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", cert, key, err)
	}
	return &pair, nil
}

// Renew reads a certificate from files that may be others; use puts it into force.
func (c *Certificate) Renew(cert, key string) (use func(), err error) {
	found := stamps(cert, key)
	pair, err := readPair(cert, key)
	if err != nil {
		return nil, err
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cert, c.key, c.tried = cert, key, found
		c.current.Store(pair)
	}, nil
}

// stamps are taken before the files are read: what changes in between is seen by the next look.
func stamps(cert, key string) (s [2]fileStamp) {
	for i, path := range []string{cert, key} {
		if info, err := os.Stat(path); err == nil {
			s[i] = fileStamp{info, info.ModTime(), info.Size()}
		}
	}
	return s
}

// refresh reads the files if they have changed. A pair that can't be used, or of which only one half is new yet, changes
// nothing: the old one stays, and each state of the files is complained about once.
func (c *Certificate) refresh() {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if time.Since(c.looked) < certificateCheck {
		return
	}
	c.looked = time.Now()
	found := stamps(c.cert, c.key)
	if found[0].equal(c.tried[0]) && found[1].equal(c.tried[1]) {
		return
	}
	c.tried = found
	if err := c.load(); err != nil {
		c.log.Error("the new certificate can't be used: going on with the old one", "error", err)
		return
	}
	c.log.Info("serving a new certificate", "file", c.cert, "expires", c.current.Load().Leaf.NotAfter)
}

// Config returns the TLS settings of a server: HTTP/2 or HTTP/1.1, as the client can (ALPN); TLS 1.2 or newer.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c.refresh()
			return c.current.Load(), nil
		},
	}
}
