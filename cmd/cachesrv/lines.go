package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/cache"
)

// lines prints items, each a name and a text, that fit a terminal.
type lines struct {
	w   io.Writer
	err error
}

// lineWidth is that of a terminal, indent where texts begin.
const (
	lineWidth = 79
	indent    = 12
)

func newLines(w io.Writer) *lines { return &lines{w: w} }

// item prints a text behind its name, broken at spaces; words that are too long stand alone.
func (l *lines) item(name, text string) {
	line := fmt.Sprintf("%-*s", indent-1, name)
	for word := range strings.FieldsSeq(text) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > lineWidth && strings.TrimSpace(line) != "" && len(line) > indent {
			l.print(line)
			line = strings.Repeat(" ", indent-1)
		}
		line += " " + word
	}
	l.print(line)
}

func (l *lines) print(line string) {
	if l.err == nil {
		_, l.err = fmt.Fprintln(l.w, strings.TrimRight(line, " "))
	}
}

const timeLayout = "2006-01-02 15:04:05"

// when writes a time, and how long ago it was.
func when(t time.Time) string {
	return fmt.Sprintf("%s UTC (%s ago)", t.UTC().Format(timeLayout), age(time.Since(t)))
}

// selected says what an invalidation named.
func selected(j cache.Journaled) string {
	var parts []string
	if j.All {
		parts = append(parts, "everything")
	}
	for _, list := range []struct {
		what  string
		names []string
	}{{"", j.Keys}, {"tag", j.Tags}, {"subtree", j.Prefixes}} {
		if len(list.names) > 0 {
			parts = append(parts, strings.TrimSpace(list.what+" "+printable(list.names...)))
		}
	}
	if j.More > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", j.More))
	}
	text := strings.Join(parts, ", ")
	if j.Soft {
		text = "soft: " + text
	}
	if j.Retired && !j.All {
		text += ", which failed, so that everything was dropped"
	}
	return text
}

// by says who invalidated, and why.
func by(j cache.Journaled) string {
	text := fmt.Sprintf(", by %s[%d]", printable(j.Program), j.PID)
	if j.Cause != "" {
		text += ": " + visible(j.Cause)
	}
	return text
}

// visible returns a text for people as it is, but for what would command their terminal.
func visible(text string) string {
	quoted := fmt.Sprintf("%q", text)
	if quoted != `"`+text+`"` {
		return quoted
	}
	return text
}
