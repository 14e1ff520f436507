package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestProtocols: with a certificate HTTP/2 and HTTP/1.1, as the client can; without one HTTP/1.1, and HTTP/2 for those who
// begin with it, on one listener.
func TestProtocols(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, "h.example")
	put(t, filepath.Join(dir, "cert"), cert)
	put(t, filepath.Join(dir, "key"), key)
	certificate, err := LoadCertificate(filepath.Join(dir, "cert"), filepath.Join(dir, "key"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	for _, c := range []*Certificate{nil, certificate} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := Stream(ln, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %v", r.Proto, r.TLS != nil)
		}), slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- All(ctx, s) }()
		for _, version := range []int{1, 2} {
			tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "h.example"}}
			scheme := "http"
			tr.Protocols.SetHTTP1(version == 1)
			if c == nil {
				tr.Protocols.SetUnencryptedHTTP2(version == 2)
			} else {
				scheme = "https"
				tr.Protocols.SetHTTP2(version == 2)
			}
			res, err := (&http.Client{Transport: tr}).Get(scheme + "://" + ln.Addr().String())
			if err != nil {
				t.Fatalf("HTTP %d over %s: %v", version, scheme, err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			tr.CloseIdleConnections()
			if want := fmt.Sprintf("HTTP/%d.%d %v", version, 2-version, c != nil); err != nil || string(body) != want {
				t.Errorf("%s, %v; want %s", body, err, want)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestOldTLS: no version of TLS that RFC 8996 calls deprecated.
func TestOldTLS(t *testing.T) {
	if v := new(Certificate).Config().MinVersion; v < tls.VersionTLS12 {
		t.Errorf("%x is spoken", v)
	}
}

// TestUpgradedConnectionsEnd: an open WebSocket does not hold up the program's end, nor make it one with an error.
func TestUpgradedConnectionsEnd(t *testing.T) {
	raw(t, func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
		_ = buffered.Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(long): // more than anybody waits for it
			t.Error("it was not asked to end")
		}
	}, func(t *testing.T, conn net.Conn) {
		go func() {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
		}()
		if n, err := conn.Read(make([]byte, 1000)); err != nil || n == 0 {
			t.Error(err)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
	})
}

// TestOthersMayFinish: but requests under way are not cut when the program is asked to stop.
func TestOthersMayFinish(t *testing.T) {
	var asked atomic.Int32
	streaming(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "begin ")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(stopTimeout / 2)
		if err := r.Context().Err(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, "end")
		asked.Add(1)
	}, func(t *testing.T, client *http.Client) {
		res := get(t, client)
		go func() {
			defer res.Body.Close()
			if body, err := io.ReadAll(res.Body); string(body) != "begin end" {
				t.Errorf("%q, %v", body, err)
			}
		}()
	})
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}
}
