package main

import (
	"context"

	"github.com/cachesrv/cachesrv/static/front"
)

type confCaddyCmd struct {
	allSettings
	frontSettings

	Address string `placeholder:"ADDR" help:"Where Caddy listens, without TLS and for any host: a port, ADDRESS:PORT or unix:/PATH. Default: for the site's hosts, with certificates that Caddy gets for them."`
}

func (confCaddyCmd) Help() string {
	return `Caddy answers from the folder's pages, and sends to cachesrv what is no page. Give it the settings of the site that it ` +
		`stands in front of. See docs/NGINX.md.

    cachesrv conf caddy --config /etc/cachesrv.yaml > /etc/caddy/site.caddy && caddy validate --config /etc/caddy/Caddyfile
    cachesrv conf caddy --origin http://127.0.0.1:9000 --host www.example.org --policy until-invalidated --dir /srv/pages`
}

func (c *confCaddyCmd) Run(_ context.Context, p *program) error {
	return p.printFront(front.Caddy, c.allSettings, c.frontSettings, c.Address)
}
