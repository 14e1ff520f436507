//go:build linux && cachesrv_fault && !cachesrv_portable

package cache

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"zombiezen.com/go/sqlite"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A world is a folder, a datum with versions, and processes that work on one page made from it. It can be put back to its
// start at little cost, and every call of its processes is one step of a schedule.
type world struct {
	t         testing.TB
	kinds     []*kind
	start     start
	dir       string
	key       Key
	stores    []*Store // one for each process
	fresh     *Store   // whose lookups are the oracle's
	conn      *sqlite.Conn
	forgetful bool // a control: the text of a state lacks the invalidation counter
	random    bool // random schedules: states are not told apart

	folder, file, liveName, generation string // names

	procs   []*proc
	running *proc
	crashes int // that may still come

	pagesOf  []int // which page each process is about; all are about the first unless it is random
	keys     []Key // the pages: one where every state is searched
	version  int   // of the datum, by commits
	settles  bool  // a source may lag, by less than settleTime
	ticks    int   // of the boot-time clock, each as long as that
	visible  int   // the version that a lagging source shows: the newest that is a tick old
	finished []int // by page: the newest version whose invalidation, hard or soft, has returned
	dropped  []int // the newest whose hard invalidation has
	fenced   int   // fences that have returned and are not being lifted
	grace    bool  // there may be graced pages

	rows    inventoryState
	wrote   bool               // the inventory may have changed since rows were read
	dirty   bool               // it may have changed since the start
	first   uint64             // inode of the page there is at the start
	seen    map[uint64]content // of files that have their identity, by inode
	wrong   string
	narrate func(*proc, call)
}

// A start is what lies in the folder when the processes begin.
type start string

const (
	empty    start = "empty"
	withPage start = "page"
	withTwin start = "twin" // a page and its twin
)

func (w *world) surprise(format string, a ...any) {
	if w.wrong == "" {
		w.wrong = "surprise: " + fmt.Sprintf(format, a...)
	}
}

func (w *world) fail(format string, a ...any) {
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, a...)
	}
}

// Contents. Each version of the datum makes one body, and each body one twin; made once, as compressing in every schedule
// would cost more than all the rest.

type content struct {
	version int
	twin    bool
	whole   bool
}

const maxVersion = 8 // of a world's datum

var contents = func() (c struct {
	body, gz [maxVersion + 1][]byte
	bySecond map[int64]content
}) {
	c.bySecond = make(map[int64]content)
	for v := range maxVersion + 1 {
		c.body[v] = []byte(strings.Repeat(fmt.Sprintf("This is version %d.\n", v), 8))
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(c.body[v])
		_ = z.Close()
		c.gz[v] = b.Bytes()
		c.bySecond[digestSeconds(sha256.Sum256(c.body[v]))] = content{v, false, true}
		c.bySecond[digestSeconds(sha256.Sum256(c.gz[v]))] = content{v, true, true}
	}
	return c
}()

func contentOf(b []byte) content {
	for v := range maxVersion + 1 {
		if bytes.Equal(b, contents.body[v]) {
			return content{v, false, true}
		}
		if bytes.Equal(b, contents.gz[v]) {
			return content{v, true, true}
		}
	}
	return content{}
}

// knownGzip is a gzip writer that knows the few bodies there are.
type knownGzip struct {
	w io.Writer
	b bytes.Buffer
}

func (z *knownGzip) Write(p []byte) (int, error) { return z.b.Write(p) }
func (z *knownGzip) Close() error {
	c := contentOf(z.b.Bytes())
	if !c.whole || c.twin {
		return errors.New("compressing what is no version's body")
	}
	_, err := z.w.Write(contents.gz[c.version])
	return err
}

