//go:build linux && (e2e || soak)

package power

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/gzip"
	_ "modernc.org/sqlite" // the driver

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/e2e/torture"
	"github.com/cachesrv/cachesrv/invalidate"
)

// site is the application's. Odd pages are private ones, which other servers don't read.
var site = torture.Site{Host: "power.test", Pages: 24, Size: 3000, Extra: true}

// An application has its database and its cache on one disk, which is mounted at dir.
type application struct {
	dir      string // of the cache
	database string // the file
	settings
	replay time.Duration // zero: the hooks' default
	db     *sql.DB

	store *cache.Store
	hooks *invalidate.SQLiteHooks // nil unless settings.Hooks
}

// settings are what an application's kind is.
type settings struct {
	// Hooks has commits invalidate through the hooks, and starts replay them. Else they call Invalidate themselves when
	// the commit has returned, which is all that P1 asks of an application, and nothing is replayed: then only the boot
	// stands between a power cut and the pages that it brings back.
	Hooks bool
	// Durable commits survive a power cut (synchronous=full); else the last ones may be lost.
	Durable bool
	// Apart has the database lie on a disk of its own.
	Apart bool
	Boot  string
}

func (s settings) String() string {
	kind, durable := "store", "normal"
	if s.Hooks {
		kind = "hooks"
	}
	if s.Durable {
		durable = "full"
	}
	return kind + ", synchronous=" + durable
}

func (a *application) openDatabase(ctx context.Context) (err error) {
	synchronous := "NORMAL"
	if a.Durable {
		synchronous = "FULL"
	}
	a.db, err = sql.Open("sqlite", "file:"+a.database+
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous("+synchronous+")")
	if err != nil {
		return err
	}
	if err := invalidate.Migrate(ctx, a.db); err != nil {
		return err
	}
	if _, err := a.db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS page (number integer PRIMARY KEY, version integer NOT NULL)`); err != nil {
		return err
	}
	_, err = a.db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i+1 < ?)
		INSERT INTO page SELECT i, 1 FROM n WHERE true ON CONFLICT DO NOTHING`, site.Pages)
	return err
}

func (a *application) versions(ctx context.Context) (versions []int64, err error) {
	return torture.Database{DSN: a.database}.Versions(ctx)
}

