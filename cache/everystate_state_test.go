//go:build linux && cachesrv_fault && !cachesrv_portable

package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/maphash"
	"path/filepath"
	"slices"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// A digest stands for a state. Two states with the same digest are taken for one: at 128 bits, and some millions of states,
// an error has a chance of about 10⁻²⁵.
type digest [2]uint64

var digestSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func digestOf(b []byte) digest {
	return digest{maphash.Bytes(digestSeeds[0], b), maphash.Bytes(digestSeeds[1], b)}
}

// A canon writes a state so that two states with the same text are the same to everybody in them: inode numbers and stamps are
// replaced by the order of their appearance.
type canon struct {
	b              []byte
	inodes, stamps []uint64
}

func (c *canon) clear() { c.b, c.inodes, c.stamps = c.b[:0], c.inodes[:0], c.stamps[:0] }

func (c *canon) number(v uint64) { c.b = binary.AppendUvarint(c.b, v) }

func (c *canon) inode(v uint64) { c.number(numberOf(&c.inodes, v)) }
func (c *canon) stamp(v uint64) { c.number(numberOf(&c.stamps, v)) }

func numberOf(list *[]uint64, v uint64) uint64 {
	if i := slices.Index(*list, v); i >= 0 {
		return uint64(i)
	}
	*list = append(*list, v)
	return uint64(len(*list) - 1)
}

func (c *canon) proc(p *proc) {
	c.number(bit(p.done) | bit(p.dead)<<1 | bit(p.moved)<<2 | bit(p.ended)<<3)
	if p.dead && !p.ended {
		c.number(uint64(p.mine)) // a recovery replays it
	}
	if p.done {
		return
	}
	c.number(labelNumber(p.at.label))
	c.number(labelNumber(p.at.name))
	c.number(uint64(len(p.told)))
	for _, t := range p.told {
		switch t.sort {
		case inodeToken:
			c.inode(t.value)
		case stampToken:
			c.stamp(t.value)
		default:
			c.number(t.value)
		}
	}
}

func (c *canon) shared(w *world, folder uint64, entries []entry) {
	c.files(folder, entries)
	if slices.Contains(w.kinds, prefixKind) { // folders in the trash, where processes may still hold them
		names, err := w.fresh.trash.Names(fault.TrashRead, ".")
		w.must(err)
		slices.Sort(names)
		for _, name := range names {
			c.files(w.filesIn(filepath.Join(w.dir, "cache/trash", name)))
		}
	}
	c.inventory(w.readInventory())
	c.number(uint64(w.version))
	c.number(uint64(w.ticks))
	c.number(uint64(w.visible))
	for i := range w.keys {
		c.number(uint64(w.finished[i]))
		c.number(uint64(w.dropped[i]))
	}
}

func (c *canon) files(folder uint64, entries []entry) {
	c.number(bit(folder != 0))
	c.inode(folder)
	c.number(uint64(len(entries)))
	for _, e := range entries {
		c.b = append(c.b, e.name...)
		c.b = append(c.b, 0)
		c.inode(e.st.Ino)
		c.number(uint64(e.st.Size))
		c.number(uint64(e.content.version)<<2 | bit(e.content.twin)<<1 | bit(e.content.whole))
		if _, identified := contents.bySecond[e.st.Sec]; identified {
			c.stamp(uint64(e.st.Nsec))
		}
	}
}

func (c *canon) inventory(inv *inventoryState) {
	c.number(uint64(len(inv.rows)))
	for _, r := range inv.rows {
		c.number(uint64(r.ID))
		c.inode(r.Identity.Ino)
		c.stamp(uint64(r.Identity.Nsec))
		c.number(uint64(r.Twins)<<1 | bit(r.Graced != 0))
	}
	c.number(uint64(len(inv.seqs)))
	for i, seq := range inv.seqs {
		c.number(uint64(seq)<<1 | bit(inv.open[i]))
	}
	c.number(uint64(inv.next))
	for _, name := range inv.held {
		c.b = append(append(c.b, name...), 0)
	}
}

// A state is what the search keeps of one.
type state struct {
	all    digest // processes and all
	shared digest // what lies in the folder, and how far invalidations are
	slots  []int  // the processes in canonical order: those of a kind are not told apart
}

// state describes the world as it stands.
func (w *world) state(c *canon) (st state, entries []entry) {
	folder, entries := w.files()
	c.clear()
	c.shared(w, folder, entries)
	st.shared = digestOf(c.b)

	st.slots = make([]int, len(w.procs))
	texts := make([][]byte, len(w.procs))
	for i, p := range w.procs {
		st.slots[i] = i
		c.clear()
		c.proc(p)
		texts[i] = bytes.Clone(c.b)
	}
	order := func(a, b int) int {
		if w.kinds[a] != w.kinds[b] {
			return a - b // kinds lie together
		}
		return bytes.Compare(texts[a], texts[b])
	}
	slices.SortStableFunc(st.slots, order)
	// Processes that look alike, each by itself, need not be so to the others: of their orders, the one with the least text.
	var best []byte
	arrange(st.slots, 0, func(a, b int) bool { return order(a, b) == 0 }, func(slots []int) {
		c.clear()
		for _, i := range slots {
			c.proc(w.procs[i])
		}
		c.shared(w, folder, entries)
		c.number(uint64(w.crashes))
		if best == nil || bytes.Compare(c.b, best) < 0 {
			best = append(best[:0], c.b...)
			st.slots = slices.Clone(slots)
		}
	})
	st.all = digestOf(best)
	return st, entries
}