func newWorld(t testing.TB, kinds []*kind, begin start) *world {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir(), "cachesrv-world")
	if err != nil {
		t.Fatal(err)
	}
	k, err := key.Parse("h/a")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dirty: true, t: t, kinds: kinds, start: begin, dir: dir, key: k, keys: []Key{k}, folder: "h", file: "a.page", liveName: "live"}
	encodings[0].writer = func(out io.Writer) (io.WriteCloser, error) { return &knownGzip{w: out}, nil }
	plain := false
	for _, k := range kinds {
		plain = plain || k.plain
		w.grace = w.grace || k.grace
		w.settles = w.settles || k.lags
	}
	for i := range len(kinds) + 1 {
		s, err := Open(context.Background(), w.options(plain))
		if err != nil {
			t.Fatal(err)
		}
		// What runs in the background is an actor here, or nobody.
		s.keep.stop()
		s.twins.stop()
		s.journal.stop()
		if err := s.Unfence(context.Background()); err != nil {
			t.Fatal(err)
		}
		if i < len(kinds) {
			w.stores = append(w.stores, s)
		} else {
			w.fresh = s
		}
	}
	for _, s := range append(w.stores, w.fresh) {
		if err := errors.Join(s.shared.Unlock(), s.serving.Unlock()); err != nil { // so that a recovery can be the first to open it
			t.Fatal(err)
		}
	}
	w.generation, err = os.Readlink(filepath.Join(dir, "cache/current"))
	if err != nil {
		t.Fatal(err)
	}
	w.connect()
	t.Cleanup(w.close)
	return w
}

func closeWorldStore(s *Store) {
	if !s.closed.Swap(true) {
		s.release()
	}
}

// worldsVariable names a folder for worlds to a process that may be killed, and can't tidy up then.
const worldsVariable = "CACHESRV_TEST_WORLDS"

// memoryDir is a folder in memory where there is one: it is the order of calls that is tested, not the disk.
func memoryDir() string {
	if dir := os.Getenv(worldsVariable); dir != "" {
		return dir
	}
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

func (w *world) options(plain bool) Options {
	settle := time.Duration(-1)
	if w.settles {
		settle = settleTime
	}
	return Options{
		Settle: settle, BootClock: func() time.Duration { return time.Hour + time.Duration(w.ticks)*settleTime },
		Dir: w.dir, Live: filepath.Join(w.dir, "live"), Plain: plain, SweepInterval: -1,
		ClaimTimeout: time.Hour, BootID: "the only one", Logger: slog.New(slog.DiscardHandler),
	}
}

// settleTime is Options.Settle of worlds with a source that lags.
const settleTime = time.Second

func (w *world) pages() string { return filepath.Join(w.dir, "cache/current/pages") }

// reset puts the world back to its start.
func (w *world) reset() {
	if w.random {
		w.resetMany()
	}
	w.clearFiles()
	w.clearInventory()
	for i, s := range append(w.stores, w.fresh) {
		s.memory.pages.Invalidate(w.key)
		s.live.shut.Store(false)
		s.keep.clear()
		if n := s.gen.Load().refs.Load(); n != 1 {
			w.fail("the store of process %d has %d references to its generation left", i, n)
		}
	}
	w.version, w.fenced, w.crashes, w.wrong = 0, 0, 1, ""
	w.ticks, w.visible = 0, 0
	w.finished, w.dropped = make([]int, len(w.keys)), make([]int, len(w.keys))
	w.procs = w.procs[:0]
	for i, k := range w.kinds {
		p := w.newProc(i, k)
		if w.random {
			p.nth = w.pagesOf[i]
		}
		w.procs = append(w.procs, p)
		p.step() // up to its first call
	}
}

// end lets go of the processes of a schedule that was not run to its end.
func (w *world) end() {
	for _, p := range w.procs {
		if !p.done {
			p.crash()
		}
	}
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

func removeAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		if e.IsDir() {
			if err := removeAll(path); err != nil {
				return err
			}
			if err := unix.Rmdir(path); err != nil {
				return err
			}
		} else if err := unix.Unlink(path); err != nil {
			return err
		}
	}
	return nil
}

