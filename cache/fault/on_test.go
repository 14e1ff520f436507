//go:build cachesrv_fault

package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary stand in for a program under faults: it makes three calls of each of two labels.
func TestMain(m *testing.M) {
	if os.Getenv("FAULT_TEST_PROGRAM") == "" {
		os.Exit(m.Run())
	}
	for range 3 {
		for _, l := range []Label{ClaimCreate, PageLink} {
			made := false
			err := Do(l, Write, "name", func() error { made = true; return nil })
			fmt.Printf("%s made=%t err=%v\n", l, made, errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EIO))
		}
	}
	Point(DropPage)
	fmt.Println("end")
}

// program runs it with a variable set, and returns what it says, without line ends.
func program(t *testing.T, env ...string) (out string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, "FAULT_TEST_PROGRAM=1")...)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

const (
	create  = "claim.create made=true err=false\n"
	link    = "page.link made=true err=false\n"
	failed  = "page.link made=false err=true\n"
	unheard = "page.link made=true err=true\n"
)

func TestFaults(t *testing.T) {
	whole := strings.Repeat(create+link, 3) + "end\n"
	for _, c := range []struct{ env, want string }{
		{"", whole},
		{"CACHESRV_FAIL=page.link", create + failed + create + link + create + link + "end\n"},
		{"CACHESRV_FAIL=page.link:2:ENOSPC", create + link + create + failed + create + link + "end\n"},
		{"CACHESRV_FAIL=page.link:2:EIO:after", create + link + create + unheard + create + link + "end\n"},
		{"CACHESRV_FAIL=page.link:2+:EIO", create + link + create + failed + create + failed + "end\n"},
		{"CACHESRV_FAIL=page.link:4", whole},
		{"CACHESRV_KILL=page.link:2", create + link + create},
		{"CACHESRV_KILL=page.link", create},
		{"CACHESRV_KILL=drop.page", strings.Repeat(create+link, 3)},
	} {
		got, err := program(t, c.env)
		if killed := strings.Contains(c.env, "KILL"); got != c.want || (err != nil) != killed {
			t.Errorf("%s: %v\n%s", c.env, err, got)
		}
	}
}

// TestNonsenseIsNoFault: a setting that can't be read must not pass for a run without a fault that went well.
func TestNonsenseIsNoFault(t *testing.T) {
	for _, env := range []string{"CACHESRV_FAIL=page.lnk", "CACHESRV_FAIL=page.link:EFOO", "CACHESRV_FAIL=page.link:1:before"} {
		if out, err := program(t, env); err == nil {
			t.Errorf("%s was taken:\n%s", env, out)
		}
	}
}

func TestTrace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trace")
	if out, err := program(t, "CACHESRV_TRACE="+name); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(name)
	if want := strings.Repeat("claim.create\npage.link\n", 3) + "drop.page\n"; string(b) != want {
		t.Errorf("%v\n%s", err, b)
	}
}

// TestLabelTexts: labels go into variables whose parts are separated by colons.
func TestLabelTexts(t *testing.T) {
	text := regexp.MustCompile(`^[a-z]+(\.[a-z]+)?$`)
	for _, l := range Labels() {
		if !text.MatchString(l) {
			t.Errorf("label %q", l)
		}
	}
	if len(Labels()) < 100 {
		t.Errorf("%d labels", len(Labels()))
	}
}

// A counting hook sees what is made, and can prevent it.
type countingHook struct {
	log  []string
	deny bool
}

func (h *countingHook) Enter(l Label, _ Mode, name string) error {
	h.log = append(h.log, "enter "+l.String()+" "+name)
	if h.deny {
		return os.ErrPermission
	}
	return nil
}
func (h *countingHook) Leave(l Label, err error) {
	h.log = append(h.log, fmt.Sprint("leave ", l, " ", err))
}
func (h *countingHook) Saw(l Label, result any) {
	h.log = append(h.log, fmt.Sprint("saw ", l, " ", result))
}

func TestHook(t *testing.T) {
	h := new(countingHook)
	SetHook(h)
	defer SetHook(nil)
	if err := Do(PageLink, Write, "a", func() error { Saw(PageLink, 7); return nil }); err != nil {
		t.Error(err)
	}
	h.deny = true
	if err := Do(PageLink, Write, "a", func() error { t.Error("made"); return nil }); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
	if got := strings.Join(h.log, ", "); got != "enter page.link a, saw page.link 7, leave page.link <nil>, enter page.link a" {
		t.Error(got)
	}
}

func TestControl(t *testing.T) {
	if Broken(KeepTwins) {
		t.Error("broken by default")
	}
	SetControl(KeepTwins)
	if !Broken(KeepTwins) || Broken(TagsUnchecked) {
		t.Error("not what was set")
	}
	SetControl("")
	if Broken(KeepTwins) {
		t.Error("not mended")
	}
}
