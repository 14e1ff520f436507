package cache

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// upkeep does, in one goroutine per store, what can be late: writing hits to the inventory, deleting rows whose pages
// are gone, emptying the trash, eviction, and the sweep for what the dead left. Nothing rests on it but bounds.
type upkeep struct {
	s     *Store
	quit  context.CancelFunc
	done  sync.WaitGroup
	wake  chan struct{}
	swept time.Time

	// What the folder held when eviction last looked, and what this process has published since.
	held, since room

	mu       sync.Mutex
	pages    []*Page // with hits not yet written
	below    map[*generation][]rowsBelow
	suspects map[*generation]map[string]struct{} // files with rows that may be left over
}

// room is what pages take.
type room struct{ pages, bytes atomic.Int64 }

// Publishers may be ahead of eviction by so many pages, or a part of the bound if that is more; likewise in bytes.
const (
	pagesAhead = 1024
	bytesAhead = 64 << 20
	partAhead  = 16
)

// full reports whether pages have come so much faster than others could be evicted that the folder's bounds would mean
// nothing if there came more.
func (u *upkeep) full() bool {
	o := u.s.o
	return u.held.pages.Load()+u.since.pages.Load() > o.MaxPages+max(pagesAhead, o.MaxPages/partAhead) ||
		u.held.bytes.Load()+u.since.bytes.Load() > o.MaxBytes+max(bytesAhead, o.MaxBytes/partAhead)
}

// published counts a page.
func (u *upkeep) published(size int64) {
	u.since.bytes.Add(size)
	if n := u.since.pages.Add(1); n%hurryAfter == 0 {
		u.hurry() // bounds hold soon, however fast pages come
	}
}

// looked notes what the folder holds.
func (u *upkeep) looked(pages, bytes int64) {
	u.since.pages.Store(0)
	u.since.bytes.Store(0)
	u.held.pages.Store(pages)
	u.held.bytes.Store(bytes)
}

type rowsBelow struct {
	files inventory.Range
	until int64
}

const (
	upkeepInterval = time.Second
	maxPending     = 200_000 // entries of each list; beyond, the sweep finds the rows
	intentAge      = 10 * time.Second
	hurryAfter     = 512 // publications
)

func newUpkeep(s *Store) *upkeep {
	u := &upkeep{s: s, wake: make(chan struct{}, 1), swept: time.Now()}
	u.clear()
	return u
}

func (u *upkeep) start() {
	ctx, quit := context.WithCancel(context.Background())
	u.quit = quit
	u.done.Go(func() {
		tick := time.NewTicker(upkeepInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-u.wake:
			case <-ctx.Done():
				u.flush(context.Background())
				return
			}
			u.round(ctx)
		}
	})
}

func (u *upkeep) stop() {
	u.quit()
	u.done.Wait()
}

// hurry makes the next round come now.
func (u *upkeep) hurry() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// hit counts a hit.
func (u *upkeep) hit(p *Page) {
	p.hits.Add(1)
	if p.noted.Load() || !p.noted.CompareAndSwap(false, true) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.pages) < maxPending {
		u.pages = append(u.pages, p)
	} else {
		p.noted.Store(false)
	}
}

// goneBelow notes that every row of a dropped subtree, up to an id, can be deleted.
func (u *upkeep) goneBelow(g *generation, files inventory.Range, until int64) {
	if until == 0 {
		return // there was none; and to a Select, 0 means no limit
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.below[g]) < maxPending {
		u.below[g] = append(u.below[g], rowsBelow{files, until})
	}
}

// suspect notes a file that may have rows of publications that are gone.
func (u *upkeep) suspect(g *generation, file string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	files := u.suspects[g]
	if files == nil {
		files = make(map[string]struct{})
		u.suspects[g] = files
	}
	if len(files) < maxPending {
		files[file] = struct{}{}
	}
}

func (u *upkeep) clear() {
	u.below = make(map[*generation][]rowsBelow)
	u.suspects = make(map[*generation]map[string]struct{})
	u.pages = nil
}

