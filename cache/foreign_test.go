package cache_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAttack44_CurrentOfAnother: where current names no generation, its own name alone is dropped: what it names, in the
// folder or outside, stays where it is.
func TestAttack44_CurrentOfAnother(t *testing.T) {
	for _, target := range []string{"../../outside", "ABSOLUTE", "format", "trash", ".", "gen-1/../../../outside", "no-such"} {
		t.Run(target, func(t *testing.T) {
			root := t.TempDir()
			dir, outside := filepath.Join(root, "site"), filepath.Join(root, "outside")
			if err := os.MkdirAll(filepath.Join(outside, "pages"), 0o755); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir)
			fill(t, s, "h/a", "old")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			current := filepath.Join(dir, "cache/current")
			if target == "ABSOLUTE" {
				target = outside
			}
			if err := os.Remove(current); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, current); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			want(t, s, "h/a", "")
			fill(t, s, "h/a", "new")
			want(t, s, "h/a", "new")
			if names, err := os.ReadDir(root); err != nil || len(names) != 2 {
				t.Errorf("beside the folder lie %v, %v", names, err)
			}
			if _, err := os.Stat(filepath.Join(outside, "pages")); err != nil {
				t.Error(err)
			}
		})
	}
}
