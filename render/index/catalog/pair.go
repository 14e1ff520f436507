package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A database and a folder of files belong together: with another database, settling would find no rows for files that
// are rightly there, and remove them; with another folder, the rows' files would be missing. So both have the index's
// id, which is random: the row index_state, and files/index-id, which copies and backups of either take along.
//
// When an index is new, these are the steps, each durable before the next:
//
//  1. alone with the database: neither has an id, and no file lies in files: write index-id.new; COMMIT its id
//  2. link index-id.new to index-id; unlink index-id.new
//
// After a step before the COMMIT the next opening begins again. After it, index-id.new says that this is the folder.
// Anything else is refused: two servers with one database and a folder each would have half of the files each.
type pairing struct {
	database  string // id
	beginning string // id in index-id.new
	folder    string // id in index-id
}

func (p pairing) done() bool { return p.folder != "" && p.folder == p.database }

// lookPair reads what is there, in an order that takes no pair in the making for a wrong one: if the database has an id,
// index-id.new was there before; if that has gone, index-id is there.
func (c *Catalog) lookPair(ctx context.Context, q queryer) (p pairing, err error) {
	if err = get(ctx, q, "SELECT id FROM index_state", nil, &p.database); err != nil {
		return p, fmt.Errorf("read the index's id: %w", err)
	}
	if p.beginning, err = c.readID(newIDFile); err == nil {
		p.folder, err = c.readID(idFile)
	}
	return p, err
}

// readID returns "" when there is no such file.
func (c *Catalog) readID(name string) (string, error) {
	f, err := c.root.Open(name)
	if err != nil {
		return "", absent(err)
	}
	defer f.Close()
	id, err := io.ReadAll(io.LimitReader(f, 100))
	return strings.TrimSpace(string(id)), err
}

// pair makes sure that the folder is the database's. ErrOtherFiles.
func (c *Catalog) pair(ctx context.Context) error {
	p, err := c.lookPair(ctx, c.db)
	if err != nil || p.done() {
		return err
	}
	err = c.db.alone(ctx, func(q queryer) error {
		if p, err = c.lookPair(ctx, q); err != nil {
			return err
		}
		switch {
		case p.done(), p.folder == "" && p.database != "" && p.beginning == p.database:
			return nil
		case p.folder != "" || p.database != "":
			return c.strangers(p)
		}
		if found, err := c.anyFile(); err != nil {
			return err
		} else if found {
			return c.strangers(p)
		}
		p.database = rand.Text()
		if err := c.writeID(p.database); err != nil {
			return err
		}
		_, err := q.exec(ctx, "UPDATE index_state SET id = $1", p.database)
		return err
	})
	if err != nil {
		return err
	}
	// Others may be here, too: what counts is what lies there in the end.
	if err := c.root.Link(newIDFile, idFile); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := c.syncFolder(filesDir); err != nil {
		return err
	}
	if p.folder, err = c.readID(idFile); err != nil {
		return err
	}
	if !p.done() { // another database took the folder at this very moment
		return c.strangers(p)
	}
	return c.remove(newIDFile)
}

// writeID does step 1 in the folder.
func (c *Catalog) writeID(id string) error {
	f, err := c.root.OpenFile(newIDFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(id + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return c.syncFolder(filesDir)
}

// anyFile reports whether an uploaded file lies in files: those are in folders.
func (c *Catalog) anyFile() (found bool, err error) {
	err = fs.WalkDir(c.root.FS(), filesDir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Count(path, "/") > 1 {
			found = true
			return fs.SkipAll
		}
		return err
	})
	return found, err
}

// strangers says what doesn't belong together, and what to do.
func (c *Catalog) strangers(p pairing) error {
	files, file := filepath.Join(c.root.Name(), filesDir), filepath.Join(c.root.Name(), filepath.FromSlash(idFile))
	correct := "correct the folder (--dir) or the database (--db)"
	switch {
	case p.database == "" && p.folder == "":
		return fmt.Errorf("%w: the database is new, but files lie in %s: %s, or move %s away", ErrOtherFiles, files, correct, files)
	case p.database == "":
		return fmt.Errorf("%w: the database is new, but %s belongs to the index %s: %s, or move %s away", ErrOtherFiles, files, p.folder, correct, files)
	case p.folder == "":
		return fmt.Errorf("%w: the database is that of the index %s, whose files lie in another folder than %s (several servers can't have a folder each): "+
			"%s; if the files were moved or restored there, write %s into %s", ErrOtherFiles, p.database, files, correct, p.database, file)
	}
	return fmt.Errorf("%w: the database is that of the index %s, but %s belongs to the index %s: %s; if they do belong together, write %s into %s",
		ErrOtherFiles, p.database, files, p.folder, correct, p.database, file)
}