// round does what is due.
func (u *upkeep) round(ctx context.Context) {
	g, err := u.s.current(ctx)
	if err != nil {
		u.warn("look for the current generation", err)
		u.warn("empty the trash", u.s.emptyTrash(ctx)) // it may be what fills the disk
		return
	}
	defer g.drop()
	if _, err := u.s.at.Stat(fault.GenerationStat, g.name); errors.Is(err, fs.ErrNotExist) {
		// Its retirement was cut short before current was taken away.
		u.warn("finish a retirement", u.s.retireGeneration(ctx, g, retirement{reason: "left half retired"}))
		return
	}
	u.flush(ctx)
	l := flock.New(u.s.path("upkeep")) // one process at a time does the rest
	if won, err := tryLock(fault.UpkeepLock, l); err != nil || !won {
		u.warn("lock "+l.Path(), err)
		_ = l.Close()
		return
	}
	defer l.Close()
	if ctx.Err() != nil {
		return
	}
	u.warn("finish open intents", u.s.redoIntents(context.WithoutCancel(ctx), g, intentAge)) // a cancel is no failure
	u.warn("evict", u.s.evict(ctx, g))
	u.warn("discard left-over generations", u.s.discardOthers(ctx, g))
	u.warn("empty the trash", u.s.emptyTrash(ctx))
	if every := u.s.o.SweepInterval; every > 0 && time.Since(u.swept) >= every {
		u.warn("sweep", u.s.sweep(ctx, g))
		u.swept = time.Now()
	}
}

func (u *upkeep) warn(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
		u.s.log.Warn("upkeep of the cache failed; it will be tried again", "what", what, "err", err)
	}
}

// flush writes hits and deletes rows.
func (u *upkeep) flush(ctx context.Context) {
	u.mu.Lock()
	pages, below, suspects := u.pages, u.below, u.suspects
	u.clear()
	u.mu.Unlock()

	g := u.s.gen.Load()
	if g == nil || !g.acquire() {
		return
	}
	defer g.drop()
	hits := make(map[int64]int64, len(pages))
	for _, p := range pages {
		p.noted.Store(false)
		if n := p.hits.Swap(0); p.gen == g.name {
			hits[p.id] += n
		}
	}
	// What is noted of a generation that was retired meanwhile is gone with it.
	u.warn("count hits", g.inv.Hits(ctx, hits))
	for _, b := range below[g] {
		var gone []int64
		err := g.inv.Rows(ctx, inventory.Select{Files: b.files, Until: b.until}, func(r *inventory.Row) error {
			gone = append(gone, r.ID)
			return nil
		})
		u.warn("read rows of a dropped subtree", err)
		u.warn("delete rows of a dropped subtree", g.inv.Delete(ctx, gone))
	}
	var gone []int64
	for file := range suspects[g] {
		ids, err := u.s.left(ctx, g, inventory.Select{Files: inventory.Range{From: file}})
		u.warn("look for left-over rows", err)
		gone = append(gone, ids...)
	}
	u.warn("delete left-over rows", g.inv.Delete(ctx, gone))
}

// collect deletes the selected rows whose publication is gone for good.
func (s *Store) collect(ctx context.Context, g *generation, sel inventory.Select) error {
	gone, err := s.left(ctx, g, sel)
	return errors.Join(err, g.inv.Delete(ctx, gone))
}

