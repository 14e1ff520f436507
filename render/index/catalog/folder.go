package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// openFolder makes Options.Dir and its two folders, durably. Files may be read by another server; what is on its way in
// is nobody's business.
func (c *Catalog) openFolder() error {
	dir, err := filepath.Abs(c.o.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		c.root, err = os.OpenRoot(dir)
	}
	if err != nil {
		return fmt.Errorf("the folder of files: %w: name a folder that this user may write", err)
	}
	for name, mode := range map[string]fs.FileMode{filesDir: 0o755, incomingDir: 0o700} {
		if err := c.root.Mkdir(name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("in %s: %w", dir, err)
		}
	}
	if above, err := os.Open(filepath.Dir(dir)); err == nil {
		err = above.Sync()
		_ = above.Close()
		if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrPermission) { // then somebody else has made Dir, and before
		return err
	}
	if err := c.syncFolder("."); err != nil {
		return err
	}
	return c.tryFolder()
}

// probe is a name in files that lies there for a moment while a catalog is opened.
const probe = filesDir + "/.probe"

// tryFolder does what an upload will do: a folder in which that can't work should be known before the first one.
func (c *Catalog) tryFolder() error {
	_, name, f, err := c.newIncoming(partSuffix)
	if err == nil {
		err = c.root.Link(name, probe)
		if errors.Is(err, fs.ErrExist) { // another process is trying this very moment, or has died here
			err = nil
		}
		err = cmp.Or(err, c.remove(probe), c.remove(name), f.Close())
	}
	if err != nil {
		return fmt.Errorf("files can't be put from %s into %s: %w: both must be folders, not links to others, on one file system, "+
			"which has hard links and which this user may write", filepath.Join(c.root.Name(), incomingDir), filepath.Join(c.root.Name(), filesDir),
			err)
	}
	return nil
}

// syncFolder makes the names in a folder survive a power cut.
func (c *Catalog) syncFolder(name string) error {
	f, err := c.root.Open(name)
	if err != nil {
		return err
	}
	err = f.Sync()
	_ = f.Close() // of a folder it tells nothing
	return err
}

// durable is the set of folders below files whose own names are known to survive a power cut: at most 65,792, as they
// are never removed again. (Only the innermost ones are.)
type durable struct {
	mu      sync.Mutex
	folders map[string]struct{}
}

func (d *durable) has(folder string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.folders[folder]
	return ok
}

func (d *durable) forget(folder string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.folders, folder)
}

func (d *durable) add(folder string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.folders == nil {
		d.folders = make(map[string]struct{})
	}
	d.folders[folder] = struct{}{}
}

// folders are a place's folders, the innermost first.
func (p place) folders() []string {
	folder := p.folder()
	return []string{folder, path.Dir(folder), path.Dir(path.Dir(folder))}
}

// makeFolders makes the folders of a place.
func (c *Catalog) makeFolders(p place) error {
	for _, folder := range slices.Backward(p.folders()) {
		err := c.root.Mkdir(path.Join(filesDir, folder), 0o755)
		if err == nil {
			c.folders.forget(folder)
		} else if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// syncFolders makes what lies in a place survive a power cut, with the folders it lies in. One that was there already
// may have been made by a process that died before it could see to that. (The innermost first: where one fsync writes
// the whole journal, the others have little to do.)
func (c *Catalog) syncFolders(p place) error {
	folders := p.folders()
	if err := c.syncFolder(path.Join(filesDir, folders[0])); err != nil {
		return err
	}
	for i, folder := range folders {
		if i > 0 && c.folders.has(folder) {
			continue
		}
		if err := c.syncFolder(path.Join(filesDir, path.Dir(folder))); err != nil {
			return err
		}
		if i > 0 {
			c.folders.add(folder)
		}
	}
	return nil
}

// link gives a file of incoming its place, called by the holder of the lock. A file that lies there already has no row,
// and the same digest, so the same bytes: somebody died, or failed, or is about to have their intent settled.
func (c *Catalog) link(from, to string, size int64) error {
	to = path.Join(filesDir, to)
	err := c.root.Link(from, to)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := c.root.Lstat(to)
	if err == nil && (!st.Mode().IsRegular() || st.Size() != size) {
		err = fmt.Errorf("%s is in the way: it should have %d bytes, but is %v of %d: move it away",
			filepath.Join(c.root.Name(), to), size, st.Mode(), st.Size())
	}
	return err
}

// unlink removes a file and its metadata, durably, and then their folder unless another file lies in it. Called by the
// holder of the lock.
func (c *Catalog) unlink(p place) error {
	file := path.Join(filesDir, p.path())
	if err := errors.Join(c.remove(file), c.remove(file+metadataSuffix)); err != nil {
		return err
	}
	folder := path.Dir(file)
	if err := c.syncFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := c.root.Remove(folder)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return absent(err)
}

// remove removes a file that may be gone already.
func (c *Catalog) remove(name string) error { return absent(c.root.Remove(name)) }

func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
