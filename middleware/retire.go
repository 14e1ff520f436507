package middleware

import (
	"context"
	"errors"

	"github.com/cachesrv/cachesrv/cache"
)

// errRetired says that what is rendered now is rendered under settings that are no longer in force.
var errRetired = errors.New("the settings have changed")

// Retire keeps pages from being stored that are claimed from now on, for a program that takes other settings on while it runs:
// requests under way are answered to their end, with the settings of before. What was claimed already may still be published:
// drop all pages when Retire has returned, and that is not published either.
func (c *Cache) Retire() { c.retired.Store(true) }

// take claims a page, unless the cache was retired. It looks when it has the claim: one that was taken before Retire returned is
// there to be dropped by whoever drops all.
func (c *Cache) take(ctx context.Context, k cache.Key) (*cache.Fill, error) {
	fill, err := c.o.Store.Claim(ctx, k)
	if err == nil && c.retired.Load() {
		_ = fill.Close()
		return nil, errRetired
	}
	return fill, err
}
