package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// The tests here are schedules that once broke a promise, or a bound.

var plainHTML = http.Header{"Content-Type": {PlainContentType}}

func openStore(t *testing.T, dir string, change ...func(*Options)) *Store {
	t.Helper()
	o := Options{Dir: dir, Live: filepath.Join(dir, "live"), SweepInterval: -1, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func inMemory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "zz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func keyOf(s string) Key {
	k, err := key.Parse(s)
	if err != nil {
		panic(err)
	}
	return k
}

func fillPage(t *testing.T, s *Store, k, body string, m Meta) {
	t.Helper()
	f, err := s.Claim(t.Context(), keyOf(k))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Write([]byte(body))
	if m.Header == nil {
		m.Header = plainHTML
	}
	if _, err := f.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func servedNow(s *Store, k string) string {
	h, err := s.Lookup(keyOf(k))
	if err != nil {
		return ""
	}
	defer h.Close()
	return string(h.Identity().Bytes)
}

// A claim made in a folder that was dropped between openFolder and Create: no invalidation by key reaches it.
func TestClaimInADroppedFolder(t *testing.T) {
	s := openStore(t, inMemory(t))
	p, _ := key.ParsePrefix("h/a")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			s.Invalidate(context.Background(), Selection{Prefixes: []key.Prefix{p}})
			time.Sleep(5 * time.Millisecond)
		}
	})
	for w := range 4 {
		wg.Go(func() {
			k := keyOf(fmt.Sprintf("h/a/x%d", w))
			for n := 0; ctx.Err() == nil; n++ {
				f, err := s.Claim(context.Background(), k)
				if err != nil {
					continue
				}
				c := f.claim
				if _, err := c.gen.pages.Stat(fault.RowClaim, c.file.Claim()); err == nil {
					f.Close()
					continue
				}
				f.Write([]byte("old"))
				if _, err := s.Invalidate(context.Background(), Selection{Keys: []Key{k}}); err == nil {
					_, perr := f.Publish(context.Background(), Meta{Status: 404, Header: plainHTML})
					if got := servedNow(s, k.String()); perr == nil && got == "old" {
						t.Errorf("after %d claims: published and served what was invalidated since the claim", n)
						cancel()
					}
				}
				f.Close()
			}
		})
	}
	wg.Wait()
}

