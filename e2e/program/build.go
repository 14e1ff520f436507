package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Build builds cachesrv, as anybody would or with further flags, into a folder, and returns its path.
func Build(dir, name string, flags ...string) (path string, err error) {
	path = filepath.Join(dir, name)
	c := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), "github.com/cachesrv/cachesrv/cmd/cachesrv")...)
	c.Stderr = os.Stderr
	return path, c.Run()
}

// Main is a TestMain for packages that all test one program: it builds cachesrv, writes where to path, runs the tests, and
// takes it away. It does not return.
func Main(m *testing.M, path *string) {
	dir, err := os.MkdirTemp("", "program-")
	if err == nil {
		*path, err = Build(dir, "cachesrv")
	}
	if err != nil {
		panic(err) // no test could say anything
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
