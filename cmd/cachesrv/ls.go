package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
)

type lsCmd struct {
	conf.Folder

	Tag    []string `sep:"none" placeholder:"T" help:"Only pages with one of these tags."`
	Prefix []string `sep:"none" placeholder:"P" help:"Only pages of these subtrees: host/path, or /path on every host."`
	JSON   bool     `name:"json" help:"One JSON object per line."`
}

func (lsCmd) Help() string {
	return `In the order of publication. Hits are counted by the servers and written down now and then.

    cachesrv ls --tag all-notes
    cachesrv ls --prefix /notes --json | jq -r .key`
}

// A line of ls --json.
type jsonEntry struct {
	Key       string     `json:"key"`
	Tags      []string   `json:"tags"`
	Status    int        `json:"status"`
	Size      int64      `json:"size"` // bytes
	Published time.Time  `json:"published"`
	Expires   *time.Time `json:"expires,omitempty"`
	Hits      int64      `json:"hits"`
	Twins     []string   `json:"twins"` // encodings
	Graced    bool       `json:"graced"`
	File      string     `json:"file"` // relative to DIR/cache/current
}

func (c *lsCmd) Run(ctx context.Context, p *program) error {
	prefixes := make([]key.Prefix, len(c.Prefix))
	for i, text := range c.Prefix {
		var err error
		if prefixes[i], err = key.ParsePrefix(text); err != nil {
			return usageError(err.Error())
		}
	}
	selected := func(e cache.Entry) bool {
		tagged := func(tag string) bool { return slices.Contains(e.Page.Meta.Tags, tag) }
		covered := func(prefix key.Prefix) bool { return prefix.Covers(e.Key) }
		return (len(c.Tag) == 0 || slices.ContainsFunc(c.Tag, tagged)) &&
			(len(prefixes) == 0 || slices.ContainsFunc(prefixes, covered))
	}
	return p.withFolder(ctx, c.Dir, func(store *cache.Store) error {
		out := printer(newTable(p.stdout))
		if c.JSON {
			out = jsonLines{json.NewEncoder(p.stdout)}
		}
		for e, err := range store.List(ctx) {
			if err != nil {
				return fmt.Errorf("list %s: %w", store.Dir(), err)
			}
			if !selected(e) {
				continue
			}
			if err := out.print(e); err != nil {
				return err
			}
		}
		return out.flush()
	})
}

type printer interface {
	print(cache.Entry) error
	flush() error
}

type jsonLines struct{ *json.Encoder }

func (j jsonLines) flush() error { return nil }

func (j jsonLines) print(e cache.Entry) error {
	return j.Encode(newJSONEntry(e))
}

func newJSONEntry(e cache.Entry) jsonEntry {
	line := jsonEntry{Key: e.Key.String(), Tags: e.Page.Meta.Tags, Status: e.Page.Meta.Status, Size: e.Page.Size, Published: e.Page.Published,
		Hits: e.Hits, Twins: e.Twins, Graced: e.Graced, File: e.File}
	for _, list := range []*[]string{&line.Tags, &line.Twins} {
		if *list == nil {
			*list = []string{} // a list in JSON, too
		}
	}
	if !e.Page.Meta.Expires.IsZero() {
		line.Expires = &e.Page.Meta.Expires
	}
	return line
}

// A table aligns its rows in blocks, so that a long list appears while it is read.
type table struct {
	w    *tabwriter.Writer
	rows int
	now  time.Time
}

const rowsPerBlock = 1000

func newTable(w io.Writer) *table {
	return &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0), now: time.Now()}
}

func (t *table) print(e cache.Entry) error {
	if t.rows == 0 {
		fmt.Fprintln(t.w, "KEY\tSIZE\tAGE\tHITS\tTAGS")
	}
	if t.rows++; t.rows%rowsPerBlock == 0 {
		if err := t.w.Flush(); err != nil {
			return err
		}
	}
	note := ""
	if e.Graced {
		note = " (graced)"
	}
	_, err := fmt.Fprintf(t.w, "%s%s\t%s\t%s\t%d\t%s\n", e.Key, note, unit.Size(e.Page.Size).Short(), age(t.now.Sub(e.Page.Published)),
		e.Hits, printable(e.Page.Meta.Tags...))
	return err
}

func (t *table) flush() error {
	if t.rows == 0 {
		fmt.Fprintln(t.w, "no pages")
	}
	return t.w.Flush()
}

// age writes a duration in its largest unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(max(0, int(d.Seconds()))) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
}

// printable returns names as they are, or quoted where a terminal or a column would misread one.
func printable(names ...string) string {
	shown := make([]string, len(names))
	for i, name := range names {
		shown[i] = name
		if quoted := strconv.Quote(name); quoted != `"`+name+`"` || strings.Contains(name, " ") || name == "" {
			shown[i] = quoted
		}
	}
	return strings.Join(shown, " ")
}
