package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// An Explanation is what a store knows of a URL.
type Explanation struct {
	Key      Key
	Pages    []Explained   // published or graced, the default variant first
	Fenced   string        // why nothing is served from the cache; empty: it is, once a server runs
	Withheld bool          // a commit that concerns the URL has an unknown outcome: nothing is published for it
	Settles  time.Duration // for so long, a fill that does not say what its source contains is not stored
	Claim    *Claimed      // a fill under way
	Dropped  *Journaled    // the newest invalidation that is known to have concerned it
	Unstored *Unstored     // why an answer was last not stored
	Required string        // what a page that says what it contains must contain
	File     string        // where another server would find its default variant, relative to DIR/cache/current
}

// An Explained is a page of the URL.
type Explained struct {
	Entry
	Digest   string // SHA-256 of the body, in hex
	Private  bool   // only our own server reads it,
	Why      string // because of this
	Expires  time.Time
	GraceEnd time.Time // of a graced page, or of one that expires and has a grace
	Expired  bool
}

// A Claimed is a fill, or the making of a twin, under way; or one whose process died, whose claim the next fill takes away.
type Claimed struct {
	PID int // of its process, if that can be found out; else 0
}

// Explain tells what there is of a key's URL, all variants, and why there is no more. It reads rows, files and the journal, and
// changes nothing. The key has a host.
func (s *Store) Explain(ctx context.Context, k Key) (e Explanation, err error) {
	k = k.Default()
	if k.Host == "" || k.Path == "" {
		return e, fmt.Errorf("explain %q: %w: a page's key has a host and a path", k, key.ErrInvalid)
	}
	g, err := s.current(ctx)
	if err != nil {
		return e, fmt.Errorf("explain %s: %w", k, err)
	}
	defer g.drop()
	f := k.File()
	e = Explanation{Key: k, File: "pages/" + f.Page()}
	if reason, fenced := s.FencedBy(); fenced {
		e.Fenced = reason
	}
	tags, err := s.explainPages(ctx, g, f, &e)
	if err == nil {
		e.Withheld, err = s.withheldFor(k, tags)
	}
	if err == nil {
		e.Settles, err = g.inv.Left(ctx, g.namesOf(k, tags))
	}
	if err == nil {
		var required inventory.Required
		required, err = g.inv.Required(ctx)
		e.Required = required.Position.String()
	}
	if err == nil {
		e.Claim, err = g.claimed(f.Claim())
	}
	if err == nil {
		err = s.explainJournal(ctx, tags, &e)
	}
	if err != nil {
		return e, fmt.Errorf("explain %s: %w", k, err)
	}
	return e, nil
}

// explainPages lists the pages of a URL, and returns the tags that they, and those that lately were, have.
func (s *Store) explainPages(ctx context.Context, g *generation, f key.File, e *Explanation) (tags []string, err error) {
	for _, files := range []inventory.Range{{From: f.Page()}, {From: f.Private()}, inventory.Below(f.Variants())} {
		err := g.inv.Rows(ctx, inventory.Select{Files: files}, func(row *inventory.Row) error {
			tags = append(tags, row.Tags...)
			published, graced := g.standing(row)
			if !published && !graced {
				return nil
			}
			entry, err := newEntry(row, graced)
			if err != nil {
				return err
			}
			m := &entry.Page.Meta
			x := Explained{Entry: entry, Digest: fmt.Sprintf("%x", row.Digest), Private: row.File != entry.Key.File().Page()}
			if x.Private {
				x.Why = whyPrivate(*m)
			}
			if graced && row.Graced != 0 {
				m.Expires = time.Unix(0, row.Graced)
			}
			if x.Expires = m.Expires; !x.Expires.IsZero() {
				x.Expired = !time.Now().Before(x.Expires)
				x.GraceEnd = x.Expires.Add(m.Grace)
			}
			e.Pages = append(e.Pages, x)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// whyPrivate says what needsPrivacy found.
func whyPrivate(m Meta) string {
	switch {
	case m.Status != 200:
		return fmt.Sprintf("its status is %d", m.Status)
	case m.Note != "":
		return "it keeps its origin's validators, or varies"
	case !m.Expires.IsZero():
		return "it expires"
	case !slices.Equal(m.Header["Content-Type"], []string{PlainContentType}):
		return "its type is not " + PlainContentType
	}
	if names := ownHeaders(m); len(names) > 0 {
		return "other servers don't send its headers, or not all of them: " + strings.Join(names, ", ")
	}
	return "not everybody may have it"
}

// claimed looks at a claim without touching it: trying its lock would make a fill lose it.
func (g *generation) claimed(path string) (*Claimed, error) {
	st, err := g.pages.Stat(fault.CheckRead, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Claimed{PID: sys.LockOwner(st.Ino)}, nil
}

func (s *Store) explainJournal(ctx context.Context, tags []string, e *Explanation) error {
	for entry, err := range Journal(ctx, s.dir) {
		if err != nil {
			return err
		}
		if entry.Concerns(e.Key, tags) {
			e.Dropped = &entry
			break
		}
	}
	for entry, err := range UnstoredPages(ctx, s.dir) {
		if err != nil {
			return err
		}
		if k, err := key.Parse(entry.Key); err == nil && k.Default() == e.Key {
			e.Unstored = &entry
			break
		}
	}
	return nil
}