// A tag's rows are read, a twin is made, the row is dropped: the twin stays.
func TestTwinMadeWhileItsTagIsDropped(t *testing.T) {
	s := openStore(t, t.TempDir())
	fillPage(t, s, "h/a", strings.Repeat("x", 5000), Meta{Tags: []string{"t"}})
	hit, err := s.Lookup(keyOf("h/a"))
	if err != nil {
		t.Fatal(err)
	}
	g := s.gen.Load()
	r := &reaper{s: s, g: g}
	recordTag(g)
	var rows []inventory.Row
	rowsOfTag(g, &rows)
	if err := s.makeTwin(t.Context(), hit.Page, 0); err != nil && !errors.Is(err, ErrInvalidated) {
		t.Fatal(err)
	}
	for i := range rows {
		if err := r.row(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.path("current/pages/h/a.page.gz")); err == nil {
		t.Error("the twin of a page that was dropped by its tag is still there")
	}
	g.inv.Delete(t.Context(), []int64{rows[0].ID}) // as upkeep does within a second
	s.sweep(t.Context(), g)
	fillPage(t, s, "h/a", strings.Repeat("new", 3000), Meta{Tags: []string{"t"}})
	if _, err := os.Stat(s.path("current/pages/h/a.page.gz")); err == nil {
		t.Error("and lies beside the new page: gzip_static serves it")
	}
}

// The methods of a store may be called concurrently (run with -race).
func TestUnfenceConcurrently(t *testing.T) {
	s := openStore(t, t.TempDir())
	s2, _ := Open(t.Context(), s.o)
	defer s2.Close()
	var wg sync.WaitGroup
	wg.Go(func() { s2.Unfence(context.Background()) })
	wg.Go(func() { s2.Unfence(context.Background()) })
	wg.Go(func() { s2.Unfence(context.Background()) })
	wg.Wait()
}

// Between the two renames of a prefix, a key's invalidation finds neither claim nor page.
func TestClaimWhoseFolderWasMoved(t *testing.T) {
	s := openStore(t, t.TempDir())
	k := keyOf("h/a/x")
	f, err := s.Claim(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("old"))
	// A prefix is dropped by another process, as far as its first rename (it stands still, or dies there); its record
	// came after our row, or it is a rename of our folder by hand.
	r := &reaper{s: s, g: f.claim.gen}
	if _, err := r.trashFolder("h/a"); err != nil {
		t.Fatal(err)
	}
	d, err := s.Invalidate(t.Context(), Selection{Keys: []Key{k}})
	_, perr := f.Publish(t.Context(), Meta{Status: 404, Header: plainHTML})
	f.Close()
	if got := servedNow(s, "h/a/x"); got != "" {
		t.Errorf("invalidate: %+v %v; publish: %v; served %q", d, err, perr, got)
	}
}

// The same, as a schedule: the two opens of openFolders with a prefix dropped between.
func TestClaimInADroppedFolderAsASchedule(t *testing.T) {
	s := openStore(t, t.TempDir())
	p, _ := key.ParsePrefix("h/a")
	g, _ := s.current(t.Context())
	k := keyOf("h/a/x")
	c := &claim{gen: g, file: k.File(), fd: -1}
	var err error
	c.folder, err = g.pages.OpenOrMake(fault.ClaimFolder, c.file.Folder) // openFolders, first half
	if err != nil {
		t.Fatal(err)
	}
	c.place = c.folder
	s.Invalidate(t.Context(), Selection{Prefixes: []key.Prefix{p}})
	c.fd, err = c.folder.Create(fault.ClaimCreate, c.file.Base+key.ClaimSuffix) // take
	if err != nil {
		t.Fatal(err)
	}
	sys.TryLock(fault.ClaimLock, c.fd)
	st, _ := sys.Fstat(fault.ClaimStat, c.fd)
	c.inode, c.taken = st.Ino, time.Now()
	c.noted, _ = g.inv.Counter(t.Context())
	f := newFill(s, k, c)
	f.Write([]byte("old"))
	d, err := s.Invalidate(t.Context(), Selection{Keys: []Key{k}})
	_, perr := f.Publish(t.Context(), Meta{Status: 404, Header: plainHTML})
	f.Close()
	if got := servedNow(s, "h/a/x"); got != "" {
		t.Errorf("invalidate: %+v %v; publish: %v; served %q", d, err, perr, got)
	}
}

// Unfence looks for the mark, Fence does all of its work, Unfence makes the link.
func TestFenceAgainstUnfence(t *testing.T) {
	s := openStore(t, inMemory(t))
	fillPage(t, s, "h/a", "a", Meta{})
	for i := range 300 {
		if err := s.LiftFence(t.Context()); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { s.Unfence(context.Background()) })
		}
		wg.Go(func() { s.Fence(context.Background(), "x") })
		wg.Wait()
		if _, fenced := s.FencedBy(); fenced && servedNow(s, "h/a") != "" {
			t.Fatalf("round %d: fenced, and served", i)
		}
	}
}

