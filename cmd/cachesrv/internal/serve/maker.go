package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
)

// madeBy is the file in a site's folder that holds the digest of what made the pages there.
const madeBy = "pages-made-by"

// A Maker is what a site's pages depend on besides the database. Pages outlive the server that made them, and the next
// one may have other settings.
type Maker struct {
	Site     string // which site it is: two may have had the folder one after the other
	Rules    []rules.Rule
	Settings any // those of the site that show on pages; encoded as JSON
}

// DropOthers drops all pages of the store unless the last call for the folder was for an equal maker in the same
// program: an executable with the same bytes, so that templates and assets are the same. Call it before the site
// answers. Servers with different makers on one folder drop each other's pages when they start, but what one publishes
// later is seen by the other.
//
// Which names a site has is none of it: keys begin with the host, so that pages of another name are other pages.
func (m Maker) DropOthers(ctx context.Context, store *cache.Store, log *slog.Logger) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	return m.dropOthers(ctx, store, program, log)
}

func (m Maker) dropOthers(ctx context.Context, store *cache.Store, program string, log *slog.Logger) error {
	now, err := m.digest(program)
	if err != nil {
		return fmt.Errorf("tell whether the pages are this program's: %w", err)
	}
	path := filepath.Join(store.Dir(), madeBy)
	before, err := os.ReadFile(path)
	if err == nil && string(before) == now {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("what made the pages can't be read; dropping them all", "err", err)
	}
	return m.drop(ctx, store, path, now, log)
}

// Same reports whether another maker of this program makes the same pages.
func (m Maker) Same(other Maker) (bool, error) {
	mine, err := json.Marshal(m)
	if err != nil {
		return false, err
	}
	others, err := json.Marshal(other)
	return err == nil && bytes.Equal(mine, others), err
}

// Replace drops all pages of the store, whoever made them: what other servers of the folder have noted does not tell what this one
// has made before.
func (m Maker) Replace(ctx context.Context, store *cache.Store, log *slog.Logger) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	now, err := m.digest(program)
	if err != nil {
		return fmt.Errorf("tell what makes the pages: %w", err)
	}
	return m.drop(ctx, store, filepath.Join(store.Dir(), madeBy), now, log)
}

// drop drops all pages, and notes what makes the next ones.
func (m Maker) drop(ctx context.Context, store *cache.Store, path, now string, log *slog.Logger) error {
	// The file comes last. If it is not written, or lost in a power cut, the next start drops once more.
	dropped, err := store.Invalidate(ctx, cache.Selection{All: true, NoChange: true, Cause: "another program or other settings"})
	if err != nil {
		return fmt.Errorf("drop pages that may show other settings: %w", err)
	}
	if dropped.Pages > 0 {
		log.Info("dropped all pages: they were made by another program or with other settings", "pages", dropped.Pages)
	}
	if err := renameio.WriteFile(path, []byte(now), 0o644, renameio.WithTempDir(store.Dir())); err != nil {
		return fmt.Errorf("note what makes the pages: %w", err)
	}
	return nil
}

// digest hashes all of the program: about 50 ms, and nobody has to remember to count a version up.
func (m Maker) digest(program string) (string, error) {
	settings, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	f, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	h.Write(append(settings, '\n')) // JSON has no line breaks of its own here
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x\n", h.Sum(nil)), nil
}
