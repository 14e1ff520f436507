package main

import (
	"context"
	"fmt"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

type fenceDownCmd struct{ conf.Folder }

func (fenceDownCmd) Help() string {
	return `It is for the ExecStopPost= of a unit (cachesrv conf systemd): where nginx or Caddy read the pages, a program that has died ` +
		`drops none any more. It opens no cache and waits for nobody longer than 2 seconds. The next start makes the link again.

    cachesrv fence down --dir /srv/site`
}

func (c *fenceDownCmd) Run(ctx context.Context, p *program) error {
	live, removed, err := cache.TakeDown(ctx, c.Dir)
	if err != nil {
		return fmt.Errorf("%w: name the site's folder with --dir (or CACHESRV_DIR)", err)
	}
	what := "another program serves from the folder: the live link stays: " + live
	if removed {
		what = "other servers find no page: there is no live link any more: " + live
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %s\n", c.Dir, what)
	return err
}
