package serve

import (
	"log/slog"
	"net/http"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/invalidate/purge"
)

// Purging is invalidation over HTTP, as the two listeners of a server have it: PURGE where the site is, JSON for operators.
// They are counted together, and wait for each other's turns: so do a site's handlers of before a reload. Store and Logger are required.
type Purging struct {
	Store  *cache.Store
	Logger *slog.Logger

	counts purge.Counts
	turns  purge.Turns
}

// Site returns what answers PURGE, for those whom the settings admit; keys says which pages a URL may have. The token is
// read now: after a change make another one.
func (p *Purging) Site(c conf.Serve, keys func(r *http.Request, target string) []cache.Key) (*purge.Handler, error) {
	access, err := purge.NewAccess(c.PurgeTokenFile, c.PurgeFrom)
	if err != nil {
		return nil, err
	}
	return purge.NewHandler(purge.HandlerOptions{Store: p.Store, Keys: keys, Access: access, Counts: &p.counts, Turns: &p.turns, Logger: p.Logger})
}

// api returns what is for the admin listener. That admits this machine only, so nobody is asked for the token.
func (p *Purging) api() (*purge.API, error) {
	return purge.NewAPI(purge.APIOptions{Store: p.Store, Counts: &p.counts, Turns: &p.turns, Logger: p.Logger})
}
