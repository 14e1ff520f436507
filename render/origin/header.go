package origin

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// SetHeader sets an answer's header, without hop-by-hop fields, among the fields that handlers in front have set (own): lists
// to which each hop adds are joined, the origin's first; others are the origin's. It announces the trailers that the origin has
// announced, and keeps net/http from guessing a Content-Type.
func SetHeader(own http.Header, resp *http.Response) {
	setHeader(own, resp.Header)
	if _, typed := own["Content-Type"]; !typed {
		own["Content-Type"] = nil
	}
	if names := slices.DeleteFunc(slices.Sorted(maps.Keys(resp.Trailer)), httpcache.IsForCaches); len(names) > 0 {
		own["Trailer"] = []string{strings.Join(names, ", ")}
	}
}

func setHeader(own, received http.Header) {
	for name, values := range received {
		switch name {
		case "Vary", "Set-Cookie", "Via", "Cache-Status":
			values = append(slices.Clip(values), own[name]...)
		}
		own[name] = values
	}
}

// SetTrailers sets an answer's trailers, when its body was read to its end, in the header of net/http's ResponseWriter (own):
// all of them, as they may come unannounced (RFC 9110, 6.6.2), or others than announced. In HTTP/1.1 the answer must have been
// flushed before: a short one would else be sent with its length, and without trailers. What is meant for caches only is left out.
func SetTrailers(own http.Header, resp *http.Response) {
	for name, values := range resp.Trailer {
		if !httpcache.IsForCaches(name) {
			own[http.TrailerPrefix+name] = values
		}
	}
}
