package index

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cachesrv/cachesrv/render/index/catalog"
)

// A drip is a body of which little comes at a time, until the deadline.
type drip struct {
	deadlines *deadlined
	left      int
}

func (d *drip) Read(p []byte) (int, error) {
	time.Sleep(200 * time.Millisecond)
	if set := d.deadlines.read; len(set) > 0 && !time.Now().Before(set[len(set)-1]) {
		return 0, os.ErrDeadlineExceeded
	}
	n := min(len(p), 8<<10, d.left)
	if d.left -= n; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// knowing is a catalog that knows every token.
type knowing struct{ index }

func (knowing) Authenticate(context.Context, string, string) (catalog.Identity, error) {
	return catalog.Identity{User: "alice", Scope: catalog.ScopeUpload}, nil
}

// Whoever has shown no token can't hold a connection by sending slowly; an upload over a slow line is heard out.
func TestRefuseStrangersSoon(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &Site{o: Options{MaxFile: 1 << 20}, catalog: knowing{}}
			d := &deadlined{ResponseRecorder: httptest.NewRecorder()}
			body, want := &drip{d, 2 << 20}, http.StatusUnauthorized // of 51 seconds
			r := httptest.NewRequest(http.MethodPost, "/legacy/", body)
			r.ContentLength = 1 << 40
			if trusted {
				r.SetBasicAuth("__token__", "x")
				want = http.StatusRequestEntityTooLarge
			}
			start := time.Now()
			s.upload(d, r)
			if took := time.Since(start); d.Code != want || trusted != (body.left == 0) || !trusted && took > strangerTime+time.Second {
				t.Errorf("trusted %v: %d after %v, %d bytes left", trusted, d.Code, took, body.left)
			}
		})
	}
}

func TestPhrase(t *testing.T) {
	for message, want := range map[string]string{
		"":                               "",
		"File already exists":            "File already exists",
		"a\r\nSet-Cookie: x=1\r\n\r\nHi": "a  Set-Cookie: x=1    Hi",
		"tab\there":                      "tab here",
		"Grüße ☕":                        "Gr??e ?",
		"nul\x00 esc\x1b[31m del\x7f":    "nul? esc?[31m del?",
		"bad\xff\xfeutf8":                "bad?utf8",
		strings.Repeat("x", 1000):        strings.Repeat("x", 297) + "...",
		strings.Repeat("é", 200) + "end": strings.Repeat("?", 148) + "?...",
	} {
		if got := phrase(message); got != want {
			t.Errorf("%q becomes %q, want %q", message, got, want)
		}
	}
}

// Whatever a client has us say, it stays in one line.
func FuzzPhrase(f *testing.F) {
	f.Add("a\r\nb")
	f.Add(strings.Repeat("é", 200))
	f.Add("\u2028\u0085")
	f.Fuzz(func(t *testing.T, message string) {
		got := phrase(message)
		if len(got) > maxPhrase {
			t.Errorf("%d bytes", len(got))
		}
		for i := range len(got) {
			if got[i] < ' ' || got[i] > '~' {
				t.Fatalf("%q has the byte %#x", got, got[i])
			}
		}
	})
}
