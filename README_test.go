package cachesrv_test

import (
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeSnippets compiles and vets the Go programs of README.md, each block that begins with a package clause
// as a package of this module. Other Go blocks are fragments: they must at least be gofmt-ed Go.
func TestReadmeSnippets(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	// Within the module, so that its packages resolve, and under a name that ./... leaves out.
	dir, err := os.MkdirTemp(".", "_readme")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	programs := 0
	for i, block := range goBlocks(string(readme)) {
		if formatted, err := format.Source([]byte(block)); err != nil {
			t.Errorf("block %d is not Go: %v\n%s", i+1, err, block)
			continue
		} else if string(formatted) != block {
			t.Errorf("block %d is not gofmt-ed; want:\n%s", i+1, formatted)
		}
		if !regexp.MustCompile(`(?m)\A(//.*\n|\n)*package `).MatchString(block) {
			continue
		}
		programs++
		folder := filepath.Join(dir, fmt.Sprintf("block%d", i+1))
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(block), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "vet", "./"+folder).CombinedOutput(); err != nil {
			t.Errorf("block %d: go vet: %v\n%s\n%s", i+1, err, out, block)
		}
	}
	if programs == 0 {
		t.Error("README.md has no Go program to compile")
	}
}

// goBlocks returns the contents of the blocks fenced by ```go.
func goBlocks(markdown string) (blocks []string) {
	for _, match := range regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(markdown, -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

func TestGoBlocks(t *testing.T) {
	text := "a\n```go\npackage a\n```\n```sh\nls\n```\n```go\nx := 1\n```\n"
	if got := strings.Join(goBlocks(text), "|"); got != "package a\n|x := 1\n" {
		t.Errorf("%q", got)
	}
}
