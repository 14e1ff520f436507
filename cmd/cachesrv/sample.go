package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cachesrv/cachesrv/render/index/dist"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

type indexSampleCmd struct {
	Project string `arg:"" help:"The project's name."`
	Version string `arg:"" help:"The release."`
	Out     string `arg:"" default:"dist" help:"The folder to write to; made if it is missing. Default: dist."`
}

func (indexSampleCmd) Help() string {
	return `The files can be installed, and hold a module that knows its version. The same name and version always make the same bytes.

    cachesrv index sample hello 1.0 && twine upload dist/*`
}

func (c *indexSampleCmd) Run(p *program) error {
	if !dist.ValidName(c.Project) {
		return fmt.Errorf("sample: %.100q can't be a project's name: use letters, digits and - _ . between them", c.Project)
	}
	version, err := dist.CanonicalVersion(c.Version)
	if err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	d := sample.Dist{
		Name: c.Project, Version: version, Summary: "Something to try an upload with", RequiresPython: ">=3.8",
		Description: "# " + c.Project + "\n\nVersion " + version + ", made by `cachesrv index sample`.\n",
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	wheel, wheelContent := d.Wheel()
	sdist, sdistContent := d.Sdist()
	return errors.Join(c.write(p, wheel, wheelContent), c.write(p, sdist, sdistContent))
}

func (c *indexSampleCmd) write(p *program, name string, content []byte) error {
	path := filepath.Join(c.Out, name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return fmt.Errorf("sample: %w", err)
	}
	_, err := fmt.Fprintln(p.stdout, path)
	return err
}
