// Package pkgindex puts a package index together: page store, catalog, site and servers. (The index itself is package
// render/index and those below it.)
package pkgindex

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/database"
	"github.com/cachesrv/cachesrv/render/index/catalog"
)

// Database returns the path of an index's SQLite database.
func Database(dir string) string { return filepath.Join(dir, "index.db") }

// ErrPlain says that a folder can't be an index's.
var ErrPlain = errors.New("a plain folder has one variant per URL, and the index's pages have three")

// Open opens the catalog of an index: it replays what was committed meanwhile, and lifts the store's fence. Close it
// before the store.
func Open(ctx context.Context, store *cache.Store, c conf.Database, uploads conf.Uploads, log *slog.Logger) (*catalog.Catalog, error) {
	if store.Plain() {
		return nil, fmt.Errorf("%s: %w: name another folder with --dir", store.Dir(), ErrPlain)
	}
	o := catalog.Options{Store: store, Dir: store.Dir(), MaxFile: int64(uploads.UploadMax), Logger: log}
	if c.DB == database.SQLite {
		path := Database(store.Dir())
		cat, err := openSQLite(ctx, path, o)
		if err != nil {
			return nil, database.Explain(path, err)
		}
		return cat, nil
	}
	cat, err := openPostgres(ctx, c.DB, o)
	if err != nil {
		return nil, database.Explain(c.DB, err)
	}
	return cat, nil
}

func openSQLite(ctx context.Context, path string, o catalog.Options) (*catalog.Catalog, error) {
	write, err := database.Writer(path)
	if err != nil {
		return nil, err
	}
	read, err := database.Reader(path)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return catalog.OpenSQLite(ctx, write, read, o)
}

// openPostgres tries the connection first, within the time for a first contact: what the catalog does next, as
// migrating and clearing up, may take longer.
func openPostgres(ctx context.Context, dsn string, o catalog.Options) (*catalog.Catalog, error) {
	pool, err := database.Postgres(ctx, dsn)
	if err != nil {
		return nil, err
	}
	opening, cancel := context.WithTimeout(ctx, database.OpenTimeout)
	defer cancel()
	if err := pool.Ping(opening); err != nil {
		pool.Close()
		return nil, err
	}
	return catalog.OpenPostgres(ctx, pool, o)
}
