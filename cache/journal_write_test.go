package cache

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestJournalParts: a flood of long lines is not written, or held, as a whole.
func TestJournalParts(t *testing.T) {
	t.Parallel()
	j := &journal{dir: t.TempDir()}
	long := slices.Repeat([]string{strings.Repeat("\x01", journalText)}, journalNames) // six times as long in JSON
	for range 80 {
		j.add(&called{sel: Selection{Tags: long}})
	}
	j.write()
	st, err := os.Stat(filepath.Join(j.dir, "log.1"))
	if err != nil || st.Size() < journalFile || st.Size() > journalFile+journalPart {
		t.Errorf("the full file: %v, %v", st, err)
	}
	if st, err = os.Stat(filepath.Join(j.dir, "log")); err != nil || st.Size() == 0 || j.lost.Load() > 0 {
		t.Errorf("the rest: %v, %v; %d lost", st, err, j.lost.Load())
	}
}

// TestJournalCountsLost: each line that can't be written counts, and what those told of, until a line tells of it.
func TestJournalCountsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := &journal{dir: filepath.Join(dir, "cache")}
	j.lost.Store(3) // of a flood before
	for range 5 {
		j.add(&called{})
		j.add(Unstored{})
	}
	j.write()
	if n := j.lost.Load(); n != 13 {
		t.Errorf("%d are lost", n)
	}
	if err := os.Mkdir(j.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		j.add(&called{})
	}
	j.write()
	var told []int64
	for e, err := range Journal(t.Context(), dir) {
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, e.Lost)
	}
	if !slices.Equal(told, []int64{0, 13}) || j.lost.Load() != 0 {
		t.Errorf("told of %d, newest first; %d are not told", told, j.lost.Load())
	}
}