// clearFiles makes the page's folder what it was at the start. The files of the start are new ones each time.
func (w *world) clearFiles() {
	if w.seen == nil {
		w.seen = make(map[uint64]content)
	}
	clear(w.seen)
	if names, err := w.fresh.trash.Names(fault.TrashRead, "."); err == nil && len(names) > 0 {
		w.must(removeAll(filepath.Join(w.dir, "cache/trash")))
	}
	folder := w.pages() + "/" + w.folder
	for _, suffix := range []string{"", ".tmp", ".gz", ".stale"} {
		w.must(ignoreGone(unix.Unlink(folder + "/" + w.file + suffix)))
	}
	if w.start == empty {
		w.must(ignoreGone(unix.Rmdir(folder)))
		return
	}
	if err := unix.Mkdir(folder, 0o755); err != unix.EEXIST {
		w.must(err)
	}
	w.first = w.put(folder+"/"+w.file, contents.body[0])
	if w.start == withTwin {
		w.put(folder+"/"+w.file+".gz", contents.gz[0])
	}
}

// startStamp is the stamp of the page there is at the start, and of its twin.
const startStamp = 1

// put writes a published file.
func (w *world) put(path string, b []byte) (inode uint64) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	w.must(err)
	defer unix.Close(fd)
	_, err = unix.Write(fd, b)
	w.must(err)
	w.must(sys.SetMtime(fault.ClaimMtime, fd, digestSeconds(sha256.Sum256(b)), startStamp))
	var st unix.Stat_t
	w.must(unix.Fstat(fd, &st))
	return st.Ino
}

// clearInventory makes the inventory what it was at the start: empty, or with the row of the page there is.
func (w *world) clearInventory() {
	w.query("BEGIN IMMEDIATE", nil)
	if w.dirty {
		for _, query := range []string{
			"DELETE FROM publication", "DELETE FROM tag", "DELETE FROM invalidation", "DELETE FROM sqlite_sequence", "DELETE FROM settling",
			"UPDATE total SET pages = 0, bytes = 0, hand = 0, next = 1",
		} {
			w.query(query, nil)
		}
	}
	if w.start != empty && !w.dirty {
		s, err := w.conn.Prepare("UPDATE publication SET ino = ?")
		w.must(err)
		s.BindInt64(1, int64(w.first))
		_, err = s.Step()
		w.must(errors.Join(err, s.Reset()))
	}
	if w.start != empty && w.dirty {
		s, err := w.conn.Prepare(`INSERT INTO publication(id, file, claim, key, ino, sec, nsec, size, digest, status, header, tags, position, created, expires, grace, twins)
			VALUES(1, ?, ?, ?, ?, ?, ?, ?, ?, 200, ?, 't', '', 1, 0, ?, ?)`)
		w.must(err)
		f, sum := w.key.File(), sha256.Sum256(contents.body[0])
		s.BindText(1, f.Page())
		s.BindText(2, f.Claim())
		s.BindText(3, w.key.String())
		s.BindInt64(4, int64(w.first))
		s.BindInt64(5, digestSeconds(sum))
		s.BindInt64(6, startStamp)
		s.BindInt64(7, int64(len(contents.body[0])))
		s.BindBytes(8, sum[:])
		s.BindText(9, "Content-Type: "+PlainContentType+"\r\n")
		s.BindInt64(10, int64(w.meta().Grace))
		s.BindInt64(11, int64(bit(w.start == withTwin)))
		_, err = s.Step()
		w.must(errors.Join(err, s.Reset()))
		w.query("INSERT INTO tag VALUES('t', 1)", nil)
	}
	w.query("COMMIT", nil)
	w.wrote, w.dirty = true, false
}

func (w *world) query(query string, row func(*sqlite.Stmt)) {
	s, err := w.conn.Prepare(query)
	w.must(err)
	for {
		more, err := s.Step()
		w.must(err)
		if !more {
			break
		}
		row(s)
	}
	w.must(s.Reset())
}

