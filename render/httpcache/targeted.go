package httpcache

import (
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// surrogateControl is the field of the Edge Architecture Specification (W3C Note, 4 August 2001).
const surrogateControl = "Surrogate-Control"

// maxTarget bounds a targeted field whose text is kept with the page, in bytes.
const maxTarget = 1024

// names returns the fields that are addressed to us, in order of precedence.
func (p Policy) names() []string {
	names := p.Targets
	if names == nil {
		names = []string{"CDN-Cache-Control"}
	}
	all := make([]string, 0, len(names)+1)
	for _, name := range names {
		all = append(all, textproto.CanonicalMIMEHeaderKey(name))
	}
	return append(all, surrogateControl)
}

// A target is what is addressed to us, if anything is.
type target struct {
	name, text string // the field and its lines, combined
	directives directives
	grace      time.Duration // of Surrogate-Control: max-age=N+M
}

// targeted returns the first field that is addressed to us and says something; or why none can be trusted. RFC 9213, 2.2, would
// ignore a malformed one, and use the next: who knows what it was meant to forbid? We don't store then.
func targeted(h http.Header, p Policy) (t *target, why string) {
	for _, name := range p.names() {
		text := strings.Join(h[name], ", ")
		if strings.Trim(text, " \t,") == "" {
			continue // RFC 9213, 2.1: empty is as if it were not there
		}
		t, ok := &target{name: name, text: text}, false
		if name == surrogateControl {
			t.directives, t.grace, ok = parseSurrogate(text)
		} else {
			t.directives, ok = parseDictionary(text)
		}
		switch {
		case !ok || len(text) > maxTarget || strings.ContainsFunc(text, func(r rune) bool { return r > '~' }):
			return nil, "malformed " + name
		case len(t.directives) > 0:
			return t, ""
		}
	}
	return nil, ""
}

// fresh reports whether the field declares freshness.
func (t *target) fresh() bool { return t.directives.has("max-age") || t.directives.has("s-maxage") }

// parseSurrogate reads a Surrogate-Control: the directives of Cache-Control are understood too, as others do, and
// max-age=N+M says that the response may be used for M seconds past its N. A directive with a parameter is for one
// surrogate by name: not for us, unless it is no-store. content="…" is about how to process a body, which we don't do.
func parseSurrogate(text string) (ds directives, grace time.Duration, ok bool) {
	grace = -1
	for rest := strings.TrimLeft(text, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		end := unquotedIndex(rest, ",")
		element := rest[:end]
		rest = rest[end:]
		control, _, ours := cutUnquoted(element, ";")
		d, left, ok := cutDirective(strings.TrimRight(control, " \t"))
		if !ok || left != "" || len(ds) == maxDirectives {
			return nil, 0, false
		}
		switch {
		case d.name == "content", !ours && d.name != "no-store":
			continue
		case d.name == "max-age":
			n, m, more := strings.Cut(d.value, "+")
			if more {
				extra, ok := DeltaSeconds(m)
				if !ok {
					return nil, 0, false
				}
				if grace < 0 || extra < grace {
					grace = extra
				}
			}
			d.value = n
		}
		ds = append(ds, d)
	}
	return ds, max(grace, 0), true
}

// cutUnquoted cuts s at the first sep that is in no quotes; whole says that there is none.
func cutUnquoted(s, sep string) (before, after string, whole bool) {
	i := unquotedIndex(s, sep)
	if i == len(s) {
		return s, "", true
	}
	return s[:i], s[i+1:], false
}

// unquotedIndex returns the index of the first of the characters that stands in no quoted-string; len(s) if there is
// none. A quotation without end goes on to the end.
func unquotedIndex(s, characters string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case quoted && s[i] == '\\':
			i++
		case !quoted && strings.IndexByte(characters, s[i]) >= 0:
			return i
		}
	}
	return len(s)
}
