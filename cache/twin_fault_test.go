//go:build cachesrv_fault && !cachesrv_portable

package cache

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// The schedules here were found by the model (docs/model, "one look before delete" and "dropped rows unseen"): a twin
// maker that has claimed and looked while its page was still there links the twin later and is killed, and the row that
// told of it has been deleted meanwhile.

// A dyingTwinMaker has claimed and looked; die makes it link its twin, and die by kill -9: the lock goes, the names stay.
type dyingTwinMaker struct {
	t *testing.T
	s *Store
	p *Page
	c *claim
}

func (m *dyingTwinMaker) claim() {
	var err error
	if m.c, err = m.s.claim(context.Background(), m.p.Key); err != nil {
		m.t.Error(err)
	} else if err := stillThere(fault.TwinPage, m.c.place, m.p.name(), m.p); err != nil {
		m.t.Error(err)
	}
}

func (m *dyingTwinMaker) die() {
	if m.c == nil {
		return
	}
	c := m.c
	m.c = nil
	defer c.close()
	_ = sys.WriteAll(fault.TwinWrite, c.fd, []byte("old twin"))
	_ = sys.SetMtime(fault.TwinMtime, c.fd, 12345, m.p.identity.Nsec)
	concerns := func(n *inventory.Invalidation) bool { return concerns(n, m.p.Key, m.p.Meta.Tags) }
	if ok, err := c.gen.inv.AddTwin(context.Background(), m.p.id, 1, c.noted, concerns); err != nil || !ok {
		return // it gives up, which is as good
	}
	_ = m.s.link(fault.TwinLink, c, c.place, m.p.name()+".gz")
}

// once is a hook that acts the first time a call with a label was made; and a twin maker dies at the latest when rows
// are about to be deleted.
type once struct {
	at   fault.Label
	do   func()
	done bool
	dies *dyingTwinMaker
}

func (h *once) Enter(l fault.Label, _ fault.Mode, _ string) error {
	if l == fault.RowsDelete {
		h.dies.die()
	}
	return nil
}

func (h *once) Saw(fault.Label, any) {}

func (h *once) Leave(l fault.Label, _ error) {
	if l == h.at && !h.done {
		h.done = true
		h.do()
	}
}

func TestTwinOfAMakerThatDies(t *testing.T) {
	for name, drop := range map[string]func(s *Store, m *dyingTwinMaker) *once{
		"rm while rows are collected": func(s *Store, m *dyingTwinMaker) *once {
			return &once{at: fault.RowClaim, do: func() { // there is no claim, as the collector has just seen
				m.claim()
				_ = os.Remove(s.path("current/pages/h/a.page"))
			}}
		},
		"an invalidation by tag": func(s *Store, m *dyingTwinMaker) *once {
			return &once{at: fault.ClaimDrop, do: m.claim} // its claim comes after the unlink of the claim
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			fillPage(t, s, "h/a", strings.Repeat("x", 5000), Meta{Tags: []string{"t"}})
			hit, err := s.Lookup(keyOf("h/a"))
			if err != nil {
				t.Fatal(err)
			}
			m := &dyingTwinMaker{t: t, s: s, p: hit.Page}
			h := drop(s, m)
			h.dies = m
			fault.SetHook(h)
			defer fault.SetHook(nil)
			if h.at == fault.RowClaim {
				err = s.collect(t.Context(), s.gen.Load(), inventory.Select{})
			} else {
				_, err = s.Invalidate(t.Context(), Selection{Tags: []string{"t"}})
			}
			fault.SetHook(nil)
			if err != nil || !h.done {
				t.Fatalf("%v; the schedule was run: %v", err, h.done)
			}
			m.die()
			s.keep.flush(t.Context())
			fillPage(t, s, "h/a", strings.Repeat("new", 3000), Meta{Tags: []string{"t"}})
			if _, err := os.Stat(s.path("current/pages/h/a.page.gz")); err == nil {
				t.Error("the old page's twin lies beside the new page")
			}
		})
	}
}
