package cache

import (
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/position"
)

// memory holds what a hit needs: pages with their bodies, and of large pages what is known of them. An entry proves
// nothing: every hit asks the folder whether that very publication still has its name. Admission and eviction are
// W-TinyLFU, by bytes.
type memory struct {
	pages *otter.Cache[Key, *Page]
}

// pageOverhead is the memory of an entry besides its texts and body, in bytes; measured, see docs/PERFORMANCE.md.
const pageOverhead = 1024

func newMemory(maxBytes int64) *memory {
	return &memory{otter.Must(&otter.Options[Key, *Page]{
		MaximumWeight: uint64(maxBytes),
		Weigher:       func(_ Key, p *Page) uint32 { return p.weight() },
	})}
}

func (m *memory) get(k Key) (*Page, bool) { return m.pages.GetIfPresent(k) }

func (m *memory) put(p *Page) { m.pages.Set(p.Key, p) }

// remove forgets a page, unless a newer publication has taken its entry.
func (m *memory) remove(p *Page) {
	m.pages.ComputeIfPresent(p.Key, func(old *Page) (*Page, otter.ComputeOp) {
		if old != p {
			return old, otter.CancelOp
		}
		return nil, otter.InvalidateOp
	})
}

func (m *memory) bytes() int64 { return int64(m.pages.WeightedSize()) }

// pageState is the part of a Page that is ours.
type pageState struct {
	id       int64
	identity inventory.Identity
	file     string // relative to pages/
	path     []byte // through live, ending in NUL
	gen      string // the generation whose row id is
	body     []byte // nil for a large page
	etag     string
	twins    [len(encodings)]atomic.Pointer[twin]
	asked    [len(encodings)]atomic.Uint32 // hits that would have liked a twin
	hits     atomic.Int64                  // since they were last written to the inventory
	noted    atomic.Bool                   // in the list of pages with such hits
	parsed   atomic.Pointer[any]           // what Noted has returned
}

func newPage(k Key, row *inventory.Row, header http.Header, live string) *Page {
	p := &Page{
		Key: k,
		Meta: Meta{
			Status: row.Status, Header: header, Tags: slices.Clone(row.Tags), Grace: time.Duration(row.Grace),
		},
		Published: time.Unix(0, row.Created),
		Size:      row.Size,
	}
	p.Meta.Position, _ = position.Parse(row.Position) // for explain; what decides was compared before it was stored
	if note := header[noteHeader]; len(note) > 0 {
		p.Meta.Note = note[0]
		delete(header, noteHeader)
	}
	if row.Expires != 0 {
		p.Meta.Expires = time.Unix(0, row.Expires)
	}
	p.id, p.identity, p.file = row.ID, row.Identity, row.File
	p.path = []byte(live + row.File + "\x00")
	p.etag = etag(row.Identity.Sec, row.Size)
	return p
}

func (p *Page) resident(body []byte) {
	if body == nil {
		body = []byte{}
	}
	p.body = body
}

func (p *Page) weight() uint32 {
	n := pageOverhead + len(p.body) + 3*len(p.file)
	for i := range p.twins {
		if t := p.twins[i].Load(); t != nil {
			n += len(t.body)
		}
	}
	return uint32(n)
}

// is reports whether a file is this publication.
func (p *Page) is(st *unix.Stat_t) bool {
	return st.Ino == p.identity.Ino && int64(st.Mtim.Sec) == p.identity.Sec && int64(st.Mtim.Nsec) == p.identity.Nsec && st.Size == p.Size
}

// Age returns the time since publication.
func (p *Page) Age(now time.Time) time.Duration { return max(0, now.Sub(p.Published)) }

// reweigh accounts for a page that has grown by a twin.
func (m *memory) reweigh(p *Page) {
	m.pages.ComputeIfPresent(p.Key, func(old *Page) (*Page, otter.ComputeOp) {
		if old != p {
			return old, otter.CancelOp
		}
		return p, otter.WriteOp
	})
}
