package httpcache

import "strings"

// parseDictionary reads a targeted field: a Dictionary of RFC 8941 (3.2), each member a directive (RFC 9213, 2.1). It is
// not lenient: `max-age =60` or `Max-Age=60` is malformed.
//
// Two things are stricter than RFC 8941: a name given twice stays twice (so the smaller number counts, not the last), and
// no-store=?0 is no-store.
func parseDictionary(text string) (ds directives, ok bool) {
	p := &fields{strings.TrimLeft(text, " ")}
	for p.s != "" {
		d := directive{name: p.key()}
		if d.name == "" || len(ds) == maxDirectives {
			return nil, false
		}
		kind := boolean
		if p.skip('=') {
			d.argument = true
			if kind, d.value = p.item(true); kind == none {
				return nil, false
			}
			d.quoted = kind == quotation
		}
		// RFC 9213, 2.1: what is a number in Cache-Control is an Integer here. Another type says nothing we could trust.
		if counts[d.name] && kind != integer || !p.parameters() {
			return nil, false
		}
		ds = append(ds, d)
		if p.s = strings.TrimLeft(p.s, " \t"); p.s == "" {
			return ds, true
		}
		if !p.skip(',') {
			return nil, false
		}
		if p.s = strings.TrimLeft(p.s, " \t"); p.s == "" { // RFC 8941, 4.2.2: a comma at the end
			return nil, false
		}
	}
	return ds, true
}

// counts are the directives with a number of seconds.
var counts = map[string]bool{"max-age": true, "s-maxage": true, "stale-while-revalidate": true, "stale-if-error": true}

// The kinds of a structured field's items, as far as they matter here.
type kind int

const (
	none kind = iota // malformed
	integer
	quotation
	boolean
	other
)

// fields is what is left to read of a structured field.
type fields struct{ s string }

func (p *fields) skip(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// while cuts the leading bytes that are of the set.
func (p *fields) while(of func(c byte) bool) string {
	i := 0
	for i < len(p.s) && of(p.s[i]) {
		i++
	}
	cut := p.s[:i]
	p.s = p.s[i:]
	return cut
}

func lower(c byte) bool { return c >= 'a' && c <= 'z' }
func digit(c byte) bool { return c >= '0' && c <= '9' }

// key reads a key (RFC 8941, 4.2.3.3); "" if there is none.
func (p *fields) key() string {
	if p.s == "" || !lower(p.s[0]) && p.s[0] != '*' {
		return ""
	}
	return p.while(func(c byte) bool { return lower(c) || digit(c) || strings.IndexByte("_-.*", c) >= 0 })
}

// parameters reads *( ";" *SP key [ "=" bare-item ] ) (4.2.3.2). What they say is ignored (RFC 9213, 2.1).
func (p *fields) parameters() bool {
	for p.skip(';') {
		p.s = strings.TrimLeft(p.s, " ")
		if p.key() == "" {
			return false
		}
		if p.skip('=') {
			if k, _ := p.item(false); k == none {
				return false
			}
		}
	}
	return true
}

// item reads a bare item (4.2.3.1) or, if it may be one, an inner list (4.2.1.2), and returns its text.
func (p *fields) item(list bool) (kind, string) {
	if p.s == "" {
		return none, ""
	}
	switch c := p.s[0]; {
	case c == '(' && list:
		return p.innerList(), ""
	case c == '"':
		return p.quotation()
	case c == '?':
		if len(p.s) < 2 || p.s[1] != '0' && p.s[1] != '1' {
			return none, ""
		}
		p.s = p.s[2:]
		return boolean, ""
	case c == ':':
		bytes, rest, ok := strings.Cut(p.s[1:], ":")
		if !ok || strings.Trim(bytes, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != "" {
			return none, ""
		}
		p.s = rest
		return other, bytes
	case c == '-' || digit(c):
		return p.number()
	case c == '*' || lower(c|0x20):
		return other, p.while(func(c byte) bool { return tokenByte(c) || c == ':' || c == '/' })
	}
	return none, ""
}

// number reads an Integer or a Decimal (4.2.4).
func (p *fields) number() (kind, string) {
	sign := ""
	if p.skip('-') {
		sign = "-"
	}
	whole := p.while(digit)
	if p.skip('.') {
		part := p.while(digit)
		if whole == "" || part == "" || len(whole) > 12 || len(part) > 3 {
			return none, ""
		}
		return other, sign + whole + "." + part
	}
	if whole == "" || len(whole) > 15 {
		return none, ""
	}
	return integer, sign + whole
}

// quotation reads a String (4.2.5).
func (p *fields) quotation() (kind, string) {
	var b strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.s = p.s[i+1:]
			return quotation, b.String()
		case c == '\\':
			if i++; i == len(p.s) || p.s[i] != '"' && p.s[i] != '\\' {
				return none, ""
			}
		case c < ' ' || c > '~':
			return none, ""
		}
		b.WriteByte(p.s[i])
	}
	return none, ""
}

func (p *fields) innerList() kind {
	p.skip('(')
	for {
		p.s = strings.TrimLeft(p.s, " ")
		if p.skip(')') {
			return other
		}
		if k, _ := p.item(false); k == none || !p.parameters() || p.s == "" || p.s[0] != ' ' && p.s[0] != ')' {
			return none
		}
	}
}
