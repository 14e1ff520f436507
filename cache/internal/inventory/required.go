package inventory

import (
	"context"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/position"
)

// Required is what the source of a page must contain. It is raised before an invalidation's first unlink, and compared in the
// transaction that stores a row: so either a fill sees it raised, or the invalidation finds the fill's page.
type Required struct {
	Position position.Vector
	// Whole: nothing of it was ever lost. Else it says nothing of sources that it does not name.
	Whole bool
	// Former is what was required of other incarnations of the sources, or told in the other way, and of those that are not named
	// since a loss. None is comparable with one of Position. Should one come back, that much is required of it again: within an
	// incarnation, what is required never moves back.
	Former []position.Entry
}

// The bounds of what is kept of former incarnations. Beyond, it counts as lost.
const (
	maxFormer         = 256
	maxFormerOfSource = 16
	maxFormerText     = 64 << 10 // bytes
)

// Admits reports whether a page whose source contains a position may be published. Of a source that is not named after a loss,
// nobody knows what is required.
func (r Required) Admits(p position.Vector) bool {
	if !r.Whole {
		for _, e := range p {
			if _, known := r.Position.Get(e.Source); !known {
				return false
			}
		}
	}
	return position.Contains(p, r.Position)
}

// Raised returns r with a position joined to it. Where the union is too large to be kept, all but that position is lost.
func (r Required) Raised(p position.Vector) Required {
	next, former := slices.Clone(p), slices.Clone(r.Former)
	for i, e := range next {
		if now, ok := r.Position.Get(e.Source); ok && !now.Comparable(e) {
			former = append(former, now)
		}
		at := slices.IndexFunc(former, e.Comparable)
		if at < 0 {
			continue
		}
		back, err := position.Join(position.Vector{former[at]}, position.Vector{e})
		if err != nil {
			return Required{Position: p}
		}
		next[i], former = back[0], slices.Delete(former, at, at+1)
	}
	joined, err := position.Join(r.Position, next)
	if err != nil || tooMany(former) {
		return Required{Position: p}
	}
	return Required{Position: joined, Whole: r.Whole, Former: former}
}

// Lost returns what is left of r after a change whose position nobody knows: it may lie behind all that were named.
func (r Required) Lost() Required {
	former := slices.Concat(r.Former, r.Position)
	if tooMany(former) {
		former = nil
	}
	return Required{Former: former}
}

func tooMany(former []position.Entry) bool {
	of := make(map[string]int)
	for _, e := range former {
		if of[e.Source]++; of[e.Source] > maxFormerOfSource {
			return true
		}
	}
	return len(former) > maxFormer || len(formerText(former)) > maxFormerText
}

// formerText is the form of a list of entries in the inventory: each as a position of its own.
func formerText(former []position.Entry) string {
	texts := make([]string, len(former))
	for i, e := range former {
		texts[i] = position.Vector{e}.String()
	}
	return strings.Join(texts, "\n")
}

func parseFormer(text string) (former []position.Entry, err error) {
	for _, text := range split(text) {
		v, err := position.Parse(text)
		if err != nil {
			return nil, err
		}
		former = append(former, v...)
	}
	return former, nil
}

// Required returns what is required now.
func (db *DB) Required(ctx context.Context) (r Required, err error) {
	err = db.read(ctx, fault.PositionRead, "read the required position", func(c *sqlite.Conn) (err error) {
		r, err = readRequired(c)
		return err
	})
	return r, err
}

func readRequired(c *sqlite.Conn) (r Required, err error) {
	var text, former string
	if err := run(c, `SELECT position, whole, former FROM required`, nil, func(s *sqlite.Stmt) error {
		text, r.Whole, former = s.ColumnText(0), s.ColumnInt(1) != 0, s.ColumnText(2)
		return nil
	}); err != nil {
		return r, err
	}
	if r.Position, err = position.Parse(text); err != nil {
		return Required{}, nil // damaged: lost
	}
	if r.Former, err = parseFormer(former); err != nil {
		return Required{}, nil
	}
	return r, nil
}

// Raise has a position required from now on.
func (db *DB) Raise(ctx context.Context, p position.Vector) error {
	return db.write(ctx, fault.NoticeWrite, "raise the required position", func(c *sqlite.Conn) error {
		r, err := readRequired(c)
		if err != nil {
			return err
		}
		return writeRequired(c, r.Raised(p))
	})
}

// Lose notes that nobody knows what is required from now on; unless told always, only where anything was.
func (db *DB) Lose(ctx context.Context, always bool) error {
	return db.write(ctx, fault.NoticeWrite, "lose the required position", func(c *sqlite.Conn) error {
		r, err := readRequired(c)
		if err != nil || len(r.Position) == 0 && !(always && r.Whole) {
			return err
		}
		return writeRequired(c, r.Lost())
	})
}

func writeRequired(c *sqlite.Conn, r Required) error {
	return run(c, `UPDATE required SET position = ?, whole = ?, former = ?`, func(s *sqlite.Stmt) {
		s.BindText(1, r.Position.String())
		s.BindBool(2, r.Whole)
		s.BindText(3, formerText(r.Former))
	}, nil)
}
