package example

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/database"
)

// A Note is a row of the one table.
type Note struct {
	ID       int64
	Text     string
	Revision int64 // 1 when added, one more with each change
	Changed  time.Time
}

// Tags of pages. The page of a note depends on its own tag, even while there is no such note; the list on allNotes.
func tagOf(id int64) string { return "note:" + strconv.FormatInt(id, 10) }

const allNotes = "all-notes"

// listed bounds the list, newest first.
const listed = 100

var errNoNote = errors.New("there is no such note")

// A notebook is the database, seen by the site. Changes are committed through the hooks, so that when Add and Edit
// have returned no old page is served.
type notebook interface {
	List(ctx context.Context) ([]Note, error)
	Get(ctx context.Context, id int64) (Note, error) // errNoNote
	Add(ctx context.Context, text string) (Note, error)
	Edit(ctx context.Context, id int64, text string) (Note, error) // errNoNote
	Ping(ctx context.Context) error
	Close() error
}

// openNotebook connects, makes the tables, replays, and lifts the store's fence.
func openNotebook(ctx context.Context, store *cache.Store, db string, log *slog.Logger) (notebook, error) {
	if db == database.SQLite {
		path := filepath.Join(store.Dir(), "example.db")
		book, err := openSQLite(ctx, store, path, log)
		if err != nil {
			return nil, database.Explain(path, err)
		}
		return book, nil
	}
	book, err := openPostgres(ctx, store, db, log)
	if err != nil {
		return nil, database.Explain(db, err)
	}
	return book, nil
}
