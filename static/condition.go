package static

import (
	"net/http"
	"strconv"
	"strings"
)

// precondition evaluates the conditions of a GET or HEAD in the order of RFC 9110, 13.2.2: 412, 304, or 0 to go on. An
// entity tag goes before a date, whether it matches or not. A malformed list of tags matches nothing, a malformed date
// is left out.
func precondition(h http.Header, v *validators) int {
	if match := h["If-Match"]; len(match) > 0 {
		if !matches(match, v.etag, false) {
			return http.StatusPreconditionFailed
		}
	} else if len(v.modified) > 0 {
		if changed, known := v.changedSince(h["If-Unmodified-Since"]); changed && known {
			return http.StatusPreconditionFailed
		}
	}
	if match := h["If-None-Match"]; len(match) > 0 {
		if matches(match, v.etag, true) {
			return http.StatusNotModified
		}
	} else if len(v.modified) > 0 {
		if changed, known := v.changedSince(h["If-Modified-Since"]); !changed && known {
			return http.StatusNotModified
		}
	}
	return 0
}

// matches reports whether a list of entity tags has the given one, or is "*". The weak comparison ignores W/; the
// strong one is never true for a weak tag, nor for one that is malformed. The weak one is, where a client gives a
// malformed tag back just as it got it.
func matches(lines []string, etag string, weak bool) bool {
	opaque, strong := strings.TrimPrefix(etag, "W/"), isStrong(etag)
	for _, list := range lines {
		if list = strings.Trim(list, " \t"); list == "*" || weak && list == etag {
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
			if list[:end+2] == opaque && (weak || strong && !isWeak) {
				return true
			}
			list = list[end+2:]
		}
	}
	return false
}

// rangeApplies evaluates If-Range (RFC 9110, 13.1.5): the range holds for exactly these bytes only, so for a strong
// entity tag, or a date that is as good.
func rangeApplies(h http.Header, v *validators) bool {
	switch ifRange := h["If-Range"]; len(ifRange) {
	case 0:
		return true
	case 1:
		tag := strings.Trim(ifRange[0], " \t")
		return tag == v.etag && isStrong(tag) || len(v.modified) > 0 && v.isDated(ifRange, h["Accept-Encoding"])
	}
	return false
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
