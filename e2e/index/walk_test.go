//go:build e2e

package index

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// walkTimeout bounds the whole walk.
const walkTimeout = 2 * time.Minute

// TestWalkThrough runs README.md's walk-through line by line, in one shell, against what `make run` starts. Each line
// must end well, and its output match what stands behind "# → ".
func TestWalkThrough(t *testing.T) {
	t.Parallel()
	lines := walk(t)
	ix := prepare(t, right, "", "--demo")
	if err := ix.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	bin, err := python()
	if err != nil {
		t.Fatal(err)
	}
	// The lines expect to be in a clone where `make run` has built the program and made ./data.
	if err := errors.Join(os.Mkdir(filepath.Join(ix.dir, "bin"), 0o755), os.Symlink(ix.Path, filepath.Join(ix.dir, "bin", "cachesrv"))); err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for i, line := range lines {
		line = strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(ix.BaseURL(), "http://"), "/tmp/", ix.dir+"/tmp-").Replace(line)
		fmt.Fprintf(&script, "{ %s\n} >%d.out 2>&1 </dev/null; echo $? >%d.status\n", line, i, i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), walkTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-c", script.String())
	c.Dir = ix.dir
	c.Env = append(environment(ix.dir), "PATH="+bin+":/usr/local/bin:/usr/bin:/bin")
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("bash: %v\n%s", err, out)
	}
	for i, line := range lines {
		out, _ := os.ReadFile(filepath.Join(ix.dir, fmt.Sprintf("%d.out", i)))
		status, err := os.ReadFile(filepath.Join(ix.dir, fmt.Sprintf("%d.status", i)))
		if err != nil || strings.TrimSpace(string(status)) != "0" {
			t.Errorf("%s\nended with %s (%v):\n%s", line, status, err, out)
			continue
		}
		if _, want, ok := strings.Cut(line, "# → "); ok {
			if re, err := regexp.Compile("(?m)" + strings.TrimSpace(want)); err != nil || !re.Match(out) {
				t.Errorf("%s\ndoes not match its output (%v):\n%s", line, err, out)
			}
		}
	}
}

// walk returns the lines of the walk-through.
func walk(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "<!-- walk-through -->")
	m := regexp.MustCompile("(?s)\\A\\s*```sh\n(.*?)```").FindStringSubmatch(rest)
	if !ok || m == nil {
		t.Fatal("README.md has no sh block behind <!-- walk-through -->")
	}
	var lines []string
	continued := ""
	for line := range strings.Lines(m[1]) {
		line = continued + strings.TrimSuffix(line, "\n")
		if strings.HasSuffix(line, `\`) {
			continued = line + "\n"
			continue
		}
		if continued = ""; strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	checked := 0
	for _, line := range lines {
		if strings.Contains(line, "# → ") {
			checked++
		}
	}
	if checked == 0 {
		t.Fatal("the walk-through expects nothing: add # → REGEXP behind its lines")
	}
	return lines
}

// demoBound is how long `make run` may take from the start of the built program to its first page, with a new folder.
const demoBound = 10 * time.Second

// TestDemo: the sample projects are there within moments, once; and can be installed as the start says.
func TestDemo(t *testing.T) {
	ix := prepare(t, right, "", "--demo")
	began := time.Now()
	if err := ix.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(ix.BaseURL() + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	took := time.Since(began)
	t.Logf("from the start to the first page: %v", took)
	if resp.StatusCode != http.StatusOK || took > demoBound {
		t.Errorf("status %d after %v", resp.StatusCode, took)
	}

	token := func() string {
		t.Helper()
		content, err := os.ReadFile(ix.data("demo-token"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(content))
	}
	ix.Client = &indextest.Client{Base: ix.BaseURL(), Token: token()}
	names := ix.listed()
	if len(names) < 30 {
		t.Errorf("it has only %q", names)
	}
	folder := t.TempDir()
	ix.succeeds(ix.pip(t.TempDir(), append([]string{"install", "--target", folder}, names...)...)) // all of them, with what they need
	ix.upload(wheel("my-own", "1.0"))

	if err := ix.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := token()
	if err := ix.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ix.Client.Base = ix.BaseURL()
	if again := ix.listed(); len(again) != len(names)+1 || token() != first {
		t.Errorf("after another start it has %q, and the token is the same: %v", again, token() == first)
	}
	ix.upload(wheel("my-own", "1.1"))
}