func (w *world) meta() Meta {
	m := Meta{Header: http1, Tags: []string{"t"}}
	if w.grace {
		m.Grace = time.Hour
	}
	return m
}

var http1 = map[string][]string{"Content-Type": {PlainContentType}}

// inventoryState is what the inventory holds, but for times.
type inventoryState struct {
	rows []inventory.Row
	next int64 // id of a publication
	seqs []int64
	open []bool
	held []string // what settles
}

func (w *world) readInventory() *inventoryState {
	if !w.wrote {
		return &w.rows
	}
	w.wrote = false
	r := &w.rows
	r.rows, r.seqs, r.open = r.rows[:0], r.seqs[:0], r.open[:0]
	w.query("SELECT id, ino, nsec, twins, graced FROM publication ORDER BY id", func(s *sqlite.Stmt) {
		r.rows = append(r.rows, inventory.Row{
			ID: s.ColumnInt64(0), Identity: inventory.Identity{Ino: uint64(s.ColumnInt64(1)), Nsec: s.ColumnInt64(2)},
			Twins: s.ColumnInt(3), Graced: s.ColumnInt64(4),
		})
	})
	w.query("SELECT seq, done FROM invalidation ORDER BY seq", func(s *sqlite.Stmt) {
		r.seqs, r.open = append(r.seqs, s.ColumnInt64(0)), append(r.open, s.ColumnInt(1) == 0)
	})
	r.held = r.held[:0]
	if w.settles {
		w.query("SELECT name || ' ' || at || ' ' || bare FROM settling ORDER BY name", func(s *sqlite.Stmt) { r.held = append(r.held, s.ColumnText(0)) })
	}
	w.query("SELECT next FROM total", func(s *sqlite.Stmt) { r.next = s.ColumnInt64(0) })
	return r
}

// An entry is a file of the page's folder.
type entry struct {
	name    string
	st      sys.Stat
	content content
}

// files lists the page's folder; its inode number is 0 if there is none.
func (w *world) files() (folder uint64, entries []entry) {
	return w.filesIn(w.pages() + "/" + w.folder)
}

func (w *world) filesIn(path string) (folder uint64, entries []entry) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return 0, nil
	}
	w.must(err)
	defer unix.Close(fd)
	var st unix.Stat_t
	w.must(unix.Fstat(fd, &st))
	found := 0
	for _, suffix := range []string{"", ".gz", ".stale", ".tmp"} {
		e, ok := w.stat(fd, w.file+suffix)
		if ok {
			entries = append(entries, e)
			found++
		}
	}
	if n := w.count(fd); n != found {
		w.surprise("%d files that nobody should make in these worlds", n-found)
	}
	return st.Ino, entries
}

func (w *world) stat(fd int, name string) (entry, bool) {
	var st unix.Stat_t
	err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return entry{}, false
	}
	w.must(err)
	e := entry{name: name, st: sys.Stat{Ino: st.Ino, Sec: st.Mtim.Sec, Nsec: st.Mtim.Nsec, Size: st.Size}}
	_, identified := contents.bySecond[st.Mtim.Sec]
	if known, ok := w.seen[st.Ino]; ok && identified {
		e.content = known
		return e, true
	}
	f, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	w.must(err)
	b := make([]byte, 1024)
	n, err := unix.Read(f, b)
	w.must(err)
	_ = unix.Close(f)
	e.content = contentOf(b[:n])
	if identified {
		w.seen[st.Ino] = e.content
	}
	return e, true
}

// count counts the entries of an open folder.
func (w *world) count(fd int) (n int) {
	var buf [1024]byte
	for {
		size, err := unix.Getdents(fd, buf[:])
		w.must(err)
		if size == 0 {
			return n - 2 // "." and ".."
		}
		for b := buf[:size]; len(b) > 0; n++ {
			b = b[int(b[16])|int(b[17])<<8:]
		}
	}
}

var _ fault.Hook = (*world)(nil)
