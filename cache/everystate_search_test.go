//go:build linux && cachesrv_fault && !cachesrv_portable

package cache

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// A choice is one move of a schedule: a process makes its next call, or dies before it.
type choice struct {
	proc  int
	crash bool
}

func (c choice) String() string {
	if c.crash {
		return "x" + strconv.Itoa(c.proc)
	}
	return strconv.Itoa(c.proc)
}

func parseSchedule(text string) (s []choice, err error) {
	for word := range strings.SplitSeq(text, ".") {
		number, crash := strings.CutPrefix(word, "x")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("schedule %q: %w", text, err)
		}
		s = append(s, choice{n, crash})
	}
	return s, nil
}

func scheduleText(s []choice) string {
	words := make([]string, len(s))
	for i, c := range s {
		words[i] = c.String()
	}
	return strings.Join(words, ".")
}

// moves is a set of choices, as bits: process n moves, or (from bit maxProcs on) dies.
type moves uint16

const maxProcs = 8

func (c choice) bit() moves {
	if c.crash {
		return 1 << (c.proc + maxProcs)
	}
	return 1 << c.proc
}

// renamed gives each process of a set the number it has in the canonical order, or back.
func (m moves) renamed(slots []int, back bool) (r moves) {
	for slot, p := range slots {
		from, to := p, slot
		if back {
			from, to = slot, p
		}
		r |= (m >> from & 1) << to
		r |= (m >> (from + maxProcs) & 1) << (to + maxProcs)
	}
	return r
}

// choices lists what can happen next.
func (w *world) choices() (c []choice) {
	for i, p := range w.procs {
		if !p.done {
			c = append(c, choice{i, false})
		}
	}
	if w.crashes == 0 {
		return c
	}
	for i, p := range w.procs {
		if !p.done && p.moved && !p.kind.reads {
			c = append(c, choice{i, true})
		}
	}
	return c
}

func (w *world) footOfChoice(c choice) foot {
	if c.crash {
		return foot{writes: theirs(theLocks, c.proc) | theCrash}
	}
	return w.procs[c.proc].at.foot
}

func (w *world) do(c choice) {
	p := w.procs[c.proc]
	if c.crash {
		if w.narrate != nil {
			w.narrate(p, call{label: "KILLED before " + p.at.label, name: p.at.name})
		}
		p.crash()
	} else {
		if p.at.foot.writes&theInventory != 0 {
			w.wrote, w.dirty = true, true
		}
		p.step()
	}
}

// A search visits every state of a world.
//
// It goes on from the last state in which something was left to try, which it reaches again by running the schedule so far
// from the start. A state seen before is not explored again. Calls that commute are not permuted: of two orders that lead
// to the same state one is run (sleep sets; Godefroid, LNCS 1032, with its rule for states seen before). That leaves out
// transitions, never states: TestSleepSetsLoseNoState compares.
type search struct {
	w        *world
	noSleep  bool
	seen     map[digest]moves // state → what was asleep there, in canonical numbers
	judged   map[digest]bool  // shared states the oracle has seen
	recovers map[digest]bool  // ends from which a recovery was tried
	limit    limits
	deadline time.Time

	schedules, steps, pruned, slept, ends int
	took                                  time.Duration
	failed                                string // the first failure
	schedule                              []choice
}

// limits bound a search. A world that meets one fails: nothing is left out silently.
type limits struct {
	states int
	time   time.Duration
}

// A frame is a state on the way, and what is left to try in it.
type frame struct {
	todo  []choice
	sleep moves
	feet  map[choice]foot
	taken choice
}

func (f *frame) take() choice {
	f.taken = f.todo[0]
	f.todo = f.todo[1:]
	return f.taken
}

func newSearch(w *world, l limits) *search {
	return &search{
		w: w, limit: l, seen: make(map[digest]moves), judged: make(map[digest]bool), recovers: make(map[digest]bool),
	}
}

