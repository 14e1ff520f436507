package index

import "strings"

// cutMarker parts a requirement from its environment marker. A URL may have a semicolon: its marker comes after a space.
func cutMarker(requirement string) (what, marker string) {
	what, marker, _ = strings.Cut(requirement, ";")
	if strings.Contains(what, "@") {
		what, marker, _ = strings.Cut(strings.ReplaceAll(requirement, "\t", " "), " ;")
	}
	return strings.TrimSpace(what), strings.TrimSpace(marker)
}

// cutExtra takes the extra out of a marker, if the marker demands just one and whatever else it says. A marker of another
// form, as one with an "or", is left whole: a part of it would say something else.
func cutExtra(marker string) (extra, rest string) {
	var others []string
	for _, part := range conjuncts(marker) {
		name, ok := extraOf(part)
		switch {
		case !ok:
			others = append(others, part)
		case extra != "":
			return "", marker
		default:
			extra = name
		}
	}
	if extra == "" {
		return "", marker
	}
	return extra, strings.Join(others, " and ")
}

// extraOf reads `extra == "x"`.
func extraOf(part string) (string, bool) {
	if inner, ok := strings.CutPrefix(part, "("); ok {
		if inner, ok = strings.CutSuffix(inner, ")"); ok {
			part = strings.TrimSpace(inner)
		}
	}
	part, ok := strings.CutPrefix(part, "extra")
	if !ok {
		return "", false
	}
	quoted, ok := strings.CutPrefix(strings.TrimSpace(part), "==")
	if !ok {
		return "", false
	}
	quoted = strings.TrimSpace(quoted)
	n := len(quoted)
	if n < 3 || quoted[0] != '"' && quoted[0] != '\'' || strings.IndexByte(quoted[1:], quoted[0]) != n-2 {
		return "", false
	}
	return quoted[1 : n-1], true
}

// conjuncts parts a marker at each "and" that stands outside of quotes and parentheses. There are none if an "or" stands
// beside them, or if the marker is malformed.
func conjuncts(marker string) []string {
	var parts []string
	quote, depth, start := byte(0), 0, 0
	for i := 0; i < len(marker); i++ {
		switch c := marker[i]; {
		case c == quote:
			quote = 0
		case quote != 0:
		case c == '"' || c == '\'':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth == 0 && wordAt(marker, i, "or"):
			return nil
		case depth == 0 && wordAt(marker, i, "and"):
			parts = append(parts, strings.TrimSpace(marker[start:i]))
			start = i + len("and")
		}
	}
	if quote != 0 || depth != 0 {
		return nil
	}
	return append(parts, strings.TrimSpace(marker[start:]))
}

// wordAt reports whether s has the word at i, and not a longer one.
func wordAt(s string, i int, word string) bool {
	letter := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.'
	}
	end := i + len(word)
	return strings.HasPrefix(s[i:], word) && (i == 0 || !letter(s[i-1])) && (end == len(s) || !letter(s[end]))
}
