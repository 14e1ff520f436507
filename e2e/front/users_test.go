//go:build e2e

package front

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The server runs as another user, in none of cachesrv's groups: with the usual umask it can read the pages, and with one that
// keeps others out it leaves every request to cachesrv.
func TestAnotherUser(t *testing.T) {
	for _, c := range []struct {
		name   string
		umask  int
		others bool // may read the pages
	}{{"0022", 0o022, true}, {"0077", 0o077, false}} {
		for _, server := range servers {
			t.Run(server.name+"/"+c.name, func(t *testing.T) {
				// Not t.TempDir, which lets nobody in.
				dir, err := os.MkdirTemp("", "front-")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.RemoveAll(dir) })
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				s := prepare(t, server, dir)
				s.umask = c.umask
				files := c.others
				if os.Getuid() == 0 {
					s.other = "www-data"
				} else {
					files = true // nobody but root can start it as another one
				}
				s.beginProxy()
				s.fill("/a")
				page, err := os.Stat(filepath.Join(s.live, "pages", hostName, "a.page"))
				if err != nil || page.Mode().Perm()&0o004 != 0 != c.others {
					t.Errorf("%v, %v", page.Mode(), err)
				}
				if a := s.front("GET", "/a"); a.status != 200 || a.fromFile() != files {
					t.Errorf("%d %q", a.status, a.by())
				}
			})
		}
	}
}

// under runs a function with a umask. Nothing else may create files meanwhile.
func under(umask int, f func()) {
	before := syscall.Umask(umask)
	defer syscall.Umask(before)
	f()
}