// open opens the cache; nothing is served yet.
func (a *application) open(ctx context.Context, log io.Writer) (err error) {
	a.store, err = cache.Open(ctx, cache.Options{
		Dir: a.dir, Live: a.live(), MinFree: 1, BootID: a.Boot, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	return err
}

// serve lets the cache be read, after replay if there are hooks.
func (a *application) serve(ctx context.Context) (err error) {
	if !a.Hooks {
		return a.store.Unfence(ctx)
	}
	a.hooks, err = invalidate.NewSQLite(ctx, a.store, a.db, invalidate.Options{
		ReplayInterval: a.replay, Logger: slog.New(slog.DiscardHandler),
	})
	return err
}

// close stops the cache in order. Commits may still be under way.
func (a *application) close() error {
	if a.hooks != nil {
		if err := a.hooks.Close(); err != nil {
			return err
		}
	}
	return a.store.Close()
}

func (a *application) live() string { return filepath.Join(a.dir, "live") }

// fill renders a page and publishes it. Losing a claim or an invalidation is no error.
func (a *application) fill(ctx context.Context, page int) error {
	f, err := a.store.Claim(ctx, site.Key(page))
	if errors.Is(err, cache.ErrClaimed) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var version int64
	if err := a.db.QueryRowContext(ctx, `SELECT version FROM page WHERE number = ?`, page).Scan(&version); err != nil {
		return err
	}
	if _, err := f.Write(site.Body(page, version)); err != nil {
		return err
	}
	h := http.Header{"Content-Type": {torture.ContentType}}
	if site.HasExtra(page) {
		h.Set(torture.ExtraHeader, site.ExtraValue(page, version))
	}
	_, err = f.Publish(ctx, cache.Meta{Header: h, Tags: []string{site.Tag(page), "all-pages"}})
	if errors.Is(err, cache.ErrInvalidated) {
		return nil
	}
	return err
}

// selection invalidates a page by key, tag or prefix, as its number has it.
func selection(page int) cache.Selection {
	switch page / 2 % 3 {
	case 0:
		return cache.Selection{Keys: []cache.Key{site.Key(page)}}
	case 1:
		return cache.Selection{Tags: []string{site.Tag(page)}}
	default:
		return cache.Selection{Prefixes: []key.Prefix{{Host: site.Host, Path: site.Prefix(page)}}}
	}
}

// commit gives a page its next version, and returns when its invalidation has returned.
func (a *application) commit(ctx context.Context, page int) (version int64, err error) {
	const raise = `UPDATE page SET version = version + 1 WHERE number = ? RETURNING version`
	if a.hooks == nil {
		if err := a.db.QueryRowContext(ctx, raise, page).Scan(&version); err != nil {
			return 0, err
		}
		_, err = a.store.Invalidate(ctx, selection(page))
		return version, err
	}
	tx, err := a.hooks.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := tx.QueryRowContext(ctx, raise, page).Scan(&version); err != nil {
		return 0, err
	}
	if err := invalidate.SelectTx(ctx, tx, selection(page)); err != nil {
		return 0, err
	}
	return version, tx.Commit()
}

// A shown is what was found of a page: a version, or why it is torn. Nil: nothing.
type shown struct {
	Version int64
	Torn    string `json:",omitempty"`
}

func (s *shown) String() string {
	switch {
	case s == nil:
		return "nothing"
	case s.Torn != "":
		return s.Torn
	}
	return fmt.Sprintf("version %d", s.Version)
}

func show(page int, body []byte, h http.Header) *shown {
	version, err := site.Read(page, body)
	if err == nil && h != nil {
		err = site.CheckHeader(page, version, h)
	}
	if err != nil {
		return &shown{Torn: err.Error()}
	}
	return &shown{Version: version}
}

// lookup asks our cache for a page, and for its compressed form, of which a twin is made when it was asked for often
// enough. It returns what is torn, if either is.
func (a *application) lookup(page int) *shown {
	hit, err := a.store.Lookup(site.Key(page))
	if err != nil {
		return nil
	}
	defer hit.Close()
	whole := show(page, hit.Identity().Bytes, hit.Meta.Header)
	if twin, ok := hit.Encoded("gzip"); ok {
		return whole.beside(unzip(page, twin.Bytes))
	}
	return whole
}

// beside returns what is shown of a page that has this twin.
func (s *shown) beside(twin *shown) *shown {
	if s.Torn != "" || *s == *twin {
		return s
	}
	return &shown{Torn: fmt.Sprintf("its twin is %s, it is %s", twin, s)}
}

// published reads a page's file below a folder of pages, and its twin, as another server would.
func published(pages string, page int) *shown {
	return file(filepath.Join(pages, site.Key(page).File().Page()), page)
}

func file(path string, page int) *shown {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	whole := show(page, body, nil)
	if twin, err := os.ReadFile(path + ".gz"); err == nil {
		return whole.beside(unzip(page, twin))
	}
	return whole
}

// left counts the pages on the disk that are current.
func (a *application) left(ctx context.Context) (n int, err error) {
	versions, err := a.versions(ctx)
	for page, version := range versions {
		for _, form := range []string{site.Key(page).File().Page(), site.Key(page).File().Private()} {
			if got := file(filepath.Join(a.dir, "cache/current/pages", form), page); got != nil && got.Version == version {
				n++
			}
		}
	}
	return n, err
}

func unzip(page int, twin []byte) *shown {
	r, err := gzip.NewReader(bytes.NewReader(twin))
	if err != nil {
		return &shown{Torn: err.Error()}
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return &shown{Torn: err.Error()}
	}
	return show(page, body, nil)
}
