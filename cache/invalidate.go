package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// Invalidate drops what the selection names. Call it when the change is visible to new readers. When it has returned
// nil, P1 holds: no request that starts afterwards is answered from the cache with older data, fills in flight
// included, whatever process they are in.
//
// What can't be dropped or recorded one by one is dropped with everything else (Dropped.Retired); an error means that
// even that failed, and that readers may get old pages until the folder is fenced by hand. A canceled context does
// not stop it half-way.
func (s *Store) Invalidate(ctx context.Context, sel Selection) (Dropped, error) {
	if err := sel.check(); err != nil {
		return Dropped{}, fmt.Errorf("invalidate: %w", err)
	}
	sel = sel.spelled()
	ctx = context.WithoutCancel(ctx)
	s.stats.invalidations.Add(1)
	g, err := s.current(ctx)
	if errors.Is(err, ErrClosed) {
		return Dropped{}, fmt.Errorf("invalidate: %w", err)
	}
	if err != nil {
		if _, linkErr := s.at.Readlink(fault.GenerationRead, "current"); errors.Is(linkErr, fs.ErrNotExist) {
			return Dropped{Retired: true}, nil // there is no generation, and the next one's fills claim after this
		}
		s.log.Error("an invalidation could not reach the folder; fencing, as unknown means drop", "err", err)
		if err := s.fenceUntilDropped(ctx, err); err != nil {
			return Dropped{}, fmt.Errorf("invalidate: %w", err)
		}
		return Dropped{Retired: true}, nil
	}
	defer g.drop()
	if sel.DryRun {
		return s.dryRun(ctx, g, sel)
	}
	r := &reaper{s: s, g: g, soft: sel.Soft && !s.o.Plain}
	defer r.close()
	if err := r.reap(ctx, sel); err != nil {
		if err := s.failClosed(ctx, g, err); err != nil {
			return r.dropped, fmt.Errorf("invalidate: %w", err)
		}
		r.dropped.Retired = true
	}
	s.stats.dropped.Add(int64(r.dropped.Pages))
	return r.dropped, nil
}

func (sel Selection) check() error {
	for _, k := range sel.Keys {
		if !strings.HasPrefix(k.Path, "/") {
			return fmt.Errorf("key %q: %w: build it with key.Parse", k, key.ErrInvalid)
		}
	}
	for _, p := range sel.Prefixes {
		if p.Path != "" && p.Path[0] != '/' {
			return fmt.Errorf("prefix %q: %w: build it with key.ParsePrefix", p, key.ErrInvalid)
		}
	}
	for _, t := range sel.Tags {
		if err := CheckTag(t); err != nil {
			return err
		}
	}
	return nil
}

// concerns reports whether an invalidation that was recorded after a fill's claim drops what it renders.
func concerns(i *inventory.Invalidation, k Key, tags []string) bool {
	if fault.Broken(fault.TagsUnchecked) {
		return false
	}
	for _, t := range i.Tags {
		if slices.Contains(tags, t) {
			return true
		}
	}
	for _, text := range i.Prefixes {
		if p, err := key.ParsePrefix(text); err != nil || p.Covers(k) {
			return true
		}
	}
	return false
}

// A reaper carries out one invalidation in one generation.
type reaper struct {
	s       *Store
	g       *generation
	soft    bool
	dropped Dropped
	folders map[string]*sys.Dir // opened for this invalidation; nil: there is none
}

// heldFolders bounds a reaper's open folders.
const heldFolders = 64

func (r *reaper) close() {
	for _, d := range r.folders {
		_ = d.Close()
	}
	r.folders = nil
}

func (r *reaper) reap(ctx context.Context, sel Selection) error {
	if sel.All && !r.soft {
		pages, _, err := r.g.inv.Totals(ctx)
		if err == nil {
			r.dropped.Pages = int(pages)
		}
		r.dropped.Retired = true
		return r.s.retireGeneration(ctx, r.g, "everything was invalidated: "+sel.Cause, true)
	}
	for _, k := range sel.Keys {
		if err := r.key(ctx, k); err != nil {
			return fmt.Errorf("drop %s: %w", k, err)
		}
	}
	prefixes := sel.Prefixes
	if sel.All {
		prefixes = []key.Prefix{{}}
	}
	if len(sel.Tags) == 0 && len(prefixes) == 0 {
		return nil
	}
	i := inventory.Invalidation{Soft: r.soft, Tags: sel.Tags, Cause: sel.Cause}
	for _, p := range prefixes {
		i.Prefixes = append(i.Prefixes, p.String())
	}
	seq, newest, err := r.g.inv.Record(ctx, i)
	if err != nil {
		return err
	}
	if err := r.intent(ctx, &i, newest); err != nil {
		return err
	}
	if err := r.g.inv.Done(ctx, seq); err != nil {
		r.s.log.Warn("an invalidation was carried out but stays noted as open; it will be done again", "err", err)
	}
	return nil
}

// intent drops what a recorded invalidation names. What is published after it was recorded has seen it.
func (r *reaper) intent(ctx context.Context, i *inventory.Invalidation, newest int64) error {
	for _, tag := range i.Tags {
		if err := r.rows(ctx, inventory.Select{Tag: tag, Until: newest}); err != nil {
			return fmt.Errorf("drop tag %s: %w", tag, err)
		}
	}
	for _, text := range i.Prefixes {
		p, err := key.ParsePrefix(text)
		if err == nil {
			err = r.prefix(ctx, p, newest)
		}
		if err != nil {
			return fmt.Errorf("drop prefix %s: %w", text, err)
		}
	}
	return nil
}

