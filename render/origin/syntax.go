package origin

import "strings"

// validTarget reports whether s can stand in a request line: it has no whitespace and no control characters, either
// of which could end the line or the target, and is not empty. In HTTP/2 a path may contain them.
func validTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return s != ""
}

// validHost reports whether s has only bytes that a host, a port and an IP literal have (RFC 3986, 3.2.2).
func validHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("!$%&'()*+,-.:;=[]_~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// hasToken reports whether a list has the token, in any case.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for e := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.Trim(e, " \t"), token) {
				return true
			}
		}
	}
	return false
}
