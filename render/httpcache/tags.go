package httpcache

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrTags says that what a response depends on, or what it invalidates, can't be known. The text names the field, and none of
// what it holds: that is nothing for clients.
var ErrTags = errors.New("tags that can't be read")

const (
	// maxTag bounds a tag, in bytes. It is the store's bound (cache.MaxTag).
	maxTag = 512
	// maxRead bounds the tags that are read of one answer. How many a page may have is Policy.MaxTags.
	maxRead = 1000
	// defaultTags is that of Policy.MaxTags.
	defaultTags = 128
)

// tagFields are those by which a response says what it depends on, and how each separates its tags. Whoever invalidates by
// tag names them all the same way.
var tagFields = [...]struct {
	name  string
	split func(line string) []string
}{
	{"Surrogate-Key", spaced},  // Fastly
	{"Xkey", spacedOrListed},   // Varnish's vmod of that name
	{"Cache-Tag", listed},      // Cloudflare, Google
	{"Edge-Cache-Tag", listed}, // Akamai
}

// Position is the field by which an origin says up to where it has seen the changes of its database; package cache/position
// reads it.
const Position = "Cachesrv-Position"

// forCaches are the fields that say something to caches and to nobody else: neither stored nor sent to clients.
var forCaches = []string{"Surrogate-Key", "Xkey", "Cache-Tag", "Edge-Cache-Tag", cacheGroups, groupInvalidation, Position}

// IsForCaches reports whether a field is meant for caches only: it says what a response depends on or invalidates, or the
// position it was made at.
func IsForCaches(name string) bool {
	return slices.Contains(forCaches, textproto.CanonicalMIMEHeaderKey(name))
}

// StripForCaches removes, in place, the fields that are meant for caches only.
func StripForCaches(h http.Header) {
	for name := range h {
		if IsForCaches(name) {
			delete(h, name)
		}
	}
}

// Tags returns what a response depends on: the tags of Surrogate-Key, xkey, Cache-Tag and Edge-Cache-Tag as they are, bytes
// compared, and the groups of Cache-Groups (RFC 9875) as tags of the host. Each is 1 to 512 bytes of UTF-8 without spaces and
// control characters, and comes once. The host is the one in the page's key.
//
// The error, an ErrTags, says what is wrong: such a response must not be stored, as nobody could drop it.
func Tags(h http.Header, host string) ([]string, error) {
	keys, groups, err := readTags(canonical(h), host)
	return append(keys, groups...), err
}

// readTags returns the two kinds apart.
func readTags(h http.Header, host string) (keys, groups []string, err error) {
	set := tagSet{}
	for _, field := range tagFields {
		for _, line := range h[field.name] {
			for _, tag := range field.split(line) {
				if keys, err = set.add(keys, field.name, tag); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	names, err := groupNames(cacheGroups, h[cacheGroups])
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if groups, err = set.add(groups, cacheGroups, groupTag(host, name)); err != nil {
			return nil, nil, err
		}
	}
	return keys, groups, nil
}

// freshTags returns what a stored response depends on after a validation. As with every field (RFC 9111, 3.2), those that came
// with it take the place of those that were stored. Of tags the four fields count as one, as nobody knows by which of them the
// stored ones came; the groups are the tags below "group:HOST:". What is not there, or empty, says nothing, and changes nothing.
func freshTags(stored []string, received http.Header, host string) ([]string, error) {
	keys, groups, err := readTags(received, host)
	if err != nil {
		return nil, err
	}
	tags := slices.Concat(keys, groups)
	for _, tag := range stored {
		replaced := len(keys) > 0
		if strings.HasPrefix(tag, groupTag(host, "")) {
			replaced = len(groups) > 0
		}
		if !replaced && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// tooManyTags says why a page can't have so many tags.
func (p Policy) tooManyTags(n int) (why string) {
	most := p.MaxTags
	if most == 0 {
		most = defaultTags
	}
	if n <= most {
		return ""
	}
	return fmt.Sprintf("%d tags, at most %d are allowed: have one that covers several", n, most)
}

// A tagSet holds the tags that were added.
type tagSet map[string]bool

func (s tagSet) add(tags []string, field, tag string) ([]string, error) {
	switch {
	case tag == "" || s[tag]:
		return tags, nil
	case len(s) == maxRead:
		return nil, fmt.Errorf("%w: more than %d", ErrTags, maxRead)
	case len(tag) > maxTag:
		return nil, fmt.Errorf("%w: %s: a tag has at most %d bytes", ErrTags, field, maxTag)
	case !utf8.ValidString(tag):
		return nil, fmt.Errorf("%w: %s: a tag is UTF-8", ErrTags, field)
	case strings.ContainsFunc(tag, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return nil, fmt.Errorf("%w: %s: a tag has no spaces and no control characters", ErrTags, field)
	}
	s[tag] = true
	return append(tags, tag), nil
}

// spaced splits what spaces separate. A comma is a part of a tag; but whoever joins the lines of a field puts one between
// them (RFC 9110, 5.3). So a tag with commas counts as a whole, and for its parts: then either name drops the page.
func spaced(line string) []string {
	var tags []string
	for tag := range strings.FieldsFuncSeq(line, isSpace) {
		tags = append(tags, tag)
		if strings.Contains(tag, ",") {
			tags = append(tags, strings.Split(tag, ",")...)
		}
	}
	return tags
}

func spacedOrListed(line string) []string {
	return strings.FieldsFunc(line, func(c rune) bool { return isSpace(c) || c == ',' })
}

func listed(line string) []string { return Elements([]string{line}) }

func isSpace(c rune) bool { return c == ' ' || c == '\t' }