// Folders of fills that were never published.
func TestFoldersOfFillsThatStoredNothing(t *testing.T) {
	s := openStore(t, t.TempDir())
	for i := range 200 {
		f, err := s.Claim(t.Context(), keyOf(fmt.Sprintf("h/%d/b/c/d/e", i)))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	g := s.gen.Load()
	if err := s.sweep(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if err := s.evict(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	n := 0
	filepath.WalkDir(s.path(g.name), func(p string, d os.DirEntry, err error) error {
		if d.IsDir() {
			n++
		}
		return nil
	})
	if n > 10 {
		t.Errorf("200 requests that stored nothing left %d folders after a sweep", n)
	}
}

// A cache that is smaller than a batch of evictions was emptied when it had one page too many.
func TestEvictionTakesNoMoreThanItMust(t *testing.T) {
	for name, bound := range map[string]func(*Options){
		"pages": func(o *Options) { o.MaxPages = 20 },
		"bytes": func(o *Options) { o.MaxBytes = 20 * 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, inMemory(t))
			s.keep.stop() // it would evict too, and reads the bounds
			for i := range 23 {
				fillPage(t, s, fmt.Sprintf("h/%d", i), strings.Repeat("x", 1000), Meta{})
			}
			bound(&s.o)
			if err := s.evict(t.Context(), s.gen.Load()); err != nil {
				t.Fatal(err)
			}
			left := 0
			for i := range 23 {
				if servedNow(s, fmt.Sprintf("h/%d", i)) != "" {
					left++
				}
			}
			if left != 20 {
				t.Errorf("of 23 pages %d are left; there is room for 20", left)
			}
		})
	}
}

// Close does not wait for fills and invalidations.
func TestCloseWaitsForInvalidations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, dir)
	var keys []Key
	for i := range 20000 {
		keys = append(keys, keyOf(fmt.Sprintf("h/%d", i)))
	}
	fillPage(t, s, "h/19999", "old", Meta{})
	begun := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		close(begun)
		_, err := s.Invalidate(context.Background(), Selection{Keys: keys})
		done <- err
	}()
	<-begun
	time.Sleep(5 * time.Millisecond)
	s.Close()
	_, clean := os.Stat(filepath.Join(dir, "cache/clean"))
	_, page := os.Stat(filepath.Join(dir, "cache/current/pages/h/19999.page"))
	select {
	case err := <-done:
		t.Log("done before Close returned", err)
	default:
		t.Errorf("Close returned with an invalidation under way; clean mark: %v, page still there: %v; later it returned %v", clean == nil, page == nil, <-done)
	}
}

func TestCloseWaitsForFills(t *testing.T) {
	t.Parallel() // for closeTimeout, as this fill is never closed
	dir := t.TempDir()
	s := openStore(t, dir)
	f, err := s.Claim(t.Context(), keyOf("h/a"))
	if err != nil {
		t.Fatal(err)
	}
	g := f.claim.gen
	s.Close()
	_, err = os.Stat(filepath.Join(dir, "cache/clean"))
	if err == nil && g.refs.Load() > 0 {
		t.Errorf("the clean mark is there, while the inventory is open (%d references): it is checkpointed after syncfs", g.refs.Load())
	}
	// the descriptor numbers of the closed folders are used again
	var fds []*os.File
	for range 40 {
		d, _ := os.Open(t.TempDir())
		fds = append(fds, d)
	}
	f.Write([]byte("x"))
	_, err = f.Publish(context.Background(), Meta{Header: plainHTML})
	t.Logf("publish after Close: %v", err)
	if err == nil {
		t.Error("published after Close, and after the clean mark")
	}
	f.Close()
	for _, d := range fds {
		d.Close()
	}
}

