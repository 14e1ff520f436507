package torture

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/cachesrv/cachesrv/cache/key"
)

// A Site says which pages a target has and what is in them. The target and the readers must agree on it.
type Site struct {
	Host  string // what readers send as Host
	Pages int    // pages are numbered from 0
	Size  int    // bytes of a body, the same for every version, so that a length never tells
	// Extra gives every odd page a header of its own that names its version. Such pages are private ones, which other
	// servers don't read; plain folders have none.
	Extra bool
}

// ExtraHeader repeats page and version on the pages for which Site.HasExtra holds.
const ExtraHeader = "X-Torture"

// ContentType is that of every page.
const ContentType = "text/html; charset=utf-8"

// ErrTorn marks an answer that no version of the page ever was.
var ErrTorn = errors.New("torn")

// Path returns where the page lies. Each has a folder of its own, which a prefix invalidates.
func (s Site) Path(page int) string { return fmt.Sprintf("/s/%d/page", page) }

// Prefix returns the subtree of the page.
func (s Site) Prefix(page int) string { return fmt.Sprintf("/s/%d", page) }

// Tag returns the tag of the page.
func (s Site) Tag(page int) string { return fmt.Sprintf("p:%d", page) }

// Key returns the key of the page.
func (s Site) Key(page int) key.Key { return key.Key{Host: s.Host, Path: s.Path(page)} }

// HasExtra tells whether the page carries ExtraHeader.
func (s Site) HasExtra(page int) bool { return s.Extra && page%2 == 1 }

// ExtraValue is the value of ExtraHeader.
func (s Site) ExtraValue(page int, version int64) string { return string(stamp(nil, page, version)) }

// Body returns what the page shows at a version.
func (s Site) Body(page int, version int64) []byte {
	b := make([]byte, 0, s.Size+128)
	for line := 0; len(b) < s.Size; line++ {
		b = stamp(b, page, version)
		b = fmt.Appendf(b, " line %05d %016x\n", line, mix(uint64(page), uint64(version), uint64(line)))
	}
	return b[:s.Size]
}

func stamp(b []byte, page int, version int64) []byte {
	return fmt.Appendf(b, "page %04d version %010d", page, version)
}

// Read returns the version a body shows, or an ErrTorn.
func (s Site) Read(page int, body []byte) (version int64, err error) {
	if len(body) != s.Size {
		return 0, fmt.Errorf("%w: %d bytes instead of %d, beginning with %.60q", ErrTorn, len(body), s.Size, body)
	}
	var shown int
	if _, err := fmt.Sscanf(string(body[:min(len(body), 64)]), "page %d version %d", &shown, &version); err != nil {
		return 0, fmt.Errorf("%w: it begins with %.60q", ErrTorn, body)
	}
	if shown != page {
		return 0, fmt.Errorf("%w: it is the body of page %d", ErrTorn, shown)
	}
	if want := s.Body(page, version); !bytes.Equal(body, want) {
		i := 0
		for body[i] == want[i] {
			i++
		}
		from := max(0, i-60)
		return 0, fmt.Errorf("%w: it begins as version %d, but at byte %d has %.120q instead of %.120q",
			ErrTorn, version, i, body[from:], want[from:])
	}
	return version, nil
}

// CheckHeader compares the headers of a page's answer with the version its body shows.
func (s Site) CheckHeader(page int, version int64, h http.Header) error {
	if got := h.Get("Content-Type"); got != ContentType {
		return fmt.Errorf("%w: Content-Type %q with version %d", ErrTorn, got, version)
	}
	want := ""
	if s.HasExtra(page) {
		want = s.ExtraValue(page, version)
	}
	if got := h.Get(ExtraHeader); got != want {
		return fmt.Errorf("%w: the body is version %d, but %s says %q", ErrTorn, version, ExtraHeader, got)
	}
	return nil
}

// A memo saves readers the work of decoding and comparing the same bytes again: what a page's bytes show depends on
// nothing else. Safe for concurrent use.
type memo struct{ last []atomic.Pointer[verified] }

type verified struct {
	raw     []byte
	version int64
}

func newMemo(pages int) *memo { return &memo{make([]atomic.Pointer[verified], pages)} }

// read returns the version that raw shows, computing it with compute if these aren't the bytes seen last.
func (m *memo) read(page int, raw []byte, compute func() (int64, error)) (int64, error) {
	if v := m.last[page].Load(); v != nil && bytes.Equal(v.raw, raw) {
		return v.version, nil
	}
	version, err := compute()
	if err == nil {
		m.last[page].Store(&verified{bytes.Clone(raw), version})
	}
	return version, err
}

// mix is a hash of three numbers (splitmix64's finalizer, chained): bodies that hardly compress, so that twins of
// different versions differ all over.
func mix(numbers ...uint64) uint64 {
	h := uint64(0)
	for _, n := range numbers {
		h += n + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}
