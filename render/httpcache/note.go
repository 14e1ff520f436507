package httpcache

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrNote says that a text is no Life. The page it came with is then of no use.
var ErrNote = errors.New("malformed note")

// A note is words with a space between them, in this order, each there only if it says something:
//
//	1           the version of this format
//	b1795… f60000 w… i…    Born, Fresh, WhileRevalidate, IfError in milliseconds; f* is Forever
//	h v m       Heuristic, Validate, Must
//	s… yA,B     Selected and Vary
//	t…          Target, to the end of the line
const noteVersion = "1"

// Note returns the life as one line, to be kept with its page; "" for one that says no more than "until invalidated, for
// every request": such a page other servers can serve too.
func (l Life) Note() string {
	if l.trivial() {
		return ""
	}
	b := append(make([]byte, 0, 64), noteVersion...)
	number := func(letter byte, n int64) { b = strconv.AppendInt(append(b, ' ', letter), n, 10) }
	text := func(letter byte, s string) {
		if s != "" {
			b = append(append(b, ' ', letter), s...)
		}
	}
	if !l.Born.IsZero() {
		number('b', l.Born.UnixMilli())
	}
	switch l.Fresh {
	case 0:
	case Forever:
		text('f', "*")
	default:
		number('f', l.Fresh.Milliseconds())
	}
	if l.WhileRevalidate != 0 {
		number('w', l.WhileRevalidate.Milliseconds())
	}
	if l.IfError != 0 {
		number('i', l.IfError.Milliseconds())
	}
	for _, flag := range [...]struct {
		set  bool
		word string
	}{{l.Heuristic, " h"}, {l.Validate, " v"}, {l.Must, " m"}} {
		if flag.set {
			b = append(b, flag.word...)
		}
	}
	text('s', l.Selected)
	text('y', strings.Join(l.Vary, ","))
	text('t', l.Target)
	return string(b)
}

func (l Life) trivial() bool {
	return l.Born.IsZero() && l.Fresh == Forever && !l.Heuristic && !l.Validate && !l.Must && l.WhileRevalidate == 0 &&
		l.IfError == 0 && len(l.Vary) == 0 && l.Selected == "" && l.Target == ""
}

// ParseLife reads a note. It takes what Note writes and nothing else; the error wraps ErrNote.
func ParseLife(note string) (Life, error) {
	if note == "" {
		return Life{Fresh: Forever}, nil
	}
	malformed := func() (Life, error) { return Life{}, fmt.Errorf("%w: %.100q", ErrNote, note) }
	version, rest, _ := strings.Cut(note, " ")
	if version != noteVersion {
		return malformed()
	}
	var l Life
	for rest != "" {
		if target, ok := strings.CutPrefix(rest, "t"); ok {
			l.Target = target
			break
		}
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		if word == "" {
			return malformed()
		}
		ok := true
		switch value := word[1:]; word[0] {
		case 'b':
			var n int64
			n, ok = milliseconds(value)
			l.Born = time.UnixMilli(n).UTC()
		case 'f':
			if l.Fresh = Forever; value != "*" {
				l.Fresh, ok = duration(value)
			}
		case 'w':
			l.WhileRevalidate, ok = duration(value)
		case 'i':
			l.IfError, ok = duration(value)
		case 'h':
			l.Heuristic = true
		case 'v':
			l.Validate = true
		case 'm':
			l.Must = true
		case 's':
			l.Selected = value
		case 'y':
			l.Vary = strings.Split(value, ",")
		default:
			ok = false
		}
		if !ok {
			return malformed()
		}
	}
	if l.Note() != note { // another order, a word twice, a number in another form: not ours
		return malformed()
	}
	return l, nil
}

func milliseconds(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > -1<<53 && n < 1<<53
}

func duration(s string) (time.Duration, bool) {
	n, ok := milliseconds(s)
	return time.Duration(n) * time.Millisecond, ok && n > 0 && n <= maxDelta.Milliseconds()
}
