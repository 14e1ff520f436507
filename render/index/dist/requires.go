package dist

import "strings"

// Requirements are read as strictly as their users do (PEP 508, PEP 440): one that pip can't read makes the project, or
// whatever requires it, impossible to install. Nothing is kept of what was read.

// checkSpecifiers checks a version specifier set: ">=3.8, <4".
func checkSpecifiers(set string) error {
	for s := range strings.SplitSeq(set, ",") {
		if s = strings.Trim(s, spaces); s != "" && !specifier(s) {
			return invalidf("%s is not a version specifier as of PEP 440, like >=3.8", quote(s))
		}
	}
	return nil
}

const spaces = " \t\n\v\f\r"

// specifier reads one clause: an operator and a version, of which some operators allow a prefix or not all parts.
func specifier(s string) bool {
	if arbitrary, ok := strings.CutPrefix(s, "==="); ok {
		arbitrary = strings.TrimLeft(arbitrary, spaces)
		return arbitrary != "" && !strings.ContainsAny(arbitrary, spaces+";)")
	}
	for _, op := range [...]string{"==", "!=", "~=", "<=", ">=", "<", ">"} {
		rest, ok := strings.CutPrefix(s, op)
		if !ok {
			continue
		}
		equality := op == "==" || op == "!="
		prefix := false
		if equality {
			rest, prefix = strings.CutSuffix(rest, ".*")
		}
		v, ok := parseVersion(rest)
		switch {
		case !ok:
			return false
		case prefix:
			return v.pre == "" && v.post == "" && v.dev == "" && len(v.local) == 0 && strings.TrimRight(rest, spaces) == rest
		case op == "~=":
			return len(v.release) > 1 && len(v.local) == 0
		}
		return equality || len(v.local) == 0
	}
	return false
}

// checkRequirement checks a requirement: `name[extra] (>=1.0); python_version < "3.8"`. A direct URL is refused, as on
// PyPI: nobody would know what is installed.
func checkRequirement(r string) error {
	bad := func(what string) error {
		return invalidf("%s is not a requirement as of PEP 508: %s", quote(r), what)
	}
	rest := strings.Trim(r, spaces)
	name, rest := identifier(rest)
	if !ValidName(name) {
		return bad("a project's name must come first")
	}
	rest = strings.TrimLeft(rest, spaces)
	if inner, ok := strings.CutPrefix(rest, "["); ok {
		extras, after, ok := strings.Cut(inner, "]")
		if !ok {
			return bad(`there is no "]"`)
		}
		if extras = strings.Trim(extras, spaces); extras != "" {
			for extra := range strings.SplitSeq(extras, ",") {
				if extra = strings.Trim(extra, spaces); !ValidName(extra) {
					return bad("an extra's name is invalid")
				}
			}
		}
		rest = strings.TrimLeft(after, spaces)
	}
	if strings.HasPrefix(rest, "@") {
		return invalidf("%s requires a URL: require a version of the project instead", quote(r))
	}
	versions, marker, marked := strings.Cut(rest, ";")
	versions = strings.Trim(versions, spaces)
	if inner, ok := strings.CutPrefix(versions, "("); ok {
		if versions, ok = strings.CutSuffix(inner, ")"); !ok {
			return bad(`there is no ")"`)
		}
	}
	if err := checkSpecifiers(versions); err != nil {
		return bad(err.Error())
	}
	if marked {
		m := markerParser(marker)
		if !m.any(0) || m.token() != "" {
			return bad("what stands behind the semicolon is no environment marker")
		}
	}
	return nil
}

// identifier cuts off the longest run of what a name may have in it.
func identifier(s string) (name, rest string) {
	i := 0
	for i < len(s) && (alnum(s[i]) || strings.IndexByte(separators, s[i]) >= 0) {
		i++
	}
	return s[:i], s[i:]
}

// A markerParser is what remains to be read of an environment marker.
type markerParser string

// maxMarkerDepth bounds parentheses within parentheses.
const maxMarkerDepth = 20

// any reads comparisons and markers in parentheses, joined by "and" and "or".
func (p *markerParser) any(depth int) bool {
	for {
		if !p.one(depth) {
			return false
		}
		rest := *p
		if t := rest.token(); t != "and" && t != "or" {
			return true
		}
		*p = rest
	}
}

func (p *markerParser) one(depth int) bool {
	left := p.token()
	if left == "(" {
		return depth < maxMarkerDepth && p.any(depth+1) && p.token() == ")"
	}
	if !operand(left) {
		return false
	}
	switch p.token() {
	case "<", "<=", ">", ">=", "==", "!=", "~=", "===", "in":
	case "not":
		if p.token() != "in" {
			return false
		}
	default:
		return false
	}
	return operand(p.token())
}

// operand reports whether a token is a variable or a string. The names of variables are not looked up: there may be new
// ones.
func operand(token string) bool {
	switch token {
	case "", "and", "or", "in", "not":
		return false
	}
	return alnum(token[0]) && !digit(token[0]) || token[0] == '\'' || token[0] == '"'
}

// token cuts off a word, a string, a parenthesis or an operator; "" at the end, and "?" for what is none of these.
func (p *markerParser) token() string {
	s := strings.TrimLeft(string(*p), spaces)
	n := 0
	switch {
	case s == "":
	case s[0] == '\'' || s[0] == '"':
		end := strings.IndexByte(s[1:], s[0])
		if end < 0 {
			return "?"
		}
		n = end + 2
	case s[0] == '(' || s[0] == ')':
		n = 1
	case alnum(s[0]):
		for n < len(s) && (alnum(s[n]) || s[n] == '_' || s[n] == '.') {
			n++
		}
	default:
		for n < len(s) && strings.IndexByte("<>=!~", s[n]) >= 0 {
			n++
		}
		if n == 0 {
			return "?"
		}
	}
	*p = markerParser(s[n:])
	return s[:n]
}
