//go:build linux && (e2e || soak)

package power

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A fileSystem is one that a machine's disk can have.
type fileSystem struct {
	name  string
	make  []string // mkfs; the image's path comes last
	mount string   // options
	size  int64    // of the disk
}

var fileSystems = []fileSystem{
	// Its journal, with data=ordered, is the default. commit=1 is only faster than the default of 5 s.
	{"ext4", []string{"mkfs.ext4", "-q", "-F", "-J", "size=8", "-E", "lazy_itable_init=0"}, "loop,commit=1", 96 << 20},
	// A copy has the UUID of its original, which may be mounted at the time. mkfs.xfs refuses less than 300 MB.
	{"xfs", []string{"mkfs.xfs", "-q", "-f"}, "loop,nouuid", 320 << 20},
}

// shelfSize bounds what the disks of a test may take together. The shelf is sparse, in memory.
const shelfSize = 3 << 30

// A shelf holds images of disks, and copies them as they are at one instant.
//
// A copy is a clone (FICLONE) on xfs, which is the whole of "point in time" here: the loop device hands each of its
// requests to the image as one write, each write and the clone hold the image's lock exclusively, and the clone writes
// back what is dirty only after it has the lock. So a copy has the requests completed so far, and no part of one under
// way: what a disk without a volatile cache has when the power goes. Reading a live image with cp would mix its blocks of
// one moment with those of another, a state that no crash leaves. A disk that loses what it has acknowledged but was not
// yet told to flush is not shown here: against it a file system sends flushes, where we call fsync and syncfs.
type shelf string

// newShelf makes one, in memory: what is looked for depends on what was written when, not on what a real disk makes of it.
func newShelf(t *testing.T) shelf {
	t.Helper()
	below, dir := t.TempDir(), t.TempDir()
	mount(t, below, "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", shelfSize), "tmpfs")
	image := filepath.Join(below, "shelf")
	sparse(t, image, shelfSize)
	run(t, "mkfs.xfs", "-q", "-f", "-m", "reflink=1", image)
	mount(t, dir, "-t", "xfs", "-o", "loop", image)
	return shelf(dir)
}

// disk makes an empty disk with a file system.
func (s shelf) disk(t *testing.T, fs fileSystem, name string) (image string) {
	t.Helper()
	image = filepath.Join(string(s), name)
	sparse(t, image, fs.size)
	run(t, fs.make[0], append(fs.make[1:len(fs.make):len(fs.make)], image)...)
	return image
}

// copy copies an image as it is now. The caller removes the copy.
func (s shelf) copy(t *testing.T, image string) (path string) {
	t.Helper()
	from, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.CreateTemp(string(s), "copy-")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := unix.IoctlFileClone(int(to.Fd()), int(from.Fd())); err != nil {
		t.Fatalf("clone %s: %v", image, err)
	}
	return to.Name()
}

func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// mount mounts what the arguments say on dir, for as long as the test runs.
func mount(t *testing.T, dir string, args ...string) {
	t.Helper()
	run(t, "mount", append(args, dir)...)
	t.Cleanup(func() { run(t, "umount", "-l", dir) }) // lazily: a loop device lets go of its file some time after its end
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s (these tests mount file systems: run them as root; install with e2e/install.sh)", name, strings.Join(args, " "), err, out)
	}
}
