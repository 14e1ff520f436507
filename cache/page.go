package cache

import (
	"net/http"
	"os"
	"time"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cache/position"
)

// Key is key.Key, for convenience.
type Key = key.Key

// Meta is what a fill knows of its page when the render has ended.
type Meta struct {
	Status int         // HTTP status, 200 to 599; zero means 200
	Header http.Header // response headers to replay with every hit; without hop-by-hop ones, ETag, Content-Length
	Tags   []string    // what the page depends on; at most Options.MaxTags
	// Expires ends the page's life; zero: it lives until invalidated.
	Expires time.Time
	// Grace is how long after its soft purge or expiry the page may still be served; zero: not at all.
	Grace time.Duration
	// Position is what the source contained, if it says that; else the source counts as a primary that was read after the
	// claim. A page with a position is published only if that contains what invalidations require (ErrBehind).
	Position position.Vector
	// Note is kept with the page for whoever published it: one line, without control characters. It is never sent, and
	// counts with the headers. A page with a note is of the private form: another server would not know it. See Page.Noted.
	Note string
	// Reproduced are the headers that other servers are set to send with this page, all of them: a page that has these, in these
	// values, and no others but its type and Server, of which each server has its own, is one that they can serve. Default none.
	// It is not stored.
	Reproduced http.Header
	// Private keeps the page in its private form, which other servers don't read, though they could send it: not
	// everybody may have it. Hits don't tell.
	Private bool
}

// noteHeader is the name under which the inventory keeps a note, behind a page's headers. No page may have it as its own.
const noteHeader = "Cachesrv-Note"

// A Page is one publication: what was stored for a key. It is immutable and may be shared.
type Page struct {
	Key       Key
	Meta      Meta
	Published time.Time
	Size      int64 // of the body, in bytes

	pageState
}

// Noted returns what parse makes of the page's note. It is called once in a page's life in memory, mostly: what it returns
// is shared by all hits, and must not be modified. One page has one parse.
func (p *Page) Noted(parse func(note string) any) any {
	if n := p.parsed.Load(); n != nil {
		return *n
	}
	n := parse(p.Meta.Note)
	p.parsed.Store(&n)
	return n
}

// A Body is one encoded form of a page.
type Body struct {
	Encoding string // Content-Encoding: "gzip", "br", "zstd"; empty for identity
	ETag     string // strong, quoted (design: mtime seconds and length, in hex)
	Size     int64
	Bytes    []byte   // the whole body, or nil when File is set; do not modify
	File     *os.File // an open descriptor of a large body; closed by Hit.Close
}

// A Hit is a page that was found published after the call that returned it began. Close it when answered.
type Hit struct {
	*Page
	Graced bool // from Graced: past its life, within its grace
	hitState
}
