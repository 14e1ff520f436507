package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Means of invalidation over HTTP.
const (
	ByPurge = "PURGE"            // of the page's URL
	ByTags  = "PURGE of tags"    // under all the names that clients use, in turn
	BySoft  = "soft, then hard"  // soft PURGE around the commit, then a hard one: the hard one counts
	ByAPI   = "POST /invalidate" // by key, tag and prefix in turn
)

// OverHTTP commits at the origin, and then tells a cache over HTTP what has changed. As whoever has no outbox must, it repeats
// what was not answered: until then the commit doesn't count as invalidated.
type OverHTTP struct {
	Origin *Origin
	Cache  func() (base string) // where PURGE goes to
	Admin  string               // http://HOST:PORT of the admin listener: for ByAPI
	Means  string
	// Patience bounds how long an invalidation is repeated that fails. Default: it is not repeated.
	Patience time.Duration
	// Unknown takes a 404 for success: Squid says so when there was nothing to drop.
	Unknown bool

	commits atomic.Int64
	repeats atomic.Int64
}

func (o *OverHTTP) String() string { return o.Means }

// Repeats returns how often an invalidation was sent again.
func (o *OverHTTP) Repeats() int64 { return o.repeats.Load() }

// Commit returns when the invalidation was answered.
func (o *OverHTTP) Commit(ctx context.Context, page int) (Commit, error) {
	n := o.commits.Add(1)
	if o.Means == BySoft && n%2 == 0 { // what is rendered because of it shows the old version, or the new one
		if _, err := o.persist(ctx, page, n, true); err != nil {
			return Commit{}, err
		}
	}
	c, err := o.Origin.Commit(ctx, page)
	if err != nil {
		return c, err
	}
	if o.Means == BySoft && n%2 == 1 {
		if _, err := o.persist(ctx, page, n, true); err != nil {
			return c, err
		}
	}
	c.Invalidation, err = o.persist(ctx, page, n, false)
	return c, err
}

// repeatPause lies between two attempts.
const repeatPause = 10 * time.Millisecond

// persist invalidates, and returns how long the attempt took that was answered.
func (o *OverHTTP) persist(ctx context.Context, page int, n int64, soft bool) (time.Duration, error) {
	for end := time.Now().Add(o.Patience); ; {
		began := time.Now()
		err := o.invalidate(ctx, page, n, soft)
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return time.Since(began), err
		}
		o.repeats.Add(1)
		pause(ctx, repeatPause)
	}
}

// purgeHeaders are the names under which clients send the tags to be purged.
var purgeHeaders = []string{"Surrogate-Key", "xkey-purge", "Cache-Tag", "Edge-Cache-Tag", "xkey"}

// invalidate sends one request.
func (o *OverHTTP) invalidate(ctx context.Context, page int, n int64, soft bool) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	site := o.Origin.Site
	method, url, body := "PURGE", o.Cache()+site.Path(page), ""
	switch o.Means {
	case ByAPI:
		method, url = http.MethodPost, o.Admin+"/invalidate"
		body = []string{
			fmt.Sprintf(`{"keys": [%q]}`, site.Host+site.Path(page)), fmt.Sprintf(`{"tags": [%q]}`, site.Tag(page)),
			fmt.Sprintf(`{"prefixes": [%q]}`, site.Host+site.Prefix(page)),
		}[n%3]
	case ByTags:
		url = o.Cache() + "/"
	}
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	switch o.Means {
	case ByAPI:
		r.Header.Set("Content-Type", "application/json")
	case ByTags:
		r.Host = site.Host
		r.Header.Set(purgeHeaders[n%int64(len(purgeHeaders))], site.Tag(page))
	default:
		r.Host = site.Host
	}
	if soft {
		r.Header.Set("Fastly-Soft-Purge", "1")
	}
	resp, err := invalidating.RoundTrip(r)
	if err != nil {
		return err
	}
	defer closeAll(resp.Body)
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	good := []int{http.StatusOK}
	if o.Unknown {
		good = append(good, http.StatusNotFound)
	}
	if !slices.Contains(good, resp.StatusCode) {
		return fmt.Errorf("%w: %s %s by %s: %s: %.300q", errRefused, method, url, o.Means, resp.Status, answer)
	}
	return nil
}

// errRefused: an invalidation was answered, and not carried out.
var errRefused = errors.New("not invalidated")

// invalidating is the transport of all committers over HTTP. It follows no redirects, and sends nothing twice by itself.
var invalidating = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16, IdleConnTimeout: 10 * time.Second}
