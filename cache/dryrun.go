package cache

import (
	"context"
	"fmt"
	"slices"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/key"
)

// maxDryRun bounds the keys a dry run lists.
const maxDryRun = 10_000

func (s *Store) dryRun(ctx context.Context, g *generation, sel Selection) (d Dropped, err error) {
	err = g.inv.Rows(ctx, inventory.Select{}, func(row *inventory.Row) error {
		k, err := key.Parse(row.Key)
		if err != nil {
			return err
		}
		if !sel.names(k, row.Tags) {
			return nil
		}
		published, graced := g.standing(row)
		switch {
		case published:
			d.Pages++
		case graced:
			d.Graced++
		default:
			return nil
		}
		if len(d.Keys) < maxDryRun {
			d.Keys = append(d.Keys, k)
		}
		return nil
	})
	if err != nil {
		return d, fmt.Errorf("dry run: %w", err)
	}
	return d, nil
}

// names reports whether the selection names a page.
func (sel Selection) names(k Key, tags []string) bool {
	if sel.All {
		return true
	}
	for _, named := range sel.Keys {
		if sameURL(named, k) && (named.Variant == "" || named.Variant == k.Variant) {
			return true
		}
	}
	return slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(sel.Tags, t) }) ||
		slices.ContainsFunc(sel.Prefixes, func(p key.Prefix) bool { return p.Covers(k) })
}

// standing reports whether a row's publication is there, as a page or as a graced one.
func (g *generation) standing(row *inventory.Row) (published, graced bool) {
	if st, err := g.pages.Stat(fault.StandingStat, row.File); err == nil && identityOf(st) == row.Identity {
		return true, false
	}
	st, err := g.pages.Stat(fault.StandingStat, row.File+key.StaleSuffix)
	return false, err == nil && identityOf(st) == row.Identity
}
