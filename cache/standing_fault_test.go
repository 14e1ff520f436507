//go:build cachesrv_fault && !cachesrv_portable

package cache

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
)

// failing is a hook that fails every call with a label.
type failing struct{ label fault.Label }

func (h failing) Enter(l fault.Label, _ fault.Mode, _ string) error {
	if l == h.label {
		return unix.EIO
	}
	return nil
}

func (failing) Leave(fault.Label, error) {}
func (failing) Saw(fault.Label, any)     {}

// TestRowsOfWhatCannotBeSeen: a row whose page can't be looked at is not the row of a page that is gone. Deleted, it would
// leave a page that no invalidation by tag finds. (Found by e2e/syscalls: EIO at a stat of upkeep.)
func TestRowsOfWhatCannotBeSeen(t *testing.T) {
	for name, tidy := range map[string]func(s *Store) error{
		"collect": func(s *Store) error { return s.collect(t.Context(), s.gen.Load(), inventory.Select{}) },
		"evict": func(s *Store) error {
			s.o.MaxPages = 0
			return s.evict(t.Context(), s.gen.Load())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			fillPage(t, s, "h/a", "old", Meta{Tags: []string{"t"}})
			fault.SetHook(failing{fault.StandingStat})
			err := tidy(s)
			fault.SetHook(nil)
			if !errors.Is(err, unix.EIO) {
				t.Errorf("it ends with %v", err)
			}
			if _, err := s.Invalidate(t.Context(), Selection{Tags: []string{"t"}}); err != nil {
				t.Fatal(err)
			}
			if hit, err := s.Lookup(keyOf("h/a")); err == nil {
				t.Errorf("after the invalidation %q is served", hit.Identity().Bytes)
				_ = hit.Close()
			}
		})
	}
}
