package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/pkgindex"
	"github.com/cachesrv/cachesrv/render/index/catalog"
)

type indexCmd struct {
	Serve  indexServeCmd  `cmd:"" default:"withargs" help:"Serve the index. It is what \"cachesrv index\" does, too."`
	Import importCmd      `cmd:"" help:"Take in a folder of wheels and sdists."`
	Yank   indexYankCmd   `cmd:"" help:"Mark a release so that installers choose it only where it is pinned."`
	Unyank indexUnyankCmd `cmd:"" help:"Take a yank back."`
	Delete indexDeleteCmd `cmd:"" help:"Delete a file, a release or a project. Its file names can't be used again."`
	Role   roleCmd        `cmd:"" help:"Say who may upload to a project."`
	Sample indexSampleCmd `cmd:"" help:"Write a small wheel and sdist, to try uploads with."`
}

func (indexCmd) Help() string {
	return `Projects, users and tokens are kept in a database, the files in DIR/files. All commands work while the index is ` +
		`served, and their changes are seen at once.

    cachesrv index --demo                        # sample projects, and what to try
    cachesrv user add ada && cachesrv token add --user ada
    cachesrv index --listen :8080 --host pypi.example.org --dir /srv/index
    cachesrv index import /srv/pypiserver/packages --user ada`
}

type indexServeCmd struct {
	indexSettings

	Demo bool `help:"Fill a new index with sample projects, and print a token to upload with."`
}

func (indexServeCmd) Help() string {
	return `Pages are kept as files and dropped by the commit that changes what they show: pip sees a release as soon as ` +
		`twine has uploaded it. Ctrl-C lets requests under way finish; a second one kills.

    cachesrv index --demo
    cachesrv index --listen :8080 --host pypi.example.org --dir /srv/index
    cachesrv index --private --upstream https://pypi.org
    CACHESRV_DB=postgres://me:secret@localhost/index cachesrv index --admin 127.0.0.1:9090`
}

func (c *indexServeCmd) Run(ctx context.Context, p *program) error {
	cfg, err := p.effectiveIndex(c.indexSettings)
	if err != nil {
		return err
	}
	process, stop, err := p.process(func(p *program) (conf.Config, error) { return p.effectiveIndex(p.cli.Index.Serve.indexSettings) })
	if err != nil {
		return err
	}
	defer stop()
	return pkgindex.Serve(ctx, pkgindex.Options{Config: cfg, Demo: c.Demo, Logger: p.log, Stdout: p.stdout, Process: process})
}

// operator is who commands act as: whoever may write the folder and the database may everything.
var operator = catalog.Operator("")

type indexYankCmd struct {
	indexFolder

	Project string `arg:"" help:"The project, in any spelling."`
	Version string `arg:"" help:"Its release."`
	Reason  string `placeholder:"TEXT" help:"Why; pip shows it."`
}

func (indexYankCmd) Help() string {
	return `    cachesrv index yank oolong 1.2 --reason "brews nothing on Windows"`
}

func (c *indexYankCmd) Run(ctx context.Context, p *program) error {
	what := printable(c.Project, c.Version)
	return p.changeIndex(ctx, c.indexFolder, "yank "+what, what+": yanked", func(cat *catalog.Catalog) error {
		return cat.Yank(ctx, operator, c.Project, c.Version, c.Reason)
	})
}

type indexUnyankCmd struct {
	indexFolder

	Project string `arg:"" help:"The project, in any spelling."`
	Version string `arg:"" help:"Its release."`
}

func (c *indexUnyankCmd) Run(ctx context.Context, p *program) error {
	what := printable(c.Project, c.Version)
	return p.changeIndex(ctx, c.indexFolder, "unyank "+what, what+": not yanked", func(cat *catalog.Catalog) error {
		return cat.Unyank(ctx, operator, c.Project, c.Version)
	})
}

type indexDeleteCmd struct {
	indexFolder

	Project string  `arg:"" help:"The project, in any spelling."`
	Version *string `arg:"" optional:"" help:"Its release."`
	File    *string `arg:"" optional:"" help:"A file of the release, by its name."`
	All     bool    `help:"Delete the whole project."`
}

func (indexDeleteCmd) Help() string {
	return `There is no way back: a deleted file's name can't be used again. Yanking is usually what is wanted.

    cachesrv index delete oolong 1.2 oolong-1.2.tar.gz
    cachesrv index delete oolong 1.2
    cachesrv index delete oolong --all`
}

func (c *indexDeleteCmd) Run(ctx context.Context, p *program) error {
	given := []string{c.Project}
	for _, part := range []*string{c.Version, c.File} {
		if part != nil {
			given = append(given, *part)
		}
	}
	what := "delete " + printable(given...)
	switch { // an empty argument is a variable that nobody has set, and not all there is
	case slices.Contains(given, ""):
		return usageError(what + ": an argument is empty")
	case c.All && c.Version != nil:
		return usageError(what + ": leave --all out, or name the project only")
	case !c.All && c.Version == nil:
		return usageError(what + ": say which version; or delete the whole project with --all")
	}
	done := printable(given...) + ": deleted"
	given = append(given, "", "") // all of them
	return p.changeIndex(ctx, c.indexFolder, what, done, func(cat *catalog.Catalog) error {
		return cat.Delete(ctx, operator, given[0], given[1], given[2])
	})
}

type roleCmd struct {
	Add    roleAddCmd    `cmd:"" help:"Make a user a maintainer of a project, or an owner."`
	Remove roleRemoveCmd `cmd:"" help:"Take a user's role in a project."`
}

type roleAddCmd struct {
	indexFolder

	Project string `arg:"" help:"The project, in any spelling."`
	User    string `arg:"" help:"The user."`
	Owner   bool   `help:"An owner may also delete and give roles; a maintainer uploads and yanks."`
}

func (roleAddCmd) Help() string {
	return `    cachesrv index role add oolong ada
    cachesrv index role add oolong ada --owner`
}

func (c *roleAddCmd) Run(ctx context.Context, p *program) error {
	role := "a maintainer"
	if c.Owner {
		role = "an owner"
	}
	done := fmt.Sprintf("%s: %s is %s", printable(c.Project), printable(c.User), role)
	return p.changeIndex(ctx, c.indexFolder, roleOf(c.User, c.Project), done, func(cat *catalog.Catalog) error {
		if err := c.needUser(ctx, cat, c.User); err != nil {
			return err
		}
		return cat.Grant(ctx, operator, c.Project, catalog.Role{User: c.User, Owner: c.Owner})
	})
}

type roleRemoveCmd struct {
	indexFolder

	Project string `arg:"" help:"The project, in any spelling."`
	User    string `arg:"" help:"The user."`
}

func (c *roleRemoveCmd) Run(ctx context.Context, p *program) error {
	done := fmt.Sprintf("%s: %s has no role", printable(c.Project), printable(c.User))
	return p.changeIndex(ctx, c.indexFolder, roleOf(c.User, c.Project), done, func(cat *catalog.Catalog) error {
		return cat.Withdraw(ctx, operator, c.Project, c.User)
	})
}

func roleOf(user, project string) string {
	return "role of " + printable(user) + " in " + printable(project)
}
