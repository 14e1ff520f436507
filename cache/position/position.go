// Package position is the text form of how much of the change history an answer contains, as the header Cachesrv-Position
// carries it, and the comparison of two such positions. It is pure: it reads no clock and no database.
//
// A position is a vector: for each database an answer was read from, an entry.
//
//	main=7301234567890123456.1@16/B374D848               a place in the write-ahead log (pg_lsn)
//	main=7301234567890123456.1@780:786:782,784+790,792   a set of transactions (pg_snapshot), with ids applied ahead of it
//
// Entries are separated by ";" and perhaps spaces. What stands before "@" tells the histories of one database apart: its
// system identifier and timeline, and perhaps the start time of its server. Positions of different histories can't be
// compared.
package position

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Header is the name of the header that carries a position, in an origin's answer and in a request that invalidates.
const Header = "Cachesrv-Position"

// Bounds of a vector.
const (
	MaxText        = 16 << 10 // of the text form, in bytes
	MaxSources     = 64
	MaxSource      = 64  // of a source's name, in bytes
	MaxIncarnation = 128 // in bytes
)

// Errors; compare with errors.Is.
var (
	// ErrMalformed: the text is not that of a position.
	ErrMalformed = errors.New("malformed position")
	// ErrTooLarge: a position is over one of the bounds above.
	ErrTooLarge = errors.New("position too large")
)

// An Entry is the position of one source. It is an LSN, unless it has a snapshot.
type Entry struct {
	Source      string // what the operator calls the database: letters, digits and "._~:-"
	Incarnation string // which history of it; the same characters
	LSN         uint64
	Snapshot    *Snapshot
}

// A Vector is a position: entries in the order of their sources, each once. Make it with Parse, New or Join, and don't modify
// it. The zero Vector is the position of an answer that names none.
type Vector []Entry

// New returns the vector of some entries.
func New(entries ...Entry) (Vector, error) {
	v := Vector(slices.Clone(entries))
	slices.SortFunc(v, func(a, b Entry) int { return strings.Compare(a.Source, b.Source) })
	if len(v) > MaxSources {
		return nil, fmt.Errorf("%w: it has %d sources, at most %d are allowed", ErrTooLarge, len(v), MaxSources)
	}
	for i, e := range v {
		if err := e.check(); err != nil {
			return nil, err
		}
		if i > 0 && v[i-1].Source == e.Source {
			return nil, fmt.Errorf("%w: it has the source %q twice", ErrMalformed, e.Source)
		}
		if e.Snapshot != nil {
			s := e.Snapshot.canonical()
			v[i].Snapshot, v[i].LSN = &s, 0
		}
	}
	if n := len(v.String()); n > MaxText {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrTooLarge, n, MaxText)
	}
	return v, nil
}

func (e Entry) check() error {
	if err := checkToken("source", e.Source, MaxSource); err != nil {
		return err
	}
	if err := checkToken("incarnation", e.Incarnation, MaxIncarnation); err != nil {
		return err
	}
	if e.Snapshot != nil {
		if err := e.Snapshot.check(); err != nil {
			return fmt.Errorf("source %s: %w", e.Source, err)
		}
	}
	return nil
}

func checkToken(what, text string, limit int) error {
	if text == "" || len(text) > limit {
		return fmt.Errorf("%w: the %s %.80q: it has 1 to %d bytes", ErrMalformed, what, text, limit)
	}
	for i := range len(text) {
		c := text[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._~:-", c) >= 0) {
			return fmt.Errorf(`%w: the %s %.80q: it consists of letters, digits and "._~:-"`, ErrMalformed, what, text)
		}
	}
	return nil
}

// Get returns the entry of a source.
func (v Vector) Get(source string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(v, source, func(e Entry, s string) int { return strings.Compare(e.Source, s) })
	if !ok {
		return Entry{}, false
	}
	return v[i], true
}

// Contains reports whether whoever has read at a has seen all of b: every source of b is one of a, in the same incarnation
// and told in the same way, and there a's history contains b's. Transactions are compared as sets: two snapshots with the same
// xmin may differ in what a long transaction holds up.
func Contains(a, b Vector) bool {
	for _, want := range b {
		have, ok := a.Get(want.Source)
		if !ok || !have.contains(want) {
			return false
		}
	}
	return true
}

// Comparable reports whether two entries are about one history of one source, told in one way.
func (e Entry) Comparable(o Entry) bool {
	return e.Source == o.Source && e.Incarnation == o.Incarnation && (e.Snapshot == nil) == (o.Snapshot == nil)
}

func (e Entry) contains(o Entry) bool {
	if !e.Comparable(o) {
		return false
	}
	if e.Snapshot != nil {
		return e.Snapshot.contains(o.Snapshot)
	}
	return e.LSN >= o.LSN
}

// Join returns what must be contained once the position next is required as well: the least that contains both. Where next
// tells of another incarnation of a source, or tells it in the other way, it takes the place of what was required: whoever
// invalidates speaks of the primary as it is now; what was required of the other must be joined again should that come back. ErrTooLarge: the
// union is over the bounds.
func Join(required, next Vector) (Vector, error) {
	joined := slices.Clone(required)
	for _, e := range next {
		i, ok := slices.BinarySearchFunc(joined, e.Source, func(e Entry, s string) int { return strings.Compare(e.Source, s) })
		switch {
		case !ok:
			joined = slices.Insert(joined, i, e)
		case !joined[i].Comparable(e):
			joined[i] = e
		case e.Snapshot != nil:
			union := joined[i].Snapshot.union(e.Snapshot)
			joined[i].Snapshot = &union
		default:
			joined[i].LSN = max(joined[i].LSN, e.LSN)
		}
	}
	return New(joined...)
}
