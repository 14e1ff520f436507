package conf

import (
	"os/exec"
	"strings"
	"testing"
)

// TestFlags: the flags in a message can be typed as they stand, whatever the folder is called.
func TestFlags(t *testing.T) {
	for dir, want := range map[string]string{
		"data": "--dir data", "/srv/index": "--dir /srv/index", "": "--dir ''", "my index": "--dir 'my index'", "~": "--dir '~'",
		"it's $HOME; `ls`\n": "--dir 'it'\\''s $HOME; `ls`\n'", "ä": "--dir 'ä'",
	} {
		got := Folder{Dir: dir}.Flags()
		if got != want {
			t.Errorf("%q: %s, want %s", dir, got, want)
		}
		out, err := exec.Command("sh", "-c", "printf %s "+strings.TrimPrefix(got, "--dir ")).Output()
		if err != nil || string(out) != dir {
			t.Errorf("a shell reads %q as %q, %v", dir, out, err)
		}
	}
	if got := SiteFlags(Folder{Dir: "x"}, Database{DB: "sqlite"}); got != "--dir x" {
		t.Error(got)
	}
	if got := SiteFlags(Folder{Dir: "x"}, Database{DB: "postgres://me:secret@h/d"}); got != "--dir x --db URL" {
		t.Error(got)
	}
}
