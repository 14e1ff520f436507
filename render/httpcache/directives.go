package httpcache

import (
	"strconv"
	"strings"
	"time"
)

// A directive is one of a Cache-Control field (RFC 9111, 5.2): a lower-case name, and perhaps an argument, whose value is
// without its quotes.
type directive struct {
	name, value      string
	text             string // the argument as it was written
	argument, quoted bool
}

type directives []directive

// maxDirectives bounds those of one field; with more it counts as malformed.
const maxDirectives = 64

// parseDirectives reads the lines of a Cache-Control field, which are one list. Unknown directives, empty elements and
// whitespace around commas are fine; anything else that the grammar does not know makes the field malformed, as then
// nobody can say what it was meant to forbid ("private; max-age=60").
func parseDirectives(lines []string) (ds directives, ok bool) {
	for _, line := range lines {
		for rest := strings.TrimLeft(line, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			var d directive
			if d, rest, ok = cutDirective(rest); !ok || len(ds) == maxDirectives {
				return nil, false
			}
			ds = append(ds, d)
		}
	}
	return ds, true
}

// A Directive is one of a Cache-Control field: its name in lower case, and its argument as it was written, a quoted one in its quotes.
type Directive struct{ Name, Argument string }

// Directives reads the lines of a Cache-Control field. False if they are malformed.
func Directives(lines []string) (list []Directive, ok bool) {
	ds, ok := parseDirectives(lines)
	for _, d := range ds {
		list = append(list, Directive{d.name, d.text})
	}
	return list, ok
}

// cutDirective cuts `token [ "=" ( token / quoted-string ) ]` off a list.
func cutDirective(s string) (d directive, rest string, ok bool) {
	end := tokenEnd(s)
	d.name, rest = strings.ToLower(s[:end]), s[end:]
	if end == 0 {
		return d, "", false
	}
	if strings.HasPrefix(rest, "=") {
		d.argument = true
		rest = rest[1:]
		argument := rest
		if strings.HasPrefix(rest, `"`) {
			d.quoted = true
			if d.value, rest, ok = cutQuoted(rest); !ok {
				return d, "", false
			}
		} else {
			end = tokenEnd(rest)
			d.value, rest = rest[:end], rest[end:]
			if end == 0 {
				return d, "", false
			}
		}
		d.text = argument[:len(argument)-len(rest)]
	}
	rest = strings.TrimLeft(rest, " \t")
	return d, rest, rest == "" || rest[0] == ','
}

// cutQuoted cuts a quoted-string (RFC 9110, 5.6.4) off s, which begins with a quote.
func cutQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

func (ds directives) has(name string) bool {
	for _, d := range ds {
		if d.name == name {
			return true
		}
	}
	return false
}

// seconds returns a directive's argument. Of several the smallest counts (stricter than RFC 9111, 4.2.1, which leaves it open).
// What is no number counts as 0, so as expired (4.2.1 encourages that); but where several differ and one is no number, the
// field is contradictory: ok is false.
func (ds directives) seconds(name string) (d time.Duration, given, ok bool) {
	several, malformed, last := false, false, ""
	for _, e := range ds {
		if e.name != name {
			continue
		}
		n, number := DeltaSeconds(e.value)
		malformed = malformed || !number
		several = several || given && e.value != last
		if !given || n < d {
			d = n
		}
		given, last = true, e.value
	}
	return d, given, !(several && malformed)
}

// flagged reports whether a directive is there in its unqualified form; otherwise fields are those that its qualified
// forms name (RFC 9111, 5.2.2.4, 5.2.2.7). A qualified form counts only if it is a quoted list of field names
// without which the rest of the response still means the same.
func (ds directives) flagged(name string) (unqualified bool, fields []string) {
	for _, d := range ds {
		if d.name != name {
			continue
		}
		named, ok := fieldNames(d.value)
		if !d.quoted || !ok {
			return true, nil
		}
		fields = append(fields, named...)
	}
	return false, fields
}

// DeltaSeconds reads a number of seconds (RFC 9111, 1.2.2): too large ones count as 2^31.
func DeltaSeconds(s string) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > int64(maxDelta/time.Second) {
		return maxDelta, true
	}
	return time.Duration(n) * time.Second, true
}
