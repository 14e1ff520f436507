//go:build cachesrv_fault

package cache

import (
	"path/filepath"
	"sync"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// insides are the inner folders that the control HeldFolder holds, by page.
var insides sync.Map

// holdInside is the first half of the control HeldFolder: it holds the folder a page was found in.
func holdInside(v *liveView, p *Page) {
	if !fault.Broken(fault.HeldFolder) {
		return
	}
	if d, err := sys.OpenDir(fault.HitOpen, filepath.Join(v.dir.Path(), filepath.Dir(string(p.path)))); err == nil {
		insides.Store(p, d)
	}
}

// heldInside is the other half: it looks for the page there, wherever the folder has been moved to.
func heldInside(_ *liveView, p *Page) bool {
	held, _ := insides.Load(p)
	d, _ := held.(*sys.Dir)
	if d == nil {
		return false
	}
	st, err := d.Stat(fault.HitStat, p.name())
	return err == nil && identityOf(st) == p.identity
}
