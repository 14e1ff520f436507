//go:build linux && cachesrv_fault && !cachesrv_portable

package cache

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// A proc stands for a process: an actor with a Store of its own, run as a coroutine that stops before each labelled call.
// As only one runs at a time, a labelled call is always that one's.
type proc struct {
	w     *world
	index int
	kind  *kind
	s     *Store

	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool

	at    call // what it is about to do
	moved bool // it has made a call
	done  bool
	dead  bool
	nth   int  // of the world's keys: its page
	mine  int  // the version it committed; 0: none yet
	ended bool // its invalidation has returned

	told []token // position and results: all that its next steps depend on
}

// A call is what a proc is about to do.
type call struct {
	label string
	name  string
	foot  foot
	mode  fault.Mode
}

// A token is one number of what a proc was told. Inode numbers and stamps mean nothing but "the same as there".
type token struct {
	sort  byte
	value uint64
}

const (
	plainToken byte = iota
	inodeToken
	stampToken
)

// errCrashed is what every labelled call of a dead process returns: it makes none any more, and its code runs on only to
// close its descriptors, which is what the kernel does.
var errCrashed = errors.New("this process was killed")

func (w *world) newProc(index int, k *kind) *proc {
	p := &proc{w: w, index: index, kind: k, s: w.stores[index]}
	p.next, p.stop = iter.Pull(iter.Seq[struct{}](func(yield func(struct{}) bool) {
		p.yield = yield
		k.run(p)
	}))
	return p
}

// step lets the process make its next call, and go on to the one after it.
func (p *proc) step() {
	p.w.running = p
	p.moved = p.moved || p.at.label != ""
	_, more := p.next()
	p.w.running = nil
	if !more {
		p.end()
	}
}

// crash kills the process.
func (p *proc) crash() {
	p.w.running = p
	p.dead = true
	p.stop()
	p.w.running = nil
	p.end()
	p.w.crashes--
}

func (p *proc) end() {
	p.done = true
	p.at = call{}
	p.told = nil
}

func (p *proc) tell(v uint64)      { p.told = append(p.told, token{plainToken, v}) }
func (p *proc) tellInode(v uint64) { p.told = append(p.told, token{inodeToken, v}) }
func (p *proc) tellStamp(v int64)  { p.told = append(p.told, token{stampToken, uint64(v)}) }

// forget drops what led here: the caller tells all that still matters.
func (p *proc) forget(where uint64) {
	p.told = p.told[:0]
	p.tell(where)
}

// point is a labelled step of the test's own: a commit, a read of the source.
func (p *proc) point(label string, f foot) bool {
	return p.enter(call{label: label, foot: f, mode: fault.Write}) == nil
}

func (p *proc) enter(c call) error {
	if p.dead {
		return errCrashed
	}
	p.at = c
	if !p.yield(struct{}{}) || p.dead {
		p.dead = true
		return errCrashed
	}
	if p.w.narrate != nil {
		p.w.narrate(p, c)
	}
	return nil
}

// Enter, Leave and Saw make a world the hook that sees every labelled call.

func (w *world) Enter(l fault.Label, m fault.Mode, name string) error {
	p := w.running
	if p == nil {
		return nil // the test's own
	}
	if p.dead {
		return errCrashed
	}
	f, alone := w.footOf(p, l.String(), m, name)
	if alone {
		return nil
	}
	return p.enter(call{l.String(), name, f, m})
}

func (w *world) Leave(l fault.Label, err error) {
	p := w.running
	if p == nil || p.dead || w.random {
		return
	}
	p.tell(labelNumber(l.String()))
	p.tell(errorNumber(err))
}

func (w *world) Saw(l fault.Label, result any) {
	p := w.running
	if p == nil || p.dead || w.random {
		return
	}
	switch r := result.(type) {
	case bool:
		p.tell(bit(r))
	case int64:
		if l != fault.CounterRead || !w.forgetful {
			p.tell(uint64(r))
		}
	case string: // the generation's name, which never changes in these worlds
		if r != w.generation && r != "" {
			w.surprise("%s read %q", l, r)
		}
	case sys.FD:
		var st unix.Stat_t
		if err := unix.Fstat(int(r), &st); err != nil {
			panic(err)
		}
		p.tellInode(st.Ino)
	case sys.Stat:
		w.tellStat(p, l, r)
	case []inventory.Row:
		p.tell(uint64(len(r)))
		for i := range r {
			tellRow(p, &r[i])
		}
	case []inventory.Earlier:
		for _, e := range r {
			p.tell(uint64(len(e.File))<<2 | bit(e.Twins)<<1 | bit(e.Graced))
		}
		p.tell(uint64(len(r)))
	case []string:
		for _, name := range r {
			p.tell(labelNumber(name))
		}
	default:
		panic(fmt.Sprintf("%s: a result of type %T has no canonical form", l, result))
	}
}

