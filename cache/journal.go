package cache

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// The journal says, for people, what was invalidated lately and what was not stored, by whom and why. It is two logs in
// DIR/cache, each of two files (log and log.1, unstored and unstored.1), a JSON object a line. Every process appends to them in the background:
// nothing waits for them, nothing rests on them, and lines may be missing — of a process that was killed, of a full disk, of
// a flood.

// A Journaled is a line of the log: a call of Invalidate.
type Journaled struct {
	At       time.Time `json:"at"` // when it returned
	Cause    string    `json:"cause,omitempty"`
	Keys     []string  `json:"keys,omitempty"`     // what was named: URLs,
	Tags     []string  `json:"tags,omitempty"`     // tags,
	Prefixes []string  `json:"prefixes,omitempty"` // subtrees
	More     int       `json:"more,omitempty"`     // names left out
	All      bool      `json:"all,omitempty"`
	Soft     bool      `json:"soft,omitempty"`
	Position string    `json:"position,omitempty"`

	Pages   int      `json:"pages"`           // dropped; see Dropped
	Dropped []string `json:"dropped"`         // the first of them, at most 20; not those below a prefix
	Graced  int      `json:"graced"`          //
	Twins   int      `json:"twins"`           //
	Claims  int      `json:"claims"`          //
	Retired bool     `json:"retired"`         // everything was dropped
	Error   string   `json:"error,omitempty"` // it failed

	Took    int64  `json:"took_us"` // microseconds
	PID     int    `json:"pid"`
	Program string `json:"program"`
	Lost    int64  `json:"lost,omitempty"` // lines before this one that were not written
}

// An Unstored is a line about a page that was not stored.
type Unstored struct {
	At      time.Time `json:"at"`
	Key     string    `json:"key"`
	Why     string    `json:"why"`
	PID     int       `json:"pid"`
	Program string    `json:"program"`
}

// The bounds of the journal.
const (
	journalFile    = 4 << 20 // bytes at which a file of the log gives way to a new one: two hold 10,000 calls and more
	unstoredFile   = 1 << 20
	journalPart    = 1 << 20               // bytes written at once, and so held; or one line
	journalQueue   = 1024                  // lines waiting to be written
	journalPause   = 50 * time.Millisecond // between two writes: waking the writer for each line would cost more than a drop
	journalNames   = 50                    // of each kind, in a line
	journalText    = 300                   // bytes of a name or a cause
	journalDropped = 20
	unstoredPace   = time.Minute // between two lines about one key and reason
	unstoredPaced  = 4096        // keys and reasons of which that is known
	unstoredBurst  = 100         // lines within a second, whatever they are about
)

type journal struct {
	dir     string
	program string
	wake    chan struct{} // something is waiting
	stopped chan struct{}
	done    sync.WaitGroup
	once    sync.Once
	lost    atomic.Int64

	mu      sync.Mutex
	waiting []any // *called and Unstored
	paced   map[[2]string]time.Time
	second  int64 // of the burst
	burst   int
}

// called is a call of Invalidate that is to be written down.
type called struct {
	sel     Selection
	dropped Dropped
	names   []string
	at      time.Time
	took    time.Duration
	more    int // names left out of sel
	err     error
}

// clip copies a list as far as it may be written down, and returns how many are left out. (Names that are too long are skipped.)
func clip[T any](list *[]T) (more int) {
	kept := min(len(*list), 2*journalNames)
	more = len(*list) - kept
	*list = slices.Clone((*list)[:kept])
	return more
}

func startJournal(dir string) *journal {
	j := &journal{dir: dir, program: filepath.Base(os.Args[0]), wake: make(chan struct{}, 1), stopped: make(chan struct{}), paced: make(map[[2]string]time.Time)}
	j.done.Go(j.run)
	return j
}

// stop writes what is waiting. What comes later is not written.
func (j *journal) stop() {
	j.once.Do(func() { close(j.stopped) })
	j.done.Wait()
}

// add never waits.
func (j *journal) add(line any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) == journalQueue {
		j.lost.Add(1)
		return
	}
	if j.waiting = append(j.waiting, line); len(j.waiting) == 1 {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
}

// run writes a line that comes alone at once, and those of a flood together.
func (j *journal) run() {
	for {
		select {
		case <-j.wake:
			j.write()
		case <-j.stopped:
			j.write()
			return
		}
		select {
		case <-time.After(journalPause):
		case <-j.stopped:
		}
	}
}

// write writes what is waiting.
func (j *journal) write() {
	j.mu.Lock()
	waiting := j.waiting
	j.waiting = nil
	j.mu.Unlock()
	log, unstored := part{name: "log", bound: journalFile}, part{name: "unstored", bound: unstoredFile}
	for _, line := range waiting {
		switch line := line.(type) {
		case *called:
			told := j.lost.Swap(0)
			j.put(&log, j.journaled(line, told), told)
		case Unstored:
			j.put(&unstored, line, 0)
		}
	}
	j.flush(&log)
	j.flush(&unstored)
}

