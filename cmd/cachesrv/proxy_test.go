package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdOrigin starts a site for a proxy to stand in front of, which says its name and how many requests it had:
//
//	origin NAME [SOCKET]
//
// sets $NAME to its URL. Below /private it says no-store; below /plain nothing about caching; elsewhere max-age=60.
func cmdOrigin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: origin NAME [SOCKET]")
	}
	var asked atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch h := w.Header(); {
		case strings.HasPrefix(r.URL.Path, "/private"):
			h.Set("Cache-Control", "no-store")
		case !strings.HasPrefix(r.URL.Path, "/plain"):
			h.Set("Cache-Control", "max-age=60")
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s answers request %d: %s %s%s %s\n", args[0], asked.Add(1), r.Method, r.Host, r.RequestURI, body)
	}))
	url := ""
	if len(args) == 2 {
		ln, err := net.Listen("unix", ts.MkAbs(args[1]))
		ts.Check(err)
		ts.Check(s.Listener.Close())
		s.Listener, url = ln, "unix:"+ts.MkAbs(args[1])
	}
	s.Start()
	ts.Defer(s.Close)
	if url == "" {
		url = s.URL
	}
	ts.Setenv(args[0], url)
}

// cmdCertificate makes a certificate: certificate NAME CERT-FILE KEY-FILE.
func cmdCertificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: certificate NAME CERT-FILE KEY-FILE")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: args[0]}, DNSNames: []string{args[0]}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ts.Check(err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}
