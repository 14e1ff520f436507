// Package key names pages. A Key is a URL's canonical identity; this package alone decides which requests share
// one, and which file of the cache folder a key lives in (file.go). It is pure: it touches no file and no network,
// and every function here may be called concurrently.
package key

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Bounds. A request beyond one of them is answered past the cache (ErrUncacheable), never with an error page.
const (
	MaxHost     = 255  // bytes of a host with its port
	MaxPath     = 2048 // bytes of a path in canonical form
	MaxSegments = 64   // segments of a path
	MaxQuery    = 2048 // bytes of a canonical query
	MaxVariant  = 64   // bytes of a variant's name
)

var (
	// ErrInvalid marks input that no well-behaved client sends: answer 400.
	ErrInvalid = errors.New("invalid")
	// ErrUncacheable marks input that is legal but has no place in the cache: answer it past the cache.
	ErrUncacheable = errors.New("not cacheable")
)

// A Key is the canonical identity of a page. The zero Key names nothing. Two keys are the same page exactly when
// they are ==. Build keys with Parse, or with Host, Path and Query, which put each part in canonical form.
type Key struct {
	// Host is lower case, without a default port or trailing dot. Empty: the path on every host; such a key can be
	// invalidated, but not looked up or claimed.
	Host string
	// Path starts with "/" and is percent-encoded in the one canonical way, so that two spellings a handler
	// can't tell apart ("/%61" and "/a") are one key.
	Path string
	// Query holds the parameters the operator listed, sorted by name; or all of them, in the order they were sent
	// (AllQueries). They are encoded in one way; no "?".
	Query string
	// Variant names a negotiated form ("json", "de"); empty for the default. Content encodings aren't variants.
	Variant string
}

// String returns the text form host/path?query#variant, which Parse reads back.
func (k Key) String() string {
	s := k.Host + k.Path
	if k.Query != "" {
		s += "?" + k.Query
	}
	if k.Variant != "" {
		s += "#" + k.Variant
	}
	return s
}

// Default returns the key of the URL's default variant. All variants of a URL share its claim.
func (k Key) Default() Key {
	k.Variant = ""
	return k
}

// Sorted returns the key of the same page where the operator lists parameters: those of the query are sorted by name.
func (k Key) Sorted() Key {
	if sorted, err := canonicalQuery(k.Query, true, nil); err == nil {
		k.Query = sorted
	}
	return k
}

// Parse reads a key as people write it: host/path?query#variant, a URL, or /path for that path on every host.
// All of the query belongs to the key, in the order given; see Sorted.
func Parse(s string) (Key, error) {
	fail := func(err error) (Key, error) { return Key{}, fmt.Errorf("key %q: %w", s, err) }
	rest, variant, _ := strings.Cut(s, "#")
	if err := checkVariant(variant); err != nil {
		return fail(err)
	}
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		if s := strings.ToLower(scheme); s != "http" && s != "https" {
			return fail(fmt.Errorf("%w: the scheme must be http or https", ErrInvalid))
		}
		rest = after
	}
	rest, rawQuery, _ := strings.Cut(rest, "?")
	host, path, ok := strings.Cut(rest, "/")
	if !ok {
		return fail(fmt.Errorf("%w: write it as host/path?query, or as a URL", ErrInvalid))
	}
	k := Key{Variant: variant}
	var err error
	if host != "" {
		if k.Host, err = Host(host); err != nil {
			return fail(err)
		}
	}
	if k.Path, err = Path("/" + path); err != nil {
		return fail(err)
	}
	if k.Query, err = canonicalQuery(rawQuery, false, nil); err != nil {
		return fail(err)
	}
	return k, nil
}

// Host returns a Host header (or a URL's authority) in canonical form: lower case, no trailing dot, and no port when it
// is 80 or 443 (a key has no scheme, so either default port is left out). Anything that is not a host name, an IPv4 or a bracketed IPv6 address with an
// optional port is ErrInvalid.
func Host(raw string) (string, error) {
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("host %q: %w: %s", raw, ErrInvalid, why)
	}
	if raw == "" {
		return bad("it is empty")
	}
	if len(raw) > MaxHost {
		return "", fmt.Errorf("host of %d bytes: %w: longer than %d", len(raw), ErrInvalid, MaxHost)
	}
	for i := range len(raw) { // first: lower case makes ASCII of two letters that are none
		if raw[i] >= 0x80 {
			return bad("it has a byte that is not ASCII; write an international name as xn--…")
		}
	}
	name, port := strings.ToLower(raw), ""
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		name, port = name[:i], name[i+1:]
		if port == "" || strings.Trim(port, "0123456789") != "" || len(port) > 5 {
			return bad("the port is not a number")
		}
	}
	switch {
	case strings.HasPrefix(name, "["):
		addr, err := netip.ParseAddr(strings.TrimSuffix(name[1:], "]"))
		if err != nil || !strings.HasSuffix(name, "]") || !addr.Is6() || addr.Zone() != "" {
			return bad("not an IPv6 address")
		}
	default:
		name = strings.TrimSuffix(name, ".")
		for label := range strings.SplitSeq(name, ".") {
			if label == "" {
				return bad("a label is empty")
			}
			for i := range len(label) {
				if c := label[i]; c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
					return bad(fmt.Sprintf("%q is not allowed in a host name", c))
				}
			}
		}
	}
	if port == "" || port == "80" || port == "443" {
		return name, nil
	}
	return name + ":" + port, nil
}

