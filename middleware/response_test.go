package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render"
)

// never sends a request twice: each time it must be rendered, with the same answer as without a cache, and nothing
// may be stored.
func never(t *testing.T, why string, h http.HandlerFunc) {
	t.Helper()
	var renders atomic.Int64
	counting := func(w http.ResponseWriter, r *http.Request) {
		renders.Add(1)
		h(w, r)
	}
	s := newSite(t, middleware.Options{Vary: []string{"X-Keyed"}, Variant: func(r *http.Request) string { return r.Header.Get("X-Keyed") }}, counting)
	direct := httptest.NewRecorder()
	h(direct, newRequest("GET", page))
	for range 2 {
		a := s.get(page)
		a.want(t, direct.Code, "fwd=uri-miss; detail="+why)
		if a.body != direct.Body.String() {
			t.Errorf("answered %q, want %q", a.body, direct.Body)
		}
		for name, values := range direct.Header() {
			if fmt.Sprint(a.Header[name]) != fmt.Sprint(values) {
				t.Errorf("%s: %q, want %q", name, a.Header[name], values)
			}
		}
	}
	if n := renders.Load(); n != 2 {
		t.Errorf("%d renders for 2 requests", n)
	}
	s.nothingStored()
}

func withHeader(pairs ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			w.Header().Add(pairs[i], pairs[i+1])
		}
		text(w, "body")
	}
}

func TestAttack22_SetCookie(t *testing.T) {
	never(t, `"response has Set-Cookie"`, withHeader("Set-Cookie", "session=1"))
}

func TestAttack23_CacheControl(t *testing.T) {
	for value, why := range map[string]string{
		"private": `"Cache-Control: private"`, "no-store": `"Cache-Control: no-store"`, "No-Cache": `"Cache-Control: no-cache"`,
		`private="set-cookie"`: `"Cache-Control: private"`, "max-age=abc": `"malformed Cache-Control: max-age"`,
		"max-age=0": `"Cache-Control: max-age=0"`, "public, private": `"contradictory Cache-Control: public"`, "max-age": `"malformed Cache-Control: max-age"`,
		"max-age=1, max-age=2": `"contradictory Cache-Control: max-age"`, "max-age=-1": `"malformed`, "max-age=1 2": `"malformed`, `max-age="60`: `"malformed`,
	} {
		t.Run(value, func(t *testing.T) { never(t, why, withHeader("Cache-Control", value)) })
	}
	t.Run("two lines", func(t *testing.T) {
		never(t, `"contradictory Cache-Control: max-age"`, withHeader("Cache-Control", "max-age=1", "Cache-Control", "max-age=2"))
	})
}

func TestAttack24_Vary(t *testing.T) {
	never(t, `"varies on *"`, withHeader("Vary", "*"))
	never(t, `"varies on Cookie"`, withHeader("Vary", "Accept-Encoding, Cookie"))
	s := newSite(t, middleware.Options{}, withHeader("Vary", "Accept-Encoding"))
	s.get(page).want(t, 200, "fwd=uri-miss; stored")
}

func TestAttack25_ExtensionsGrantNothing(t *testing.T) {
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private")
		text(w, "my account")
	})
	for _, target := range []string{"/account/x.css", "/account;x.css", "/account%0ax.css", "/account%3fx.css"} {
		for range 2 {
			if a := s.get("http://a.example" + target); a.StatusCode != 200 || strings.Contains(a.status(), "hit") || strings.Contains(a.status(), "stored") {
				t.Errorf("%s: %d %q", target, a.StatusCode, a.status())
			}
		}
	}
	s.nothingStored()
}

