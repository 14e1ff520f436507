//go:build e2e

package demo

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModulesWork runs the examples in the modules' docstrings.
func TestModulesWork(t *testing.T) {
	dir := t.TempDir()
	var modules []string
	err := fs.WalkDir(folders, "projects", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".py") {
			return err
		}
		text, err := folders.ReadFile(path)
		if err != nil {
			return err
		}
		modules = append(modules, d.Name())
		return os.WriteFile(filepath.Join(dir, d.Name()), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(modules) < 30 {
		t.Fatalf("%d modules", len(modules))
	}
	cmd := exec.Command("python3", append([]string{"-m", "doctest"}, modules...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
