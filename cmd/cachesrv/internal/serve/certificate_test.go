package serve

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pair returns a certificate with this name and its key, as PEM.
func pair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	secretDER, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secretDER})
}

// put replaces a file as who renews certificates does.
func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestCertificatesAreRead: a renewed pair is served without a restart; half of one, or none, changes nothing.
func TestCertificatesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		certA, keyA := pair(t, "a")
		put(t, certFile, certA)
		put(t, keyFile, keyA)
		var log bytes.Buffer
		c, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		get := c.Config().GetCertificate
		complaints := 0
		served := func(after, want string, complains bool) {
			t.Helper()
			got, err := get(&tls.ClientHelloInfo{})
			if err != nil || got.Leaf.Subject.CommonName != want {
				t.Errorf("%s: %s is served, %v; want %s", after, got.Leaf.Subject.CommonName, err, want)
			}
			if complains {
				complaints++
			}
			if n := strings.Count(log.String(), "can't be used"); n != complaints {
				t.Errorf("%s: %d complaints, want %d:\n%s", after, n, complaints, &log)
				complaints = n
			}
		}
		served("start", "a", false)

		certB, keyB := pair(t, "b")
		put(t, certFile, certB)
		served("a new certificate, just now", "a", false)
		time.Sleep(certificateCheck)
		served("a new certificate without its key", "a", true)
		time.Sleep(certificateCheck)
		served("the same again", "a", false)
		put(t, keyFile, keyB)
		time.Sleep(certificateCheck)
		served("and its key", "b", false)

		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(certificateCheck)
		served("the key is gone", "b", true)
		time.Sleep(certificateCheck)
		served("it still is", "b", false)
		if err := os.Remove(certFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(certificateCheck)
		served("both are gone", "b", true)
		time.Sleep(certificateCheck)
		served("they still are", "b", false)

		// Written in place, and one after the other.
		if err := os.WriteFile(keyFile, keyA, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(certFile, certA, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(certificateCheck)
		served("they are back", "a", false)
		put(t, certFile, []byte("nonsense"))
		time.Sleep(certificateCheck)
		served("nonsense", "a", true)
	})
}

// TestNoCertificate: what is wrong at the start is said at the start.
func TestNoCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, _ := pair(t, "a")
	_, other := pair(t, "b")
	put(t, filepath.Join(dir, "cert"), cert)
	put(t, filepath.Join(dir, "other"), other)
	for _, key := range []string{"nowhere", "other", "cert"} {
		_, err := LoadCertificate(filepath.Join(dir, "cert"), filepath.Join(dir, key), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--tls-cert and --tls-key") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
