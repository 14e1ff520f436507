//go:build linux && cachesrv_fault && !cachesrv_portable

package cache

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A kind of process: what it does, and what that needs.
type kind struct {
	name    string
	size    int // about how many steps, for the order of worlds
	run     func(*proc)
	plain   bool                  // the folder must be plain
	reads   bool                  // it changes nothing: its death is no other state than its standing still
	replay  func(*proc) Selection // what the outbox holds of its commit
	grace   bool                  // it makes graced pages
	retires bool                  // it changes more than the page's folder: for random schedules only
	lags    bool                  // its source may lag
}

var (
	fillKind   = &kind{name: "fill", size: 16, run: runFill}
	twinKind   = &kind{name: "twin", size: 18, run: runTwin}
	keyKind    = &kind{name: "key", size: 7, run: runSelection, replay: keySelectionOf}
	tagKind    = &kind{name: "tag", size: 10, run: runSelection, replay: tagSelectionOf}
	bareKind   = &kind{name: "bare", size: 5, run: runBare, plain: true}
	readerKind = &kind{name: "reader", size: 10, run: runReader, reads: true}

	// mainKinds make the worlds that are searched whole, in every combination.
	mainKinds = []*kind{fillKind, twinKind, keyKind, tagKind, bareKind, readerKind}

	prefixKind  = &kind{name: "prefix", run: runSelection, replay: prefixSelectionOf}
	softKind    = &kind{name: "soft", run: runSelection, replay: softSelectionOf, grace: true}
	softTag     = &kind{name: "softtag", run: runSelection, replay: softTagSelectionOf, grace: true}
	allKind     = &kind{name: "all", run: runSelection, replay: allSelectionOf, retires: true}
	privateKind = &kind{name: "private", run: runFill}
	gracedKind  = &kind{name: "graced", run: runGraced, reads: true}
	keeperKind  = &kind{name: "keeper", run: runKeeper, replay: tagSelectionOf}
	lagging     = &kind{name: "lagging", run: runFill, lags: true}
	tickKind    = &kind{name: "tick", run: runTick, reads: true}
	fenceKind   = &kind{name: "fence", run: runFence, retires: true}

	everyKind = append(slices.Clone(mainKinds), prefixKind, softKind, softTag, allKind, privateKind, gracedKind, keeperKind, fenceKind, lagging, tickKind)
)

// Feet of the steps that are the test's own.
var (
	commits  = foot{writes: theSource}
	queries  = foot{reads: theSource}
	returns  = foot{writes: theDone}
	requests = foot{reads: theDone}
)

// runFill is a miss: claim, read, publish.
func runFill(p *proc) {
	ctx, v := context.Background(), 0
	if fault.Broken(fault.ClaimAfterRead) {
		if !p.point("source.read", queries) {
			return
		}
		v = p.w.version
		p.tell(uint64(v))
	}
	f, err := p.s.Claim(ctx, p.key())
	if err != nil {
		return
	}
	defer f.Close()
	c := f.claim
	p.forget(1)
	p.tell(uint64(v))
	p.tellInode(inodeOf(c.folder))
	p.tellInode(c.inode)
	if !p.w.forgetful {
		p.tell(uint64(c.noted))
	}
	p.tell(uint64(c.clock))
	if !fault.Broken(fault.ClaimAfterRead) {
		if !p.point("source.read", queries) {
			return
		}
		v = p.w.version
		if p.kind.lags {
			v = p.w.visible
		}
		p.tell(uint64(v))
	}
	if _, err := f.Write(contents.body[v]); err != nil {
		return
	}
	m := p.w.meta()
	if p.kind.name == "private" {
		m.Status = http.StatusNotFound
	}
	_, _ = f.Publish(ctx, m)
}

// runTick lets as much time pass as a source lags, at most.
func runTick(p *proc) {
	if p.point("tick", foot{everything, everything}) {
		p.w.ticks++
		p.w.visible = p.w.version
	}
}

func inodeOf(d *sys.Dir) uint64 {
	var st unix.Stat_t
	if err := unix.Fstat(d.FD(), &st); err != nil {
		panic(err)
	}
	return st.Ino
}

// runTwin is a hit that makes a twin, and then a request that would like it.
func runTwin(p *proc) {
	hit, err := p.s.Lookup(p.key())
	if err != nil || p.dead {
		return
	}
	p.forget(2)
	p.tellPage(hit.Page)
	if p.s.makeTwin(context.Background(), hit.Page, 0) != nil {
		return
	}
	p.forget(3)
	p.tellPage(hit.Page)
	from, ok := p.request()
	if !ok {
		return
	}
	hit, err = p.s.Lookup(p.key())
	if err != nil || p.dead {
		return
	}
	if b, ok := hit.Encoded("gzip"); ok {
		p.w.judge("a hit's twin", contentOf(b.Bytes), from)
	}
}

func (p *proc) tellPage(page *Page) {
	p.tell(uint64(page.id))
	p.tellInode(page.identity.Ino)
	p.tellStamp(page.identity.Nsec)
	p.tell(uint64(contents.bySecond[page.identity.Sec].version))
}

// request begins a request: what is older than from must not be its answer.
func (p *proc) request() (from int, ok bool) {
	if !p.point("request", requests) {
		return 0, false
	}
	p.tell(uint64(p.w.finished[p.nth]))
	return p.w.finished[p.nth], true
}

// judge fails the world if an answer is torn, or older than from.
func (w *world) judge(what string, c content, from int) {
	switch {
	case !c.whole:
		w.fail("%s is torn", what)
	case c.version < from:
		w.fail("%s is version %d, and %d was invalidated before the request", what, c.version, from)
	}
}

