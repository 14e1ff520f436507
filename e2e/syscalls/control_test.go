//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// operationNamed returns an operation.
func operationNamed(name string) operation {
	for _, op := range operations {
		if op.name == name {
			return op
		}
	}
	panic(name)
}

func kindNamed(name string) kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	panic(name)
}

// TestControls builds the program wrong, and has it killed where that must show: a case of an invalidation or of a fill
// finds an old page.
func TestControls(t *testing.T) {
	page := "cache/gen-N/pages/" + normal(key.Key{Host: host, Path: "/simple/sys-p0/"}.File().Page())
	kill := kindNamed("killed-before")
	for _, c := range []struct {
		control string
		kase    kase
	}{
		// Its rows are gone, and replay finds no page of the tag. Killed at the first page, it leaves that one old.
		{fault.RowsBeforeUnlinks, kase{op: operationNamed("invalidation"), call: call{"unlinkat", page, 1}, kind: kill}},
	} {
		for _, built := range []struct {
			control string
			wrong   bool
		}{{c.control, true}, {"", false}} {
			t.Run("CONTROL="+built.control, func(t *testing.T) {
				s := newSuite(t, breakable, "CACHESRV_CONTROL="+built.control)
				j, met, log := s.try(t.Context(), c.kase)
				if !met {
					t.Fatalf("%v was not met", c.kase)
				}
				if stale := strings.Contains(strings.Join(j.wrong, "\n"), "STALE"); stale != built.wrong {
					t.Errorf("%v: stale %v: %q\n%s", c.kase, stale, j.wrong, log)
				}
			})
		}
	}
}

// TestJudge does to a sound index what a fault could have done, and has it judged: each must be found.
func TestJudge(t *testing.T) {
	ctx := t.Context()
	s := newSuite(t, right)
	k := kase{op: operationNamed("fill"), call: call{"pwrite64", "somewhere", 1}, kind: kinds[0]}
	ok := outcome{answer: indextest.Answer{Status: 200}}
	file := func(w *world) string {
		return w.data("cache", "current", "pages", key.Key{Host: host, Path: "/simple/" + w.project + "/"}.File().Page())
	}
	// put replaces a file's content, and keeps all that a stat shows of it.
	put := func(t *testing.T, path string, content []byte) {
		st, err := os.Stat(path)
		if err == nil {
			err = os.WriteFile(path, content, 0o644)
		}
		if err == nil {
			err = os.Chtimes(path, st.ModTime(), st.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		harm  func(t *testing.T, w *world) outcome
		finds string
	}{
		{"an error that nobody is told of", func(*testing.T, *world) outcome { return ok }, "nobody was told"},
		{"an old page comes back", func(t *testing.T, w *world) outcome {
			old, err := os.ReadFile(file(w))
			if err != nil {
				t.Fatal(err)
			}
			if _, a, err := w.yank(ctx); err != nil || a.Status != 200 {
				t.Fatal(a, err)
			}
			if err := os.WriteFile(file(w), old, 0o644); err != nil {
				t.Fatal(err)
			}
			return ok
		}, "STALE"},
		{"a torn page", func(t *testing.T, w *world) outcome {
			whole, err := os.ReadFile(file(w))
			if err != nil {
				t.Fatal(err)
			}
			put(t, file(w), append(whole[:len(whole)/2:len(whole)/2], bytes.Repeat([]byte{0}, len(whole)-len(whole)/2)...))
			return ok
		}, "STALE or torn"},
		{"a change that was answered and has not happened", func(*testing.T, *world) outcome {
			return outcome{answer: indextest.Answer{Status: 200}, reason: "another reason"}
		}, "has not happened"},
		{"an upload whose file is gone", func(t *testing.T, w *world) outcome {
			f := wheel("sys-p99", "1.0")
			if a, err := w.client.Upload(ctx, f); err != nil || a.Status != 200 {
				t.Fatal(a, err)
			}
			if err := os.Remove(w.data("files", f.Path())); err != nil {
				t.Fatal(err)
			}
			return outcome{answer: indextest.Answer{Status: 200}, file: &f}
		}, "is not whole"},
		{"an upload that was answered and has not happened", func(*testing.T, *world) outcome {
			f := wheel("sys-p98", "1.0")
			return outcome{answer: indextest.Answer{Status: 200}, file: &f}
		}, "is not listed"},
		{"a file without a row", func(t *testing.T, w *world) outcome {
			f := wheel("sys-p97", "1.0")
			path := w.data("files", f.Path())
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f.Content, 0o644); err != nil {
				t.Fatal(err)
			}
			return outcome{answer: indextest.Answer{Status: 503}, file: &f}
		}, "lies in files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer s.leave()
			w := s.world(ctx)
			if err := w.keep(ctx, w.project, keptWithin); err != nil {
				t.Fatal(err)
			}
			mark := w.log.Len()
			j := w.judge(ctx, k, c.harm(t, w), mark)
			if !strings.Contains(strings.Join(j.wrong, "\n"), c.finds) {
				t.Errorf("not found: %q is not in %q", c.finds, j.wrong)
			}
		})
	}
}
