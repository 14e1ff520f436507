package main

import (
	"context"
	"fmt"
	"io"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

type confCmd struct {
	Check   confCheckCmd   `cmd:"" help:"Say whether the configuration is valid."`
	Show    confShowCmd    `cmd:"" help:"Show every setting's value and where it comes from."`
	Nginx   confNginxCmd   `cmd:"" help:"Print a configuration with which nginx serves the pages."`
	Systemd confSystemdCmd `cmd:"" help:"Print units with which systemd runs it."`
	Caddy   confCaddyCmd   `cmd:"" help:"Print a configuration with which Caddy serves the pages."`
}

type confCheckCmd struct{ allSettings }

type confShowCmd struct{ allSettings }

func (confCheckCmd) Help() string {
	return `All that is wrong is listed, with file and line where it stands in a file.

    cachesrv conf check --config /etc/cachesrv.yaml`
}

func (confShowCmd) Help() string {
	return `The output is itself a configuration file; a password in the database's URL is replaced.

    cachesrv conf show --config /etc/cachesrv.yaml
    cachesrv conf show > cachesrv.yaml`
}

func (c *confCheckCmd) Run(_ context.Context, p *program) error {
	if _, err := p.effectiveAll(c.allSettings); err != nil {
		return err
	}
	from := "no configuration file"
	if p.file != nil {
		from = p.file.Path
	}
	_, err := fmt.Fprintf(p.stdout, "%s: the configuration is valid\n", from)
	return err
}

func (c *confShowCmd) Run(_ context.Context, p *program) error {
	cfg, invalid := p.effectiveAll(c.allSettings)
	text, err := conf.Show(cfg, p.origin)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(p.stdout, text); err != nil {
		return err
	}
	return invalid
}
