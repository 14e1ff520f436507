package dist

import (
	"fmt"
	"strconv"
)

const (
	maxComplaint = 300 // bytes of a complaint: it becomes an HTTP reason phrase
	maxQuoted    = 60  // bytes of anything foreign that is quoted in one
)

// A complaint is an ErrInvalid whose whole text is for whoever uploads the file.
type complaint string

func (c complaint) Error() string { return string(c) }
func (c complaint) Unwrap() error { return ErrInvalid }

// invalidf makes a complaint. What is foreign goes through quote; should something slip past it, it still can't break
// the line. %w is %v: the text of an inner complaint is kept, and every complaint is the same error.
func invalidf(format string, a ...any) error {
	b := []byte(fmt.Errorf(format, a...).Error())
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	if len(b) > maxComplaint {
		b = append(b[:maxComplaint-3], "..."...)
	}
	return complaint(b)
}

// quote quotes what is foreign, in ASCII and shortened.
func quote(s string) string { return strconv.QuoteToASCII(shorten(s)) }

// shorten cuts a string, its middle out, to maxQuoted bytes: how it begins and how it ends tell most.
func shorten(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	const half = (maxQuoted - 3) / 2
	return s[:half] + "..." + s[len(s)-half:]
}
