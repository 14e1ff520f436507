package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// secured calls do with the listener of a server that speaks TLS, and with the settings of a client, in a time of its own.
func secured(t *testing.T, handler http.HandlerFunc, do func(t *testing.T, ln *pipes, client *tls.Config, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := pair(t, "h.example")
		put(t, filepath.Join(dir, "cert"), cert)
		put(t, filepath.Join(dir, "key"), key)
		log := slog.New(slog.DiscardHandler)
		certificate, err := LoadCertificate(filepath.Join(dir, "cert"), filepath.Join(dir, "key"), log)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(cert)
		ln := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- All(ctx, Stream(ln, certificate, handler, log)) }()
		do(t, ln, &tls.Config{RootCAs: roots, ServerName: "h.example", NextProtos: []string{"http/1.1"}}, stop)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func dial(t *testing.T, ln *pipes) net.Conn {
	t.Helper()
	conn, err := ln.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestStrictInTLS: HTTP/1 is read as strictly inside of TLS, whether it was agreed on or not, and handlers know that it was
// secured.
func TestStrictInTLS(t *testing.T) {
	secured(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good" || r.TLS == nil || r.TLS.ServerName != "h.example" {
			t.Errorf("%s is handled with %+v", r.URL, r.TLS)
		}
	}, func(t *testing.T, ln *pipes, client *tls.Config, _ func()) {
		for _, protos := range [][]string{{"http/1.1"}, nil} {
			client.NextProtos = protos
			for stream, want := range map[string][]int{good + bad: {200, 400}, good + preface: {200, 400}, preface: {400}} {
				conn := tls.Client(dial(t, ln), client)
				answers := tell(conn, stream)
				if !slices.Equal(statuses(t, answers), want) || !strings.Contains(answers, "\r\n\r\ncachesrv: ") {
					t.Errorf("%q is answered by %q", stream, answers)
				}
				_ = conn.Close()
			}
		}
	})
}

// TestNoTLS: who speaks HTTP where TLS is spoken is told so.
func TestNoTLS(t *testing.T) {
	secured(t, nil, func(t *testing.T, ln *pipes, _ *tls.Config, _ func()) {
		conn := dial(t, ln)
		defer conn.Close()
		if answer := tell(conn, good); !strings.HasPrefix(answer, "HTTP/1.0 400 ") || !strings.Contains(answer, "HTTPS") {
			t.Errorf("answer %q", answer)
		}
	})
}

// ends tells whether the server has closed a connection.
func ended(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now())
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// TestSlowHandshakes: nobody waits for those who don't go on; these are cut in time, or when there are too many.
func TestSlowHandshakes(t *testing.T) {
	secured(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, ln *pipes, client *tls.Config, stop func()) {
		served := func() {
			t.Helper()
			conn := tls.Client(dial(t, ln), client)
			defer conn.Close()
			if got := statuses(t, tell(conn, strings.Replace(good, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))); !slices.Equal(got, []int{200}) {
				t.Errorf("others are answered by %d", got)
			}
		}
		var silent []net.Conn
		for range maxHandshakes {
			silent = append(silent, dial(t, ln))
		}
		synctest.Wait()
		if ended(silent[0]) {
			t.Error("one is cut though there are not too many")
		}
		served() // one too many
		synctest.Wait()
		if !ended(silent[0]) || ended(silent[1]) {
			t.Error("not the oldest one has been cut")
		}
		time.Sleep(headerTimeout)
		synctest.Wait()
		for i, conn := range silent {
			if !ended(conn) {
				t.Fatalf("handshake %d goes on after %v", i, headerTimeout)
			}
		}
		served()
		late := dial(t, ln)
		stop()
		start := time.Now()
		if _, err := late.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(start) > time.Second {
			t.Errorf("a handshake ends with %v, %v after the server", err, time.Since(start))
		}
	})
}

// TestFarHandshake: who takes his time is not cut while there are few, however many others come and go meanwhile.
func TestFarHandshake(t *testing.T) {
	secured(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, ln *pipes, client *tls.Config, _ func()) {
		far := dial(t, ln)
		for range maxHandshakes {
			_ = dial(t, ln).Close()
			synctest.Wait() // its handshake has failed
		}
		if ended(far) {
			t.Error("a handshake is cut though no other is under way")
		}
		_ = far.SetReadDeadline(time.Time{})
		conn := tls.Client(far, client)
		defer conn.Close()
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// failing is a listener that fails now and then, as when there are no descriptors.
type failing struct {
	*pipes
	left int
}

func (l *failing) Accept() (net.Conn, error) {
	if l.left--; l.left >= 0 {
		return nil, temporary{}
	}
	return l.pipes.Accept()
}

type temporary struct{}

func (temporary) Error() string   { return "temporary" }
func (temporary) Timeout() bool   { return true }
func (temporary) Temporary() bool { return true }

// TestFailedAccepts: net/http hears of failures, and goes on after those that pass; none keeps Close waiting.
func TestFailedAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandshakes(&failing{newPipes(), 3}, new(tls.Config))
		for range 3 {
			if _, err := l.Accept(); !errors.Is(err, temporary{}) {
				t.Error(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		for range 2 {
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
		l = newHandshakes(newPipes(), new(tls.Config)) // never used
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestEndlessHeaders: a client of HTTP/2 that sends CONTINUATION frames without content, for ever, is given up when it has been
// idle for too long: no request has begun. (net/http counts bytes, and there are none.)
func TestEndlessHeaders(t *testing.T) {
	raw(t, func(http.ResponseWriter, *http.Request) { t.Error("a request is handled") }, func(t *testing.T, conn net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		const settings, headers, continuation = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82", "\x00\x00\x00\x09\x00\x00\x00\x00\x01"
		if _, err := fmt.Fprint(conn, preface, settings, headers); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for time.Since(start) < long {
			if _, err := io.WriteString(conn, continuation); err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(start); took > idleTimeout+pingTimeout+time.Second {
			t.Errorf("it was given up after %v", took)
		}
	})
}
