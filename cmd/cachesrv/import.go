package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/load"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
	"github.com/cachesrv/cachesrv/render/index/catalog"
)

type importCmd struct {
	newIndexFolder
	conf.Uploads

	From string `arg:"" name:"folder" help:"Where the files lie, in folders or not."`
	User string `placeholder:"NAME" help:"Who owns the projects that are new, and uploaded the files. Default: nobody."`
}

func (importCmd) Help() string {
	return `Takes in every wheel and sdist, older versions first. Nothing in the folder is changed. What is there already is ` +
		`left alone, so that a run that was stopped goes on where it was when it is started again. Links to files are ` +
		`followed, links to folders are not. Uploads are dated now, whatever the files' own dates are. Files that are no ` +
		`distributions are skipped; with what is wrong with the others the exit status is 1.

    cachesrv user add ada --dir /srv/index
    cachesrv index import /srv/pypiserver/packages --user ada --dir /srv/index`
}

func (c *importCmd) Run(ctx context.Context, p *program) error {
	if err := p.check(c.Uploads); err != nil {
		return err
	}
	found, err := load.Find(c.From)
	if err != nil {
		return err
	}
	return p.withNewIndex(ctx, c.newIndexFolder, c.Uploads, func(cat *catalog.Catalog) error {
		if c.User != "" {
			if err := c.needUser(ctx, cat, c.User); err != nil {
				return err
			}
		}
		return c.load(ctx, p, cat, found)
	})
}

func (c *importCmd) load(ctx context.Context, p *program, cat *catalog.Catalog, found *load.Found) error {
	for _, o := range found.Skipped {
		fmt.Fprintf(p.stdout, "skipped: %s: %v\n", printable(o.Path), o.Why)
	}
	for _, o := range found.Bad {
		fmt.Fprintf(p.stderr, "cachesrv: failed: %s: %v\n", printable(o.Path), o.Why)
	}
	progress := load.NewProgress(p.stderr, found)
	r, err := load.Files(ctx, cat, catalog.Operator(c.User), found.Files, progress, func(f load.Candidate, err error) {
		progress.Printf(p.stderr, "cachesrv: failed: %s: %v\n", printable(f.Path), err)
	})
	progress.Stop()
	failed := r.Failed + len(found.Bad)
	fmt.Fprintf(p.stdout, "%s: added %s, %s, %s new; %d unchanged, %d skipped, %d failed; %v\n", printable(c.From),
		count(int64(r.Added), "file"), unit.Size(r.Bytes).Short(), count(int64(r.Projects), "project"),
		r.Unchanged, len(found.Skipped), failed, progress.Took().Round(100*time.Millisecond))
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("stopped after %d of %d files: run it again to go on", r.Added+r.Unchanged+r.Failed, len(found.Files))
	case err != nil:
		return fmt.Errorf("%w: run it again to go on", err)
	case failed > 0:
		return statusCode(statusError)
	}
	return nil
}