// An intent recorded before the clock was set back.
func TestIntentFromTheFuture(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	fillPage(t, s, "h/a", "old", Meta{Tags: []string{"t"}})
	g := s.gen.Load()
	if err := recordAt(g, time.Now().Add(time.Hour).UnixNano()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = openStore(t, dir)
	if got := servedNow(s, "h/a"); got != "" {
		t.Errorf("served %q although an intent for its tag stands open", got)
	}
}

// A host on port 80 of TLS.
func TestDefaultPorts(t *testing.T) {
	s := openStore(t, t.TempDir())
	h, err := key.Host("h:80")
	if err != nil {
		t.Fatal(err)
	}
	k := Key{Host: h, Path: "/a/b"}
	if again, err := key.Parse(k.String()); again != k {
		t.Errorf("%q reads back as %q, %v", k, again, err)
	}
	f, _ := s.Claim(t.Context(), k)
	f.Write([]byte("old"))
	f.Publish(t.Context(), Meta{Header: plainHTML})
	f.Close()
	d, err := s.Invalidate(t.Context(), Selection{Prefixes: []key.Prefix{{Host: h, Path: "/a"}}})
	if hit, lerr := s.Lookup(k); lerr == nil {
		t.Errorf("invalidate: %+v, %v; still served: %s", d, err, hit.Identity().Bytes)
	}
}

// After a retirement by another process, every request opens the new generation for itself.
func TestFollowOnce(t *testing.T) {
	dir := t.TempDir()
	a, b := openStore(t, dir), openStore(t, dir)
	fillPage(t, a, "h/a", "x", Meta{})
	b.Invalidate(t.Context(), Selection{All: true})
	seen := map[*generation]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for i := range 100 {
		wg.Go(func() {
			f, err := a.Claim(context.Background(), keyOf(fmt.Sprintf("h/%d", i)))
			if err != nil {
				return
			}
			mu.Lock()
			seen[f.claim.gen] = true
			mu.Unlock()
			time.Sleep(200 * time.Millisecond)
			f.Close()
		})
	}
	wg.Wait()
	if len(seen) > 1 {
		t.Errorf("%d openings of one generation, %s", len(seen), time.Since(start)-time.Second)
	}
}

// The instructions of a fence after a failed invalidation, followed to the letter, serve the old page.
func TestLiftedFenceDropsFirst(t *testing.T) {
	if os.Geteuid() == 0 {
		dir, _ := os.MkdirTemp("", "zz")
		defer os.RemoveAll(dir)
		os.Chmod(dir, 0o777)
		b, _ := os.ReadFile(os.Args[0])
		bin := filepath.Join(dir, "test")
		os.WriteFile(bin, b, 0o755)
		cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", bin, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s", out)
		}
		return
	}
	dir := t.TempDir()
	s := openStore(t, dir)
	fillPage(t, s, "h/a", "old", Meta{})
	refused := []string{filepath.Join(dir, "cache/current/pages/h"), filepath.Join(dir, "cache/trash")}
	for _, p := range refused {
		os.Chmod(p, 0o555)
	}
	if _, err := s.Invalidate(t.Context(), Selection{Keys: []Key{keyOf("h/a")}}); err != nil {
		t.Fatal(err)
	}
	for _, p := range refused { // "mend that …"
		os.Chmod(p, 0o755)
	}
	reason, _ := s.FencedBy()
	t.Log(reason)
	s.Check(t.Context(), CheckOptions{Repair: true}) // "… then run: cachesrv check --repair …"
	s.LiftFence(t.Context())                         // "… cachesrv fence off"
	if got := servedNow(s, "h/a"); got != "" {
		t.Errorf("served %q, which Invalidate, returning nil, had dropped", got)
	}
}

// Open discards what another process is retiring, without the lock: takes away the new current.
func TestOpenWhileOthersRetire(t *testing.T) {
	t.Parallel()
	dir := inMemory(t)
	s := openStore(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			s.Invalidate(context.Background(), Selection{All: true})
		}
	})
	var failed error
	for ctx.Err() == nil {
		b, err := Open(context.Background(), s.o)
		if err != nil {
			failed = err
			break
		}
		b.Close()
	}
	cancel()
	wg.Wait()
	names, _ := s.at.Names(fault.GenerationList, ".")
	n := 0
	for _, name := range names {
		if strings.HasPrefix(name, "gen-") {
			n++
		}
	}
	if n > 1 || failed != nil {
		t.Errorf("%d generations lie in cache/; open: %v", n, failed)
	}
}

