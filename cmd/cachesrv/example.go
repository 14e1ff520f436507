package main

import (
	"context"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/example"
)

type exampleCmd struct {
	settings

	RenderDelay time.Duration `hidden:"" help:"Renders take up to this much longer, by chance: for load tests."`
}

func (exampleCmd) Help() string {
	return `The list of notes (/) and each note (/notes/ID) are pages. POST /notes and PUT /notes/ID change the database, and ` +
		`their commit drops the pages that show the note. Ctrl-C lets requests under way finish; a second one kills.

    cachesrv example
    cachesrv example --listen :80 --host notes.example.org --dir /srv/notes
    CACHESRV_DB=postgres://me:secret@localhost/notes cachesrv example --admin 127.0.0.1:9090`
}

func (c *exampleCmd) Run(ctx context.Context, p *program) error {
	cfg, err := p.effective(c.settings)
	if err != nil {
		return err
	}
	process, stop, err := p.process(func(p *program) (conf.Config, error) { return p.effective(p.cli.Example.settings) })
	if err != nil {
		return err
	}
	defer stop()
	return example.Serve(ctx, example.Options{
		Config: cfg, RenderDelay: c.RenderDelay, Logger: p.log, Stdout: p.stdout, Process: process,
	})
}