// Path returns an escaped URL path in canonical form. A path with a NUL, a raw control character, "#", a bad
// escape, or a "." or ".." segment (in any spelling) is ErrInvalid; one with an encoded slash, a backslash or
// encoded control characters is ErrUncacheable, as handlers disagree about what it means; so is one beyond the
// bounds.
func Path(escaped string) (string, error) {
	if !strings.HasPrefix(escaped, "/") {
		return "", fmt.Errorf("path %.80q: %w: it does not begin with \"/\"", escaped, ErrInvalid)
	}
	if isCanonicalPath(escaped) {
		return escaped, checkPathBounds(escaped)
	}
	var b strings.Builder
	b.Grow(len(escaped) + 16)
	uncacheable := ""
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		switch {
		case c == '%':
			if i+2 >= len(escaped) || !isHex(escaped[i+1]) || !isHex(escaped[i+2]) {
				return "", fmt.Errorf("path %.80q: %w: \"%%\" without two hex digits", escaped, ErrInvalid)
			}
			c = unhex(escaped[i+1])<<4 | unhex(escaped[i+2])
			i += 2
			switch {
			case c == 0:
				return "", fmt.Errorf("path %.80q: %w: it contains a NUL", escaped, ErrInvalid)
			case c < ' ' || c == 0x7f:
				uncacheable = "an encoded control character"
			case c == '/':
				uncacheable = "an encoded slash"
				b.WriteString("%2F")
				continue
			case c == '\\':
				uncacheable = "a backslash"
			}
		case c < ' ' || c == 0x7f || c == '#' || c == '?':
			return "", fmt.Errorf("path %.80q: %w: %q must be percent-encoded", escaped, ErrInvalid, c)
		case c == '\\':
			uncacheable = "a backslash"
		}
		if pathLiteral(c) {
			b.WriteByte(c)
		} else {
			writeEscaped(&b, c)
		}
	}
	path := b.String()
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "", fmt.Errorf("path %.80q: %w: it has a %q segment", escaped, ErrInvalid, segment)
		}
	}
	if uncacheable != "" {
		return "", fmt.Errorf("path %.80q: %w: it has %s", escaped, ErrUncacheable, uncacheable)
	}
	return path, checkPathBounds(path)
}

// isCanonicalPath reports, without allocating, that a path is already in canonical form with no escape and no dot
// segment: the case of nearly every request.
func isCanonicalPath(path string) bool {
	for i := range len(path) {
		c := path[i]
		if !pathLiteral(c) {
			return false
		}
		if c == '.' && path[i-1] == '/' { // path[0] is "/"
			return false // perhaps a dot segment: take the long way
		}
	}
	return true
}

func checkPathBounds(path string) error {
	if len(path) > MaxPath {
		return fmt.Errorf("path of %d bytes: %w: longer than %d", len(path), ErrUncacheable, MaxPath)
	}
	if n := strings.Count(path, "/"); n > MaxSegments {
		return fmt.Errorf("path of %d segments: %w: more than %d", n, ErrUncacheable, MaxSegments)
	}
	return nil
}

// Query returns the canonical form of a raw query: the parameters in listed, sorted by name (the order of one name's
// values is kept), encoded in one way. With AllQueries in listed, these are all parameters, in the order they have.
// Parameters that match a pattern of ignored (a name, or a prefix that ends in "*") are left out. Any other parameter,
// and any query that servers read in different ways (";", a bad escape), is ErrUncacheable.
func Query(raw string, listed, ignored []string) (string, error) {
	if raw == "" {
		return "", nil
	}
	all := slices.Contains(listed, AllQueries)
	return canonicalQuery(raw, !all, func(name string) (bool, error) {
		for _, pattern := range ignored {
			if prefix, ok := strings.CutSuffix(pattern, "*"); pattern == name || ok && strings.HasPrefix(name, prefix) {
				return false, nil
			}
		}
		if all || slices.Contains(listed, name) {
			return true, nil
		}
		return false, fmt.Errorf("%w: parameter %.40q is not listed", ErrUncacheable, name)
	})
}

