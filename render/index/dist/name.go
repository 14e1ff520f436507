package dist

import "strings"

// maxName bounds a project's name, in bytes.
const maxName = 100

// Normalize returns a project's name in the form of PEP 503 (runs of "-_." become "-", lower case).
func Normalize(name string) string {
	var b strings.Builder
	b.Grow(len(name))
	run := false
	for i := range len(name) {
		c := name[i]
		if c == '-' || c == '_' || c == '.' {
			run = true
			continue
		}
		if run {
			b.WriteByte('-')
			run = false
		}
		b.WriteByte(lower(c))
	}
	if run {
		b.WriteByte('-')
	}
	return b.String()
}

// ValidName reports whether a project may have the name (PEP 508), in whatever spelling; at most 100 bytes.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName || !alnum(name[0]) || !alnum(name[len(name)-1]) {
		return false
	}
	return only(name, "-_.")
}

func digit(c byte) bool  { return '0' <= c && c <= '9' }
func letter(c byte) bool { return 'a' <= lower(c) && lower(c) <= 'z' }
func alnum(c byte) bool  { return digit(c) || letter(c) }

// lower is for ASCII alone: names, versions and tags have nothing else.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// lowered is lower for a whole string.
func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

// only reports whether a string has only ASCII letters, digits and the further characters.
func only(s, further string) bool {
	for i := range len(s) {
		if !alnum(s[i]) && strings.IndexByte(further, s[i]) < 0 {
			return false
		}
	}
	return true
}