// A part is some lines of a log that are written at once.
type part struct {
	name  string
	bound int64 // of its file
	text  []byte
	lines []written
}

// written is a line of a part.
type written struct {
	end  int   // of the line, in the part's text
	told int64 // how many lost lines it tells of
}

// put adds a line to a part, and writes the part when it is large.
func (j *journal) put(p *part, line any, told int64) {
	text, err := json.Marshal(line)
	if err != nil {
		j.lost.Add(1 + told)
		return
	}
	if len(p.text)+len(text) >= journalPart {
		j.flush(p)
	}
	p.text = append(append(p.text, text...), '\n')
	p.lines = append(p.lines, written{len(p.text), told})
}

// flush writes a part and empties it. What can't be written is lost, with what its lines told of: a full disk. Whoever has just dropped a
// page is not to hear of that.
func (j *journal) flush(p *part) {
	if len(p.lines) == 0 {
		return
	}
	n := 0
	_ = fault.Do(fault.JournalWrite, fault.Private, p.name, func() (err error) {
		n, err = appendTo(filepath.Join(j.dir, p.name), p.text, p.bound)
		return err
	})
	for _, line := range p.lines {
		if line.end > n {
			j.lost.Add(1 + line.told)
		}
	}
	p.text, p.lines = p.text[:0], p.lines[:0]
}

// appendTo appends lines to a file, in one write: those of several processes don't mix. It returns how many bytes were written. A
// file over its bound takes the place of the one before it.
//
//	openat O_APPEND|O_CREAT|O_NOFOLLOW · write · fstat
//	over the bound: flock · stat: still that file? · rename NAME NAME.1
func appendTo(path string, lines []byte, bound int64) (n int, err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, errors.New("it is no regular file")
	}
	if n, err = f.Write(lines); err != nil {
		_, _ = f.Write([]byte("\n")) // what follows is not to be joined to half a line
		return n, err
	}
	if st.Size()+int64(len(lines)) < bound {
		return n, nil
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return n, nil // another process is about it
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(now, st) {
		return n, err
	}
	return n, os.Rename(path, path+".1")
}

// journaled makes a line of a call, with bounded names, which also tells how many lines before it were lost.
func (j *journal) journaled(c *called, lost int64) Journaled {
	sel := c.sel
	line := Journaled{
		At: c.at.UTC(), Cause: bounded(sel.Cause), All: sel.All, Soft: sel.Soft, Position: bounded(sel.Position.String()),
		Pages: c.dropped.Pages, Dropped: c.names, Graced: c.dropped.Graced, Twins: c.dropped.Twins, Claims: c.dropped.Claims, Retired: c.dropped.Retired,
		More: c.more,
		Took: c.took.Microseconds(), PID: os.Getpid(), Program: j.program, Lost: lost,
	}
	if line.Dropped == nil {
		line.Dropped = []string{}
	}
	if c.err != nil {
		line.Error = bounded(c.err.Error())
	}
	keep := func(list *[]string, name string) {
		if len(*list) == journalNames || len(name) > journalText {
			line.More++
			return
		}
		*list = append(*list, name)
	}
	for _, k := range sel.Keys {
		keep(&line.Keys, k.String())
	}
	for _, t := range sel.Tags {
		keep(&line.Tags, t)
	}
	for _, p := range sel.Prefixes {
		keep(&line.Prefixes, p.String())
	}
	return line
}

// bounded shortens a text, and makes it one that JSON gives back as it is.
func bounded(text string) string {
	if len(text) > journalText {
		text = text[:journalText] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// NoteUnstored notes for Explain and `cachesrv log` why an answer was not stored: at most once a minute for a key and a
// reason, and 100 times a second in all. It never waits.
func (s *Store) NoteUnstored(k Key, why string) {
	if s.journal == nil {
		return
	}
	now := time.Now()
	name, why := bounded(k.String()), bounded(why)
	if !s.journal.pace(name, why, now) {
		return
	}
	s.journal.add(Unstored{At: now.UTC(), Key: name, Why: why, PID: os.Getpid(), Program: s.journal.program})
}

func (j *journal) pace(name, why string, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	about := [2]string{name, why}
	if last, ok := j.paced[about]; ok && now.Sub(last) < unstoredPace {
		return false
	}
	if second := now.Unix(); second != j.second {
		j.second, j.burst = second, 0
	}
	if j.burst++; j.burst > unstoredBurst {
		return false
	}
	if len(j.paced) >= unstoredPaced {
		clear(j.paced) // some are told of again too early
	}
	j.paced[about] = now
	return true
}

// journal notes a call of Invalidate.
func (s *Store) journalCall(sel Selection, d Dropped, names []string, began time.Time, err error) {
	if s.journal == nil || sel.DryRun || errors.Is(err, context.Canceled) {
		return
	}
	now := time.Now()
	// The caller may use its lists again; and of long ones only the beginning is written.
	c := &called{sel, d, names, now, now.Sub(began), 0, err}
	c.more = clip(&c.sel.Keys) + clip(&c.sel.Tags) + clip(&c.sel.Prefixes)
	s.journal.add(c)
}