func TestAttack26_27_ErrorsAreNotStored(t *testing.T) {
	for _, code := range []int{400, 401, 403, 404, 405, 410, 431, 500, 502, 503, 504} {
		never(t, fmt.Sprintf(`"status %d`, code), func(w http.ResponseWriter, r *http.Request) { http.Error(w, "error", code) })
	}
	for _, code := range []int{206, 302, 303, 304, 307, 301, 308} {
		never(t, fmt.Sprintf(`"status %d`, code), func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) })
	}
	// Unless the handler says what would make them change.
	for _, code := range []int{404, 410, 301, 308} {
		s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
			render.Tags(r.Context(), "note:5")
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(code)
		})
		s.get(page).want(t, code, "fwd=uri-miss; stored")
		a := s.get(page, "If-None-Match", "*", "Range", "bytes=0-0") // which concern pages of status 200 only
		a.want(t, code, "hit")
		if a.Header.Get("Location") != "/elsewhere" {
			t.Errorf("%v", a.Header)
		}
		s.invalidate(cache.Selection{Tags: []string{"note:5"}})
		s.get(page).want(t, code, "fwd=uri-miss; stored")
	}
}

func TestAttack28_MalformedConditions(t *testing.T) {
	var renders atomic.Int64
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) { renders.Add(1); text(w, "0123456789") })
	s.get(page)
	for _, header := range [][]string{
		{"Accept-Encoding", "gzip;q=2"}, {"Accept-Encoding", "gzip;;q=1"}, {"Accept-Encoding", strings.Repeat("gzip,", 10_000)}, {"Accept-Encoding", "\x80"},
		{"Range", "bytes=x"}, {"Range", "bytes=-"}, {"Range", "lines=1-2"}, {"Range", "bytes"}, {"Range", "bytes=9-0"},
		{"If-None-Match", "x"}, {"If-None-Match", `"x`}, {"If-None-Match", "W/"}, {"If-Modified-Since", "Mon, 99 Foo 2099"},
		{"If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT"}, {"If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:01 GMT"},
	} {
		a := s.get(page, header...)
		a.want(t, 200, "hit")
		if a.body != "0123456789" || a.Header.Get("Content-Encoding") != "" {
			t.Errorf("%q: %q %v", header, a.body, a.Header)
		}
	}
	if renders.Load() != 1 {
		t.Errorf("%d renders", renders.Load())
	}
}

func TestAttack29_Ranges(t *testing.T) {
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.html", time.Time{}, strings.NewReader("0123456789")) // honours Range, if it sees one
	})
	hundred := "bytes=0-1" + strings.Repeat(",0-1", 99)
	for i, c := range []struct {
		header string
		code   int
		body   string
	}{
		{"bytes=2-3", 206, "23"}, // on a miss: the page is whole all the same
		{"bytes=2-3", 206, "23"}, {"bytes=8-99", 206, "89"}, {"bytes=-2", 206, "89"}, {"bytes=-99999999999999999999", 206, "0123456789"},
		{"bytes=10-", 416, ""}, {"bytes=99999999999999999999-", 416, ""}, {"bytes=-0", 416, ""},
		{"bytes=0-99999999999999999999", 206, "0123456789"}, {hundred, 200, "0123456789"}, {"bytes=0-5,3-8", 200, "0123456789"},
	} {
		a := s.get(page, "Range", c.header)
		want := "hit"
		if i == 0 {
			want = "fwd=uri-miss; stored"
		}
		a.want(t, c.code, want)
		if a.body != c.body || a.Header.Get("Content-Length") != fmt.Sprint(len(c.body)) {
			t.Errorf("%s: %q %v", c.header, a.body, a.Header)
		}
	}
	never(t, `"status 206"`, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-1/10")
		w.WriteHeader(206)
		_, _ = io.WriteString(w, "01")
	})
	never(t, `"response has Content-Range"`, withHeader("Content-Range", "bytes 0-1/10"))
}

func TestAttack30_OtherMethodsFillNothing(t *testing.T) {
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) { text(w, "%s", r.Method) })
	s.do("HEAD", page).want(t, 200, "fwd=uri-miss; detail=head")
	s.do("OPTIONS", page).want(t, 200, "fwd=method")
	s.do("POST", page).want(t, 200, "fwd=method")
	s.do("PURGE", page).want(t, 200, "fwd=method")
	s.nothingStored()
	s.get(page).want(t, 200, "fwd=uri-miss; stored")
	a := s.do("HEAD", page)
	a.want(t, 200, "hit")
	if a.body != "" || a.Header.Get("Content-Length") != "3" {
		t.Errorf("HEAD: %q %v", a.body, a.Header)
	}
	if a := s.do("OPTIONS", page); a.body != "OPTIONS" {
		t.Errorf("OPTIONS: %q", a.body)
	}
}

