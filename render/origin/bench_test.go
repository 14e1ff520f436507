package origin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkFetch compares Fetch of 15 KB from a local origin with a plain client's request.
func BenchmarkFetch(b *testing.B) {
	body := strings.Repeat("x", 15<<10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, body)
	}))
	defer s.Close()
	r := get("/page")
	r.Header.Set("Accept", "text/html")
	read := func(b *testing.B, resp *http.Response, err error) {
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != int64(len(body)) || err != nil {
			b.Fatal(n, err)
		}
		resp.Body.Close()
	}
	b.Run("Fetch", func(b *testing.B) {
		o := newOrigin(b, Options{URL: s.URL})
		b.ReportAllocs()
		for b.Loop() {
			resp, err := o.Fetch(b.Context(), r, nil, nil)
			read(b, resp, err)
		}
	})
	b.Run("Client", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
		b.ReportAllocs()
		for b.Loop() {
			q, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+"/page", nil)
			if err != nil {
				b.Fatal(err)
			}
			q.Header.Set("Accept", "text/html")
			resp, err := client.Do(q)
			read(b, resp, err)
		}
	})
}
