// Package peers starts caches and web servers of other makes for tests: those that stand in front of ours, and those that ours
// is compared with. It only writes their configuration, and says which command runs them: in the foreground, on one address,
// with all files in one folder.
package peers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// A Server says how a server is run. It ends on SIGTERM.
type Server struct {
	Name    string
	Path    string // of the program
	Args    []string
	Env     []string // besides this program's
	Address string   // where it listens, once it serves
}

// ErrMissing: the machine doesn't have the program.
var ErrMissing = errors.New("peers: not installed")

// find returns the path of a program. Debian keeps some where only root looks.
func find(name, debian string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s (Debian's package %s)", ErrMissing, name, debian)
	}
	return path, nil
}

// write writes a configuration, which servers may read as another user.
func write(dir, name, text string) (path string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path = filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}
