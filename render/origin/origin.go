// Package origin is an HTTP origin as a source of pages: Fetch asks it for a page, Pass forwards what is none.
//
// It speaks HTTP/1.1 itself instead of through http.Transport, because a cache must be stricter than a client. It sends
// the request target byte by byte; it refuses an answer that can be read in two ways (RFC 9112, 6.3) where a client
// would pick one; and connections that have carried a client's own request are never used to ask for a page: whoever
// smuggles a second request into his first one can't have its answer stored under another URL. One that has carried a
// request with a body is not used again at all: nor can he have its answer given to another client.
package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What Options mean where they say nothing.
const (
	defaultConnectTimeout = 5 * time.Second
	defaultHeaderTimeout  = 30 * time.Second
	defaultBodyTimeout    = 30 * time.Second
	defaultMaxHeader      = 64 << 10
	defaultMaxConns       = 1024
)

// Options say where the origin is, and how much of it is waited for.
type Options struct {
	// URL is http://HOST[:PORT], https://HOST[:PORT], or unix:/PATH for HTTP over a Unix socket. It has no path: the
	// origin is asked for exactly what we are asked for. The certificate of an https origin must be for HOST.
	URL string
	// Host is sent as Host. Default: the request's own.
	Host string
	// ConnectTimeout bounds the time until there is a connection: waiting for one of MaxConns, name resolution, TCP
	// and TLS. Default 5 s.
	ConnectTimeout time.Duration
	// HeaderTimeout bounds the time from the end of the request to the end of the answer's header, interim answers
	// (1xx) included. Default 30 s.
	HeaderTimeout time.Duration
	// BodyTimeout bounds the time between two reads of the body of an answer to Fetch, and between two writes of the
	// body of a request. What Pass streams may pause for as long as the client wants to wait. Default 30 s.
	BodyTimeout time.Duration
	// MaxHeader bounds the bytes of an answer's header, together with those of all interim answers before it, and
	// those of its trailers. Default 64 KiB.
	MaxHeader int64
	// MaxConns bounds the connections to the origin, tunnels of upgraded requests included. Default 1024. Up to 64 of
	// them are kept when idle.
	MaxConns int
	// RootCAs are who may sign an https origin's certificate. Default: the system's.
	RootCAs *x509.CertPool
	// Logger gets at most one line per second about failures. Default: none.
	Logger *slog.Logger
}

// An Origin is an HTTP origin. Its methods may be called concurrently.
type Origin struct {
	options Options
	network string // "tcp" or "unix"
	address string
	tls     *tls.Config // nil: cleartext

	slots   chan struct{} // one for each connection in use
	idle    idle
	closing context.Context // ends with Close
	close   context.CancelFunc
	buffers sync.Pool // *[]byte of copySize
	quiet   quiet

	tunnelTimeout time.Duration // the constant, but for tests
}

// New returns the origin that the options tell. No connection is made yet. Errors say what is wrong with the URL and
// how one looks.
func New(o Options) (*Origin, error) {
	or := &Origin{tunnelTimeout: tunnelTimeout}
	if err := or.locate(o); err != nil {
		return nil, fmt.Errorf("origin %q: %w; it looks like http://127.0.0.1:9000, https://origin.example or unix:/run/app.sock", o.URL, err)
	}
	if o.Host != "" && !validHost(o.Host) {
		return nil, fmt.Errorf("origin %q: %q can't be sent as Host", o.URL, o.Host)
	}
	for _, bound := range []struct {
		name string
		set  bool
	}{
		{"ConnectTimeout", o.ConnectTimeout < 0}, {"HeaderTimeout", o.HeaderTimeout < 0}, {"BodyTimeout", o.BodyTimeout < 0},
		{"MaxHeader", o.MaxHeader < 0}, {"MaxConns", o.MaxConns < 0},
	} {
		if bound.set {
			return nil, fmt.Errorf("origin %q: %s is negative", o.URL, bound.name)
		}
	}
	o.ConnectTimeout = orElse(o.ConnectTimeout, defaultConnectTimeout)
	o.HeaderTimeout = orElse(o.HeaderTimeout, defaultHeaderTimeout)
	o.BodyTimeout = orElse(o.BodyTimeout, defaultBodyTimeout)
	o.MaxHeader = orElse(o.MaxHeader, defaultMaxHeader)
	o.MaxConns = orElse(o.MaxConns, defaultMaxConns)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	or.options = o
	or.slots = make(chan struct{}, o.MaxConns)
	or.closing, or.close = context.WithCancel(context.Background())
	or.buffers.New = func() any { b := make([]byte, copySize); return &b }
	return or, nil
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// locate reads the URL.
func (o *Origin) locate(options Options) error {
	if path, ok := strings.CutPrefix(options.URL, "unix:"); ok {
		path = "/" + strings.TrimLeft(path, "/") // unix:///PATH is the same
		if !strings.HasPrefix(options.URL, "unix:/") || path == "/" {
			return fmt.Errorf("no absolute path of a socket")
		}
		o.network, o.address = "unix", path
		return nil
	}
	u, err := url.Parse(options.URL)
	if err != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("no http, https or unix URL")
	}
	host, port := u.Hostname(), u.Port()
	switch {
	case host == "":
		return fmt.Errorf("no host")
	case u.User != nil:
		return fmt.Errorf("it must not name a user")
	case u.Path != "" && u.Path != "/":
		return fmt.Errorf("it must not have a path: what is asked for is passed on as it is")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(options.URL, "#"):
		return fmt.Errorf("it must end after the port")
	case port == "" && strings.HasSuffix(u.Host, ":"):
		return fmt.Errorf("no port after the colon")
	}
	if port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("no port has the number %s", port)
		}
	}
	o.network = "tcp"
	if u.Scheme == "http" {
		o.address = net.JoinHostPort(host, orElse(port, "80"))
		return nil
	}
	o.address = net.JoinHostPort(host, orElse(port, "443"))
	o.tls = &tls.Config{
		ServerName: host, RootCAs: options.RootCAs, MinVersion: tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	return nil
}

// Close closes idle connections and ends the tunnels of upgraded requests. Other requests under way end by themselves,
// and their connections are not kept. A server that waits for its handlers when it stops must call Close first:
// tunnels end by themselves only when nobody has said anything for long.
func (o *Origin) Close() {
	o.close()
	o.idle.close()
}
