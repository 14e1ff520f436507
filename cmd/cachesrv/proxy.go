package main

import (
	"context"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/proxy"
)

type proxyCmd struct{ proxySettings }

func (proxyCmd) Help() string {
	return `The first client's answer is stored while it is sent, others meanwhile wait for it, and from then on it is answered ` +
		`from a file: as long as it is fresh by HTTP's rules (--policy explicit), or until it is purged. What is no page, as ` +
		`forms, logins and streams, passes through. Ctrl-C lets requests under way finish; a second one kills.

    cachesrv proxy --origin http://127.0.0.1:9000
    cachesrv proxy --listen :80 --host www.example.org --origin unix:/run/app.sock --dir /srv/pages
    cachesrv proxy --listen :443 --tls-cert chain.pem --tls-key key.pem \
        --origin shop.example.org=http://127.0.0.1:9001 --origin blog.example.org=http://127.0.0.1:9002
    CACHESRV_ORIGIN=http://127.0.0.1:9000 cachesrv proxy --policy until-invalidated --admin 127.0.0.1:9090`
}

func (c *proxyCmd) Run(ctx context.Context, p *program) error {
	cfg, err := c.config(p)
	if err != nil {
		return err
	}
	process, stop, err := p.process(func(p *program) (conf.Config, error) { return p.cli.Proxy.config(p) })
	if err != nil {
		return err
	}
	defer stop()
	return proxy.Serve(ctx, proxy.Options{Config: cfg, Logger: p.log, Stdout: p.stdout, Process: process})
}

// config puts the configuration together and validates it.
func (c *proxyCmd) config(p *program) (conf.Config, error) {
	cfg := conf.Config{Folder: c.Folder, Link: c.Link, Store: c.Store, Serve: c.Serve, Proxy: c.Proxy, Log: p.cli.Log}
	if p.file != nil {
		cfg.Rules = p.file.Config.Rules
	}
	return cfg, p.check(cfg.Folder, cfg.Link, cfg.Store, cfg.Serve, cfg.Proxy, cfg.Log, cfg.Rules)
}
