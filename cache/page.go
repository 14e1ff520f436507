package cache

import (
	"net/http"
	"os"
	"time"

	"github.com/cachesrv/cachesrv/cache/key"
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
	Grace    time.Duration
	Position Position // what the source contained
	// Private keeps the page in its private form, which other servers don't read, though they could send it: not
	// everybody may have it. Hits don't tell.
	Private bool
}

// A Page is one publication: what was stored for a key. It is immutable and may be shared.
type Page struct {
	Key       Key
	Meta      Meta
	Published time.Time
	Size      int64 // of the body, in bytes

	pageState
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
