package conf

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// SentWithPages returns the page headers, by their canonical names (nil: there are none); or what is wrong with one.
func (p Proxy) SentWithPages() (http.Header, error) {
	if len(p.PageHeaders) == 0 {
		return nil, nil
	}
	h := make(http.Header)
	for _, text := range p.PageHeaders {
		name, value, ok := strings.Cut(text, ":")
		name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || value == "" || !httpcache.ValidField(name, []string{value}):
			return nil, fmt.Errorf("%.80q: write NAME: VALUE, as X-Frame-Options: DENY", text)
		case ofOneAnswer(name):
			return nil, fmt.Errorf("%s: it is no header that every page can have: each answer has its own, or its server sends it", name)
		case h[name] != nil:
			return nil, fmt.Errorf("%s is there twice: another server sends one of a name", name)
		}
		h[name] = []string{value}
	}
	return h, nil
}

// ofOneAnswer lists the headers that tell of one answer, or that whoever serves a page says himself.
func ofOneAnswer(name string) bool {
	switch name {
	case "Accept-Ranges", "Age", "Cache-Status", "Date", "Etag", "Last-Modified", "Server", "Set-Cookie", "Vary":
		return true
	}
	return strings.HasPrefix(name, "Content-") && !strings.HasPrefix(name, "Content-Security-Policy") && name != "Content-Language" ||
		httpcache.IsHopByHop(name)
}
