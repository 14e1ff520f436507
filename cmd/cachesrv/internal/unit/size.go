package unit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes, written with a unit: "256MiB", "1.5GiB", "10GB", or plain "4096".
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3},
	{"B", 1},
}

// UnmarshalText reads a size; a unit's case does not matter.
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range units {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, unit = strings.TrimSpace(number[:n]), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/unit {
		*s = Size(n * unit)
		return nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0) || strings.ContainsAny(number, "eExXpP_") || f*float64(unit) >= math.MaxInt64 {
		return fmt.Errorf("%q is not a size like 256MiB", text)
	}
	*s = Size(math.Round(f * float64(unit)))
	return nil
}

// String returns the size exactly, in the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Short returns the size for people, rounded to two or three digits: "14.6 KiB".
func (s Size) Short() string {
	for _, u := range units[:4] {
		if n := float64(s) / float64(u.bytes); n >= 1 {
			digits := 0
			if n < 99.95 {
				digits = 1
			}
			return strconv.FormatFloat(n, 'f', digits, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + " B"
}

// MarshalText writes what UnmarshalText reads.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
