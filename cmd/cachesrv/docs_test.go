package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCLIDocumentsEverything: every command, flag, variable and key of the file stands in docs/CLI.md, each in code
// quotes, and no other does.
func TestCLIDocumentsEverything(t *testing.T) {
	doc := read(t, "docs", "CLI.md")
	p := &program{stdout: io.Discard, stderr: io.Discard}
	parser, err := newParser(p)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	want := func(what string) {
		known[what] = true
		if !regexp.MustCompile("`" + regexp.QuoteMeta(what) + "[` =]").MatchString(doc) {
			t.Errorf("docs/CLI.md does not have `%s`", what)
		}
	}
	err = kong.Visit(parser.Model.Node, func(node kong.Visitable, next kong.Next) error {
		switch node := node.(type) {
		case *kong.Node:
			if node.Type == kong.CommandNode {
				want("cachesrv " + strings.TrimPrefix(node.FullPath(), "cachesrv "))
			}
		case *kong.Flag:
			if node.Hidden {
				return nil
			}
			want("--" + node.Name)
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	want("CACHESRV_CONFIG")
	for _, s := range conf.Settings() {
		want(s.Key)
		if s.Env != "" {
			want(s.Env)
		}
	}
	for _, match := range regexp.MustCompile("`(--[a-z-]+|CACHESRV_[A-Z_]+)[` =]").FindAllStringSubmatch(doc, -1) {
		if !known[match[1]] {
			t.Errorf("docs/CLI.md has %s, which the program has not", match[1])
		}
	}
}

// TestHelpNamesVariables: each setting's help shows its variable, at every server that has the setting, and at no other.
func TestHelpNamesVariables(t *testing.T) {
	database, ofIndex, ofProxy := reflect.TypeFor[conf.Database](), []reflect.Type{reflect.TypeFor[conf.Uploads](), reflect.TypeFor[conf.Index]()}, reflect.TypeFor[conf.Proxy]()
	for command, others := range map[string][]reflect.Type{
		"index": {ofProxy}, "example": append(ofIndex, ofProxy), "proxy": append(ofIndex, database), "conf show": nil,
	} {
		var out strings.Builder
		status := run(t.Context(), append(strings.Fields(command), "--help"), &out, io.Discard, noEnv)
		if status != statusOK {
			t.Fatalf("status %d", status)
		}
		text := strings.Join(strings.Fields(out.String()), " ")
		foreign := map[string]bool{}
		for _, part := range others {
			for _, f := range reflect.VisibleFields(part) {
				foreign[f.Tag.Get("yaml")] = true
			}
		}
		for _, s := range conf.Settings() {
			if s.Flag == "" {
				continue
			}
			shown := strings.Contains(text, " --"+s.Flag) && strings.Contains(text, "$"+s.Env+")")
			if want := !foreign[s.Key]; shown != want {
				t.Errorf("%s: --%s and $%s are shown: %v, in:\n%s", command, s.Flag, s.Env, shown, out.String())
			}
		}
		if strings.Contains(command, " ") {
			continue
		}
		if !strings.Contains(text, "cachesrv "+command+" --listen :80") {
			t.Errorf("no examples in:\n%s", out.String())
		}
	}
}

// TestSecurityNamesTests: every test that docs/SECURITY.md names is there, or one whose name begins so.
func TestSecurityNamesTests(t *testing.T) {
	var all strings.Builder
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(read(t, "docs", "SECURITY.md"), -1)
	if len(names) < 50 {
		t.Errorf("only %d names of tests were found", len(names))
	}
	for _, name := range names {
		if name != "TestAttackNN" && !strings.Contains(all.String(), "\nfunc "+name) {
			t.Errorf("docs/SECURITY.md names %s, which is not there", name)
		}
	}
}

// TestDependenciesHaveReasons: docs/DEPENDENCIES.md has one line for each direct dependency and tool of go.mod, and
// for nothing else.
func TestDependenciesHaveReasons(t *testing.T) {
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{}
	for _, r := range mod.Require {
		tool := false
		for _, other := range mod.Tool {
			tool = tool || strings.HasPrefix(other.Path, r.Path+"/")
		}
		if !r.Indirect || tool {
			needed[r.Path] = true
		}
	}
	if len(needed) == 0 {
		t.Fatal("go.mod has no direct dependency")
	}
	reasons := map[string]bool{}
	for _, line := range regexp.MustCompile("(?m)^- `([^`]+)`: .{20,}$").FindAllStringSubmatch(read(t, "docs", "DEPENDENCIES.md"), -1) {
		if reasons[line[1]] {
			t.Errorf("docs/DEPENDENCIES.md has %s twice", line[1])
		}
		reasons[line[1]] = true
	}
	for path := range needed {
		if !reasons[path] {
			t.Errorf("docs/DEPENDENCIES.md has no line \"- `%s`: reason\"", path)
		}
	}
	for path := range reasons {
		if !needed[path] {
			t.Errorf("docs/DEPENDENCIES.md has %s, which go.mod does not require directly", path)
		}
	}
}

func noEnv(string) (string, bool) { return "", false }
