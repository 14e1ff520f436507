// Package demo fills an empty index with sample projects: small modules that work, around a tea house. They are for
// looking around, and for trying pip against: their versions, dependencies, extras, pre-releases and a yanked release
// are made so that each page has something to show.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// User owns the sample projects.
const User = "demo"

// Suggested is the project to install first: it has dependencies.
const Suggested = "teahouse-counter"

// A Release is a version of a sample project.
type Release struct {
	sample.Dist
	Sdist  bool   // it has an sdist beside the wheel
	Yanked string // why it is yanked; empty: it isn't
}

// Load makes the user and adds the projects' files, and returns how many it added. What is there already stays, and
// what was deleted stays away: Load can be called again after it was interrupted. The order is that in which such projects
// would have grown, not project by project.
func Load(ctx context.Context, cat *catalog.Catalog) (files int, err error) { return load(ctx, cat) }

// index is what is asked of a catalog. A test has one that is interrupted.
type index interface {
	AddUser(ctx context.Context, name string) error
	Receive(ctx context.Context) (*catalog.Incoming, error)
	Add(ctx context.Context, who catalog.Identity, in *catalog.Incoming, u catalog.Upload) (catalog.Added, error)
	Yank(ctx context.Context, who catalog.Identity, project, version, reason string) error
}

func load(ctx context.Context, cat index) (files int, err error) {
	if err := cat.AddUser(ctx, User); err != nil && !errors.Is(err, catalog.ErrExists) {
		return 0, err
	}
	releases, err := Releases()
	if err != nil {
		return 0, err
	}
	for _, r := range releases {
		made := []func() (string, []byte){r.Wheel}
		if r.Sdist {
			made = append(made, r.Dist.Sdist)
		}
		for _, file := range made {
			filename, content := file()
			added, err := add(ctx, cat, filename, content)
			if errors.Is(err, catalog.ErrExists) {
				continue // it was deleted, or is another file of that name: not ours any more
			}
			if err != nil {
				return files, fmt.Errorf("%s: %w", filename, err)
			}
			if !added.Unchanged {
				files++
			}
		}
		if r.Yanked != "" {
			if err := cat.Yank(ctx, owner(), r.Name, r.Version, r.Yanked); err != nil && !errors.Is(err, catalog.ErrNotFound) {
				return files, fmt.Errorf("yank %s %s: %w", r.Name, r.Version, err)
			}
		}
	}
	return files, nil
}

func owner() catalog.Identity { return catalog.Operator(User) }

func add(ctx context.Context, cat index, filename string, content []byte) (catalog.Added, error) {
	in, err := cat.Receive(ctx)
	if err != nil {
		return catalog.Added{}, err
	}
	defer in.Close()
	if _, err := bytes.NewReader(content).WriteTo(in); err != nil {
		return catalog.Added{}, err
	}
	return cat.Add(ctx, owner(), in, catalog.Upload{Filename: filename})
}
