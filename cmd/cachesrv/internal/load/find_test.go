package load

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFind: what is taken in, in which order, and what is not and why.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"tea-1.10.tar.gz", "tea-1.9.tar.gz", "tea-1.9-py3-none-any.whl", "tea-1.10rc1.zip", "sub/deep/Cup-2.tar.gz",
		"tea-1.0.egg", "tea-1.0.win32.exe", "tea-1.9.tar.gz.asc", "tea-1.0.tgz", "notes.txt", ".pip/x-1.tar.gz", ".index", "nonsense.whl",
	} {
		touch(t, filepath.Join(dir, name))
	}
	touch(t, filepath.Join(t.TempDir(), "outside", "tea-2.0.tar.gz"))
	outside := filepath.Join(t.TempDir(), "tea-3.0.tar.gz")
	touch(t, outside)
	for link, to := range map[string]string{"tea-3.0.tar.gz": outside, "folder-1.tar.gz": filepath.Dir(outside), "gone-1.tar.gz": "/nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe-1.tar.gz"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Find(dir + "/")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, c := range f.Files {
		files = append(files, strings.TrimPrefix(c.Path, dir+"/"))
		if c.Size != 5 {
			t.Errorf("%s: size %d", c.Path, c.Size)
		}
	}
	want := []string{"sub/deep/Cup-2.tar.gz", "tea-1.9-py3-none-any.whl", "tea-1.9.tar.gz", "tea-1.10rc1.zip", "tea-1.10.tar.gz", "tea-3.0.tar.gz"}
	if !slices.Equal(files, want) || f.Bytes != int64(5*len(want)) {
		t.Errorf("files %q, %d bytes\nwant  %q", files, f.Bytes, want)
	}
	list := func(others []Other) (text string) {
		for _, o := range others {
			text += fmt.Sprintf("%s: %v\n", strings.TrimPrefix(o.Path, dir+"/"), o.Why)
		}
		return text
	}
	skipped := list(f.Skipped)
	for _, want := range []string{
		".index: a hidden file\n", ".pip: a hidden folder\n", "folder-1.tar.gz: a link to a folder", "notes.txt: neither a wheel",
		"pipe-1.tar.gz: not a regular file\n", "tea-1.0.egg: an egg", "tea-1.0.tgz: an sdist must be", "win32.exe: an installer", ".asc: a signature",
	} {
		if !strings.Contains(skipped, want) {
			t.Errorf("%q is not among the skipped:\n%s", want, skipped)
		}
	}
	if len(f.Skipped) != 9 {
		t.Errorf("%d skipped:\n%s", len(f.Skipped), skipped)
	}
	bad := list(f.Bad)
	if len(f.Bad) != 2 || !strings.Contains(bad, "gone-1.tar.gz: no such file") || !strings.Contains(bad, "nonsense.whl: ") {
		t.Errorf("bad:\n%s", bad)
	}
}

func TestFindRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.whl")
	touch(t, file)
	if _, err := Find(file); err == nil || !strings.Contains(err.Error(), "it is not a folder") {
		t.Errorf("a file: %v", err)
	}
	if _, err := Find(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing folder was found")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Dir(file), link); err != nil {
		t.Fatal(err)
	}
	if f, err := Find(link); err != nil || len(f.Bad) != 1 || f.Bad[0].Path != link+"/a.whl" {
		t.Errorf("a link to the folder: %+v, %v", f, err)
	}
}
