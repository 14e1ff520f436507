package static

import "strings"

// Accepts reports whether a client accepts a content coding that a page has been given by its origin: only if its
// Accept-Encoding (RFC 9110, 12.5.3) names it, or everything. Several codings, one over the other, are accepted by nobody;
// gzip and compress are the same as x-gzip and x-compress.
func Accepts(acceptEncoding []string, coding string) bool {
	best, all, length := unlisted, unlisted, 0
	for _, line := range acceptEncoding {
		if length += len(line); length > maxAcceptEncoding {
			return false
		}
		for element := range strings.SplitSeq(line, ",") {
			name, q, ok := parseWeighted(strings.Trim(element, " \t"))
			switch {
			case !ok:
			case name == "*":
				all = restrict(all, q)
			case sameCoding(name, coding):
				best = restrict(best, q)
			}
		}
	}
	if best == unlisted {
		best = all
	}
	return best > 0
}

// sameCoding reports whether two names are of one content coding: in any case, and by an alias (RFC 9110, 8.4.1.1 and 8.4.1.3).
func sameCoding(a, b string) bool { return strings.EqualFold(registered(a), registered(b)) }

func registered(coding string) string {
	if strings.EqualFold(coding, "x-gzip") || strings.EqualFold(coding, "x-compress") {
		return coding[len("x-"):]
	}
	return coding
}