// commit makes a new version visible to every read that comes after.
func (p *proc) commit() bool {
	if !p.point("commit", commits) {
		return false
	}
	p.w.version++
	p.mine = p.w.version
	p.tell(uint64(p.mine))
	return true
}

// returned notes that the invalidation has returned.
func (p *proc) returned(sel Selection) {
	if p.point("invalidation returned", returns) {
		p.ended = true
		p.w.invalidated(sel, p.mine)
	}
}

// invalidated: no request that begins from here on may get what is older than this version.
func (w *world) invalidated(sel Selection, version int) {
	for i, k := range w.keys {
		if !sel.names(k, []string{"t"}) {
			continue
		}
		w.finished[i] = max(w.finished[i], version)
		if !sel.Soft || w.fresh.o.Plain {
			w.dropped[i] = max(w.dropped[i], version)
		}
	}
}

// key is the page that this process is about.
func (p *proc) key() Key { return p.w.keys[p.nth] }

func (p *proc) invalidate(sel Selection) {
	if !p.commit() {
		return
	}
	d, err := p.s.Invalidate(context.Background(), sel)
	if p.dead {
		return
	}
	if err != nil || d.Retired && !p.w.random { // (among many it may have waited too long for a lock)
		p.w.surprise("an invalidation gave up: %+v, %v", d, err)
	}
	p.returned(sel)
}

func keySelectionOf(p *proc) Selection { return Selection{Keys: []Key{p.key()}} }
func tagSelectionOf(*proc) Selection   { return Selection{Tags: []string{"t"}} }

func prefixSelectionOf(p *proc) Selection {
	return Selection{Prefixes: []key.Prefix{{Host: p.key().Host}}}
}

func softSelectionOf(p *proc) Selection  { return Selection{Keys: []Key{p.key()}, Soft: true} }
func softTagSelectionOf(*proc) Selection { return Selection{Tags: []string{"t"}, Soft: true} }
func allSelectionOf(*proc) Selection     { return Selection{All: true} }

// runSelection is an invalidation, after the commit that made it necessary.
func runSelection(p *proc) { p.invalidate(p.kind.replay(p)) }

// runKeeper invalidates by tag, and then does what upkeep would: delete the rows, sweep.
func runKeeper(p *proc) {
	p.invalidate(tagSelectionOf(p))
	if p.dead {
		return
	}
	ctx := context.Background()
	p.s.keep.flush(ctx)
	if g, err := p.s.current(ctx); err == nil {
		_ = p.s.sweep(ctx, g)
		g.drop()
	}
}

// runFence fences the folder, and lifts the fence again.
func runFence(p *proc) {
	if p.s.Fence(context.Background(), "test") != nil || !p.point("fenced", returns) {
		return
	}
	p.w.fenced++
	if !p.point("lift", returns) {
		p.w.fenced-- // nothing is promised about what the dead would have done; the fence stands
		return
	}
	p.w.fenced--
	_ = p.s.LiftFence(context.Background())
}

// runGraced is a request that would take a graced page: one that is older than the newest soft purge, but not than the newest
// invalidation.
func runGraced(p *proc) {
	if _, ok := p.request(); !ok {
		return
	}
	from := p.w.dropped[p.nth]
	p.tell(uint64(from))
	hit, err := p.s.Graced(p.key())
	if err == nil && !p.dead {
		p.w.judge("a graced page", contentOf(hit.Identity().Bytes), from)
	}
}

// runBare is an invalidation by somebody who has never heard of us: two unlinks.
func runBare(p *proc) {
	if !p.commit() {
		return
	}
	for _, f := range []struct {
		suffix string
		foot   foot
	}{{".tmp", foot{theFolder, theClaim}}, {"", foot{theFolder, thePage}}} {
		if p.enter(call{"rm", p.w.file + f.suffix, f.foot, fault.Write}) != nil {
			return
		}
		p.tell(errorNumber(ignoreGone(unix.Unlink(filepath.Join(p.w.pages(), filepath.FromSlash(p.key().File().Page())+f.suffix)))))
	}
	p.returned(keySelectionOf(p))
}

// runReader is two requests to our server, the second with the page in memory, and one to another server that tests the
// page and prefers its twin.
func runReader(p *proc) {
	for n := range 2 {
		from, ok := p.request()
		if !ok {
			return
		}
		hit, err := p.s.Lookup(p.key())
		if p.dead {
			return
		}
		p.forget(uint64(4 + n))
		if err == nil {
			p.w.judge("a hit", contentOf(hit.Identity().Bytes), from)
			p.tellPage(hit.Page)
			_, held := insides.Load(hit.Page) // the control's own memory
			p.tell(bit(held))
		}
	}
	from, ok := p.request()
	if !ok {
		return
	}
	page := filepath.Join(p.w.dir, "live/pages", p.key().File().Page())
	if !p.point("another server: stat page", foot{reads: thePage | theFolder}) {
		return
	}
	if unix.Access(page, unix.F_OK) != nil {
		return
	}
	if !p.point("another server: open twin", foot{reads: theTwin | theFolder}) {
		return
	}
	c, found := p.w.read(page + ".gz")
	if found {
		p.w.judge("another server's twin", c, from)
		return
	}
	if !p.point("another server: open page", foot{reads: thePage | theFolder}) {
		return
	}
	if c, found = p.w.read(page); found {
		p.w.judge("another server's page", c, from)
	}
}

// read reads a published file, which never changes.
func (w *world) read(path string) (content, bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return content{}, false
	}
	defer unix.Close(fd)
	var b [1024]byte
	n, err := unix.Read(fd, b[:])
	w.must(err)
	return contentOf(b[:n]), true
}
