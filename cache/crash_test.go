package cache_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/cachesrv/cachesrv/cache"
)

// TestMain lets the test binary stand in for a process that dies: see victim.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CACHE_TEST_VICTIM"); dir != "" {
		beVictim(dir, os.Args[1:])
	}
	os.Exit(m.Run())
}

// beVictim opens the folder, does what the words say, says so, and waits to be killed.
func beVictim(dir string, words []string) {
	t := &mainT{}
	o := options(dir)
	o.BootID = os.Getenv("CACHE_TEST_BOOT")
	s, err := cache.Open(t.Context(), o)
	if err != nil {
		panic(err)
	}
	if err := s.Unfence(t.Context()); err != nil {
		panic(err)
	}
	for _, w := range words {
		verb, k, _ := strings.Cut(w, "=")
		f, err := s.Claim(t.Context(), mustKey(t, k))
		if err != nil {
			panic(err)
		}
		switch verb {
		case "claim":
			f.Write([]byte("half a pa"))
		case "publish":
			if err := publish(f, "page of "+k, "tag:"+k); err != nil {
				panic(err)
			}
		}
	}
	fmt.Println("ready")
	select {}
}

// mainT is just enough of a testing.TB for a process that is no test.
type mainT struct{ testing.T }

func (*mainT) Helper()                   {}
func (*mainT) Cleanup(func())            {}
func (*mainT) Context() context.Context  { return context.Background() }
func (*mainT) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }
func (*mainT) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// victim runs another process on the folder, and kills it -9 when it has done what the words say.
func victim(t *testing.T, dir, boot string, words ...string) {
	t.Helper()
	kill := living(t, dir, boot, words...)
	kill()
}

// living is victim, killed when the caller says so.
func living(t *testing.T, dir, boot string, words ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], words...)
	cmd.Env = append(os.Environ(), "CACHE_TEST_VICTIM="+dir, "CACHE_TEST_BOOT="+boot)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the victim said %q, %v", line, err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return kill
}

func TestOrphanedClaimIsReclaimed(t *testing.T) {
	dir := t.TempDir()
	victim(t, dir, "", "claim=h/a", "claim=h/b", "publish=h/c")
	s := open(t, dir, func(o *cache.Options) { o.SweepInterval = time.Millisecond })
	want(t, s, "h/a", "")
	fill(t, s, "h/a", "new") // at once
	want(t, s, "h/a", "new")
	want(t, s, "h/c", "page of h/c")
	for end := time.Now().Add(20 * time.Second); s.Stats().Reclaimed == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the sweep did not take the orphaned claim away")
		}
	}
	wantClean(t, s)
}

func TestClaimOfTheLivingStays(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	kill := living(t, dir, "", "claim=h/a")
	if _, err := s.Claim(t.Context(), mustKey(t, "h/a")); !errors.Is(err, cache.ErrClaimed) {
		t.Fatalf("claimed what another process has: %v", err)
	}
	kill()
	claim(t, s, "h/a").Close()
	wantClean(t, s)
}

func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name        string
		crash       bool
		first, next string // boots
		survives    bool
	}{
		{"crash, same boot", true, "1", "1", true},
		{"crash, another boot", true, "1", "2", false},
		{"clean stop, another boot", false, "1", "2", true},
		{"clean stop, same boot", false, "1", "1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.crash {
				victim(t, dir, c.first, "publish=h/a")
			} else {
				o := options(dir)
				o.BootID = c.first
				s, err := cache.Open(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				fill(t, s, "h/a", "page of h/a")
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, dir, func(o *cache.Options) { o.BootID = c.next })
			expected := ""
			if c.survives {
				expected = "page of h/a"
			}
			want(t, s, "h/a", expected)
			fill(t, s, "h/b", "new")
			want(t, s, "h/b", "new")
		})
	}
}

// TestCleanMarkIsGoodForOneOpening: it must not vouch for a later crash.
func TestCleanMarkIsGoodForOneOpening(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.BootID = "1"
	s, err := cache.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	victim(t, dir, "1", "publish=h/a")
	want(t, open(t, dir, func(o *cache.Options) { o.BootID = "2" }), "h/a", "")
}

// TestLiveIsRemovedBeforeReplay: after a crash no other server may read what was not replayed.
func TestLiveIsRemovedBeforeReplay(t *testing.T) {
	dir := t.TempDir()
	victim(t, dir, "", "publish=h/a")
	page := filepath.Join(dir, "live/pages/h/a.page")
	if _, err := os.Stat(page); err != nil {
		t.Fatalf("before: %v", err)
	}
	s, err := cache.Open(t.Context(), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := os.Stat(page); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the page can be read through live before Unfence: %v", err)
	}
	want(t, s, "h/a", "")
	if err := s.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, s, "h/a", "page of h/a")
}

