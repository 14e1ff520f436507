// Package walk runs the shell lines of README.md, as a reader would.
package walk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// bound is that of a whole walk.
const bound = 2 * time.Minute

// A Walk is a block of shell lines that stands behind <!-- NAME --> in README.md.
type Walk struct {
	Name   string
	Readme string            // its path
	Dir    string            // to run in; what each line prints is kept there, too
	Env    []string          // of the shell
	Adapt  *strings.Replacer // applied to each line: addresses, folders
}

// Run runs the block line by line, in one shell. Each line must end well, and its output match what stands behind "# → ".
func (w Walk) Run(t *testing.T) {
	t.Helper()
	lines := w.lines(t)
	var script strings.Builder
	script.WriteString("trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n")
	for i, line := range lines {
		fmt.Fprintf(&script, "{ %s\n} >%d.out 2>&1 </dev/null; echo $? >%d.status\n", w.Adapt.Replace(line), i, i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-c", script.String())
	c.Dir, c.Env = w.Dir, w.Env
	c.WaitDelay = 10 * time.Second
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("bash: %v\n%s", err, out)
	}
	for i, line := range lines {
		out, _ := os.ReadFile(filepath.Join(w.Dir, fmt.Sprintf("%d.out", i)))
		status, err := os.ReadFile(filepath.Join(w.Dir, fmt.Sprintf("%d.status", i)))
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

// lines returns the block's lines, at least one of which expects something.
func (w Walk) lines(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile(w.Readme)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "<!-- "+w.Name+" -->")
	m := regexp.MustCompile("(?s)\\A\\s*```sh\n(.*?)```").FindStringSubmatch(rest)
	if !ok || m == nil {
		t.Fatalf("%s has no sh block behind <!-- %s -->", w.Readme, w.Name)
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
	if !strings.Contains(strings.Join(lines, "\n"), "# → ") {
		t.Fatalf("<!-- %s --> expects nothing: add # → REGEXP behind its lines", w.Name)
	}
	return lines
}