// AllQueries, listed, makes every query a page of its own. The order of the parameters stays as it is sent: what a server
// makes of it nobody knows.
const AllQueries = "*"

// canonicalQuery re-encodes a raw query, and sorts it if asked to, keeping the parameters keep admits (nil: all).
func canonicalQuery(raw string, sorted bool, keep func(name string) (bool, error)) (string, error) {
	type param struct{ name, text string }
	var params []param
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		if strings.ContainsAny(part, ";#") {
			return "", fmt.Errorf("query %.80q: %w: \";\" and \"#\" are read in different ways", raw, ErrUncacheable)
		}
		name, value, hasValue := strings.Cut(part, "=")
		n, err1 := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err := errors.Join(err1, err2); err != nil {
			return "", fmt.Errorf("query %.80q: %w: %v", raw, ErrUncacheable, err)
		}
		if keep != nil {
			switch ok, err := keep(n); {
			case err != nil:
				return "", err
			case !ok:
				continue
			}
		}
		text := escapeQuery(n)
		if hasValue {
			text += "=" + escapeQuery(v)
		}
		params = append(params, param{n, text})
	}
	if sorted {
		slices.SortStableFunc(params, func(a, b param) int { return strings.Compare(a.name, b.name) })
	}
	texts := make([]string, len(params))
	for i, p := range params {
		texts[i] = p.text
	}
	query := strings.Join(texts, "&")
	if len(query) > MaxQuery {
		return "", fmt.Errorf("query of %d bytes: %w: longer than %d", len(query), ErrUncacheable, MaxQuery)
	}
	return query, nil
}

// A Prefix names a subtree of a site by whole path segments: "/a" covers /a, /a?x=1, /a/ and /a/b, but not /ab.
type Prefix struct {
	Host string // empty: on every host
	Path string // canonical, without a trailing slash; "" covers the whole host
}

// ParsePrefix reads host/path, a URL, or /path (on every host).
func ParsePrefix(s string) (Prefix, error) {
	k, err := Parse(s)
	if errors.Is(err, ErrUncacheable) && strings.HasSuffix(s, "/") {
		k, err = Parse(strings.TrimRight(s, "/")) // the text form of a path at the bounds is one over them
	}
	if err != nil {
		return Prefix{}, err
	}
	if k.Query != "" || k.Variant != "" {
		return Prefix{}, fmt.Errorf("prefix %q: %w: a prefix has no query and no variant", s, ErrInvalid)
	}
	return Prefix{Host: k.Host, Path: strings.TrimRight(k.Path, "/")}, nil
}

// String returns the text form, which ParsePrefix reads back.
func (p Prefix) String() string { return p.Host + p.Path + "/" }

// Covers reports whether the key lies in the subtree.
func (p Prefix) Covers(k Key) bool {
	if p.Host != "" && p.Host != k.Host {
		return false
	}
	rest, ok := strings.CutPrefix(k.Path, strings.TrimRight(p.Path, "/")) // one made by hand may end in a slash
	return ok && (rest == "" || rest[0] == '/')
}

func checkVariant(v string) error {
	if len(v) > MaxVariant {
		return fmt.Errorf("%w: the variant is longer than %d bytes", ErrInvalid, MaxVariant)
	}
	for i := range len(v) {
		if v[i] <= ' ' || v[i] >= 0x7f {
			return fmt.Errorf("%w: the variant has the byte %#02x", ErrInvalid, v[i])
		}
	}
	return nil
}

// unreserved are the bytes RFC 3986 never requires to be encoded.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// pathLiteral are the bytes RFC 3986 allows unencoded in a path (pchar and "/").
func pathLiteral(c byte) bool {
	return unreserved(c) || strings.IndexByte("/!$&'()*+,;=:@", c) >= 0
}

func escapeQuery(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if unreserved(s[i]) {
			b.WriteByte(s[i])
		} else {
			writeEscaped(&b, s[i])
		}
	}
	return b.String()
}

func writeEscaped(b *strings.Builder, c byte) {
	const hex = "0123456789ABCDEF"
	b.WriteByte('%')
	b.WriteByte(hex[c>>4])
	b.WriteByte(hex[c&15])
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}
