package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/fault"
)

// victimEnv makes this binary a process that dies: KIND DATABASE DIR POINT ACTION.
const victimEnv = "CATALOG_TEST_VICTIM"

// TestMain lets the test binary stand in for a process that dies.
func TestMain(m *testing.M) {
	if words := strings.Fields(os.Getenv(victimEnv)); len(words) > 0 {
		if err := beVictim(words[0], words[1], words[2], words[3], words[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	runTests(m)
}

// beVictim opens a catalog, and kills itself when the upload or deletion has come to the point.
func beVictim(kind, database, dir, point, action string) error {
	ctx := context.Background()
	store, err := cache.Open(ctx, cache.Options{Dir: dir, Live: filepath.Join(dir, "live"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer store.Close()
	c, err := openers[kind](ctx, database, Options{Dir: dir, Store: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer c.Close()
	c.passed = func(p string) {
		if p == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if action == "delete" {
		return c.Delete(ctx, Operator("ada"), "tea", "1", "")
	}
	_, err = tryAdd(ctx, c, Operator("ada"), wheel("tea", "2"))
	return err
}

// openers open a catalog from a word, by the kind of database.
var openers = map[string]func(ctx context.Context, database string, o Options) (*Catalog, error){}

// testCrash kills another process at each point, while a catalog lives (which sweeps) and while none does (then the
// next opening does).
func testCrash(t *testing.T, b *base) {
	type crash struct {
		point, action string
		happened      bool
	}
	crashes := []crash{
		{fault.UploadReceived, "add", false}, {fault.UploadIntended, "add", false}, {fault.UploadLinked, "add", false}, {fault.UploadCommitted, "add", true},
		{fault.DeleteIntended, "delete", false}, {fault.DeleteCommitted, "delete", true}, {"none", "delete", true},
	}
	for _, alone := range []bool{true, false} {
		for _, x := range crashes {
			t.Run(fmt.Sprintf("%s alone %t", x.point, alone), func(t *testing.T) {
				b := b.fresh(t)
				open := func(f func(t *testing.T, c *Catalog)) {
					t.Run("", func(t *testing.T) { f(t, b.catalog(t)) })
				}
				victim := func(t *testing.T) {
					t.Helper()
					cmd := exec.Command(os.Args[0])
					cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %s %s", victimEnv, b.kind, b.database, b.dir, x.point, x.action))
					out, err := cmd.CombinedOutput()
					if x.point == "none" {
						must(t, err)
						return
					}
					var exit *exec.ExitError
					if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
						t.Fatalf("the victim did not die of us: %v\n%s", err, out)
					}
				}
				check := func(t *testing.T, c *Catalog) {
					t.Helper()
					whole(t, c)
					p, err := c.Project(t.Context(), "tea")
					must(t, err)
					want := 1
					switch {
					case x.happened && x.action == "delete":
						want = 0
					case x.happened:
						want = 2
					}
					equal(t, "releases", len(p.Releases), want)
				}
				open(func(t *testing.T, c *Catalog) { add(t, c, Operator("ada"), wheel("tea", "1")) })
				if alone {
					victim(t)
					open(func(t *testing.T, c *Catalog) {
						check(t, c)
						add(t, c, Operator("ada"), wheel("tea", "2"))
						whole(t, c)
					})
					return
				}
				open(func(t *testing.T, c *Catalog) {
					victim(t)
					must(t, c.sweep(t.Context(), false))
					check(t, c)
				})
			})
		}
	}
}
