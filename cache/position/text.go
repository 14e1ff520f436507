package position

import (
	"fmt"
	"strconv"
	"strings"
)

// Parse reads the text form of a vector. The empty text is that of no position.
func Parse(text string) (Vector, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrTooLarge, len(text), MaxText)
	}
	if strings.Trim(text, " ") == "" {
		return nil, nil
	}
	var entries []Entry
	for part := range strings.SplitSeq(text, ";") {
		e, err := parseEntry(strings.Trim(part, " "))
		if err != nil {
			return nil, err
		}
		if entries = append(entries, e); len(entries) > MaxSources {
			return nil, fmt.Errorf("%w: it has more than %d sources", ErrTooLarge, MaxSources)
		}
	}
	return New(entries...)
}

func parseEntry(text string) (e Entry, err error) {
	name, rest, named := strings.Cut(text, "=")
	incarnation, body, ok := strings.Cut(rest, "@")
	if !named || !ok {
		return e, fmt.Errorf("%w: %.80q: an entry is SOURCE=INCARNATION@LSN or SOURCE=INCARNATION@XMIN:XMAX:XIP", ErrMalformed, text)
	}
	e.Source, e.Incarnation = name, incarnation
	if strings.Contains(body, "/") {
		e.LSN, err = parseLSN(body)
	} else {
		e.Snapshot, err = parseSnapshot(body)
	}
	return e, err
}

// parseLSN reads a pg_lsn: two hexadecimal numbers of 32 bits.
func parseLSN(text string) (uint64, error) {
	high, low, _ := strings.Cut(text, "/")
	h, err := parseNumber(high, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: the LSN %.80q: it is like 16/B374D848", ErrMalformed, text)
	}
	l, err := parseNumber(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: the LSN %.80q: it is like 16/B374D848", ErrMalformed, text)
	}
	return h<<32 | l, nil
}

// parseSnapshot reads xmin:xmax:xip,xip+id,id.
func parseSnapshot(text string) (*Snapshot, error) {
	wrong := fmt.Errorf("%w: the snapshot %.80q: it is like 780:786:782,784+790", ErrMalformed, text)
	text, ahead, isAhead := strings.Cut(text, "+")
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return nil, wrong
	}
	xmin, err := parseNumber(parts[0], 10, 64)
	if err != nil || xmin == 0 {
		return nil, wrong
	}
	var s Snapshot
	if s.Xmax, err = parseNumber(parts[1], 10, 64); err != nil || s.Xmax < xmin {
		return nil, wrong
	}
	if s.Missing, err = parseIDs(parts[2]); err != nil || len(s.Missing) > 0 && s.Missing[0] < xmin {
		return nil, wrong
	}
	if isAhead {
		if s.Ahead, err = parseIDs(ahead); err != nil || len(s.Ahead) == 0 {
			return nil, wrong
		}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return &s, nil
}

func parseIDs(text string) (ids []uint64, err error) {
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		id, err := parseNumber(word, 10, 64)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// parseNumber is strconv.ParseUint without signs and underscores. Leading zeros are PostgreSQL's in an LSN.
func parseNumber(text string, base, bits int) (uint64, error) {
	if len(text) > 20 {
		return 0, strconv.ErrRange
	}
	return strconv.ParseUint(text, base, bits)
}

// String returns the canonical text form, which Parse reads back; empty for no position.
func (v Vector) String() string {
	var b strings.Builder
	for i, e := range v {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(e.Source + "=" + e.Incarnation + "@")
		if e.Snapshot != nil {
			b.WriteString(e.Snapshot.String())
		} else {
			fmt.Fprintf(&b, "%X/%X", e.LSN>>32, uint32(e.LSN))
		}
	}
	return b.String()
}

// String returns the text form of a set, with the xmin that PostgreSQL would give it.
func (s *Snapshot) String() string {
	xmin := s.Xmax
	if len(s.Missing) > 0 {
		xmin = s.Missing[0]
	}
	text := fmt.Sprintf("%d:%d:", xmin, s.Xmax) + joinIDs(s.Missing)
	if len(s.Ahead) > 0 {
		text += "+" + joinIDs(s.Ahead)
	}
	return text
}

func joinIDs(ids []uint64) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatUint(id, 10)
	}
	return strings.Join(words, ",")
}