// left finds the selected rows whose publication is gone for good, and removes their twins: when a row is gone, nothing
// tells of them any more. The order matters, for a twin maker may have claimed while the page was still there, and die
// with its twin linked: when the page is gone no other begins, when there is no claim then either none is under way, and
// what they all have left is unlinked, whatever the row says of twins. [model: "one look before delete"]
func (s *Store) left(ctx context.Context, g *generation, sel inventory.Select) (gone []int64, err error) {
	err = g.inv.Rows(ctx, sel, func(r *inventory.Row) error {
		dead, err := g.dead(r)
		if !dead || err != nil {
			return err
		}
		switch _, err := g.pages.Stat(fault.RowClaim, r.Claim); {
		case err == nil:
			return nil // later
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := g.unlinkTwinsOf(r); err != nil {
			return err
		}
		gone = append(gone, r.ID)
		return nil
	})
	return gone, err
}

// unlinkTwinsOf removes the twins of a publication that is gone; those beside a newer page have its stamp.
func (g *generation) unlinkTwinsOf(r *inventory.Row) error {
	dir, name := splitLast(r.File)
	folder, err := g.pages.Open(fault.DropFolder, dir)
	if err != nil {
		return ignoreGone(err)
	}
	defer folder.Close()
	for _, suffix := range key.TwinSuffixes() {
		st, err := folder.Stat(fault.StandingStat, name+suffix)
		if err == nil && st.Nsec == r.Identity.Nsec {
			_, err = folder.Unlink(fault.TwinDrop, name+suffix)
		}
		if ignoreGone(err) != nil {
			return err
		}
	}
	return nil
}

// dead reports whether a row's publication can neither be there nor still come. The order matters: without a claim
// nobody can link this row's page any more; after that, a page that is not there is gone for good.
func (g *generation) dead(r *inventory.Row) (bool, error) {
	switch _, err := g.pages.Stat(fault.RowClaim, r.Claim); {
	case err == nil:
		return false, nil // a fill is under way; later
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	stands, err := g.stands(r)
	return err == nil && !stands, err
}

// stands reports whether a row's publication is there, as a page or as a graced one. What can't be looked at counts as
// neither: a row deleted although its page is there would keep that page from every invalidation by tag.
func (g *generation) stands(r *inventory.Row) (bool, error) {
	for _, file := range []string{r.File, r.File + key.StaleSuffix} {
		switch st, err := g.pages.Stat(fault.StandingStat, file); {
		case err == nil && identityOf(st) == r.Identity:
			return true, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return false, err
		}
	}
	return false, nil
}

// emptyTrash removes what was dropped.
func (s *Store) emptyTrash(ctx context.Context) error {
	names, err := s.trash.Names(fault.TrashRead, ".")
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		failed = errors.Join(failed, removeTree(ctx, s.trash, name))
	}
	return failed
}

// removeTree removes a file, or a folder and what it holds. A late fill may still publish into it: then the next
// round removes that.
func removeTree(ctx context.Context, at *sys.Dir, name string) error {
	if _, err := at.Unlink(fault.TrashRemove, name); err == nil || !isFolder(at, name) {
		return err
	}
	d, err := at.Open(fault.TrashRead, name)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Names(fault.TrashRead, ".")
	for _, n := range names {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		err = removeTree(ctx, d, n)
	}
	if err != nil {
		return err
	}
	if err := at.RemoveDir(fault.TrashRemove, name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		return err
	}
	return nil
}

func isFolder(at *sys.Dir, name string) bool {
	st, err := at.Stat(fault.TrashRead, name)
	return err == nil && st.IsDir()
}

// evict removes pages until the folder is within its bounds, in the order of SIEVE. A page being filled is spared.
func (s *Store) evict(ctx context.Context, g *generation) error {
	const batch, limit = 256, 4096
	for ctx.Err() == nil {
		pages, size, err := g.inv.Totals(ctx)
		if err != nil {
			return err
		}
		s.keep.looked(pages, size)
		free, inodes, err := sys.Free(fault.SpaceRead, s.at)
		if err != nil {
			return err
		}
		over := pages > s.o.MaxPages || size > s.o.MaxBytes
		short := free < s.o.MinFree || inodes >= 0 && inodes < minInodes
		if pages == 0 || !over && !short {
			return nil
		}
		want := batch
		if !short { // no more than it takes: a small cache may be smaller than a batch
			want = int(min(batch, max(pages-s.o.MaxPages, excess(size, s.o.MaxBytes, pages))))
		}
		victims, err := g.inv.Sieve(ctx, want, limit)
		if err != nil || len(victims) == 0 {
			return err
		}
		var gone []int64
		for i := range victims {
			if ok, err := s.evictRow(g, &victims[i]); err != nil {
				return err
			} else if ok {
				gone = append(gone, victims[i].ID)
			}
		}
		s.stats.evicted.Add(int64(len(gone)))
		if err := g.inv.Delete(ctx, gone); err != nil {
			return err
		}
		if len(gone) == 0 || short && !over { // freed space may not be seen at once: one batch a round
			return nil
		}
	}
	return ctx.Err()
}

// excess is about how many of the pages must go for their size to come down to a bound; at least 1 while it is above.
func excess(size, bound, pages int64) int64 {
	if size <= bound {
		return 0
	}
	return max(1, (size-bound)/(size/pages+1))
}

// minInodes is the number of free inodes below which pages are evicted.
const minInodes = 10_000

func (s *Store) evictRow(g *generation, row *inventory.Row) (bool, error) {
	if _, err := g.pages.Stat(fault.RowClaim, row.Claim); err == nil {
		return false, nil
	}
	r := &reaper{s: s, g: g}
	defer r.close()
	if stands, err := g.stands(row); err != nil {
		return false, err
	} else if stands {
		row.Twins = 1<<len(encodings) - 1 // one may have been made since the row was read
		if err := r.row(row); err != nil {
			return false, err
		}
	}
	if _, err := g.pages.Stat(fault.RowClaim, row.Claim); err == nil {
		return false, nil // a twin may just be coming, or its maker have died: the row is needed to find it
	}
	if err := g.unlinkTwinsOf(row); err != nil { // of a maker that has come and gone since
		return false, err
	}
	dir, _ := splitLast(row.File)
	g.removeEmpty(dir)
	return true, nil
}

// removeEmpty removes a folder and its parents as far as they are empty; a fill that holds one can't publish into it,
// which costs that fill its page, no more.
func (g *generation) removeEmpty(dir string) {
	for dir != "" {
		parent, name := splitLast(dir)
		at := g.pages
		if parent != "" {
			d, err := at.Open(fault.FolderRemove, parent)
			if err != nil {
				return
			}
			err = d.RemoveDir(fault.FolderRemove, name)
			_ = d.Close()
			if err != nil {
				return
			}
		} else if at.RemoveDir(fault.FolderRemove, name) != nil {
			return
		}
		dir = parent
	}
}

// sweep finds, slowly, what the dead left: rows without a page, orphaned claims, empty folders.
func (s *Store) sweep(ctx context.Context, g *generation) error {
	if err := s.collect(ctx, g, inventory.Select{}); err != nil {
		return err
	}
	return g.walk(ctx, func(folder *sys.Dir, dir, name string, isDir bool) error {
		if isDir {
			_ = folder.RemoveDir(fault.SweepRemove, name) // if it is empty
		} else if strings.HasSuffix(name, key.Suffix+key.ClaimSuffix) {
			if gone, err := reclaim(folder, name); err == nil && gone {
				s.stats.reclaimed.Add(1)
			}
		}
		return nil
	})
}

// sweepPause is the rest a walk takes after each folder, so that it does not crowd out requests.
const sweepPause = 200 * time.Microsecond

// walk calls f for each entry of pages/, folders after what they hold.
func (g *generation) walk(ctx context.Context, f func(folder *sys.Dir, dir, name string, isDir bool) error) error {
	var visit func(folder *sys.Dir, dir string) error
	visit = func(folder *sys.Dir, dir string) error {
		names, err := folder.Names(fault.SweepRead, ".")
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			st, err := folder.Stat(fault.SweepStat, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if st.IsDir() {
				sub, err := folder.Open(fault.SweepRead, name)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return err
				}
				err = visit(sub, join(dir, name))
				_ = sub.Close()
				if err != nil {
					return err
				}
			}
			if err := f(folder, dir, name, st.IsDir()); err != nil {
				return err
			}
		}
		time.Sleep(sweepPause)
		return nil
	}
	return visit(g.pages, "")
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
