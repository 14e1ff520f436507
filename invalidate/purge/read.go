package purge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cache/position"
)

// Method is the request method that Handler answers.
const Method = "PURGE"

// Bounds of one request. A header is bounded by its server besides.
const (
	MaxTags     = 1000     // tags
	MaxTagBytes = 64 << 10 // bytes of the headers that name tags
)

// ErrMalformed: it can't be told what the request asks. Its text says where it is wrong, and what to send. Nothing was
// dropped.
var ErrMalformed = errors.New("malformed")

// An Order is what a PURGE asks: to drop the page of its URL, or those of tags.
type Order struct {
	Target string   // the URL's request target in origin form, as it was sent; empty if there are tags
	Tags   []string // valid, each once
	Soft   bool     // of all of it
	// Position is what pages must contain from now on, of origins that say what theirs contain; see cache.Selection.
	Position position.Vector
}

// A tagHeader is a request header that names tags.
type tagHeader struct {
	name   string
	commas bool // separate tags
	spaces bool // separate tags
	soft   bool // these are to be purged softly
}

// tagHeaders lists the names in use:
//
//   - Surrogate-Key: Fastly, also of its purges of several keys
//   - Cache-Tag: Cloudflare and others; Edge-Cache-Tag: Akamai
//   - xkey-purge and xkey-softpurge: Varnish's vmod xkey, as its VCL is mostly written; xkey: as in its manual
func tagHeaders() []tagHeader {
	return []tagHeader{
		{name: "Surrogate-Key", spaces: true},
		{name: "Cache-Tag", commas: true},
		{name: "Edge-Cache-Tag", commas: true},
		{name: "xkey", commas: true, spaces: true},
		{name: "xkey-purge", commas: true, spaces: true},
		{name: "xkey-softpurge", commas: true, spaces: true, soft: true},
	}
}

// softHeader asks, with the value 1, for a soft purge (Fastly).
const softHeader = "Fastly-Soft-Purge"

// Read reads a PURGE, or returns ErrMalformed. One that names tags is not about its URL, which may be any.
//
// The purge is soft if all of it is: a hard one does what a soft one does, and more. It has no body: nothing that a client
// sends is passed over.
func Read(r *http.Request) (Order, error) {
	var o Order
	if hasBody(r) {
		return o, fmt.Errorf("%w: a %s has no body: name tags in the header Surrogate-Key, or send JSON to %s on the admin listener", ErrMalformed, Method, Path)
	}
	soft, err := readSoft(r.Header[softHeader])
	if err != nil {
		return o, err
	}
	if o.Position, err = readPosition(r.Header[position.Header]); err != nil {
		return Order{}, err
	}
	bytes, hard := 0, false
	for _, t := range tagHeaders() {
		lines, ok := r.Header[http.CanonicalHeaderKey(t.name)]
		if !ok {
			continue
		}
		for _, line := range lines {
			bytes += len(line)
		}
		if bytes > MaxTagBytes {
			return Order{}, fmt.Errorf("%w %s: the tags of one request have at most %d bytes: send several, or use a tag that covers many pages", ErrMalformed, t.name, MaxTagBytes)
		}
		tags, err := t.read(lines)
		if err != nil {
			return Order{}, err
		}
		o.Tags = append(o.Tags, tags...)
		hard = hard || !t.soft
	}
	slices.Sort(o.Tags)
	o.Tags = slices.Compact(o.Tags)
	switch {
	case len(o.Tags) > MaxTags:
		return Order{}, fmt.Errorf("%w: one request names at most %d tags, and this one %d: send several, or use a tag that covers many pages", ErrMalformed, MaxTags, len(o.Tags))
	case len(o.Tags) > 0:
		o.Soft = soft || !hard
		return o, nil
	}
	o.Soft = soft
	o.Target, err = readTarget(r.URL)
	if err != nil {
		return Order{}, err
	}
	return o, nil
}

