package origin

import (
	"context"
	"maps"
	"net/http"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// Fetch asks for a page: with GET, whatever r's method, for r's target, byte for byte, and with r's header, which the
// caller has made the same for everyone. What is Withheld is left out in any case, with it what would make the answer less than
// a page: conditions but those given, ranges, expectations, and Accept-Encoding, as pages are stored as they are and compressed
// here. X-Forwarded-Host and -Proto are set by us; there is no X-Forwarded-For, as nobody in particular asks.
//
// informational, if not nil, is told of interim answers but 100, by this goroutine.
//
// The response's Header is as received, its Trailer has the announced names. Its Body fails with ErrMalformed if it
// ends early or has bytes behind its end, with ErrTimeout if BodyTimeout passes; close it. If ContentLength is -1 and
// there is no TransferEncoding, only the end of the connection says that it is whole, which a dying origin says as well.
//
// A request is sent a second time if the origin closed the connection kept from an earlier one without a word.
func (o *Origin) Fetch(ctx context.Context, r *http.Request, conditions http.Header, informational func(code int, h http.Header)) (*http.Response, error) {
	h := maps.Clone(r.Header)
	if h == nil {
		h = make(http.Header)
	}
	httpcache.HopByHop(h)
	maps.DeleteFunc(h, func(name string, _ []string) bool { return Withheld(name) })
	maps.Copy(h, conditions)
	setForwarded(h, r, r.Host)
	if err := addVia(h, 1, 1); err != nil {
		return nil, err
	}
	resp, err := o.exchange(ctx, &request{method: http.MethodGet, target: target(r), host: o.host(r.Host), header: h}, pages, informational)
	if err != nil {
		return nil, err
	}
	b := resp.Body.(*body)
	if !b.released {
		b.c.patience = o.options.BodyTimeout
	}
	resp.Request = r
	return resp, nil
}

// host returns the Host that is sent with a request for a host.
func (o *Origin) host(asked string) string {
	return orElse(o.options.Host, asked)
}
