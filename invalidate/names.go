package invalidate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// Bounds of what one transaction names; Options.MaxNames is another.
const (
	maxBytes = 1 << 20 // bytes of all names together; beyond, everything is invalidated
	maxCause = 1 << 10 // bytes of a cause; the rest is cut off
)

// A name is one thing that an invalidation names, in the text form in which the outbox stores it.
type name struct {
	kind kind
	text string
	soft bool
}

type kind uint8

const (
	ofKey kind = iota
	ofTag
	ofPrefix
	ofAll   // everything; without text
	ofCause // not a name: why
)

// namesOf checks a selection and takes it apart.
func namesOf(sel cache.Selection) ([]name, error) {
	if sel.DryRun {
		return nil, errors.New("a transaction can't record a dry run")
	}
	names := make([]name, 0, len(sel.Keys)+len(sel.Tags)+len(sel.Prefixes)+2)
	for _, k := range sel.Keys {
		if back, err := key.Parse(k.String()); err != nil || back != k {
			return nil, fmt.Errorf("the key %q is not in canonical form (build it with key.Parse): %w", k, errors.Join(err, key.ErrInvalid))
		}
		names = append(names, name{ofKey, k.String(), sel.Soft})
	}
	for _, tag := range sel.Tags {
		// What the store refuses would never be applied, and replays would not get past its row.
		if err := cache.CheckTag(tag); err != nil {
			return nil, err
		}
		names = append(names, name{ofTag, tag, sel.Soft})
	}
	for _, p := range sel.Prefixes {
		if back, err := key.ParsePrefix(p.String()); err != nil || back != p {
			return nil, fmt.Errorf("the prefix %q is not in canonical form (build it with key.ParsePrefix): %w", p, errors.Join(err, key.ErrInvalid))
		}
		names = append(names, name{ofPrefix, p.String(), sel.Soft})
	}
	if sel.All {
		names = append(names, name{ofAll, "", sel.Soft})
	}
	if sel.Cause != "" && len(names) > 0 {
		cause := strings.ReplaceAll(strings.ToValidUTF8(sel.Cause[:min(len(sel.Cause), maxCause)], ""), "\x00", "")
		names = append(names, name{kind: ofCause, text: cause, soft: true})
	}
	return names, nil
}

// A row is what the outbox stores for one transaction (or statement, where triggers write it).
type row struct {
	id       string // what tells it from every other row of this outbox
	tx       string // whose it is, for people
	keys     []string
	tags     []string
	prefixes []string
	all      bool
	soft     bool
	cause    string
}

// rowOf unites names. It is soft only if all of them are: a hard invalidation does what a soft one does, and more.
func rowOf(names []name) row {
	r := row{soft: true}
	var causes []string
	for _, n := range names {
		switch n.kind {
		case ofKey:
			r.keys = append(r.keys, n.text)
		case ofTag:
			r.tags = append(r.tags, n.text)
		case ofPrefix:
			r.prefixes = append(r.prefixes, n.text)
		case ofAll:
			r.all = true
		case ofCause:
			causes = append(causes, n.text)
		}
		r.soft = r.soft && n.soft
	}
	r.cause = strings.Join(causes, "; ")
	return r
}

// selection reads a row. An error means that it can't be known what the row names.
func (r row) selection() (cache.Selection, error) {
	sel := cache.Selection{Tags: r.tags, All: r.all, Soft: r.soft, Cause: r.cause}
	if sel.Cause == "" {
		sel.Cause = r.tx
	}
	for _, text := range r.keys {
		k, err := key.Parse(text)
		if err != nil {
			return cache.Selection{}, err
		}
		sel.Keys = append(sel.Keys, k)
	}
	if slices.Contains(r.tags, "") {
		return cache.Selection{}, fmt.Errorf("tag %w: it is empty", key.ErrInvalid)
	}
	for _, text := range r.prefixes {
		p, err := key.ParsePrefix(text)
		if err != nil {
			return cache.Selection{}, err
		}
		sel.Prefixes = append(sel.Prefixes, p)
	}
	return sel, nil
}

// decode reads lists of names as the outbox gives them: as JSON arrays, whatever the column's type, so that odd
// content is an error here and not in the driver.
func (r *row) decode(keys, tags, prefixes string) error {
	return errors.Join(
		decodeList("keys", keys, &r.keys), decodeList("tags", tags, &r.tags), decodeList("prefixes", prefixes, &r.prefixes))
}

func decodeList(column, text string, list *[]string) error {
	err := json.Unmarshal([]byte(text), list)
	if err == nil && *list == nil { // "null"
		err = errors.New("not a list")
	}
	if err != nil {
		return fmt.Errorf("column %s: %.80q: %w", column, text, err)
	}
	return nil
}

// A recording collects the names of one transaction. It is a log that savepoints cut: rolling back to one undoes what
// was recorded since, through whichever handle, exactly as the database undoes what was written since. Releasing a
// savepoint, or committing with one still open, therefore needs nothing. Safe for concurrent use.
type recording struct {
	maxNames int
	maxBytes int // of all names together

	mu       sync.Mutex
	log      []name
	seen     map[name]struct{} // the same as a set
	bytes    int
	overflow bool // the log ends in ofAll, as it had become too long
}

// add records names not yet recorded. It reports whether this made the transaction one that invalidates everything.
func (r *recording) add(names []name) (overflowed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = make(map[name]struct{})
	}
	for _, n := range names {
		if _, there := r.seen[n]; there || r.overflow {
			continue
		}
		if len(r.log) >= r.maxNames || r.bytes+len(n.text) > r.maxBytes {
			n = name{kind: ofAll} // hard: what is not recorded any more may be
			r.overflow, overflowed = true, true
		}
		r.log = append(r.log, n)
		r.seen[n] = struct{}{}
		r.bytes += len(n.text)
	}
	return overflowed
}

// mark returns the place to which rewind can cut the log.
func (r *recording) mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.log)
}

func (r *recording) rewind(mark int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mark >= len(r.log) {
		return
	}
	for _, n := range r.log[mark:] {
		delete(r.seen, n)
		r.bytes -= len(n.text)
	}
	r.log = r.log[:mark]
	r.overflow = false // whatever made it so came last
}

// row returns the union of what was recorded; none if that is nothing.
func (r *recording) row() (_ row, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return rowOf(r.log), len(r.log) > 0
}
