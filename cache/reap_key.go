package cache

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// key drops a URL, or one variant of it; without a host, on every host there is.
func (r *reaper) key(ctx context.Context, k Key) error {
	hosts := []string{k.Host}
	if k.Host == "" {
		var err error
		if hosts, err = r.g.hosts(); err != nil {
			return err
		}
	}
	for _, host := range hosts {
		k.Host = host
		var err error
		if r.soft {
			err = r.softKey(ctx, k)
		} else {
			err = r.hardKey(k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hardKey drops a URL without asking the inventory: the files' names follow from the key.
//
//	unlink NAME.tmp · NAME · NAME! · rename NAME@ to the trash · unlink NAME.gz .br .zst · NAME.stale · NAME!.stale
//
// The claim goes first, so that no fill can publish any more; .stale goes last, as a soft purge may be turning the
// page into it. (NAME! is the private form.)
func (r *reaper) hardKey(k Key) error {
	f := k.File()
	unlock, err := r.s.guard(f.Claim())
	if err != nil {
		return err
	}
	defer unlock()
	d, err := r.g.pages.Open(fault.DropFolder, f.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	name := f.Base
	if f.Variant != "" {
		name += key.VariantSuffix + "/" + f.Variant
	}
	if fault.Broken(fault.PageBeforeClaim) {
		_, _ = d.Unlink(fault.PageDrop, name)
		fault.Pause(time.Millisecond)
	}
	fault.Point(fault.DropClaim)
	if err := r.unlink(fault.ClaimDrop, d, f.Base+key.ClaimSuffix, &r.dropped.Claims); err != nil {
		return err
	}
	fault.Point(fault.DropPage)
	if fault.Broken(fault.PageBeforeClaim) {
		return nil
	}
	before := r.dropped
	if err := r.forms(d, name, f.Variant == ""); err != nil {
		return err
	}
	if r.dropped.Pages != before.Pages {
		r.name(before.Pages, k.String())
	}
	if r.dropped.Pages != before.Pages || r.dropped.Graced != before.Graced {
		r.s.keep.suspect(r.g, f.Page())
		r.s.keep.suspect(r.g, f.Private())
	}
	return nil
}

// forms unlinks a page's two forms, its variants if told to, and what lies beside them.
func (r *reaper) forms(d *sys.Dir, name string, variants bool) error {
	forms := []string{name, name + key.PrivateSuffix}
	if r.s.o.Plain {
		forms, variants = forms[:1], false
	}
	if fault.Broken(fault.StaleBeforePage) {
		_ = r.unlink(fault.GracedDrop, d, name+key.StaleSuffix, &r.dropped.Graced)
		return r.unlink(fault.PageDrop, d, name, &r.dropped.Pages)
	}
	for _, form := range forms {
		if err := r.unlink(fault.PageDrop, d, form, &r.dropped.Pages); err != nil {
			return err
		}
	}
	if variants {
		if err := r.variants(d, name+key.VariantSuffix); err != nil {
			return err
		}
	}
	// Left-over twins of a private form do no harm: nobody but us reads them, and we only beside their page.
	if err := r.twins(d, name); err != nil || r.s.o.Plain {
		return err
	}
	for _, form := range forms {
		if err := r.unlink(fault.GracedDrop, d, form+key.StaleSuffix, &r.dropped.Graced); err != nil {
			return err
		}
	}
	return nil
}

// variants moves the folder of the further variants to the trash. Looking first is cheaper, and enough: with the claim
// gone, no variant can be published that is not there.
func (r *reaper) variants(d *sys.Dir, name string) error {
	if _, err := d.Stat(fault.VariantsStat, name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	trashed := r.s.uniqueName("variants")
	found, err := d.Rename(fault.VariantsDrop, name, r.s.trash, trashed)
	if err != nil || !found {
		return err
	}
	names, err := r.s.trash.Names(fault.VariantsCount, trashed)
	if err != nil {
		return nil // being emptied already
	}
	for _, name := range names {
		if !strings.Contains(name, ".") { // a variant's own name has no dot
			r.dropped.Pages++
		}
	}
	return nil
}

// softKey turns a URL's pages into graced ones.
func (r *reaper) softKey(ctx context.Context, k Key) error {
	f := k.File()
	unlock, err := r.s.guard(f.Claim())
	if err != nil {
		return err
	}
	err = r.unlinkClaim(f.Claim())
	unlock()
	if err != nil {
		return err
	}
	for _, form := range []string{f.Page(), f.Private()} {
		if err := r.rows(ctx, inventory.Select{Files: inventory.Range{From: form}, Until: maxID}); err != nil {
			return err
		}
	}
	if f.Variant != "" {
		return nil
	}
	return r.rows(ctx, inventory.Select{Files: inventory.Below(f.Variants()), Until: maxID})
}