func (s *search) run() {
	begin := time.Now()
	defer func() { s.took = time.Since(begin) }()
	s.deadline = begin.Add(s.limit.time)
	fault.SetHook(s.w)
	defer fault.SetHook(nil)
	var c canon
	var stack []*frame
	s.w.reset()
	s.schedules++
	if f := s.arrive(&c, 0, nil); f != nil {
		stack = append(stack, f)
	}
	fresh := true
	for s.failed == "" {
		for len(stack) > 0 && len(stack[len(stack)-1].todo) == 0 {
			stack = stack[:len(stack)-1]
			fresh = false
		}
		if len(stack) == 0 {
			break
		}
		if !fresh {
			s.w.end()
			s.w.reset()
			s.schedules++
			for _, f := range stack[:len(stack)-1] {
				s.w.do(f.taken)
				s.steps++
			}
			fresh = true
		}
		f := stack[len(stack)-1]
		t := f.take()
		s.w.do(t)
		s.steps++
		sleep := moves(0)
		for z, foot := range f.feet {
			if f.sleep&z.bit() != 0 && foot.commutes(f.feet[t]) && z.proc != t.proc {
				sleep |= z.bit()
			}
		}
		if !s.noSleep {
			f.sleep |= t.bit()
		}
		next := s.arrive(&c, sleep, stack)
		if next == nil {
			fresh = false
			continue
		}
		stack = append(stack, next)
	}
	s.w.end()
}

// arrive looks at the state the world is in. It returns nil if there is nothing to try in it.
func (s *search) arrive(c *canon, sleep moves, stack []*frame) *frame {
	w := s.w
	st, entries := w.state(c)
	canonical := sleep.renamed(st.slots, false)
	asleep, seen := s.seen[st.all]
	todo := w.choices()
	switch {
	case !seen:
		s.seen[st.all] = canonical
		if len(s.seen) > s.limit.states || time.Now().After(s.deadline) {
			s.give(stack, fmt.Sprintf("the search met its bound (%d states, %s)", s.limit.states, s.limit.time))
			return nil
		}
		if !s.judged[st.shared] {
			s.judged[st.shared] = true
			w.check(entries)
		}
		if len(todo) == 0 {
			s.ends++
			s.recover(c, st)
		}
	default:
		s.pruned++
		s.seen[st.all] = asleep & canonical
		awake := (asleep &^ canonical).renamed(st.slots, true)
		sleep = (asleep & canonical).renamed(st.slots, true)
		todo = filter(todo, awake)
	}
	if w.wrong != "" {
		s.give(stack, w.wrong)
		return nil
	}
	f := &frame{sleep: sleep, feet: make(map[choice]foot)}
	for _, t := range w.choices() {
		f.feet[t] = w.footOfChoice(t)
	}
	if !seen {
		before := len(todo)
		todo = filter(todo, ^sleep)
		s.slept += before - len(todo)
	}
	f.todo = todo
	if len(todo) == 0 {
		return nil
	}
	return f
}

func filter(list []choice, in moves) (r []choice) {
	for _, c := range list {
		if in&c.bit() != 0 {
			r = append(r, c)
		}
	}
	return r
}

// recover tries a recovery from an end, once for all ends that leave the same to it.
func (s *search) recover(c *canon, st state) {
	w := s.w
	c.clear()
	c.number(st.shared[0])
	c.number(st.shared[1])
	for _, p := range w.procs {
		if p.dead && !p.ended && p.kind.replay != nil {
			c.number(uint64(p.index)<<8 | uint64(p.mine))
		}
	}
	if d := digestOf(c.b); w.wrong == "" && !s.recovers[d] {
		s.recovers[d] = true
		w.recover()
	}
}

// give ends the search with a failure.
func (s *search) give(stack []*frame, why string) {
	s.failed = why
	for _, f := range stack {
		s.schedule = append(s.schedule, f.taken)
	}
}
