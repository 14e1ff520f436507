package middleware

import (
	"errors"
	"net/http"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/position"
)

// Why an answer is no page, where its origin lags behind what was invalidated.
const (
	settling = "settling" // within Options.Settle of the store
	behind   = "behind"   // its position lacks what an invalidation required
)

// behindLife is how long an origin that is behind is not asked for the page again: replicas lag by some ten milliseconds, and
// another one may be asked next.
const behindLife = 100 * time.Millisecond

// lagging says that an error of Publish comes of an origin that lags, in a word, and for how long the next answers may do.
func lagging(err error) (why string, life time.Duration) {
	var unsettled *cache.UnsettledError
	switch {
	case errors.As(err, &unsettled):
		return settling, min(unsettled.Left, cache.MaxSettle)
	case errors.Is(err, cache.ErrBehind):
		return behind, behindLife
	}
	return "", 0
}

// malformedPosition is why an answer is not stored whose origin's position can't be known. Like tags, it is nothing for clients.
const malformedPosition = "malformed " + position.Header

// positionOf returns what an answer says its origin had seen; why, if that can't be read.
func positionOf(received http.Header) (v position.Vector, why string) {
	lines := received[position.Header]
	if len(lines) == 0 {
		return nil, ""
	}
	v, err := position.Parse(lines[0])
	if err != nil || len(lines) > 1 { // two may differ
		return nil, malformedPosition
	}
	return v, ""
}
