package middleware

import (
	"sync"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// Bounds of the forms that are stored of one URL (RFC 9111, 4.1). Where a page varies on User-Agent, say, a single client
// makes as many of them as it likes, and they would evict everything else; requests for more forms than this pass. No
// site has so many that are worth storing: Accept-Language and Accept are compared in their normal form.
const (
	maxForms     = 64               // new ones of one URL, besides its first, within formsWindow
	formsWindow  = 10 * time.Minute // so long a URL whose forms are used up has no more of them
	maxFormsURLs = 4096             // URLs whose forms are counted, the oldest forgotten first: 2 MiB of times
)

// forms count the new forms that were stored of URLs, in the memory of this process. Its zero value counts none. Its
// methods may be called concurrently.
type forms struct {
	mu   sync.Mutex
	now  func() time.Time // nil: time.Now
	urls map[cache.Key]*stored
	ring []cache.Key // the same URLs
	next int         // in ring: the one that is forgotten next, once it is full
}

// A stored holds when the last maxForms forms of a URL were stored; next is the oldest, once there are so many.
type stored struct {
	times []int64 // Unix, nanoseconds
	next  int
}

func (f *forms) clock() int64 {
	if f.now != nil {
		return f.now().UnixNano()
	}
	return time.Now().UnixNano()
}

// full reports whether a URL may have no more forms for now.
func (f *forms) full(url cache.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.urls[url]
	return s != nil && len(s.times) == maxForms && f.clock()-s.times[s.next] < int64(formsWindow)
}

// add counts one more form of a URL.
func (f *forms) add(url cache.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.urls[url]
	if s == nil {
		s = &stored{}
		f.remember(url, s)
	}
	if len(s.times) < maxForms {
		s.times = append(s.times, f.clock())
		return
	}
	s.times[s.next] = f.clock()
	s.next = (s.next + 1) % maxForms
}

func (f *forms) remember(url cache.Key, s *stored) {
	if f.urls == nil {
		f.urls = make(map[cache.Key]*stored)
	}
	f.urls[url] = s
	if len(f.ring) < maxFormsURLs {
		f.ring = append(f.ring, url)
		return
	}
	delete(f.urls, f.ring[f.next])
	f.ring[f.next] = url
	f.next = (f.next + 1) % maxFormsURLs
}