// Withhold and Release at once.
func TestWithholdAgainstRelease(t *testing.T) {
	s := openStore(t, inMemory(t))
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				id := fmt.Sprint(w, i)
				if err := s.Withhold(context.Background(), id, Selection{All: true}); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
					return
				}
				s.Release(context.Background(), id)
			}
		})
	}
	wg.Wait()
	if first != nil {
		t.Error(first)
	}
}

// An unreadable withheld selection can't be released.
func TestReleaseOfTheUnreadable(t *testing.T) {
	s := openStore(t, t.TempDir())
	s.Withhold(t.Context(), "x", Selection{All: true})
	os.WriteFile(s.path("withheld/"+withheldName("x")), nil, 0o644)
	ids, _ := s.Withheld(t.Context())
	for _, id := range ids {
		s.Release(t.Context(), id)
	}
	if ids, _ = s.Withheld(t.Context()); len(ids) > 0 {
		t.Errorf("released, and still withheld: %q", ids)
	}
}

// The page shares the caller's headers.
func TestPageSharesNoHeaders(t *testing.T) {
	s := openStore(t, t.TempDir())
	h := plainHTML.Clone()
	fillPage(t, s, "h/a", "x", Meta{Header: h})
	h.Set("Set-Cookie", "secret")
	hit, err := s.Lookup(keyOf("h/a"))
	if err != nil {
		t.Fatal(err)
	}
	if hit.Meta.Header.Get("Set-Cookie") != "" {
		t.Error("a published page changed with its caller's map")
	}
}

// Writing after publication changes the published file.
func TestWriteAfterPublish(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.MemoryPageMax = 10 })
	f, _ := s.Claim(t.Context(), keyOf("h/a"))
	defer f.Close()
	f.Write([]byte(strings.Repeat("x", 100)))
	if _, err := f.Publish(t.Context(), Meta{Header: plainHTML}); err != nil {
		t.Fatal(err)
	}
	_, err := f.Write([]byte("more"))
	st, _ := os.Stat(s.path("current/pages/h/a.page"))
	if err == nil || st.Size() != 100 {
		t.Errorf("write after publish: %v; the published file has %d bytes", err, st.Size())
	}
}

