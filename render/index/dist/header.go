package dist

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A field is one header of METADATA, PKG-INFO or WHEEL.
type field struct {
	name  string   // as written
	lines []string // the value; more than one when it is folded. The first has no spaces in front
	at    int      // line number, from 1
}

// parseHeaders splits a file into headers and what stands behind the first empty line, as Python's email package does
// (policy compat32) but for what it passes over in silence: a line that is no header, where Python takes all that follows
// for the body, is refused; so are NUL, what is not UTF-8, and a carriage return by itself among the headers.
func parseHeaders(raw []byte, file string) (fields []field, body string, err error) {
	if !utf8.Valid(raw) {
		return nil, "", invalidf("%s is not UTF-8: build it anew with a current tool", file)
	}
	rest := string(raw)
	for at := 1; rest != ""; at++ {
		line, after, _ := strings.Cut(rest, "\n")
		rest = after
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			body = rest
			break
		}
		if strings.ContainsAny(line, "\r\x00") {
			return nil, "", invalidf("%s line %d has a stray carriage return or NUL: remove it", file, at)
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(fields) == 0 {
				return nil, "", invalidf("%s begins with a space: it must begin with Metadata-Version", file)
			}
			last := &fields[len(fields)-1]
			last.lines = append(last.lines, line)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, "", invalidf("%s line %d is neither a header nor indented: %s; build it anew with a current tool", file, at, quote(line))
		}
		fields = append(fields, field{name, []string{strings.TrimLeft(value, " \t")}, at})
	}
	if strings.Contains(body, "\x00") {
		return nil, "", invalidf("%s has a NUL in it: remove it", file)
	}
	return fields, body, nil
}

// line returns a value that is one line, whatever its folding.
func (f field) line() string {
	parts := make([]string, 0, len(f.lines))
	for _, l := range f.lines {
		if l = strings.Trim(l, " \t"); l != "" {
			parts = append(parts, l)
		}
	}
	return strings.Join(parts, " ")
}

// text returns a value of several lines, without the indentation that made headers of them: spaces and a bar in front of
// each line, as the specification has it, or else the spaces that all lines share.
func (f field) text() string {
	margin, bars := -1, true
	for _, l := range f.lines[1:] {
		bare := strings.TrimLeft(l, " \t")
		bars = bars && strings.HasPrefix(bare, "|")
		if indent := len(l) - len(bare); bare != "" && (margin < 0 || indent < margin) {
			margin = indent
		}
	}
	var b strings.Builder
	b.WriteString(f.lines[0])
	for _, l := range f.lines[1:] {
		b.WriteByte('\n')
		bare := strings.TrimLeft(l, " \t")
		switch {
		case bars:
			b.WriteString(bare[1:])
		case bare != "":
			b.WriteString(l[margin:])
		}
	}
	return strings.TrimRight(b.String(), " \t\n")
}

// control reports whether a character has no place in a line for people: control characters, and the separators that
// break a line elsewhere.
func control(r rune) bool {
	return unicode.IsControl(r) && r != '\t' || r == '\u2028' || r == '\u2029'
}