// TestOpenIntentIsRedone: an invalidation whose process died between recording it and the unlinks is finished before
// anything is served.
func TestOpenIntentIsRedone(t *testing.T) {
	dir := t.TempDir()
	victim(t, dir, "", "publish=h/a", "publish=h/b", "publish=h/c/d")
	inventory(t, dir, `INSERT INTO invalidation(at, done, soft, tags, prefixes, cause) VALUES(1, 0, 0, 'tag:h/a', 'h/c/', 'died')`)
	s := open(t, dir)
	want(t, s, "h/a", "")
	want(t, s, "h/c/d", "")
	want(t, s, "h/b", "page of h/b")
	wantClean(t, s)
}

// inventory runs a statement on the current inventory, as another process would.
func inventory(t *testing.T, dir, query string) {
	t.Helper()
	c, err := sqlite.OpenConn(filepath.Join(dir, "cache/current/inventory.db"), sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := sqlitex.ExecuteTransient(c, query, nil); err != nil {
		t.Fatal(err)
	}
}

// TestIntentOfTheDeadIsRedoneWhileOthersLive: upkeep finds it.
func TestIntentOfTheDeadIsRedoneWhileOthersLive(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, "h/a", "old", "t")
	inventory(t, dir, `INSERT INTO invalidation(at, done, soft, tags, prefixes, cause) VALUES(1, 0, 0, 't', '', 'died')`)
	for end := time.Now().Add(20 * time.Second); read(t, s, "h/a") != ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the page is still served")
		}
	}
}

func TestDamagedInventory(t *testing.T) {
	t.Parallel()
	garbage := []byte(strings.Repeat("no database ", 1000))
	for name, damage := range map[string]func(path string) error{
		"garbage":   func(p string) error { return os.WriteFile(p, garbage, 0o644) },
		"truncated": func(p string) error { return os.Truncate(p, 0) },
		"gone":      os.Remove,
	} {
		t.Run(name+", at opening", func(t *testing.T) {
			dir := t.TempDir()
			victim(t, dir, "", "publish=h/a")
			path := filepath.Join(dir, "cache/current/inventory.db")
			os.Remove(path + "-wal")
			os.Remove(path + "-shm")
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir)
			want(t, s, "h/a", "")
			fill(t, s, "h/a", "new", "t")
			want(t, s, "h/a", "new")
			invalidate(t, s, byTag("t"))
			want(t, s, "h/a", "")
			wantClean(t, s)
		})
	}
	t.Run("while it is open", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		fill(t, s, "h/a", "old", "t")
		path := filepath.Join(dir, "cache/current/inventory.db")
		for _, p := range []string{path, path + "-wal"} {
			f, err := os.OpenFile(p, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			st, _ := f.Stat()
			f.WriteAt([]byte(strings.Repeat("no database ", int(st.Size())/12)), 0)
			f.Close()
		}
		d := invalidate(t, s, byTag("t"))
		want(t, s, "h/a", "")
		if !d.Retired && d.Pages != 1 {
			t.Errorf("dropped %+v", d)
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			f, err := s.Claim(t.Context(), mustKey(t, "h/a"))
			if err == nil {
				err = publish(f, "new", "t")
			}
			if err == nil {
				break
			}
			invalidate(t, s, byTag("t")) // finds the damage, if nothing else has
			if time.Now().After(end) {
				t.Fatalf("not cacheable again: %v", err)
			}
		}
		want(t, s, "h/a", "new")
	})
}

// TestBusyInventory: an invalidation by tag that can't have the inventory in time drops everything.
func TestBusyInventory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, func(o *cache.Options) { o.InventoryTimeout = 50 * time.Millisecond })
	fill(t, s, "h/a", "old", "t")
	c, err := sqlite.OpenConn(filepath.Join(dir, "cache/current/inventory.db"), sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := sqlitex.ExecuteTransient(c, "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	invalidate(t, s, byKey(t, "h/b")) // needs no inventory
	want(t, s, "h/a", "old")
	f := claim(t, s, "h/c")
	if err := publish(f, "x"); err == nil {
		t.Error("published without the inventory")
	}
	want(t, s, "h/c", "")
	if d := invalidate(t, s, byTag("unknown")); !d.Retired {
		t.Errorf("dropped %+v", d)
	}
	want(t, s, "h/a", "")
	fill(t, s, "h/a", "new", "t")
	want(t, s, "h/a", "new")
}

// TestFailClosed: what can't be unlinked is dropped with everything else.
func TestFailClosed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, "h/a", "a", "t")
	fill(t, s, "h/b", "b")
	os.Remove(filepath.Join(dir, "cache/current/pages/h/a.page"))
	if err := os.MkdirAll(filepath.Join(dir, "cache/current/pages/h/a.page/x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, sel := range []cache.Selection{byKey(t, "h/a"), byTag("t")} {
		if d := invalidate(t, s, sel); sel.Tags == nil && !d.Retired {
			t.Errorf("dropped %+v", d)
		}
		want(t, s, "h/a", "")
		want(t, s, "h/b", "")
	}
	fill(t, s, "h/a", "new")
	want(t, s, "h/a", "new")
	if d := invalidate(t, s, byKey(t, "h/a")); d.Retired || d.Pages != 1 {
		t.Errorf("dropped %+v", d)
	}
}

