package static

import (
	"net/http"
	"strconv"
	"strings"
)

// precondition evaluates If-Match and If-None-Match (RFC 9110, 13.2.2) against a strong entity tag: 412, 304, or 0
// to go on. A malformed header matches nothing.
func precondition(h http.Header, etag string) int {
	if match := h["If-Match"]; len(match) > 0 && !matches(match, etag, false) {
		return http.StatusPreconditionFailed
	}
	if match := h["If-None-Match"]; len(match) > 0 && matches(match, etag, true) {
		return http.StatusNotModified
	}
	return 0
}

// matches reports whether a list of entity tags has the given one, or is "*". The weak comparison ignores W/; the
// strong one is never true for a weak tag.
func matches(lines []string, etag string, weak bool) bool {
	for _, list := range lines {
		if strings.TrimSpace(list) == "*" {
			return true
		}
		for list = strings.TrimLeft(list, " \t,"); list != ""; list = strings.TrimLeft(list, " \t,") {
			isWeak := strings.HasPrefix(list, "W/")
			list = strings.TrimPrefix(list, "W/")
			if list == "" || list[0] != '"' {
				break // malformed from here on
			}
			end := strings.IndexByte(list[1:], '"')
			if end < 0 {
				break
			}
			if list[:end+2] == etag && (weak || !isWeak) {
				return true
			}
			list = list[end+2:]
		}
	}
	return false
}

// rangeApplies evaluates If-Range: the range holds for exactly these bytes only. A date never matches.
func rangeApplies(ifRange []string, etag string) bool {
	return len(ifRange) == 0 || len(ifRange) == 1 && strings.TrimSpace(ifRange[0]) == etag
}

// parseRange returns the part of a body that a Range header asks for: 206, 416 if it lies behind the body's end, or
// 200 for the whole: another unit, several ranges, anything malformed, an empty body. With 206 always
// 0 <= from, 0 < length, from+length <= size.
func parseRange(lines []string, size int64) (from, length int64, status int) {
	if len(lines) != 1 || size == 0 {
		return 0, size, http.StatusOK
	}
	unit, spec, ok := strings.Cut(lines[0], "=")
	first, last, isRange := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !ok || !isRange || !strings.EqualFold(strings.Trim(unit, " \t"), "bytes") {
		return 0, size, http.StatusOK
	}
	if first == "" { // the last N bytes
		n, ok := parseDigits(last)
		switch {
		case !ok:
			return 0, size, http.StatusOK
		case n == 0:
			return 0, 0, http.StatusRequestedRangeNotSatisfiable
		}
		n = min(n, size)
		return size - n, n, http.StatusPartialContent
	}
	from, ok = parseDigits(first)
	if !ok {
		return 0, size, http.StatusOK
	}
	end := size - 1
	if last != "" {
		n, ok := parseDigits(last)
		if !ok || n < from {
			return 0, size, http.StatusOK
		}
		end = min(end, n)
	}
	if from >= size {
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	}
	return from, end - from + 1, http.StatusPartialContent
}

// parseDigits reads a decimal number without sign. One too large for an int64 is the largest: no body is that long.
func parseDigits(s string) (int64, bool) {
	if s == "" || len(s) > 64 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, true
	}
	return n, true
}

func contentRange(from, length, size int64) string {
	return "bytes " + strconv.FormatInt(from, 10) + "-" + strconv.FormatInt(from+length-1, 10) + "/" + strconv.FormatInt(size, 10)
}
