package index

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestNegotiate(t *testing.T) {
	none := form(-1)
	for _, tt := range []struct {
		accept string
		want   form
	}{
		{acceptPip, formJSON},
		{"application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01", formJSON}, // uv
		{"text/html, application/xhtml+xml, application/xml;q=0.9, image/avif, */*;q=0.8", formText},                   // browsers
		{"*/*", formText}, // curl
		{"", formText},
		{typeJSON, formJSON},
		{typeHTML, formHTML},
		{typeLatestJSON, formJSON},
		{typeLatestHTML, formHTML},
		{"text/html", formText},
		{"TEXT/HTML;q=0.1, Application/Vnd.PyPI.Simple.v1+JSON;Q=0.2", formJSON},
		{"application/*", formHTML}, // of those it likes equally, the first
		{"application/*, application/vnd.pypi.simple.v1+html;q=0.5", formJSON},
		{"text/*;q=0.3, application/vnd.pypi.simple.v1+json;q=0.3", formText},
		{"*/*;q=0.1, text/html;q=0", formHTML},
		{"text/html;q=0.5, */*;q=0.1, application/vnd.pypi.simple.v1+json", formJSON},
		{"application/vnd.pypi.simple.v1+json;q=0.4, application/vnd.pypi.simple.latest+json;q=0.6, text/html;q=0.5", formJSON},
		{"application/json", none},
		{"image/png, text/plain", none},
		{"text/html;q=0", none},
		{"*/*;q=0.000", none},
		{"text/html;q=2, application/vnd.pypi.simple.v1+json;q=0.1", formJSON}, // a malformed element says nothing
		{"text/html;q=x", formText}, // nor a header of nothing else
		{"text/html;q=0.33333333333333331, application/vnd.pypi.simple.v1+json;q=0.6666666666666666", formJSON},
		{"text/html;q=0.0001", formText},
		{"garbage", formText},
		{"garbage, application/vnd.pypi.simple.v1+html", formHTML},
		{"text/html;level=1;q=0.2, application/vnd.pypi.simple.v1+json;q=0.1", formText},
		{" , ,application/vnd.pypi.simple.v1+json ; q=1.000,", formJSON},
	} {
		got, ok := negotiate([]string{tt.accept})
		if tt.accept == "" {
			got, ok = negotiate(nil)
		}
		if !ok {
			got = none
		}
		if got != tt.want {
			t.Errorf("Accept: %s gives %d, want %d", tt.accept, got, tt.want)
		}
	}
	if f, ok := negotiate([]string{"text/html;q=0.1", typeJSON}); f != formJSON || !ok {
		t.Errorf("two lines: %d, %v", f, ok)
	}
}

func TestParseQuality(t *testing.T) {
	for s, want := range map[string]int{"0": 0, "1": 1000, "1.": 1000, "0.": 0, "0.5": 500, "0.25": 250, "0.123": 123, "1.000": 1000, "1.0000": 1000, "0.1239": 123, "0.9999999999999999": 999, "0.0001": 1} {
		if got, ok := parseQuality(s); got != want || !ok {
			t.Errorf("%q: %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", ".5", "2", "1.001", "1.5", "0.1234x", "-1", "0,5", "0.5x", "00", "+1", "1e0"} {
		if got, ok := parseQuality(s); ok {
			t.Errorf("%q is taken for %d", s, got)
		}
	}
}

// Variant runs for each hit.
func TestVariantDoesNotAllocate(t *testing.T) {
	for _, accept := range []string{acceptPip, "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01", "*/*"} {
		r := &http.Request{Header: http.Header{"Accept": {accept}}}
		if n := testing.AllocsPerRun(100, func() { Variant(r) }); n != 0 {
			t.Errorf("%v allocations for %s", n, accept)
		}
	}
}

func TestWithFormat(t *testing.T) {
	for _, tt := range []struct{ target, wantURI, wantAccept string }{
		{"/simple/", "/simple/", "text/plain"},
		{"/simple/a/?x=1", "/simple/a/?x=1", "text/plain"},
		{"/simple/a/?format=application/vnd.pypi.simple.v1%2Bjson", "/simple/a/", typeJSON},
		{"/simple/a/?format=application/vnd.pypi.simple.v1+json", "/simple/a/", typeJSON}, // a plus that became a space
		{"/simple/a/?format=application/vnd.pypi.simple.latest%2Bhtml", "/simple/a/", typeHTML},
		{"/simple/a/?format=text%2Fhtml&x=1", "/simple/a/?x=1", typeText},
		{"/simple/a/?x=format", "/simple/a/?x=format", "text/plain"},
		{"/simple/a/?format=text/html&format=text/html", "/simple/a/", typeText},
		{"http://example.com/simple/a/?format=TEXT/html", "/simple/a/", typeText},
	} {
		r := httptest.NewRequest("GET", tt.target, nil)
		r.Header.Set("Accept", "text/plain")
		before := r.RequestURI
		got, err := withFormat(r)
		if err != nil {
			t.Errorf("%s: %v", tt.target, err)
			continue
		}
		uri := got.URL.EscapedPath()
		if got.URL.RawQuery != "" {
			uri += "?" + got.URL.RawQuery
		}
		if got.RequestURI != tt.wantURI || uri != tt.wantURI || got.Header.Get("Accept") != tt.wantAccept {
			t.Errorf("%s becomes %s (%s), Accept: %s", tt.target, got.RequestURI, uri, got.Header.Get("Accept"))
		}
		if r.RequestURI != before || r.Header.Get("Accept") != "text/plain" {
			t.Errorf("%s: the client's request was changed", tt.target)
		}
	}
	for _, target := range []string{"/simple/?format=", "/simple/?format=json", "/simple/?format=text/html&format=" + typeJSON, "/simple/?format=text/html%0d%0ax"} {
		if r, err := withFormat(httptest.NewRequest("GET", target, nil)); err == nil {
			t.Errorf("%s becomes %s", target, r.RequestURI)
		}
	}
}
