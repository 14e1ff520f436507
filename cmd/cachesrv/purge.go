package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

type purgeCmd struct {
	conf.Folder

	Keys   []string `arg:"" optional:"" name:"key" help:"Pages: host/path?query, a URL, or /path for every host."`
	Tag    []string `sep:"none" placeholder:"T" help:"Every page that declared this tag. May be repeated."`
	Prefix []string `sep:"none" placeholder:"P" help:"The subtree host/path, or /path on every host. May be repeated."`
	All    bool     `help:"Every page."`
	Soft   bool     `help:"Keep the pages that have a grace, to be served within it while they are rendered again."`
	DryRun bool     `help:"Drop nothing; show what would be dropped."`
}

func (purgeCmd) Help() string {
	return `When the command has returned, no request that starts afterwards on this node is answered from the cache with ` +
		`what was dropped, nor with a page whose rendering began before. It works whether or not servers have the folder open. ` +
		`Nothing to drop is no error.

    cachesrv purge 'https://example.org/a?x=1' example.org/b
    cachesrv purge --tag note:1 --tag all-notes
    cachesrv purge --prefix example.org/docs --dry-run
    cachesrv purge --all`
}

// A drop is one argument of purge.
type drop struct {
	name string
	host string // of a key or prefix, if it has one
	sel  cache.Selection
}

func (c *purgeCmd) Run(ctx context.Context, p *program) error {
	drops, err := c.drops()
	if err != nil {
		return err
	}
	return p.withFolder(ctx, c.Dir, func(store *cache.Store) error {
		var errs []error
		for _, d := range drops {
			d.sel.Soft, d.sel.DryRun, d.sel.Cause = c.Soft, c.DryRun, "cachesrv purge"
			dropped, err := store.Invalidate(ctx, d.sel)
			if err != nil { // the other arguments are still worth dropping
				errs = append(errs, fmt.Errorf("purge %s: %w", d.name, err))
				continue
			}
			fmt.Fprintf(p.stdout, "%s: %s\n", d.name, describe(dropped, d.sel))
			for _, k := range dropped.Keys {
				fmt.Fprintf(p.stdout, "  %s\n", k)
			}
			if isNothing(dropped) && d.host != "" {
				known, err := store.Hosts(ctx)
				if err != nil {
					return errors.Join(append(errs, err)...)
				}
				if !slices.Contains(known, d.host) {
					fmt.Fprintf(p.stdout, "  no page has the host %q; %s\n", d.host, hint(known))
				}
			}
		}
		return errors.Join(errs...)
	})
}

// drops reads the arguments; all of them, before anything is dropped.
func (c *purgeCmd) drops() (drops []drop, err error) {
	for _, text := range c.Keys {
		k, err := key.Parse(text)
		if err != nil {
			return nil, usageError(err.Error())
		}
		drops = append(drops, drop{name: k.String(), host: k.Host, sel: cache.Selection{Keys: []cache.Key{k}}})
	}
	for _, tag := range c.Tag {
		if tag == "" {
			return nil, usageError("--tag is empty")
		}
		if err := cache.CheckTag(tag); err != nil { // no page has it; said now, while nothing is dropped yet
			return nil, usageError("--" + err.Error())
		}
		drops = append(drops, drop{name: "tag " + printable(tag), sel: cache.Selection{Tags: []string{tag}}})
	}
	for _, text := range c.Prefix {
		prefix, err := key.ParsePrefix(text)
		if err != nil {
			return nil, usageError(err.Error())
		}
		drops = append(drops, drop{name: "prefix " + prefix.String(), host: prefix.Host, sel: cache.Selection{Prefixes: []key.Prefix{prefix}}})
	}
	switch {
	case c.All && len(drops) > 0:
		return nil, usageError("--all drops every page: give either it, or keys, tags and prefixes")
	case c.All:
		drops = append(drops, drop{name: "all", sel: cache.Selection{All: true}})
	case len(drops) == 0:
		return nil, usageError("nothing to purge: give keys (host/path?query or URLs), --tag T, --prefix P or --all")
	}
	return drops, nil
}

func isNothing(d cache.Dropped) bool {
	return d.Pages == 0 && d.Graced == 0 && d.Twins == 0 && d.Claims == 0 && !d.Retired && len(d.Keys) == 0
}

// describe says what an invalidation dropped.
func describe(d cache.Dropped, sel cache.Selection) string {
	if isNothing(d) {
		return "nothing was there"
	}
	verb := "dropped"
	switch {
	case sel.DryRun:
		verb = "would drop"
	case sel.Soft:
		verb = "soft-purged"
	case d.Retired && !sel.All:
		verb = "could not be dropped alone (see the log), so everything was:"
	}
	var parts []string
	for _, part := range []struct {
		n    int
		unit string
	}{{d.Pages, "page"}, {d.Graced, "graced page"}, {d.Twins, "twin"}, {d.Claims, "unfinished fill"}} {
		if part.n > 0 {
			parts = append(parts, count(int64(part.n), part.unit))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no page"}
	}
	return verb + " " + strings.Join(parts, ", ")
}

// maxHinted bounds the hosts that a hint lists.
const maxHinted = 10

func hint(hosts []string) string {
	if len(hosts) == 0 {
		return "the folder has no page at all"
	}
	more := ""
	if n := len(hosts) - maxHinted; n > 0 {
		hosts, more = hosts[:maxHinted], fmt.Sprintf(" and %d more", n)
	}
	return "the folder knows " + strings.Join(hosts, ", ") + more
}
