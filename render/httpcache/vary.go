package httpcache

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

const (
	acceptEncoding = "Accept-Encoding"
	// maxVary bounds the names a response may vary on, and those of its content codings.
	maxVary    = 16
	maxCodings = 3
	// maxWeighted bounds the elements of an Accept or Accept-Language that is brought into its normal form; with more it
	// counts as any other header.
	maxWeighted = 64
)

// varies returns what a response varies on (RFC 9110, 12.5.5), in canonical form; or why it can't be stored.
func varies(h http.Header) (vary []string, why string) {
	encoding := false
	for _, name := range Elements(h["Vary"]) {
		switch {
		case name == "*":
			return nil, "varies on *"
		case !IsToken(name):
			return nil, "malformed Vary"
		case strings.EqualFold(name, acceptEncoding):
			encoding = true
		default:
			vary = append(vary, textproto.CanonicalMIMEHeaderKey(name))
		}
	}
	coding, why := codingOf(h, encoding)
	if coding != "" {
		vary = append(vary, acceptEncoding+";"+coding)
	}
	slices.Sort(vary)
	if vary = slices.Compact(vary); len(vary) > maxVary {
		return nil, "varies on too much"
	}
	return vary, why
}

// negotiated are the content codings that clients and servers agree on by Accept-Encoding (RFC 9110, 8.4.1; RFC 7932,
// 8878, 9842). An unknown one that comes without "Vary: Accept-Encoding" is what the origin sends to everybody.
var negotiated = []string{"gzip", "deflate", "compress", "br", "zstd", "dcb", "dcz"}

// codingOf returns the codings of an encoded response that its clients must accept, joined by "+"; "" for none.
func codingOf(h http.Header, varies bool) (coding, why string) {
	var codings []string
	counts := varies
	for _, c := range Elements(h["Content-Encoding"]) {
		c = codingName(c)
		if !IsToken(c) || strings.Contains(c, "+") || len(codings) == maxCodings {
			return "", "malformed Content-Encoding"
		}
		if c != "identity" {
			codings = append(codings, c)
			counts = counts || slices.Contains(negotiated, c)
		}
	}
	if !counts {
		return "", ""
	}
	return strings.Join(codings, "+"), ""
}

// codingName is a coding's name in lower case, without the x- of old (RFC 9110, 8.4.1).
func codingName(c string) string {
	c = strings.ToLower(c)
	if c == "x-gzip" || c == "x-compress" {
		return c[2:]
	}
	return c
}

// Select returns what a request's values of the headers in vary come to: 32 hex digits, equal for two requests if the
// values are equal once both are in their normal form (RFC 9111, 4.1). It is "" if vary is empty. The order of names does
// not matter.
func Select(vary []string, h http.Header) string { return digest(vary, h, false) }

// digest is Select; with encoded, of a request that accepts the response's own coding. (Ours went without
// Accept-Encoding, so what the client accepts did not select what came back.)
func digest(vary []string, h http.Header, encoded bool) string {
	if len(vary) == 0 {
		return ""
	}
	if !slices.IsSorted(vary) {
		vary = slices.Sorted(slices.Values(vary))
	}
	sum := sha256.New()
	write := func(s string) { // with its length: so no two lists of texts are one sequence of bytes
		_, _ = sum.Write(binary.AppendUvarint(nil, uint64(len(s))))
		_, _ = sum.Write([]byte(s))
	}
	for _, name := range vary {
		write(name)
		if coding, ok := strings.CutPrefix(name, acceptEncoding+";"); ok {
			write(strconv.FormatBool(encoded || acceptsAll(h[acceptEncoding], coding)))
			continue
		}
		values := h.Values(name)
		write(strconv.Itoa(min(len(values), 1))) // absent is not empty
		write(normal(textproto.CanonicalMIMEHeaderKey(name), values))
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// normal returns the normal form of a header's lines: two values with the same one mean the same (RFC 9111, 4.1).
func normal(name string, lines []string) string {
	switch name {
	case "Cookie", "Authorization": // whose commas separate nothing
		return textproto.TrimString(strings.Join(lines, "; "))
	case "Accept", "Accept-Language":
		if s, ok := weighted(lines, name == "Accept-Language"); ok {
			return s
		}
	}
	// Lines of one name are one list (RFC 9110, 5.3); whitespace around its commas says nothing, its order does.
	parts := split(strings.Join(lines, ","), ",")
	return strings.Join(parts, ",")
}

// weighted returns the normal form of a list with weights (RFC 9110, 12.4.2): lower case, weights in one form, the better
// liked first, those liked the same in their own order (12.5.4: "some recipients" see a preference in it). False for what
// it can't read.
func weighted(lines []string, language bool) (string, bool) {
	type element struct {
		text   string
		weight int
	}
	var list []element
	for _, part := range split(strings.Join(lines, ","), ",") {
		if part == "" {
			continue
		}
		params := split(part, ";")
		e := element{strings.ToLower(params[0]), 1000}
		seen := false
		for _, p := range params[1:] {
			name, value, ok := strings.Cut(p, "=")
			name = strings.ToLower(name)
			switch {
			case !ok || !IsToken(name):
				return "", false
			case name == "q":
				if e.weight, ok = weight(value); !ok || seen {
					return "", false
				}
				seen = true
			case language || seen:
				return "", false // a language has no parameters; what follows a weight had a meaning once
			default:
				e.text += ";" + name + "=" + value
			}
		}
		if params[0] == "" || strings.ContainsAny(params[0], " \t\"") || len(list) == maxWeighted {
			return "", false
		}
		list = append(list, e)
	}
	slices.SortStableFunc(list, func(a, b element) int { return cmp.Compare(b.weight, a.weight) })
	var b strings.Builder
	for i, e := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(e.text)
		if e.weight < 1000 {
			b.WriteString(";q=" + strconv.FormatFloat(float64(e.weight)/1000, 'f', -1, 64))
		}
	}
	return b.String(), true
}

// weight reads a qvalue, in thousandths.
func weight(s string) (int, bool) {
	whole, part, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(part) > 3 || strings.Trim(part, "0123456789") != "" {
		return 0, false
	}
	w := number(whole)*1000 + number((part + "000")[:3])
	return w, w <= 1000
}

// acceptsAll reports whether an Accept-Encoding (RFC 9110, 12.5.3) accepts each of the codings joined by "+". Without the
// header, and with one that can't be read, only what is not encoded is accepted (stricter than 12.5.3).
func acceptsAll(lines []string, codings string) bool {
	weights := make(map[string]int)
	for _, part := range Elements(lines) {
		name, q, given := strings.Cut(part, ";")
		w := 1000
		if given {
			var ok bool
			if q, ok = cutFold(textproto.TrimString(q), "q="); !ok {
				return false
			}
			if w, ok = weight(q); !ok {
				return false
			}
		}
		if len(weights) == maxWeighted {
			return false
		}
		weights[codingName(textproto.TrimString(name))] = w
	}
	for c := range strings.SplitSeq(codings, "+") {
		w, ok := weights[c]
		if !ok {
			w = weights["*"]
		}
		if w == 0 {
			return false
		}
	}
	return true
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
