package key

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// How keys become files
//
// The page of host H and path P is the file H + P + ".page": what another server can build from a request. Thus
//
//	example.org/             example.org/.page
//	example.org/a            example.org/a.page
//	example.org/a/           example.org/a/.page
//	example.org/a/b?x=1      example.org/a/b?x=1.page
//	example.org/a#json       example.org/a.page@/json
//
// A private page, one that only we may serve, has a "!" behind that name: no other server builds such a name, and both
// forms lie in one folder, so that one rename drops them and what is being filled.
//
// Beside a page lie its claim (".tmp"), twins (".gz", ".br", ".zst"), its graced form (".stale") and the folder of
// its further variants ("@"). Bytes other than RFC 3986's unreserved ones are written %XX; so is a segment's leading
// dot, and the dot of ".page" within a folder's name: hence no path names a file of ours, and a folder never has
// the name of a page. A name or query over 120 bytes is cut and gets the digest of the whole ("%~" is never an escape).

const (
	Suffix        = ".page"  // of every page
	ClaimSuffix   = ".tmp"   // after Suffix
	PrivateSuffix = "!"      // after Suffix, or after a variant's name
	StaleSuffix   = ".stale" // after these
	VariantSuffix = "@"      // after Suffix: the folder of the further variants

	maxName  = 120 // bytes of an encoded name, and of a query, before it is hashed: 255 holds both and the suffixes
	keptName = 40  // bytes kept of a hashed name
	hashMark = "%~"
)

// ErrHashed says that a file's name holds a digest: its key stands in the inventory only.
var ErrHashed = errors.New("the name is hashed")

// A File says where a key lies, relative to the generation's pages/.
type File struct {
	Folder  string // the folder of the page and of its claim
	Base    string // the default variant's file, in Folder
	Variant string // the further variant's file, in Folder/Base@; empty for the default
}

// File returns the place of a key, which must have a host and be in canonical form.
func (k Key) File() File {
	dir, last := splitPath(k.Path)
	name := shorten(encodeName(last))
	if k.Query != "" {
		name += "?" + shorten(k.Query)
	}
	f := File{Folder: folderOf(k.Host, dir), Base: name + Suffix}
	if k.Variant != "" {
		f.Variant = encodeVariant(k.Variant)
	}
	return f
}

// Claim returns the path of the claim, which all variants of a URL share.
func (f File) Claim() string { return f.Folder + "/" + f.Base + ClaimSuffix }

// Page returns the path of the page.
func (f File) Page() string {
	if f.Variant != "" {
		return f.Variants() + "/" + f.Variant
	}
	return f.Folder + "/" + f.Base
}

// Private returns the path of the page's private form.
func (f File) Private() string { return f.Page() + PrivateSuffix }

// Variants returns the path of the folder of further variants.
func (f File) Variants() string { return f.Folder + "/" + f.Base + VariantSuffix }

// Folder returns the folder that holds what a prefix covers, other than the pages of its own path (Key, and those
// whose files begin with Queries).
func (p Prefix) Folder() string { return folderOf(p.Host, p.Path) }

// Key returns the key of the prefix's own path, which lies beside its folder; false for a whole host.
func (p Prefix) Key() (Key, bool) { return Key{Host: p.Host, Path: p.Path}, p.Path != "" }

// Queries returns what the files of the prefix's own path with any query begin with; false for a whole host.
func (p Prefix) Queries() (string, bool) {
	k, ok := p.Key()
	f := k.File()
	return f.Folder + "/" + strings.TrimSuffix(f.Base, Suffix) + "?", ok
}

// A Kind says what a file beside a page is.
type Kind int

const (
	KindPage Kind = iota
	KindClaim
	KindStale
	KindTwin
)

// A Parsed file is one whose name is of ours.
type Parsed struct {
	Key     Key // zero when a part of the name is hashed
	Kind    Kind
	Twin    string // the suffix of a twin
	Private bool
}