// rows drops the publications that a selection of rows names.
func (r *reaper) rows(ctx context.Context, sel inventory.Select) error {
	if sel.Until == 0 {
		return nil // nothing was ever published
	}
	return r.g.inv.Rows(ctx, sel, func(row *inventory.Row) error {
		if r.soft && row.Grace > 0 {
			return r.grace(ctx, row)
		}
		if fault.Broken(fault.RowsBeforeUnlinks) {
			_ = r.g.inv.Delete(ctx, []int64{row.ID})
		}
		r.s.keep.suspect(r.g, row.File) // and not "gone": a twin may still be under way
		return r.row(row)
	})
}

// row drops one publication by what its row says of its files:
//
//	unlink NAME.tmp · NAME · its twins · NAME.stale
//
// The claim comes first, even though the fill's own look at the inventory has decided: its row may be committed and
// its page not yet linked.
func (r *reaper) row(row *inventory.Row) error {
	folder, name, unlock, err := r.seize(row)
	if err != nil {
		return err
	}
	defer unlock()
	if folder == nil {
		return nil
	}
	if err := r.unlink(fault.PageDrop, folder, name, &r.dropped.Pages); err != nil {
		return err
	}
	for i, e := range encodings {
		// A soft purge by key records no intent that would keep twins from being made since the row was read.
		if r.soft || row.Twins&(1<<i) != 0 {
			if err := r.unlink(fault.TwinDrop, folder, name+e.suffix, &r.dropped.Twins); err != nil {
				return err
			}
		}
	}
	return r.unlink(fault.GracedDrop, folder, name+key.StaleSuffix, &r.dropped.Graced)
}

// seize takes the claim of a row's page away, so that the row can't be published any more, and opens the page's folder;
// nil if there is none.
func (r *reaper) seize(row *inventory.Row) (folder *sys.Dir, name string, unlock func(), err error) {
	if unlock, err = r.s.guard(row.Claim); err != nil {
		return nil, "", nil, err
	}
	if !fault.Broken(fault.KeepRowsClaim) {
		err = r.unlinkClaim(row.Claim)
	}
	if err == nil {
		var dir string
		dir, name = splitLast(row.File)
		folder, err = r.folder(dir)
	}
	if err != nil {
		unlock()
	}
	return folder, name, unlock, err
}

// grace turns one publication into a graced page.
//
//	inventory: note when · unlink NAME.tmp · rename NAME NAME.stale · unlink the twins
func (r *reaper) grace(ctx context.Context, row *inventory.Row) error {
	if err := r.g.inv.SetGraced(ctx, time.Now().UnixNano(), []int64{row.ID}); err != nil {
		return err
	}
	folder, name, unlock, err := r.seize(row)
	if err != nil {
		return err
	}
	defer unlock()
	if folder == nil {
		return nil
	}
	st, err := folder.Stat(fault.GraceStat, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && identityOf(st) != row.Identity {
		return nil // this row's page is gone; a later one has a row of its own
	}
	if err != nil {
		return err
	}
	found, err := folder.Rename(fault.PageGrace, name, folder, name+key.StaleSuffix)
	if err != nil {
		return err
	}
	if found {
		r.dropped.Pages++
	}
	return r.twins(folder, name)
}

func (r *reaper) unlinkClaim(path string) error {
	dir, name := splitLast(path)
	folder, err := r.folder(dir)
	if err != nil || folder == nil {
		return err
	}
	fault.Point(fault.DropClaim)
	err = r.unlink(fault.ClaimDrop, folder, name, &r.dropped.Claims)
	fault.Point(fault.DropPage)
	return err
}

func (r *reaper) twins(folder *sys.Dir, name string) error {
	for _, suffix := range key.TwinSuffixes() {
		if err := r.unlink(fault.TwinDrop, folder, name+suffix, &r.dropped.Twins); err != nil {
			return err
		}
	}
	return nil
}

// folder opens a folder, or returns nil if there is none.
func (r *reaper) folder(dir string) (*sys.Dir, error) {
	if d, ok := r.folders[dir]; ok {
		return d, nil
	}
	d, err := r.g.pages.Open(fault.DropFolder, dir)
	if errors.Is(err, fs.ErrNotExist) {
		d, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(r.folders) >= heldFolders {
		r.close()
	}
	if r.folders == nil {
		r.folders = make(map[string]*sys.Dir)
	}
	r.folders[dir] = d
	return d, nil
}

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

// unlink unlinks a file and counts it, if it was there.
func (r *reaper) unlink(l fault.Label, d *sys.Dir, name string, count *int) error {
	found, err := d.Unlink(l, name)
	if found {
		*count++
	}
	return err
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

// redoIntents carries out what the dead had recorded and not finished. Doing one again is harmless.
func (s *Store) redoIntents(ctx context.Context, g *generation, age time.Duration) error {
	open, err := g.inv.Intents(ctx, age)
	if err != nil {
		return s.failClosed(ctx, g, err)
	}
	for _, i := range open {
		r := &reaper{s: s, g: g, soft: i.Soft}
		newest, err := g.inv.Newest(ctx)
		if err == nil {
			err = r.intent(ctx, &i, newest)
		}
		r.close()
		if err == nil {
			err = g.inv.Done(ctx, i.Seq)
		}
		if err != nil {
			return s.failClosed(ctx, g, err)
		}
		s.log.Info("finished an invalidation that was left open", "seq", i.Seq, "tags", i.Tags, "prefixes", i.Prefixes, "pages", r.dropped.Pages)
	}
	return nil
}

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

func splitLast(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}