// read returns the tags of a header's lines. A header without any is an error, as the URL is not what was meant.
func (t tagHeader) read(lines []string) (tags []string, err error) {
	for _, line := range lines {
		for _, tag := range t.split(line) {
			if err := cache.CheckTag(tag); err != nil {
				return nil, fmt.Errorf("%w %s: %w: %s", ErrMalformed, t.name, err, t.form())
			}
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("%w %s: it names no tag: %s; or leave it out to purge the URL", ErrMalformed, t.name, t.form())
	}
	return tags, nil
}

// split splits a line as it is split in an origin's answer (httpcache.Tags), so that a tag is dropped by the header that
// declared it. Where spaces separate, a comma is a part of a tag; but whoever joins the lines of a header puts one between
// them (RFC 9110, 5.3). So a tag with commas counts as a whole, and for its parts.
func (t tagHeader) split(line string) (tags []string) {
	add := func(tag string) {
		if tag = strings.Trim(tag, " \t"); tag != "" { // RFC 9110, 5.6.1.2: a list may have empty elements
			tags = append(tags, tag)
		}
	}
	for tag := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ',' && t.commas || (c == ' ' || c == '\t') && t.spaces }) {
		add(tag)
		if !t.commas && strings.Contains(tag, ",") {
			for part := range strings.SplitSeq(tag, ",") {
				add(part)
			}
		}
	}
	return tags
}

func (t tagHeader) form() string {
	switch {
	case !t.commas:
		return "send " + t.name + ": TAG TAG"
	case !t.spaces:
		return "send " + t.name + ": TAG,TAG"
	default:
		return "send " + t.name + ": TAG TAG, or TAG,TAG"
	}
}

func readSoft(lines []string) (soft bool, err error) {
	for _, line := range lines {
		if line != "0" && line != "1" || line != lines[0] {
			return false, fmt.Errorf("%w %s: send 1 for a soft purge, and leave it out for a hard one", ErrMalformed, softHeader)
		}
		soft = line == "1"
	}
	return soft, nil
}

// readPosition reads the header Cachesrv-Position. An empty one is an error: whoever sends it means to name a position.
func readPosition(lines []string) (position.Vector, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	return parsePosition(position.Header, strings.Join(lines, ";"))
}

func parsePosition(where, text string) (position.Vector, error) {
	v, err := position.Parse(text)
	if err == nil && len(v) == 0 {
		err = errors.New("it is empty: leave it out")
	}
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrMalformed, where, err)
	}
	return v, nil
}

// readTarget returns the request target of a URL. A path that is only odd is no error: it has no page.
func readTarget(u *url.URL) (string, error) {
	path := u.RawPath // which EscapedPath writes anew if it has bytes that it finds odd, and %2f is then lost
	if path == "" {
		path = u.EscapedPath()
	}
	if path == "" && u.Host != "" { // absolute form: http://example.org
		path = "/"
	}
	if _, err := key.Path(path); errors.Is(err, key.ErrInvalid) {
		return "", fmt.Errorf("%w URL: %w: send the page's own path", ErrMalformed, err)
	}
	target := path
	if u.RawQuery != "" || u.ForceQuery {
		target += "?" + u.RawQuery
	}
	if err := checkGlob(target); err != nil {
		return "", fmt.Errorf("%w URL: %w", ErrMalformed, err)
	}
	return target, nil
}

// checkGlob refuses what elsewhere is a pattern: a URL that ends in *. Taken for a page's name it would drop nothing, and say
// that all is well. Within a URL, sites do have it.
func checkGlob(url string) error {
	if strings.HasSuffix(url, "*") {
		return fmt.Errorf("%.80q: patterns are not understood: name a tag, or a prefix (POST %s on the admin listener); a URL that does end in * is written with %%2A", url, Path)
	}
	return nil
}

// hasBody reports whether something follows the head. Some clients announce a body and send none.
func hasBody(r *http.Request) bool {
	if r.ContentLength >= 0 || r.Body == nil {
		return r.ContentLength > 0
	}
	_, err := io.ReadFull(r.Body, make([]byte, 1))
	return !errors.Is(err, io.EOF)
}