// TestFailClosedByFence: when not even the generation can be moved, nobody reads any more.
func TestFailClosedByFence(t *testing.T) {
	if os.Geteuid() == 0 {
		unprivileged(t)
		return
	}
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, "h/a", "a")
	folder := filepath.Join(dir, "cache/current/pages/h")
	for _, p := range []string{folder, filepath.Join(dir, "cache/trash")} { // unlinks, and renames, are refused
		os.Chmod(p, 0o555)
		defer os.Chmod(p, 0o755)
	}
	if _, err := s.Invalidate(t.Context(), byKey(t, "h/a")); err != nil {
		t.Errorf("a fence is enough: %v", err)
	}
	want(t, s, "h/a", "")
	want(t, open(t, dir), "h/a", "")
	if reason, fenced := s.FencedBy(); !fenced || !strings.Contains(reason, "h/a.page") {
		t.Errorf("fenced by %q", reason)
	}
}

// TestFenceDropsWhatItKept: an invalidation that can't tell which generation is current fences. It could drop nothing, so
// whoever lifts that fence must. (Found by e2e/syscalls: EIO at the readlink of current.)
func TestFenceDropsWhatItKept(t *testing.T) {
	for name, lift := range map[string]func(t *testing.T, s *cache.Store, dir string) *cache.Store{
		"fence off": func(t *testing.T, s *cache.Store, _ string) *cache.Store {
			if err := s.LiftFence(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		},
		"restart, fence off": func(t *testing.T, s *cache.Store, dir string) *cache.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			if err := s.LiftFence(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			fill(t, s, "h/a", "a")
			current, aside := filepath.Join(dir, "cache/current"), filepath.Join(dir, "cache/aside")
			if err := errors.Join(os.Rename(current, aside), os.Mkdir(current, 0o755)); err != nil { // no link: EINVAL
				t.Fatal(err)
			}
			if _, err := s.Invalidate(t.Context(), byKey(t, "h/a")); err != nil {
				t.Errorf("a fence is enough: %v", err)
			}
			if _, fenced := s.FencedBy(); !fenced {
				t.Error("it is not fenced")
			}
			want(t, s, "h/a", "")
			if err := errors.Join(os.Remove(current), os.Rename(aside, current)); err != nil {
				t.Fatal(err)
			}
			s = lift(t, s, dir)
			want(t, s, "h/a", "")
			fill(t, s, "h/a", "b")
			want(t, s, "h/a", "b")
		})
	}
}

// unprivileged runs the calling test again as another user, as root is refused nothing.
func unprivileged(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "unprivileged")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "test")
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(binary, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	os.Chmod(dir, 0o777)
	cmd := exec.Command(binary, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

func TestDamagedPage(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"truncated": func(p string) error { return os.Truncate(p, 3) },
		"changed": func(p string) error {
			st, err := os.Stat(p)
			if err != nil {
				return err
			}
			if err := os.WriteFile(p, []byte("PAGE OF H/a"), 0o644); err != nil {
				return err
			}
			return os.Chtimes(p, st.ModTime(), st.ModTime()) // all but the content is as before
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			victim(t, dir, "", "publish=h/a", "publish=h/b")
			if err := damage(filepath.Join(dir, "cache/current/pages/h/a.page")); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir)
			r, err := s.Check(t.Context(), cache.CheckOptions{Repair: true})
			if err != nil || len(r.Problems) != 1 || !r.Problems[0].Broken || !r.Problems[0].Repaired {
				t.Errorf("check: %+v, %v", r, err)
			}
			want(t, s, "h/a", "")
			want(t, s, "h/b", "page of h/b")
			fill(t, s, "h/a", "new")
			want(t, s, "h/a", "new")
			wantClean(t, s)
		})
	}
}
