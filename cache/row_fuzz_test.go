package cache

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// FuzzInventoryRow: whatever stands in a column of a publication's row, of whatever type, the page is served as it was
// published, with a status that can be sent, or not at all; nothing panics; and an invalidation by key drops it.
func FuzzInventoryRow(f *testing.F) {
	columns := []string{
		"file", "claim", "key", "ino", "sec", "nsec", "size", "digest", "status", "header", "tags", "position", "created",
		"expires", "graced", "grace", "twins", "hits", "visited",
	}
	for i := range columns {
		f.Add(uint8(i), []byte("h/a.page"), int64(0), uint8(0))
		f.Add(uint8(i), []byte("\x00\xff\r\n\r\n"), int64(-1), uint8(i%3))
		f.Add(uint8(i), []byte("../../x"), int64(1)<<62, uint8(1))
	}
	f.Add(uint8(8), []byte(nil), int64(99), uint8(1))
	f.Add(uint8(8), []byte(nil), int64(1000), uint8(1))
	dir := f.TempDir()
	o := Options{Dir: dir, Live: filepath.Join(dir, "live"), SweepInterval: -1, MemoryBytes: 1, Logger: slog.New(slog.DiscardHandler)}
	s, err := Open(context.Background(), o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	if err := s.Unfence(context.Background()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, column uint8, bytes []byte, number int64, kind uint8) {
		fillPage(t, s, "h/a", "published", Meta{Tags: []string{"t"}})
		p, ok := s.memory.get(keyOf("h/a"))
		if ok {
			s.memory.remove(p)
		}
		var value any = bytes
		switch kind % 3 {
		case 1:
			value = number
		case 2:
			value = string(bytes)
		}
		damage(t, filepath.Join(dir, "cache/current/inventory.db"), columns[int(column)%len(columns)], value)
		if hit, err := s.Lookup(keyOf("h/a")); err == nil {
			if got := string(hit.Identity().Bytes); got != "published" || hit.Meta.Status < 200 || hit.Meta.Status > 599 {
				t.Errorf("%d %q is served", hit.Meta.Status, got)
			}
			_ = hit.Close()
		}
		if _, err := s.Invalidate(t.Context(), Selection{Keys: []Key{keyOf("h/a")}}); err != nil {
			t.Fatal(err)
		}
		if got := servedNow(s, "h/a"); got != "" {
			t.Errorf("after an invalidation %q is served", got)
		}
		if _, err := os.Lstat(filepath.Join(dir, "cache/current/pages/h/a.page")); err == nil {
			t.Error("the page is there after an invalidation")
		}
		if _, err := s.Check(t.Context(), CheckOptions{Repair: true}); err != nil {
			t.Fatal(err)
		}
	})
}

// damage writes a value into a column of all rows.
func damage(t *testing.T, path, column string, value any) {
	t.Helper()
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := sqlitex.Execute(c, "UPDATE OR IGNORE publication SET "+column+" = ?", &sqlitex.ExecOptions{Args: []any{value}}); err != nil {
		t.Fatal(err)
	}
}