// tellStat tells of a file what the protocol looks at. Links are looked at in three places only.
func (w *world) tellStat(p *proc, l fault.Label, st sys.Stat) {
	p.tellInode(st.Ino)
	switch l {
	case fault.ClaimName, fault.OrphanName, fault.OrphanStat, fault.LiveStat: // only which file it is
		return
	case fault.ClaimLinks, fault.PageLinks, fault.TwinLinks:
		p.tell(st.Links)
	}
	p.tell(uint64(st.Size))
	if known, ok := contents.bySecond[st.Sec]; ok {
		p.tell(uint64(known.version)<<1 | bit(known.twin))
		p.tellStamp(st.Nsec)
	}
}

func tellRow(p *proc, r *inventory.Row) {
	p.tell(uint64(r.ID))
	p.tellInode(r.Identity.Ino)
	p.tellStamp(r.Identity.Nsec)
	p.tell(uint64(r.Twins)<<1 | bit(r.Graced != 0))
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

var numbers = make(map[string]uint64)

// labelNumber numbers texts.
func labelNumber(text string) uint64 {
	n, ok := numbers[text]
	if !ok {
		n = uint64(len(numbers) + 1)
		numbers[text] = n
	}
	return n
}

func errorNumber(err error) uint64 {
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return uint64(errno)
	}
	return 1 << 20
}

// A foot says what a call looks at and what it may change, as sets of objects. Two calls of different processes commute if
// neither may change what the other looks at or changes.
type foot struct{ reads, writes objects }

type objects uint32

const (
	theClaim     objects = 1 << iota               // NAME.tmp
	thePage                                        // NAME
	theTwin                                        // NAME.gz
	theFolder                                      // the page's folder
	theInventory                                   //
	theStale                                       // NAME.stale
	theSource                                      // the version in the database
	theDone                                        // which invalidations have returned
	theCrash                                       // the crashes still to come
	theLocks     objects = (1<<maxProcs - 1) << 10 // of the files that processes have claimed, a bit for each process
	everything   objects = 1<<32 - 1
	theFiles             = theClaim | thePage | theTwin | theStale
)

// theirs is the part of one process in what has a bit for each.
func theirs(all objects, proc int) objects { return all & -all << proc }

func (f foot) commutes(g foot) bool {
	return f.writes&(g.reads|g.writes) == 0 && g.writes&(f.reads|f.writes) == 0
}

// footOf gives the foot of a call. Alone: it concerns nothing that anybody changes in these worlds, or only what never changes
// once it can be seen; such a call commutes with all others and is made at once. What is assumed to be constant here is
// watched: a call that would change it, or a file that should not be there, is a surprise, and fails the world.
func (w *world) footOf(p *proc, label string, m fault.Mode, name string) (f foot, alone bool) {
	if w.random {
		return foot{everything, everything}, false
	}
	switch label {
	case "hit.fstat", "hit.read", "hit.close", "twin.stat", "twin.read", "orphan.stat":
		return f, true // published files never change; the oracle sees to that in every state
	case "claim.write", "claim.mtime", "twin.write", "twin.mtime":
		return f, true // nobody reads a claimed file; and that what is published is whole, the oracle sees to as well
	case "claim.lock", "claim.close":
		return foot{0, theirs(theLocks, p.index)}, false
	case "orphan.lock", "orphan.close":
		return foot{0, theLocks}, false
	case "folder.remove":
		return foot{theFiles, theFolder}, false
	case "subtree.drop":
		return foot{theFolder, theFiles | theFolder}, false
	case "sweep.read", "sweep.stat", "sweep.remove":
		return foot{everything, everything}, false
	case "page.grace":
		return foot{theFolder, thePage | theStale}, false
	case "page.link", "twin.link":
		f.reads = theFiles | theFolder // of the claimed file
	}
	if m == fault.Private {
		return f, true
	}
	var o objects
	_, base := splitLast(name)
	suffix, isPage := strings.CutPrefix(base, w.file)
	switch {
	case name == "": // the claimed file, by its descriptor
		o = theFiles
	case name == "inventory":
		o = theInventory
	case name == "current", name == "withheld", base == positionsMark, base == w.liveName:
		if m == fault.Write {
			w.surprise("%s changes %s", label, name)
		}
		return f, true
	case base == w.folder:
		o = theFolder
	case isPage && suffix == "":
		o = thePage
	case isPage && suffix == ".tmp":
		o = theClaim
	case isPage && suffix == ".gz":
		o = theTwin
	case isPage && suffix == ".stale" && w.grace:
		o = theStale
	case isPage, strings.HasPrefix(base, ".page"): // what never exists in these worlds
		return f, true
	default:
		w.surprise("%s is about %q", label, name)
		return foot{everything, everything}, false
	}
	if m == fault.Write {
		f.writes |= o
	} else {
		f.reads |= o
	}
	if name != "inventory" && o != theFolder {
		f.reads |= theFolder
	}
	return f, false
}
