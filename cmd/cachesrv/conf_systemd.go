package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/google/renameio/v2"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/systemd"
)

type confSystemdCmd struct {
	allSettings

	Server   string `default:"proxy" enum:"proxy,index,example" placeholder:"SERVER" help:"What is to run: proxy, index or example."`
	Unit     string `default:"cachesrv" placeholder:"NAME" help:"What the units are called."`
	User     string `default:"cachesrv" placeholder:"NAME" help:"The user and group that it runs as. Who is in the group, as nginx's user may be, can read the pages."`
	Binary   string `placeholder:"PATH" help:"The program. Default: this one."`
	Template bool   `help:"Units for several instances on one socket and one folder: NAME@1, NAME@2, …"`
	Out      string `placeholder:"FOLDER" help:"Write the units there, instead of printing them."`
}

func (confSystemdCmd) Help() string {
	return `The units: a service, which may do nothing but its work, and a socket, which stays open while the service restarts, so that ` +
		`nobody is turned away. See docs/OPERATING.md.

    cachesrv conf systemd --config /etc/cachesrv.yaml --out /etc/systemd/system
    systemctl daemon-reload && systemctl enable --now cachesrv.socket cachesrv.service`
}

// A unit is a file for systemd.
type unitFile struct{ name, text string }

func (c *confSystemdCmd) Run(_ context.Context, p *program) error {
	cfg, err := p.effectiveAll(c.allSettings)
	if err != nil {
		return err
	}
	u, err := c.describe(p, cfg)
	if err != nil {
		return err
	}
	files, err := u.files()
	if err != nil {
		return err
	}
	for _, f := range files {
		if c.Out == "" {
			if _, err := fmt.Fprintf(p.stdout, "# %s\n%s\n", filepath.Join("/etc/systemd/system", f.name), f.text); err != nil {
				return err
			}
			continue
		}
		path := filepath.Join(c.Out, f.name)
		if err := renameio.WriteFile(path, []byte(f.text), 0o644, renameio.WithTempDir(c.Out), renameio.IgnoreUmask()); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(p.stdout, path); err != nil {
			return err
		}
	}
	return nil
}

// units is what the templates are filled with.
type units struct {
	Unit, Server, User       string
	Binary, Config, Dir      string
	Listen, Admin            string // as ListenStream= has them; Admin "": there is none
	Instances                bool
	State                    string // the folder's name below /var/lib; "": it lies elsewhere
	Link                     string // the folder of the live link, where the settings name one outside of Dir; "": no more than that
	Runtime                  string // that folder's name below /run; "": it lies elsewhere
	Home, Tmp                bool   // something lies in a home folder, in /tmp
	NameOfSite, NameOfOthers string // of the sockets
}

// plainWord is what stands in a unit as it is: no spaces, quotes, specifiers (%) or variables ($).
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@+=,-]+$`)

func (c *confSystemdCmd) describe(p *program, cfg conf.Config) (units, error) {
	u := units{Unit: c.Unit, Server: c.Server, User: c.User, Binary: c.Binary, Dir: filepath.Clean(cfg.Dir), Instances: c.Template,
		NameOfSite: systemd.Site, NameOfOthers: systemd.Admin}
	if p.file == nil {
		return u, errors.New("no configuration file: a unit has its settings in one: name it with --config")
	}
	var err error
	if u.Config, err = filepath.Abs(p.file.Path); err != nil {
		return u, err
	}
	if u.Binary == "" {
		if u.Binary, err = os.Executable(); err != nil {
			return u, fmt.Errorf("find this program's file: %w: name it with --binary", err)
		}
	}
	if !filepath.IsAbs(cfg.Dir) {
		return u, fmt.Errorf("dir (%s) is %s: a unit needs an absolute path, like /var/lib/cachesrv", p.origin("dir"), cfg.Dir)
	}
	if u.Listen, err = listenStream(cfg.Listen); err != nil {
		return u, fmt.Errorf("listen (%s): %w", p.origin("listen"), err)
	}
	if cfg.Admin != "" {
		if u.Admin, err = listenStream(cfg.Admin); err != nil {
			return u, fmt.Errorf("admin (%s): %w", p.origin("admin"), err)
		}
	}
	if u.Admin != "" && u.Instances {
		return u, fmt.Errorf("admin (%s) is %s: instances can't share it: leave it out, and give each one its own by an environment file", p.origin("admin"), cfg.Admin)
	}
	if below, ok := strings.CutPrefix(u.Dir, "/var/lib/"); ok {
		u.State = below
	}
	if err := u.place(p, cfg); err != nil {
		return u, err
	}
	for what, word := range map[string]string{"unit": u.Unit, "user": u.User, "binary": u.Binary, "config": u.Config, "dir": u.Dir,
		"listen": u.Listen, "admin": u.Admin, "live": u.Link} {
		if word != "" && !plainWord.MatchString(word) {
			return u, fmt.Errorf("%s is %q: a unit would read that otherwise: use letters, digits and _ . / : @ + = , - only", what, word)
		}
	}
	if strings.ContainsAny(u.Unit, "/@") {
		return u, fmt.Errorf("unit is %q: leave / and @ out", u.Unit)
	}
	return u, nil
}

// listenStream writes an address as ListenStream= has it (systemd.socket(5)).
func listenStream(addr string) (string, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return path, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	switch host {
	case "":
		return port, nil
	case "localhost":
		return net.JoinHostPort("127.0.0.1", port), nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return "", fmt.Errorf("%q: a socket unit takes no host name: write an IP address", addr)
	}
	return addr, nil
}

//go:embed units.tmpl
var unitText string

// files fills the templates.
func (u units) files() ([]unitFile, error) {
	all, err := template.New("").Parse(unitText)
	if err != nil {
		return nil, err
	}
	service := u.Unit
	if u.Instances {
		service += "@"
	}
	wanted := [][2]string{{"service", service + ".service"}, {"socket", u.Unit + ".socket"}}
	if u.Admin != "" && !u.Instances { // each instance would need one of its own
		wanted = append(wanted, [2]string{"admin", u.Unit + "-admin.socket"})
	}
	var files []unitFile
	for _, w := range wanted {
		var b bytes.Buffer
		if err := all.ExecuteTemplate(&b, w[0], u); err != nil {
			return nil, err
		}
		files = append(files, unitFile{w[1], strings.TrimLeft(b.String(), "\n")})
	}
	return files, nil
}
