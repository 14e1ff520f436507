package cache

import (
	"context"
	"fmt"
	"slices"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/key"
)

const maxID = int64(^uint64(0) >> 1)

// prefix drops a subtree: one rename, whatever it holds. Fills inside it hold their folders and publish into the trash.
//
//	rename FOLDER to the trash · drop the pages of the prefix's own path
func (r *reaper) prefix(ctx context.Context, p key.Prefix, newest int64) error {
	if p.Host == "" {
		hosts, err := r.g.hosts()
		if err != nil {
			return err
		}
		for _, p.Host = range hosts {
			if err := r.prefix(ctx, p, newest); err != nil {
				return err
			}
		}
		return nil
	}
	below := inventory.Below(p.Folder())
	if r.soft {
		if err := r.rows(ctx, inventory.Select{Files: below, Until: newest}); err != nil {
			return err
		}
	} else {
		count, err := r.g.inv.Count(ctx, below)
		if err != nil {
			return err
		}
		found, err := r.trashFolder(p.Folder())
		if err != nil {
			return err
		}
		if found {
			r.dropped.Pages += int(count)
			r.s.keep.goneBelow(r.g, below, newest)
		}
	}
	if own, ok := p.Key(); ok {
		if err := r.key(ctx, own); err != nil {
			return err
		}
		from, _ := p.Queries()
		return r.rows(ctx, inventory.Select{Files: inventory.Range{From: from, To: from[:len(from)-1] + "@"}, Until: newest}) // "@" follows "?"
	}
	return nil
}

func (r *reaper) trashFolder(path string) (bool, error) {
	dir, name := splitLast(path)
	parent := r.g.pages
	if dir != "" {
		var err error
		if parent, err = r.folder(dir); err != nil || parent == nil {
			return false, err
		}
	}
	return parent.Rename(fault.SubtreeDrop, name, r.s.trash, r.s.uniqueName("subtree"))
}

// hosts lists the hosts that have a folder.
func (g *generation) hosts() ([]string, error) {
	hosts, err := g.pages.Names(fault.HostsRead, ".")
	slices.Sort(hosts)
	return hosts, err
}

// Hosts lists the hosts the folder has, or lately had, pages of.
func (s *Store) Hosts(ctx context.Context) ([]string, error) {
	g, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	defer g.drop()
	return g.hosts()
}