func TestAttack35_ConnectionHidesNothing(t *testing.T) {
	s := newSite(t, middleware.Options{}, echoRequest)
	s.get(page, "Connection", "Host, Authorization, Cookie", "Authorization", "x").want(t, 200, "fwd=bypass; detail=authorization")
	s.nothingStored()
}

func TestAttack38_BadResponseHeaders(t *testing.T) {
	s := newSite(t, middleware.Options{}, withHeader("X-Bad", "a\r\nSet-Cookie: x=1"))
	s.get(page).want(t, 200, `fwd=uri-miss; detail="response has a malformed header"`)
	s.nothingStored()
	s = newSite(t, middleware.Options{}, withHeader("X-Huge", strings.Repeat("h", 64<<10)))
	s.get(page).want(t, 200, `fwd=uri-miss; detail="not storable: `)
	s.nothingStored()
}

func TestAnswersThatAreNoPages(t *testing.T) {
	never(t, `"response has Content-Encoding"`, withHeader("Content-Encoding", "gzip"))
	never(t, `"NoStore: why \"not\""`, func(w http.ResponseWriter, r *http.Request) {
		render.NoStore(r.Context(), `why "not"`)
		text(w, "x")
	})
	never(t, `"handler wrote nothing"`, func(w http.ResponseWriter, r *http.Request) {})
	never(t, `"malformed Expires"`, withHeader("Expires", "0"))
	never(t, `"Pragma: no-cache"`, withHeader("Pragma", "no-cache"))
	never(t, `"expired already"`, withHeader("Expires", "Thu, 01 Jan 1970 00:00:01 GMT"))
	never(t, `"not storable: `, func(w http.ResponseWriter, r *http.Request) {
		for i := range 1000 {
			render.Tags(r.Context(), fmt.Sprint("tag", i))
		}
		text(w, "x")
	})
	never(t, `"not storable: `, func(w http.ResponseWriter, r *http.Request) {
		render.Tags(r.Context(), "a tag")
		text(w, "x")
	})
}

func TestShortWrite(t *testing.T) {
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "01234")
	})
	server := httptest.NewServer(s)
	defer server.Close()
	a := raw(t, server, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if _, err := io.ReadAll(a.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client took a short body for whole: %v", err)
	}
	s.nothingStored()
	s = newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "01234")
		if _, err := io.WriteString(w, "56789"); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("writing past the Content-Length: %v", err)
		}
	})
	if a := s.get(page); a.body != "01234" {
		t.Errorf("%q", a.body)
	}
	s.nothingStored()
}

func TestTrailersPassThrough(t *testing.T) {
	for _, flush := range []bool{false, true} {
		s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			text(w, "body")
			if flush {
				w.(http.Flusher).Flush()
			}
			w.Header().Set("X-Sum", "4")
			w.Header().Set(http.TrailerPrefix+"X-Late", "5")
		})
		server := httptest.NewServer(s)
		a := raw(t, server, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
		if body := readAll(t, a.Body); body != "body" || a.Trailer.Get("X-Sum") != "4" || a.Trailer.Get("X-Late") != "5" {
			t.Errorf("flush=%v: %q, trailers %v", flush, body, a.Trailer)
		}
		server.Close()
		s.nothingStored()
	}
}

func TestPanicLeavesNothingBehind(t *testing.T) {
	for _, cause := range []any{errBroken, http.ErrAbortHandler} {
		broken := true
		s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
			text(w, "half")
			if broken {
				panic(cause)
			}
		})
		func() {
			defer func() {
				if got := recover(); got != cause {
					t.Errorf("recovered %v, want %v", got, cause)
				}
			}()
			s.ServeHTTP(httptest.NewRecorder(), newRequest("GET", page))
		}()
		s.nothingStored()
		broken = false
		s.get(page).want(t, 200, "fwd=uri-miss; stored") // at once
	}
}

