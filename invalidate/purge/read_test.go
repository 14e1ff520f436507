package purge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func newPurge(target string, headers ...string) *http.Request {
	r := httptest.NewRequest(Method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		target  string
		headers []string
		want    Order
	}{
		{"/", nil, Order{Target: "/"}},
		{"http://example.org", nil, Order{Target: "/"}},
		{"http://example.org/a%2fb?", nil, Order{Target: "/a%2fb?"}},
		{"/%61//b/?x=%31&y=a*b", nil, Order{Target: "/%61//b/?x=%31&y=a*b"}},
		{"/a%2fb^", nil, Order{Target: "/a%2fb^"}},
		{"/A*_search", nil, Order{Target: "/A*_search"}},
		{"/C%2A", nil, Order{Target: "/C%2A"}},
		{"/a", []string{"Fastly-Soft-Purge: 1"}, Order{Target: "/a", Soft: true}},
		{"/a", []string{"fastly-soft-purge: 0"}, Order{Target: "/a"}},
		{"/a", []string{"Accept: */*", "User-Agent: curl"}, Order{Target: "/a"}},

		{"/a", []string{"Surrogate-Key: b  a\ta"}, Order{Tags: []string{"a", "b"}}},
		{"/a", []string{"Surrogate-Key: a,b c"}, Order{Tags: []string{"a", "a,b", "b", "c"}}},
		{"/a", []string{"Surrogate-Key: a", "Surrogate-Key: b"}, Order{Tags: []string{"a", "b"}}},
		{"/a*", []string{"Surrogate-Key: a"}, Order{Tags: []string{"a"}}},
		{"/a", []string{"Cache-Tag: b , a,,"}, Order{Tags: []string{"a", "b"}}},
		{"/a", []string{"Edge-Cache-Tag: b,a"}, Order{Tags: []string{"a", "b"}}},
		{"/a", []string{"xkey: b,a c"}, Order{Tags: []string{"a", "b", "c"}}},
		{"/a", []string{"xkey-purge: b, a c"}, Order{Tags: []string{"a", "b", "c"}}},
		{"/a", []string{"xkey-softpurge: a b"}, Order{Tags: []string{"a", "b"}, Soft: true}},
		{"/a", []string{"Cache-Tag: x", "Surrogate-Key: y"}, Order{Tags: []string{"x", "y"}}},
		{"/a", []string{"Cache-Tag: é"}, Order{Tags: []string{"é"}}},

		// Soft only if all of it is.
		{"/a", []string{"xkey-softpurge: a", "xkey-purge: b"}, Order{Tags: []string{"a", "b"}}},
		{"/a", []string{"xkey-softpurge: a", "xkey-purge: b", "Fastly-Soft-Purge: 1"}, Order{Tags: []string{"a", "b"}, Soft: true}},
		{"/a", []string{"Surrogate-Key: a", "Fastly-Soft-Purge: 1"}, Order{Tags: []string{"a"}, Soft: true}},
	} {
		got, err := Read(newPurge(tt.target, tt.headers...))
		if err != nil || got.Target != tt.want.Target || !slices.Equal(got.Tags, tt.want.Tags) || got.Soft != tt.want.Soft {
			t.Errorf("%s %q: %+v, %v; want %+v", tt.target, tt.headers, got, err, tt.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	many := make([]string, MaxTags+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, tt := range []struct {
		target  string
		headers []string
		want    string
	}{
		{"/a/../b", nil, `".."`},
		{"/a/%2e%2E/b", nil, `".."`},
		{"/a%00", nil, "NUL"},
		{"/a/*", nil, "%2A"},
		{"/a?x=*", nil, "%2A"},
		{"http://example.org", []string{"Fastly-Soft-Purge: yes"}, "Fastly-Soft-Purge: send 1"},
		{"/a", []string{"Fastly-Soft-Purge: "}, "Fastly-Soft-Purge: send 1"},
		{"/a", []string{"Fastly-Soft-Purge: 1", "Fastly-Soft-Purge: 0"}, "Fastly-Soft-Purge: send 1"},
		{"/a", []string{"Cachesrv-Position: main"}, "Cachesrv-Position: malformed position"},
		{"/a", []string{"Cachesrv-Position: "}, "Cachesrv-Position: it is empty"},
		{"/a", []string{"Cachesrv-Position: main=1@0/1", "Cachesrv-Position: main=1@0/2"}, "twice"},
		{"/a", []string{"Surrogate-Key: "}, "Surrogate-Key: it names no tag: send Surrogate-Key: TAG TAG"},
		{"/a", []string{"Cache-Tag: , ,"}, "Cache-Tag: it names no tag: send Cache-Tag: TAG,TAG"},
		{"/a", []string{"Surrogate-Key: a", "xkey-purge: "}, "xkey-purge: it names no tag"},
		{"/a", []string{"Cache-Tag: a b"}, "no spaces"},
		{"/a", []string{"Cache-Tag: a\xff"}, "UTF-8"},
		{"/a", []string{"Surrogate-Key: a\u007f"}, "control"},
		{"/a", []string{"Surrogate-Key: " + strings.Repeat("x", 513)}, "512"},
		{"/a", []string{"Surrogate-Key: " + strings.Join(many, " ")}, "at most 1000 tags"},
		{"/a", []string{"Surrogate-Key: a" + strings.Repeat(" ", MaxTagBytes)}, "at most 65536 bytes"},
		{"/a", []string{"Cache-Tag: a" + strings.Repeat(",", MaxTagBytes/2), "xkey: a" + strings.Repeat(",", MaxTagBytes/2)}, "at most 65536 bytes"},
	} {
		o, err := Read(newPurge(tt.target, tt.headers...))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) || o.Target != "" || len(o.Tags) > 0 {
			t.Errorf("%s %.200q: %+v, %v; want %s", tt.target, tt.headers, o, err, tt.want)
		}
	}
	r := newPurge("/a")
	r.URL.Path, r.URL.RawPath = "*", ""
	if _, err := Read(r); !errors.Is(err, ErrMalformed) {
		t.Errorf("PURGE *: %v", err)
	}
}

// TestReadBody: a body is not passed over, but clients that announce one and send none are heard.
func TestReadBody(t *testing.T) {
	chunked := struct{ io.Reader }{strings.NewReader("note:1")}
	if _, err := Read(httptest.NewRequest(Method, "/", strings.NewReader("note:1"))); !errors.Is(err, ErrMalformed) {
		t.Errorf("with a length: %v", err)
	}
	if _, err := Read(httptest.NewRequest(Method, "/", chunked)); !errors.Is(err, ErrMalformed) {
		t.Errorf("chunked: %v", err)
	}
	if _, err := Read(httptest.NewRequest(Method, "/", struct{ io.Reader }{strings.NewReader("")})); err != nil {
		t.Errorf("empty: %v", err)
	}
}
