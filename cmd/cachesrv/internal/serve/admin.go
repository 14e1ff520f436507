package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/admin"
)

// Admin returns the server for operators, listening, or none for the address "".
func Admin(ctx context.Context, addr string, store *cache.Store, checks ...admin.Check) ([]Server, error) {
	if addr == "" {
		return nil, nil
	}
	ln, err := admin.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	checks = append([]admin.Check{serving(store)}, checks...)
	return []Server{newServer(ln, &http.Server{
		Handler:           admin.Handler(admin.NewRegistry(store.Stats), checks...),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
	})}, nil
}

// serving says why nothing is served from the cache, if so.
func serving(store *cache.Store) admin.Check {
	return func(context.Context) error {
		if reason, fenced := store.FencedBy(); fenced {
			return fmt.Errorf("the cache is fenced: %s", reason)
		}
		if !store.Stats().Serving {
			return errors.New("this program does not serve from the cache: see its log")
		}
		return nil
	}
}
