package torture

import (
	"bytes"
	"fmt"
	"net/http"
)

// Parted are Pages of which a part tells its version, if it has at least minPart bytes.
type Parted interface {
	Pages
	// ReadPart returns the version that a part of a body shows, which begins at a byte of it, or an ErrTorn.
	ReadPart(page, first int, part []byte) (int64, error)
}

// lineBytes is the length of a body's line: each has the stamp at its beginning.
const lineBytes = len("page 0000 version 0000000000 line 00000 0123456789abcdef\n")

// minPart makes sure of one whole stamp.
const minPart = 2 * lineBytes

// ReadPart returns the version that a part of a body shows, or an ErrTorn.
func (s Site) ReadPart(page, first int, part []byte) (version int64, err error) {
	at := (lineBytes - first%lineBytes) % lineBytes // the first whole line
	var shown int
	if at+lineBytes > len(part) {
		return 0, fmt.Errorf("%w: a part of %d bytes, %.60q", ErrTorn, len(part), part)
	}
	if _, err := fmt.Sscanf(string(part[at:at+lineBytes]), "page %d version %d", &shown, &version); err != nil {
		return 0, fmt.Errorf("%w: the part from byte %d has %.60q", ErrTorn, first, part)
	}
	whole := s.Body(page, version)
	if shown != page || first+len(part) > len(whole) || !bytes.Equal(part, whole[first:first+len(part)]) {
		return 0, fmt.Errorf("%w: the part from byte %d is not all of page %d at version %d: %.120q", ErrTorn, first, page, version, part)
	}
	return version, nil
}

func (n numbered) ReadPart(page, first int, part []byte) (int64, error) {
	return n.site.ReadPart(page, first, part)
}

// askForPart makes a request one for a part of the page, and, if the client has a part of some version, only of that one:
// clients put such parts together.
func (c *client) askForPart(page int, a Ask) Ask {
	p, ok := c.pages.(Parted)
	if !ok || p.Size(page) < minPart || a.Encoding != "" || a.ETag != "" || a.Method != http.MethodGet {
		return a
	}
	size := p.Size(page)
	a.First = c.rand.IntN(size - minPart + 1)
	a.Last = a.First + minPart - 1 + c.rand.IntN(size-minPart-a.First+1)
	if c.rand.IntN(2) == 0 {
		a.IfRange = c.known[page].etag
	}
	return a
}

// understandPart finds the version of a 206.
func (c *client) understandPart(page int, a Ask, answer Answer, resp *http.Response) (Answer, error) {
	p, ok := c.pages.(Parted)
	told := fmt.Sprintf("bytes %d-%d/%d", a.First, a.Last, c.pages.Size(page))
	if !ok || a.Last == 0 || resp.Header.Get("Content-Range") != told || c.body.Len() != 1+a.Last-a.First || resp.Header.Get("Content-Encoding") != "" {
		return answer, fmt.Errorf("%w: a 206 with Content-Range %q, Content-Encoding %q and %d bytes, where %q was due",
			ErrTorn, resp.Header.Get("Content-Range"), resp.Header.Get("Content-Encoding"), c.body.Len(), told)
	}
	version, err := p.ReadPart(page, a.First, c.body.Bytes())
	if err != nil {
		return answer, fmt.Errorf("%w (%s)", err, answer.From)
	}
	answer.Version, answer.Part = version, true
	if held := c.known[page]; a.IfRange != "" && held.version != version {
		return answer, fmt.Errorf("%w: If-Range %s, which is version %d, is answered with a part of version %d", ErrTorn, a.IfRange, held.version, version)
	}
	if etag := resp.Header.Get("ETag"); etag != "" {
		c.etags.saw(page, etag, version)
	}
	return answer, c.pages.Check(page, version, http.StatusOK, resp.Header)
}