// arrange calls f with every order of the slots that exchanges only neighbours that are alike.
func arrange(slots []int, from int, alike func(a, b int) bool, f func([]int)) {
	if from == len(slots) {
		f(slots)
		return
	}
	for i := from; i < len(slots) && (i == from || alike(slots[from], slots[i])); i++ {
		slots := slices.Clone(slots)
		slots[from], slots[i] = slots[i], slots[from]
		arrange(slots, from+1, alike, f)
	}
}

// check is the oracle of every state: what another server would send, and what a reader of ours who comes now would get, is
// whole, and not older than the newest invalidation that has returned.
func (w *world) check(entries []entry) {
	var page *entry
	for i, e := range entries {
		switch e.name {
		case w.file:
			page = &entries[i]
			w.judge("the page", e.content, w.finished[0])
			if e.content.twin {
				w.fail("the page is a twin")
			}
		case w.file + ".gz":
			if page == nil {
				continue // nobody serves it
			}
			w.judge("the twin", e.content, w.finished[0])
			if e.content.version != page.content.version || !e.content.twin {
				w.fail("the twin is of version %d, and its page %d", e.content.version, page.content.version)
			}
		}
	}
	if w.wrong != "" {
		return
	}
	hit, err := w.fresh.Lookup(w.key)
	if err == nil {
		w.judge("a fresh reader's hit", contentOf(hit.Identity().Bytes), w.finished[0])
		w.fresh.memory.pages.Invalidate(w.key)
	}
	if w.grace {
		if hit, err := w.fresh.Graced(w.key); err == nil {
			w.judge("a fresh reader's graced page", contentOf(hit.Identity().Bytes), w.dropped[0])
		}
	}
	w.fresh.keep.clear()
	if page != nil && err != nil {
		// Another server would send it, and ours can't: not stale, but a page that no invalidation by tag would find.
		w.fail("the page is there, and our server has a miss: %v", err)
	}
}

// recover opens the folder as the next process would after all have ended or died, replays what the outbox holds, and looks:
// nothing stale, nothing broken, the key cacheable again, and after a repair nothing left to repair.
func (w *world) recover() {
	ctx := context.Background()
	s, err := Open(ctx, w.options(w.fresh.o.Plain))
	if err != nil {
		w.fail("recovery: %v", err)
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			w.fail("recovery: %v", err)
		}
		w.must(w.fresh.makeLive())
		w.wrote, w.dirty = true, true
	}()
	if !w.quiet(s) {
		return
	}
	for _, p := range w.procs {
		if p.dead && !p.ended && p.mine > 0 && p.kind.replay != nil {
			if _, err := s.Invalidate(ctx, p.kind.replay(p)); err != nil {
				w.fail("recovery: replay: %v", err)
				return
			}
			w.invalidated(p.kind.replay(p), p.mine)
		}
	}
	if err := s.Unfence(ctx); err != nil {
		w.fail("recovery: %v", err)
		return
	}
	if _, fenced := s.FencedBy(); fenced { // its fencer died
		if err := s.LiftFence(ctx); err != nil {
			w.fail("recovery: %v", err)
			return
		}
	}
	if w.random {
		w.checkAll()
	} else {
		_, entries := w.files()
		w.check(entries)
	}
	if w.wrong != "" {
		w.wrong = "after the recovery: " + w.wrong
		return
	}
	if !w.unbroken(ctx, s) {
		return
	}
	w.version++
	w.ticks++ // all has settled
	defer func() { w.ticks-- }()
	f, err := s.Claim(ctx, w.key)
	if err != nil {
		w.fail("after the recovery: the key can't be claimed: %v", err)
		return
	}
	defer f.Close()
	_, _ = f.Write(contents.body[w.version])
	if _, err := f.Publish(ctx, w.meta()); err != nil {
		w.fail("after the recovery: the page can't be published: %v", err)
		return
	}
	_ = f.Close()
	hit, err := s.Lookup(w.key)
	if err != nil || contentOf(hit.Identity().Bytes).version != w.version {
		w.fail("after the recovery: what was published is no hit: %v", err)
		return
	}
	if !w.unbroken(ctx, s) {
		return
	}
	for range 2 {
		r, err := s.Check(ctx, CheckOptions{Repair: true})
		if err != nil {
			w.fail("after the recovery: check: %v", err)
			return
		}
		if len(r.Problems) == 0 {
			return
		}
	}
	w.fail("after the recovery: a repair leaves something to repair")
}

// quiet reports that nobody can be served before the replay.
func (w *world) quiet(s *Store) bool {
	if _, err := s.Lookup(w.key); err == nil {
		w.fail("recovery: our server serves before the replay")
		return false
	}
	if c, found := w.read(s.live.path + "/pages/" + w.folder + "/" + w.file); found {
		w.fail("recovery: another server serves version %d before the replay", c.version)
		return false
	}
	return true
}

func (w *world) unbroken(ctx context.Context, s *Store) bool {
	r, err := s.Check(ctx, CheckOptions{})
	if err != nil {
		w.fail("after the recovery: check: %v", err)
		return false
	}
	for _, p := range r.Problems {
		if p.Broken {
			w.fail("after the recovery: check: %s: %s", p.File, p.What)
			return false
		}
	}
	return true
}
