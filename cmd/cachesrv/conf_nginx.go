package main

import (
	"context"

	"github.com/cachesrv/cachesrv/static/front"
)

type confNginxCmd struct {
	allSettings
	frontSettings

	Address string   `default:"80" placeholder:"ADDR" help:"What nginx listens on: a port, ADDRESS:PORT or unix:/PATH, with nginx's parameters."`
	Module  []string `placeholder:"NAME" default:"addition,gunzip,gzip_static,sub" help:"Modules of nginx beside the usual ones, to be turned off for the site: also brotli, brotli_static, zstd, zstd_static; none, if it has none."`
}

func (confNginxCmd) Help() string {
	return `nginx answers from the folder's pages, and sends to cachesrv what is no page. Give it the settings of the site that it ` +
		`stands in front of. See docs/NGINX.md.

    cachesrv conf nginx --config /etc/cachesrv.yaml > /etc/nginx/conf.d/site.conf && nginx -t
    cachesrv conf nginx --origin http://127.0.0.1:9000 --host www.example.org --policy until-invalidated --dir /srv/pages`
}

func (c *confNginxCmd) Run(_ context.Context, p *program) error {
	modules := c.Module
	if len(modules) == 1 && modules[0] == "none" {
		modules = []string{}
	}
	return p.printFront(func(s front.Site) (string, error) {
		s.Modules = modules
		return front.Nginx(s)
	}, c.allSettings, c.frontSettings, c.Address)
}