// A fence is lifted while an invalidation fails behind it: what that could not drop is not served.
func TestLiftWhileAnInvalidationFails(t *testing.T) {
	s := openStore(t, t.TempDir())
	fillPage(t, s, "h/a", "old", Meta{})
	if err := s.Fence(t.Context(), "by hand"); err != nil {
		t.Fatal(err)
	}
	// As failClosed does, after LiftFence has looked for the mark; and then LiftFence takes away the fence of both.
	if err := s.writeDurable("drop", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.at.Unlink(fault.MarkUnlink, "fenced"); err != nil {
		t.Fatal(err)
	}
	if err := s.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := servedNow(s, "h/a"); got != "" {
		t.Errorf("served %q behind the mark", got)
	}
	if err := s.LiftFence(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := servedNow(s, "h/a"); got != "" {
		t.Errorf("served %q, which should have been dropped", got)
	}
	fillPage(t, s, "h/a", "new", Meta{})
	if got := servedNow(s, "h/a"); got != "new" {
		t.Errorf("served %q", got)
	}
}

// An Unfence that comes after Close must not bring the link back: nobody would invalidate for those who read through it.
func TestUnfenceAfterClose(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	fillPage(t, s, "h/a", "old", Meta{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Unfence(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("unfence: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "live")); err == nil {
		t.Error("the link is there")
	}
}

// A call still uses the generation before the last one: Close waits for it as well.
func TestCloseWaitsForEarlierGenerations(t *testing.T) {
	s := openStore(t, t.TempDir())
	f, err := s.Claim(t.Context(), keyOf("h/a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Invalidate(t.Context(), Selection{All: true}); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	select {
	case <-closed:
		t.Error("Close did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	f.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// A twin is made between a soft purge's reading of the rows and its unlinks.
func TestTwinMadeDuringASoftPurge(t *testing.T) {
	s := openStore(t, t.TempDir())
	fillPage(t, s, "h/a", strings.Repeat("x", 5000), Meta{})
	hit, err := s.Lookup(keyOf("h/a"))
	if err != nil {
		t.Fatal(err)
	}
	g := s.gen.Load()
	var rows []inventory.Row
	err = g.inv.Rows(t.Context(), inventory.Select{}, func(r *inventory.Row) error { rows = append(rows, *r); return nil })
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if err := s.makeTwin(t.Context(), hit.Page, 0); err != nil {
		t.Fatal(err)
	}
	r := &reaper{s: s, g: g, soft: true}
	defer r.close()
	if err := r.row(&rows[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.path("current/pages/h/a.page.gz")); err == nil {
		t.Error("the twin is still there")
	}
}

// A twin is left by a bare rm after the sweep has read its page's row.
func TestTwinLeftByRmIsCollected(t *testing.T) {
	s := openStore(t, t.TempDir())
	fillPage(t, s, "h/a", strings.Repeat("x", 5000), Meta{})
	hit, err := s.Lookup(keyOf("h/a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.makeTwin(t.Context(), hit.Page, 0); err != nil {
		t.Fatal(err)
	}
	os.Remove(s.path("current/pages/h/a.page"))
	g := s.gen.Load()
	if err := s.collect(t.Context(), g, inventory.Select{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.path("current/pages/h/a.page.gz")); err == nil {
		t.Error("its row is gone, and the twin is still there")
	}
}

func newFill(s *Store, k Key, c *claim) *Fill {
	return &Fill{s: s, key: k, claim: c, sum: sha256.New()}
}

// recordAt records an intent whose owner dies, at a time.
func recordAt(g *generation, at int64) error {
	if _, _, err := g.inv.Record(context.Background(), inventory.Invalidation{Tags: []string{"t"}}, inventory.Notice{}); err != nil {
		return err
	}
	c, err := sqlite.OpenConn(inventoryPath(g), sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		return err
	}
	defer c.Close()
	return sqlitex.ExecuteTransient(c, "UPDATE invalidation SET at = ?", &sqlitex.ExecOptions{Args: []any{at}})
}

func inventoryPath(g *generation) string { return g.pages.Path() + "/../inventory.db" }

func recordTag(g *generation) {
	g.inv.Record(context.Background(), inventory.Invalidation{Tags: []string{"t"}}, inventory.Notice{})
}

func rowsOfTag(g *generation, rows *[]inventory.Row) {
	g.inv.Rows(context.Background(), inventory.Select{Tag: "t"}, func(r *inventory.Row) error { *rows = append(*rows, *r); return nil })
}

// A prefix made by hand, not by ParsePrefix: "a" dropped nothing and said nothing, and a dry run of "/" named nothing.
func TestPrefixMadeByHand(t *testing.T) {
	for _, path := range []string{"", "/", "/a", "/a/"} {
		s := openStore(t, t.TempDir())
		fillPage(t, s, "h/a/b", "old", Meta{})
		sel := Selection{Prefixes: []key.Prefix{{Host: "h", Path: path}}, DryRun: true}
		if d, err := s.Invalidate(t.Context(), sel); err != nil || d.Pages != 1 {
			t.Errorf("%q: a dry run: %+v, %v", path, d, err)
		}
		sel.DryRun = false
		if _, err := s.Invalidate(t.Context(), sel); err != nil || servedNow(s, "h/a/b") != "" {
			t.Errorf("%q: %v, still served: %q", path, err, servedNow(s, "h/a/b"))
		}
	}
	s := openStore(t, t.TempDir())
	if _, err := s.Invalidate(t.Context(), Selection{Prefixes: []key.Prefix{{Host: "h", Path: "a"}}}); !errors.Is(err, key.ErrInvalid) {
		t.Errorf("a prefix that can't be one: %v", err)
	}
}
