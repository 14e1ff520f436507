package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/database"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/pkgindex"
	"github.com/cachesrv/cachesrv/render/index/catalog"
)

// withFolder calls do with the store of a folder that exists, for looking into it and dropping from it: a store that
// never serves, evicts or sweeps. A missing folder is an error; a mistyped --dir must not pass for an empty cache.
func (p *program) withFolder(ctx context.Context, dir string, do func(*cache.Store) error) error {
	if err := needFolder(dir); err != nil {
		return err
	}
	return p.withStore(ctx, dir, "", do)
}

// needFolder checks that a folder has a cache.
func needFolder(dir string) error {
	folder := filepath.Join(dir, "cache")
	switch st, err := os.Stat(folder); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no cache folder is there: name the site's folder with --dir (or CACHESRV_DIR)", folder)
	case err != nil:
		return fmt.Errorf("%w: name the site's folder with --dir (or CACHESRV_DIR)", err)
	case !st.IsDir():
		return fmt.Errorf("%s: it is not a folder: name the site's folder with --dir (or CACHESRV_DIR)", folder)
	}
	return nil
}

// withStore is withFolder for a folder that may have to be made; then its link lies at live.
func (p *program) withStore(ctx context.Context, dir, live string, do func(*cache.Store) error) error {
	store, err := cache.Open(ctx, cache.Options{
		Dir: dir, Live: live, Logger: p.log, SweepInterval: -1,
		MaxBytes: math.MaxInt64, MaxPages: math.MaxInt64, MinFree: 1, MemoryBytes: 1,
	})
	if err != nil {
		return err
	}
	err = do(store)
	return errors.Join(err, store.Close())
}

// indexFolder are the settings of commands that work on a package index which exists, whether or not it is served.
type indexFolder struct {
	conf.Folder
	conf.Database
}

// flags are those by which the next command finds the same index.
func (f indexFolder) flags() string { return conf.SiteFlags(f.Folder, f.Database) }

// withIndex calls do with the catalog of an index that exists.
func (p *program) withIndex(ctx context.Context, f indexFolder, do func(*catalog.Catalog) error) error {
	if err := p.check(f.Folder, f.Database); err != nil {
		return err
	}
	if f.DB == database.SQLite {
		path := pkgindex.Database(f.Dir)
		if _, err := os.Stat(path); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%s: no package index is there", path)
			}
			return fmt.Errorf("%w: name its folder with --dir (or CACHESRV_DIR), or make one with: cachesrv index", err)
		}
	}
	return p.withFolder(ctx, f.Dir, func(store *cache.Store) error { return p.withCatalog(ctx, store, f.Database, conf.Uploads{}, do) })
}

// changeIndex makes a change to an index that exists, and prints that it is done. what stands before the error of one that
// can't be made.
func (p *program) changeIndex(ctx context.Context, f indexFolder, what, done string, change func(*catalog.Catalog) error) error {
	return p.withIndex(ctx, f, func(cat *catalog.Catalog) error {
		if err := change(cat); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		_, err := fmt.Fprintln(p.stdout, done)
		return err
	})
}

// needUser checks that there is a user, before something is given to them.
func (f indexFolder) needUser(ctx context.Context, cat *catalog.Catalog, name string) error {
	_, err := cat.User(ctx, name)
	if errors.Is(err, catalog.ErrNotFound) {
		return fmt.Errorf("there is no user %q: make one with: cachesrv user add %s %s", name, printable(name), f.flags())
	}
	return err
}

// newIndexFolder are the settings of commands that make an index where there is none.
type newIndexFolder struct {
	indexFolder
	conf.Link
}

// withNewIndex calls do with the catalog of an index, which is made if it is missing.
func (p *program) withNewIndex(ctx context.Context, f newIndexFolder, u conf.Uploads, do func(*catalog.Catalog) error) error {
	if err := p.check(f.Folder, f.Database, f.Link); err != nil {
		return err
	}
	return p.withStore(ctx, f.Dir, f.Live, func(store *cache.Store) error { return p.withCatalog(ctx, store, f.Database, u, do) })
}

func (p *program) withCatalog(ctx context.Context, store *cache.Store, d conf.Database, u conf.Uploads, do func(*catalog.Catalog) error) error {
	cat, err := pkgindex.Open(ctx, store, d, u, p.log)
	if err != nil {
		return err
	}
	err = do(cat)
	return errors.Join(err, cat.Close())
}
