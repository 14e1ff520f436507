//go:build e2e

package front

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/origin"
	"github.com/cachesrv/cachesrv/static/front"
)

// same fails unless two answers are, but for who says so and when. Without tags, an answer from a file has none.
func (s *site) same(name string, through, direct answer) {
	s.t.Helper()
	if through.fromFile() && !s.server.tags {
		if direct.header.Get("Etag") == "" {
			s.t.Errorf("%s: cachesrv sent no tag", name)
		}
		direct.header.Del("Etag")
	}
	for _, a := range []answer{through, direct} {
		for _, of := range []string{"Server", "Date", "Connection", "Cache-Status", "Age", "Via"} {
			a.header.Del(of)
		}
	}
	if through.status != direct.status || through.body != direct.body || !reflect.DeepEqual(through.header, direct.header) {
		s.t.Errorf("%s:\n%-8s %d %v, %d bytes\ncachesrv %d %v, %d bytes", name, s.server.name, through.status, through.header, len(through.body),
			direct.status, direct.header, len(direct.body))
	}
}

// Who is to answer a request.
type by int

const (
	file   by = iota // the other server, from a page
	tagged           // so, if its tags are ours; else cachesrv
	paged            // so, but that pages of a query are cachesrv's where there are no tags and the client takes codings
	ours             // cachesrv
)

func TestTheSameAnswers(t *testing.T) { each(t, theSameAnswers) }

// What the http block around it says is no matter to the site.
func TestTheSameAnswersInAHostileBlock(t *testing.T) {
	s := newSite(t, server{"nginx", true, startHostile})
	theSameAnswers(t, s)
	if n := s.strange.Load(); n != 0 {
		t.Errorf("nginx has asked for %d things that no client did", n)
	}
}

