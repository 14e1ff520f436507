package main

import (
	"context"
	"fmt"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

type fenceCmd struct {
	On  fenceOnCmd  `cmd:"" help:"Stop serving from the cache, at once and for every reader."`
	Off fenceOffCmd `cmd:"" help:"Serve from the cache again."`

	Down fenceDownCmd `cmd:"" help:"Remove the link that other servers read through, if nobody serves any more."`
}

type fenceOnCmd struct{ conf.Folder }

type fenceOffCmd struct{ conf.Folder }

func (fenceOnCmd) Help() string {
	return `Sites go on answering, rendering each request. Invalidations go on being applied. The fence outlasts restarts.

    cachesrv fence on --dir /srv/site`
}

func (fenceOffCmd) Help() string {
	return `Pages kept behind the fence are served again: invalidations were applied to them all the time.

    cachesrv fence off --dir /srv/site`
}

func (c *fenceOnCmd) Run(ctx context.Context, p *program) error {
	return p.withFolder(ctx, c.Dir, func(store *cache.Store) error {
		if err := store.Fence(ctx, "cachesrv fence on"); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.stdout, "%s: fenced: nothing is served from the cache until: cachesrv fence off %s\n", store.Dir(), c.Flags())
		return err
	})
}

func (c *fenceOffCmd) Run(ctx context.Context, p *program) error {
	return p.withFolder(ctx, c.Dir, func(store *cache.Store) error {
		reason, fenced := store.FencedBy()
		if err := store.LiftFence(ctx); err != nil {
			return err
		}
		was := "it was not fenced"
		if fenced {
			was = "fence lifted; it was: " + reason
		}
		_, err := fmt.Fprintf(p.stdout, "%s: %s\n", store.Dir(), was)
		return err
	})
}
