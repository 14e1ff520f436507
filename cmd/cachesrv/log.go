package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

type logCmd struct {
	conf.Folder

	URL      string   `arg:"" optional:"" help:"Only what concerned this URL by name, by subtree, or by all."`
	Tag      []string `sep:"none" placeholder:"T" help:"Only what named one of these tags, or all."`
	Number   int      `name:"number" short:"n" default:"20" placeholder:"N" help:"So many, the newest."`
	Follow   bool     `short:"f" help:"Then go on with what comes, until Ctrl-C."`
	Unstored bool     `help:"Which answers were not stored, and why, instead."`
	JSON     bool     `name:"json" help:"One JSON object per line."`
}

func (logCmd) Help() string {
	return `In the order of time. Every process of the folder writes down what it drops; at least 10,000 entries are kept. ` +
		`Lines may be missing: of a process that was killed, of a full disk, of a flood.

    cachesrv log -n 100 --tag all-notes
    cachesrv log --follow --json | jq -r .cause
    cachesrv log --unstored www.example.org/a`
}

func (c *logCmd) Run(ctx context.Context, p *program) error {
	if c.Number < 0 {
		return usageError(fmt.Sprintf("-n %d: it is 0 or more", c.Number))
	}
	if c.Unstored && c.Follow {
		return usageError("--unstored shows what there is: leave --follow out")
	}
	if c.Unstored && len(c.Tag) > 0 {
		return usageError("what was not stored has no tags: leave --tag out")
	}
	var k cache.Key
	if c.URL != "" {
		var err error
		if k, err = key.Parse(c.URL); err != nil {
			return usageError(err.Error())
		}
	}
	if err := needFolder(c.Dir); err != nil {
		return err
	}
	if c.Unstored {
		return c.unstored(ctx, p, k)
	}
	coming := cache.FollowJournal(ctx, c.Dir) // from before the look at what there is: nothing is left out
	last, err := newest(cache.Journal(ctx, c.Dir), c.Number, func(j cache.Journaled) bool { return c.wants(j, k) })
	if err != nil {
		return err
	}
	l := newLines(p.stdout)
	for _, j := range last {
		if err := c.print(p, l, j); err != nil {
			return err
		}
	}
	if !c.Follow {
		if len(last) == 0 && !c.JSON {
			_, err = fmt.Fprintln(p.stdout, "nothing is written down")
		}
		return err
	}
	for j, err := range coming {
		if err == nil && c.wants(j, k) && !slices.ContainsFunc(last, func(o cache.Journaled) bool { return o.At.Equal(j.At) && o.PID == j.PID }) {
			err = c.print(p, l, j)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// newest returns the n newest entries that are wanted, in the order of time.
func newest[T any](all iter.Seq2[T, error], n int, wanted func(T) bool) (list []T, err error) {
	for entry, err := range all {
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if len(list) == n {
			break
		}
		if wanted(entry) {
			list = append(list, entry)
		}
	}
	slices.Reverse(list)
	return list, nil
}

func (c *logCmd) wants(j cache.Journaled, k cache.Key) bool {
	if len(c.Tag) > 0 && !j.All && !slices.ContainsFunc(c.Tag, func(t string) bool { return slices.Contains(j.Tags, t) }) {
		return false
	}
	return k == (cache.Key{}) || j.Concerns(k, nil)
}

func (c *logCmd) print(p *program, l *lines, j cache.Journaled) error {
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(j)
	}
	dropped := describe(cache.Dropped{Pages: j.Pages, Graced: j.Graced, Twins: j.Twins, Claims: j.Claims, Retired: j.Retired}, cache.Selection{All: j.All, Soft: j.Soft})
	l.print(fmt.Sprintf("%s UTC  %s[%d]", j.At.UTC().Format(timeLayout), printable(j.Program), j.PID))
	if j.Cause != "" {
		l.item("  cause", visible(j.Cause))
	}
	l.item("  named", selected(j))
	if j.Error != "" {
		l.item("  FAILED", visible(j.Error))
	}
	l.item("  did", dropped+", in "+(time.Duration(j.Took)*time.Microsecond).String())
	if len(j.Dropped) > 0 {
		more := ""
		if n := j.Pages - len(j.Dropped); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		l.item("  pages", printable(j.Dropped...)+more)
	}
	if j.Position != "" {
		l.item("  position", visible(j.Position))
	}
	if j.Lost > 0 {
		l.item("  lost", fmt.Sprintf("%d lines before this one could not be written", j.Lost))
	}
	return l.err
}

func (c *logCmd) unstored(ctx context.Context, p *program, k cache.Key) error {
	last, err := newest(cache.UnstoredPages(ctx, c.Dir), c.Number, func(u cache.Unstored) bool {
		about, err := key.Parse(u.Key)
		return k == (cache.Key{}) || err == nil && about.Path == k.Path && about.Query == k.Query && (k.Host == "" || k.Host == about.Host)
	})
	l := newLines(p.stdout)
	for _, u := range last {
		if c.JSON {
			err = json.NewEncoder(p.stdout).Encode(u)
		} else {
			l.print(u.At.UTC().Format(timeLayout) + " UTC  " + printable(u.Key))
			l.item("  why", visible(u.Why))
			err = l.err
		}
		if err != nil {
			return err
		}
	}
	if len(last) == 0 && !c.JSON && err == nil {
		_, err = fmt.Fprintln(p.stdout, strings.TrimSpace("nothing is written down"))
	}
	return err
}
