package linear

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
)

// A kind of operation on a page.
type kind int

const (
	read kind = iota
	commit
	drop
	look
)

func (k kind) String() string { return [...]string{"read", "commit", "drop", "look"}[k] }

// A page is the model's state.
type page struct{ committed, dropped int64 }

// apply applies an operation on this version, or reports that it can't be one now.
func (p page) apply(k kind, version int64) (bool, page) {
	switch k {
	case read:
		return p.dropped <= version && version <= p.committed, p
	case commit:
		return version == p.committed+1, page{version, p.dropped}
	case drop:
		return version <= p.committed, page{p.committed, max(p.dropped, version)}
	default: // look
		return version == p.committed, p
	}
}

// regularRegister is the model of one page that begins like this.
func regularRegister(first page) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(state, input, output any) (bool, any) {
			return state.(page).apply(input.(kind), output.(int64))
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%s %d", input, output) },
		DescribeState: func(state any) string {
			return fmt.Sprintf("committed %d, dropped %d", state.(page).committed, state.(page).dropped)
		},
		Hash: func(state any) uint64 {
			p := state.(page)
			return uint64(p.committed)*31 + uint64(p.dropped)
		},
	}
}

// atomicRegister is the stronger model, in which commits are one act. Nobody promises it.
func atomicRegister(first page) porcupine.Model {
	m := regularRegister(first)
	m.Step = func(state, input, output any) (bool, any) {
		ok, p := state.(page).apply(input.(kind), output.(int64))
		if input.(kind) == commit {
			p.dropped = p.committed
		}
		return ok, p
	}
	return m
}

// ever is the end of an operation that may act at any later time.
const ever = math.MaxInt64

// committing is a commit, given by when it was called and when it returned, and the drop that follows from that.
func committing(client int, version, call, back int64) []porcupine.Operation {
	ops := []porcupine.Operation{{ClientId: client, Input: commit, Output: version, Call: call, Return: back}}
	if back != ever {
		ops = append(ops, dropping(client, version, back))
	}
	return ops
}

// dropping is the drop at an instant. Times are even but for its end: what starts later starts after it.
func dropping(client int, version, at int64) porcupine.Operation {
	return porcupine.Operation{ClientId: client, Input: drop, Output: version, Call: at, Return: at + 1}
}

func reading(client int, version, call, back int64) porcupine.Operation {
	return porcupine.Operation{ClientId: client, Input: read, Output: version, Call: call, Return: back}
}

func looking(version, call, back int64) porcupine.Operation {
	return porcupine.Operation{Input: look, Output: version, Call: call, Return: back}
}

// TestModel: small histories, each of which breaks, or nearly breaks, one rule.
func TestModel(t *testing.T) {
	one := func(op porcupine.Operation) []porcupine.Operation { return []porcupine.Operation{op} }
	for _, tt := range []struct {
		name            string
		history         [][]porcupine.Operation
		regular, atomic bool
	}{
		{"nothing happens", [][]porcupine.Operation{one(reading(1, 1, 2, 4))}, true, true},
		{"old during the commit", [][]porcupine.Operation{committing(0, 2, 2, 10), one(reading(1, 1, 4, 6))}, true, true},
		{"new during the commit", [][]porcupine.Operation{committing(0, 2, 2, 10), one(reading(1, 2, 4, 6))}, true, true},
		{"old, begun before the hook had returned", [][]porcupine.Operation{committing(0, 2, 2, 10), one(reading(1, 1, 8, 20))}, true, true},
		{"stale: old, begun after it", [][]porcupine.Operation{committing(0, 2, 2, 10), one(reading(1, 1, 12, 14))}, false, false},
		{"new, then old, during the commit", [][]porcupine.Operation{
			committing(0, 2, 2, 20), one(reading(1, 2, 4, 6)), one(reading(2, 1, 8, 10)),
		}, true, false},
		{"new, then old, after the commit", [][]porcupine.Operation{
			committing(0, 2, 2, 6), one(reading(1, 2, 4, 6)), one(reading(2, 1, 8, 10)),
		}, false, false},
		{"phantom: before its commit", [][]porcupine.Operation{one(reading(1, 2, 2, 4)), committing(0, 2, 6, 8)}, false, false},
		{"phantom: of no commit", [][]porcupine.Operation{one(reading(1, 2, 2, 4))}, false, false},
		{"two commits at once, the second first", [][]porcupine.Operation{
			committing(0, 3, 2, 20), committing(1, 2, 4, 22), one(reading(2, 3, 6, 8)), one(reading(3, 2, 6, 20)),
		}, true, true},
		{"two commits, the older returned", [][]porcupine.Operation{
			committing(0, 3, 2, 20), committing(1, 2, 4, 6), one(reading(2, 1, 8, 10)),
		}, false, false},
		{"two commits, the newer returned", [][]porcupine.Operation{
			committing(0, 3, 2, 6), committing(1, 2, 4, 20), one(reading(2, 2, 8, 10)),
		}, false, false},
		{"a killed commit that happened", [][]porcupine.Operation{
			committing(0, 2, 2, ever), one(reading(1, 2, 4, 6)), one(reading(1, 1, 8, 10)), one(looking(2, 12, 14)),
			one(dropping(0, 2, 16)), one(reading(1, 2, 18, 20)),
		}, true, false},
		{"a killed commit that was not replayed", [][]porcupine.Operation{
			committing(0, 2, 2, ever), one(looking(2, 12, 14)), one(dropping(0, 2, 16)), one(reading(1, 1, 18, 20)),
		}, false, false},
		{"a killed commit that happens late", [][]porcupine.Operation{
			committing(0, 2, 2, ever), one(looking(1, 12, 14)), one(dropping(0, 1, 16)), one(reading(1, 1, 18, 20)), one(reading(1, 2, 22, 24)),
		}, true, true},
		{"shown although the database does not have it", [][]porcupine.Operation{
			committing(0, 2, 2, ever), one(reading(1, 2, 4, 6)), one(looking(1, 12, 14)),
		}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			history, first := slices.Concat(tt.history...), page{1, 1}
			if got := porcupine.CheckOperations(regularRegister(first), history); got != tt.regular {
				t.Errorf("as a regular register: %t", got)
			}
			if got := porcupine.CheckOperations(atomicRegister(first), history); got != tt.atomic {
				t.Errorf("as an atomic register: %t", got)
			}
		})
	}
}
