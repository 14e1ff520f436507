//go:build linux && (e2e || soak)

package power

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// inspect has a machine look at a copy of the disk, during this boot.
func (c *cut) inspect(boot string, change func(*machine)) findings {
	b := c.r.bench
	b.Helper()
	m := b.machine(b.copies(c.images), c.r.App)
	defer remove(m.Images)
	m.Inspect, m.App.Boot = true, boot
	if change != nil {
		change(&m)
	}
	command := m.command(b.T)
	var log bytes.Buffer
	command.Stderr = &log
	out, err := command.Output()
	var f findings
	if err == nil {
		err = json.Unmarshal(out, &f)
	}
	if err != nil {
		b.Fatalf("the machine after the cut: %v\n%s%s", err, &log, out)
	}
	return f
}

// What a cut must leave of the pages.
type demand int

const (
	nothing demand = iota // there is no clean mark: start empty
	all                   // there is one: every page that was left, except what is replayed once more
	either                // the cut may lie on either side of the mark
)

// judge holds the promises against what the next boot finds.
func (c *cut) judge(d demand, when string) {
	b := c.r.bench
	b.Helper()
	b.cuts++
	f := c.inspect(b.boot(), nil)
	wrong := func(format string, args ...any) {
		b.Errorf("cut %d, %s, %s: %s\nclean mark: %t; log:\n%s", b.cuts, c.r.App, when, fmt.Sprintf(format, args...), f.Clean, f.Log)
	}
	if f.Early {
		wrong("the live link was there before replay")
	}
	served := 0
	for page, version := range f.Versions {
		if c.r.App.Durable && version < c.acked[page] {
			wrong("page %d: the database has version %d of the acknowledged %d: this is no copy of one instant", page, version, c.acked[page])
		}
		if f.Hits[page] != nil {
			served++
		}
		for how, got := range map[string]*shown{"served": f.Hits[page], "in its file": f.Files[page]} {
			if got != nil && *got != (shown{Version: version}) {
				wrong("page %d, %s: %s; the database has %d", page, how, got, version)
			}
		}
	}
	b.survived += served
	if f.Clean {
		b.clean++
	}
	if f.Linked {
		b.linked++
	}
	switch {
	case d == nothing && f.Clean:
		wrong("there is a clean mark")
	case d == all && !f.Clean:
		wrong("there is no clean mark")
	case !f.Clean && served > 0:
		wrong("%d pages survived without a clean mark", served)
	case d == nothing && !strings.Contains(f.Log, "starting empty"):
		wrong("the log does not say what became of the pages")
	// A commit after the stop makes a page old; without syncs the cut may undo it, and the page is current again.
	case d == all && (c.r.App.Durable && served > c.left || served == 0 || !c.r.App.Hooks && served < c.left):
		wrong("%d pages survived, %d were left", served, c.left)
	}
	for _, p := range f.Problems {
		if p.Broken {
			wrong("check: %s: %s", p.File, p.What)
		} else { // harmless by design: a twin whose page was dropped
			b.leftOvers++
		}
	}
	for _, w := range f.Wrong {
		wrong("in use: %s", w)
	}
}

func (c *cut) judgeAndDiscard(d demand, when string) {
	c.r.Helper()
	c.judge(d, when)
	c.discard()
}

// A control takes away one of the things that protect against what a cut leaves.
type control struct {
	name   string
	change func(*machine, *cut)
}

var (
	// The boot isn't told from the last one.
	sameBoot = control{"same boot", func(m *machine, c *cut) { m.App.Boot = c.boot }}
	// The clean mark is good for more than one opening.
	forgedMark = control{"forged mark", func(m *machine, _ *cut) { m.Forge = true }}
	// The hooks were not closed in order; the disks are as they are.
	abandoned = control{"hooks not closed", func(*machine, *cut) {}}
	// The outbox is not replayed.
	unreplayed = control{"unreplayed", func(m *machine, _ *cut) { m.App.Hooks = false }}
)

// A tally is what a control found: pages older than their commit, pages that show a commit the cut has undone, torn
// pages, and the cuts in which there were any.
type tally struct{ Cuts, Stale, Undone, Torn, In int }

// try looks at the cut as if this protection were not there.
func (c *cut) try(as control) {
	b := c.r.bench
	b.Helper()
	f := c.inspect(b.boot(), func(m *machine) {
		m.Glance = true
		as.change(m, c)
	})
	t := b.found[as.name]
	before := t
	for page, newest := range f.Versions {
		version := newest
		// Without hooks nobody has promised anything of a commit before it was acknowledged.
		if !c.r.App.Hooks {
			version = min(version, c.acked[page])
		}
		for _, got := range []*shown{f.Hits[page], f.Files[page]} {
			switch {
			case got == nil:
			case got.Torn != "":
				t.Torn++
			case got.Version < version:
				t.Stale++
			case got.Version > newest:
				t.Undone++
			}
		}
	}
	if t != before {
		t.In++
	}
	t.Cuts++
	b.found[as.name] = t
}

// report logs the figures, and fails the test if one of these controls found nothing: then the test could not
// have failed either.
func (b *bench) report(must ...control) {
	b.Helper()
	b.Logf("%d cuts, %d with a clean mark, %d with a live link, %d pages served of before the cut, %d left-overs",
		b.cuts, b.clean, b.linked, b.survived, b.leftOvers)
	for name, t := range b.found {
		b.Logf("control %s: %d stale, %d undone, %d torn, in %d of %d cuts", name, t.Stale, t.Undone, t.Torn, t.In, t.Cuts)
	}
	for _, c := range must {
		if b.found[c.name].In == 0 && b.demanding {
			b.Errorf("control %s: nothing was found in %d cuts", c.name, b.found[c.name].Cuts)
		}
	}
}