// A client that leaves in the middle of the render, over a real connection.
func TestDisconnectLeavesNothingBehind(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	var renders atomic.Int64
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		if renders.Add(1) == 1 {
			close(begun)
			<-r.Context().Done()
			defer close(ended)
		}
		text(w, "whole?")
	})
	server := httptest.NewServer(s)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n")
	<-begun
	_ = conn.Close()
	<-ended
	s.get(page).want(t, 200, "fwd=uri-miss; stored") // it waits for the first one to clean up, at most
	if renders.Load() != 2 {
		t.Errorf("%d renders", renders.Load())
	}
}

func TestDeadlineLeavesNothingBehind(t *testing.T) {
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Err() != nil {
			text(w, "what there was in time")
			return
		}
		text(w, "whole")
	})
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	s.send(newRequest("GET", page).WithContext(ctx))
	s.nothingStored()
	s.get(page).want(t, 200, "fwd=uri-miss; stored")
}

func TestHijack(t *testing.T) {
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(rw, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nraw")
		_ = rw.Flush()
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("a write after Hijack: %v", err)
		}
	})
	server := httptest.NewServer(s)
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // net/http complains of the write
	for range 2 {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n")
		a, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || readAll(t, a.Body) != "raw" {
			t.Errorf("%v", err)
		}
		conn.Close()
	}
	s.nothingStored()
}

func TestTooLargePassesThrough(t *testing.T) {
	store := newStoreWith(t, cache.Options{PageMax: 100_000, MemoryPageMax: 20_000})
	for _, size := range []int{10_000, 50_000, 150_000, 1_000_000} {
		body := bytes.Repeat([]byte("x"), size)
		s := newSite(t, middleware.Options{Store: store}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			for part := range slices.Chunk(body, 7000) {
				if n, err := w.Write(part); n != len(part) || err != nil {
					t.Errorf("wrote %d of %d: %v", n, len(part), err)
				}
			}
		})
		target := fmt.Sprintf("http://a.example/%d", size)
		first, second := s.get(target), s.get(target)
		if size > 100_000 {
			first.want(t, 200, `fwd=uri-miss; detail="too large"`)
			second.want(t, 200, `fwd=uri-miss; detail="too large"`)
		} else {
			first.want(t, 200, "fwd=uri-miss; stored")
			second.want(t, 200, "hit")
		}
		if first.body != string(body) || second.body != string(body) {
			t.Errorf("%d bytes: answered %d, then %d", size, len(first.body), len(second.body))
		}
	}
}

// sniffed types are stored: compressed bytes can't be sniffed later.
func TestContentTypeIsSniffedOnce(t *testing.T) {
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "<")
		_, _ = io.WriteString(w, "html><p>x")
	})
	for range 2 {
		if a := s.get(page); a.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %q", a.status(), a.Header.Get("Content-Type"))
		}
	}
}

func TestOuterHeadersStay(t *testing.T) {
	store := newStore(t)
	s := newSite(t, middleware.Options{Store: store}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Page", "1")
		w.Header().Set("X-Request-Id", "of the first")
		text(w, "x")
	})
	outer := site{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Outer", r.Header.Get("X-Outer"))
		w.Header().Set("Vary", "Origin")
		s.ServeHTTP(w, r)
	}), t, store}
	for i, status := range []string{"fwd=uri-miss; stored", "hit"} {
		a := outer.get(page, "X-Outer", fmt.Sprint(i))
		a.want(t, 200, status)
		if h := a.Header; h.Get("X-Outer") != fmt.Sprint(i) || h.Get("X-Page") != "1" || h.Get("Vary") != "Origin, Accept-Encoding" || h.Get("X-Request-Id") != "" {
			t.Errorf("%v", h)
		}
	}
}