func theSameAnswers(t *testing.T, s *site) {
	for _, target := range []string{"/", "/a", "/a/", "/a/b?page=2", "/caf%C3%A9", "/json", "/gone", "/moved", "/linked", "/own", "/a!b", "//a", "/small", "/small!"} {
		s.fill(target)
	}
	for _, coding := range []string{"gzip", "br", "zstd"} {
		s.fill("/twins", "Accept-Encoding: "+coding)
		s.fill("/twins?page=2", "Accept-Encoding: "+coding)
		s.fill("/tw%20ins", "Accept-Encoding: "+coding)
	}
	etag := s.direct("GET", "/a").header.Get("Etag")
	zipped := s.direct("GET", "/twins", "Accept-Encoding: gzip").header.Get("Etag")
	for _, c := range []struct {
		target  string
		by      by
		headers []string
	}{
		{"/", file, nil}, {"/a", file, nil}, {"/a/", file, nil}, {"/a/b?page=2", file, nil}, {"/caf%C3%A9", file, nil},
		{"/json", ours, nil}, {"/gone", ours, nil}, {"/moved", ours, nil}, {"/linked", ours, nil}, {"/own", ours, nil}, {"/a!b", ours, nil},
		{"/%61", ours, nil}, {"/a?", ours, nil}, {"/a/b?page=2&", ours, nil}, {"/a%2Fb", ours, nil}, {"//a", ours, nil},
		{"/a", file, []string{"Host: SITE.example."}}, {"/a", file, []string{"Host: site.example:80"}}, {"/a", ours, []string{"Host: other.example"}},
		{"/a", ours, []string{"Host: site.example:81"}}, {"http://site.example/a", ours, []string{"Host: other.example"}},
		{"/twins", file, nil}, {"/twins", file, []string{"Accept-Encoding: gzip"}}, {"/twins", file, []string{"Accept-Encoding: gzip, deflate, br, zstd"}},
		{"/twins", file, []string{"Accept-Encoding: br"}},
		{"/tw%20ins", file, []string{"Accept-Encoding: gzip, br"}}, {"/twins?page=2", paged, []string{"Accept-Encoding: gzip, br"}}, {"/twins?page=2", file, nil},
		{"/twins", file, []string{"Accept-Encoding: gzip, zstd"}}, {"/twins", file, []string{"Accept-Encoding: deflate"}},
		{"/twins", ours, []string{"Accept-Encoding: br;q=0, gzip"}}, {"/twins", ours, []string{"Accept-Encoding: identity;q=0"}}, {"/twins", ours, []string{"Accept-Encoding: *"}},
		{"/a", file, []string{"Accept-Encoding: br"}}, {"/small", file, []string{"Accept-Encoding: gzip"}}, {"/small!", ours, []string{"Accept-Encoding: gzip"}},
		{"/twins", tagged, []string{"Accept-Encoding: gzip", "If-None-Match: " + zipped}}, {"/twins", tagged, []string{"If-None-Match: " + zipped}},
		{"/a", tagged, []string{"If-None-Match: " + etag}}, {"/a", tagged, []string{"If-None-Match: W/" + etag}}, {"/a", tagged, []string{`If-None-Match: "x", ` + etag}},
		{"/a", tagged, []string{`If-None-Match: "x"`}}, {"/a", ours, []string{"If-None-Match: *"}}, {"/a", ours, []string{"If-None-Match: " + strings.Trim(etag, `"`)}},
		{"/a", ours, []string{"If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT"}}, {"/a", ours, []string{"If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT"}},
		{"/a", ours, []string{"If-None-Match: " + etag, "If-Modified-Since: Thu, 01 Jan 1970 00:00:01 GMT"}},
		{"/a", ours, []string{`If-Match: "x"`}}, {"/a", ours, []string{"If-Match: " + etag}},
		{"/a", ours, []string{"Range: bytes=2-5"}}, {"/a", ours, []string{"Range: bytes=2-5,7-8"}}, {"/a", ours, []string{"Range: bytes=99999-"}}, {"/a", ours, []string{"Range: bytes=5-2"}},
		{"/a", ours, []string{"Range: bytes=2-5", "If-Range: " + etag}}, {"/a", ours, []string{"Range: bytes=2-5", `If-Range: "x"`}},
		{"/a", file, []string{"Cookie: _ga=1; lang=de"}}, {"/a", file, []string{"Cookie: _gat; _ga_X=1=2"}}, {"/a", ours, []string{"Cookie: _ga=1; session=2"}},
		{"/a", ours, []string{"Cookie: languages=1"}}, {"/a", ours, []string{"Cookie: xlang=1"}}, {"/a", ours, []string{"Cookie: lang=1", "Cookie: s=2"}},
		{"/a", ours, []string{"Authorization: Basic eDp5"}}, {"/a", ours, []string{"X-Api-Key: 1"}}, {"/a", ours, []string{"X-Http-Method-Override: POST"}},
		{"/a", file, []string{"Content-Length: 0"}},
	} {
		fromFile := c.by == file || c.by == tagged && s.server.tags || c.by == paged && s.server.tags
		for _, method := range []string{"GET", "HEAD"} {
			through, direct := s.front(method, c.target, c.headers...), s.direct(method, c.target, c.headers...)
			if through.fromFile() != fromFile {
				t.Errorf("%s %s %q was answered by %q", method, c.target, c.headers, through.by())
			}
			s.same(fmt.Sprintf("%s %s %q", method, c.target, c.headers), through, direct)
		}
	}
	long := strings.Repeat("x", 2<<20)
	through, direct := s.frontWith("POST", "/post", long), s.directWith("POST", "/post", long)
	if through.body != fmt.Sprintf("%d bytes", len(long)) {
		t.Errorf("a long body: %d %.100q", through.status, through.body)
	}
	s.same("POST", through, direct)
	for _, method := range []string{"POST", "OPTIONS", "DELETE"} {
		if a := s.front(method, "/a"); a.fromFile() {
			t.Errorf("%s was answered from a file", method)
		}
	}
	if a := s.front("GET", "/who?x=%2f+1"); a.body != "GET /who?x=%2f+1 "+hostName {
		t.Errorf("the origin was asked for %q", a.body)
	}
}

// A request that the middleware takes for one client's own must be one to nginx.
func TestApartNamesAreOurs(t *testing.T) { each(t, apartNamesAreOurs) }

func apartNamesAreOurs(t *testing.T, s *site) {
	s.fill("/a")
	for _, name := range front.ApartNames() {
		value := "1"
		switch name {
		case "Upgrade", "Expect", "Transfer-Encoding":
			continue // not without what belongs to them
		}
		if a := s.front("GET", "/a", name+": "+value); a.fromFile() {
			t.Errorf("%s: answered from a file", name)
		}
	}
	apart := 0
	for _, name := range front.ApartNames() {
		if origin.Apart(http.Header{http.CanonicalHeaderKey(name): {"1"}}) {
			apart++
		}
	}
	if apart < 40 {
		t.Errorf("only %d of the names are among those of the middleware", apart)
	}
}