// ParseFile is the way back from a path relative to pages/. ErrHashed: it is ours, but its key can't be told.
// ErrInvalid: it is not ours.
func ParseFile(path string) (Parsed, error) {
	var found Parsed
	foreign := func() (Parsed, error) {
		return Parsed{}, fmt.Errorf("file %q: %w: no key has this name", path, ErrInvalid)
	}
	host, rest, ok := strings.Cut(path, "/")
	if !ok {
		return foreign()
	}
	dir, name := splitPath("/" + rest)
	base := name
	variantDir := false
	if d, last := splitPath(dir); strings.HasSuffix(last, Suffix+VariantSuffix) {
		dir, base, variantDir = d, strings.TrimSuffix(last, VariantSuffix), true
	}
	name, found.Kind, found.Twin = trimKind(name)
	if trimmed, ok := strings.CutSuffix(name, PrivateSuffix); ok {
		if found.Kind == KindClaim {
			return foreign() // both forms share the claim
		}
		name, found.Private = trimmed, true
	}
	variant := ""
	if variantDir {
		if found.Kind == KindClaim {
			return foreign() // variants have no claim of their own
		}
		if variant, ok = unescape(name); !ok || variant == "" {
			return foreign()
		}
	} else {
		base = name
	}
	base, ok = strings.CutSuffix(base, Suffix)
	if !ok {
		return foreign()
	}
	if strings.Contains("/"+dir+"/"+base, hashMark) {
		return found, ErrHashed
	}
	escaped, query, _ := strings.Cut(base, "?")
	segments := append(strings.Split(strings.TrimPrefix(dir, "/"), "/"), escaped)
	if dir == "" {
		segments = segments[1:]
	}
	var p strings.Builder
	for _, s := range segments {
		raw, ok := unescape(s)
		if !ok {
			return foreign()
		}
		p.WriteByte('/')
		for i := range len(raw) {
			if c := raw[i]; c != '/' && pathLiteral(c) {
				p.WriteByte(c)
			} else {
				writeEscaped(&p, c)
			}
		}
	}
	found.Key = Key{Host: host, Path: p.String(), Query: query, Variant: variant}
	if !found.Key.canonical() || found.path() != path {
		return foreign()
	}
	return found, nil
}

// canonical reports whether the key is one that Parse can return, with a host.
func (k Key) canonical() bool {
	again, err := Parse(k.String())
	return err == nil && again == k && k.Host != ""
}

// path is where such a file of the key lies.
func (p Parsed) path() string {
	f := p.Key.File()
	page := f.Page()
	if p.Private {
		page = f.Private()
	}
	switch p.Kind {
	case KindClaim:
		return f.Claim()
	case KindStale:
		return page + StaleSuffix
	default:
		return page + p.Twin
	}
}

// trimKind takes a name's last suffix off.
func trimKind(name string) (string, Kind, string) {
	if s, ok := strings.CutSuffix(name, ClaimSuffix); ok {
		return s, KindClaim, ""
	}
	if s, ok := strings.CutSuffix(name, StaleSuffix); ok {
		return s, KindStale, ""
	}
	for _, suffix := range TwinSuffixes() {
		if s, ok := strings.CutSuffix(name, suffix); ok {
			return s, KindTwin, suffix
		}
	}
	return name, KindPage, ""
}

// TwinSuffixes lists the suffixes of precompressed siblings.
func TwinSuffixes() [3]string { return [3]string{".gz", ".br", ".zst"} }

// splitPath splits a path at its last slash; the slash belongs to neither.
func splitPath(path string) (dir, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

func folderOf(host, path string) string {
	var b strings.Builder
	b.WriteString(host)
	if path == "" {
		return b.String()
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		b.WriteByte('/')
		b.WriteString(shorten(encodeFolder(segment)))
	}
	return b.String()
}

// encodeName encodes one segment of a canonical path: what is percent-encoded there stays so, and the other bytes
// that are not unreserved become so.
func encodeName(segment string) string {
	plain := true
	for i := range len(segment) {
		if !unreserved(segment[i]) && segment[i] != '%' {
			plain = false
			break
		}
	}
	if plain && !strings.HasPrefix(segment, ".") {
		return segment
	}
	var b strings.Builder
	for i := range len(segment) {
		switch c := segment[i]; {
		case c == '.' && i == 0, !unreserved(c) && c != '%':
			writeEscaped(&b, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// encodeFolder is encodeName for the name of a folder. An empty segment ("//") needs a name too.
func encodeFolder(segment string) string {
	if segment == "" {
		return "%"
	}
	return strings.ReplaceAll(encodeName(segment), Suffix, "%2E"+Suffix[1:])
}

func encodeVariant(v string) string {
	var b strings.Builder
	for i := range len(v) {
		if c := v[i]; unreserved(c) && c != '.' {
			b.WriteByte(c)
		} else {
			writeEscaped(&b, c)
		}
	}
	return b.String()
}

// shorten replaces a name that is too long for a file system by its beginning and a digest of the whole.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	kept := name[:keptName]
	if i := strings.LastIndexByte(kept, '%'); i > keptName-3 {
		kept = kept[:i] // not through an escape
	}
	return kept + hashMark + hex.EncodeToString(sum[:20])
}

// unescape undoes encodeName, encodeFolder and encodeVariant.
func unescape(s string) (string, bool) {
	if s == "%" {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return "", false
			}
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		case unreserved(c):
			b.WriteByte(c)
		default:
			return "", false
		}
	}
	return b.String(), true
}
