package torture

import (
	"net/http"

	"github.com/cachesrv/cachesrv/cache/key"
)

// Pages says what readers find at a target, and how a version is read from an answer. Safe for concurrent use.
type Pages interface {
	// Len is the number of pages. They are numbered from 0.
	Len() int
	// Request returns what is sent as Host, the request target, and Accept; no Accept is sent if that is empty.
	Request(page int) (host, path, accept string)
	// Good tells whether a page may be answered with a status.
	Good(page, status int) bool
	// Size is the length of a page in bytes; 0: its versions differ in it.
	Size(page int) int
	// Read returns the version that a body shows, at least 1, or an ErrTorn. A body that was found
	// good may not be read again: the same bytes of the same page show the same version.
	Read(page, status int, body []byte) (int64, error)
	// Check compares an answer's status and headers with the version that its body shows, or its ETag stands for.
	Check(page int, version int64, status int, h http.Header) error
	// Key returns the page's key, or false for one that can't be read from the folder.
	Key(page int) (key.Key, bool)
}

// numbered are the pages of our own test program.
type numbered struct{ site Site }

func (n numbered) Len() int { return n.site.Pages }

func (n numbered) Request(page int) (host, path, accept string) {
	return n.site.Host, n.site.Path(page), ""
}

func (n numbered) Good(_, status int) bool { return status == http.StatusOK }
func (n numbered) Size(int) int            { return n.site.Size }

func (n numbered) Read(page, _ int, body []byte) (int64, error) { return n.site.Read(page, body) }

func (n numbered) Check(page int, version int64, _ int, h http.Header) error {
	return n.site.CheckHeader(page, version, h)
}

func (n numbered) Key(page int) (key.Key, bool) { return n.site.Key(page), true }
