package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// CheckOptions configure Check.
type CheckOptions struct {
	// Repair removes what a problem is about. A cache is repaired by dropping.
	Repair bool
}

// A Problem is something that should not be.
type Problem struct {
	File     string `json:"file"` // relative to DIR/cache/current
	What     string `json:"what"`
	Broken   bool   `json:"broken"`   // a promise is broken, or would be; else it is a left-over
	Repaired bool   `json:"repaired"` // by dropping
}

// A Report is what Check found.
type Report struct {
	Pages    int64     `json:"pages"`
	Graced   int64     `json:"graced"`
	Twins    int64     `json:"twins"`
	Claims   int64     `json:"claims"`    // of fills under way
	Rows     int64     `json:"rows"`      // of the inventory
	LostRows int64     `json:"lost_rows"` // rows whose page is gone: normal, deleted later
	Problems []Problem `json:"problems"`
}

// maxProblems bounds a report.
const maxProblems = 10_000

// Check compares pages, twins, claims and inventory with each other, reading everything. It may run beside servers:
// what changes while it looks is no problem.
func (s *Store) Check(ctx context.Context, o CheckOptions) (Report, error) {
	g, err := s.current(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	defer g.drop()
	c := &checker{s: s, g: g, repair: o.Repair}
	if err := g.walk(ctx, func(folder *sys.Dir, dir, name string, isDir bool) error {
		return c.entry(ctx, folder, dir, name, isDir)
	}); err != nil {
		return c.report, fmt.Errorf("check: %w", err)
	}
	err = g.inv.Rows(ctx, inventory.Select{}, func(r *inventory.Row) error {
		c.report.Rows++
		if published, graced := g.standing(r); !published && !graced {
			c.report.LostRows++
		}
		return nil
	})
	if err != nil {
		return c.report, fmt.Errorf("check: %w", err)
	}
	return c.report, nil
}

type checker struct {
	s      *Store
	g      *generation
	repair bool
	report Report
}

// problem notes what is wrong with a file, unless the file has changed since st was read.
func (c *checker) problem(folder *sys.Dir, dir, name string, st sys.Stat, broken bool, format string, args ...any) {
	if now, err := folder.Stat(fault.CheckRead, name); err != nil || identityOf(now) != identityOf(st) {
		return
	}
	if len(c.report.Problems) >= maxProblems {
		return
	}
	p := Problem{File: join("pages", join(dir, name)), What: fmt.Sprintf(format, args...), Broken: broken}
	if c.repair {
		_, err := c.folderRename(folder, name)
		p.Repaired = err == nil
	}
	c.report.Problems = append(c.report.Problems, p)
}

// folderRename drops by moving to the trash, which works for whatever it is.
func (c *checker) folderRename(folder *sys.Dir, name string) (bool, error) {
	return folder.Rename(fault.CheckRepair, name, c.s.trash, c.s.uniqueName("repaired"))
}

func (c *checker) entry(ctx context.Context, folder *sys.Dir, dir, name string, isDir bool) error {
	st, err := folder.Stat(fault.CheckRead, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if isDir {
		if strings.HasSuffix(name, key.Suffix) {
			c.problem(folder, dir, name, st, false, "a folder has the name of a page")
		}
		return nil
	}
	file, err := key.ParseFile(join(dir, name))
	if err != nil && !errors.Is(err, key.ErrHashed) {
		c.problem(folder, dir, name, st, false, "no page of any key has this name")
		return nil
	}
	if !st.Regular() || int(st.UID) != os.Geteuid() {
		c.problem(folder, dir, name, st, false, "not a regular file of this user")
		return nil
	}
	switch file.Kind {
	case key.KindClaim:
		return c.claim(folder, dir, name, st)
	case key.KindTwin:
		return c.twin(folder, dir, name, strings.TrimSuffix(name, file.Twin), file.Twin, st)
	case key.KindStale:
		return c.page(ctx, folder, dir, name, strings.TrimSuffix(name, key.StaleSuffix), file.Key, st)
	default:
		return c.page(ctx, folder, dir, name, name, file.Key, st)
	}
}

func (c *checker) claim(folder *sys.Dir, dir, name string, st sys.Stat) error {
	fd, err := folder.OpenFile(fault.CheckRead, name)
	if err != nil {
		return ignoreGone(err)
	}
	defer sys.CloseFD(fault.CheckRead, fd)
	free, err := sys.TryLock(fault.CheckRead, fd)
	if err != nil {
		return err
	}
	if !free {
		c.report.Claims++
		return nil
	}
	// It may have been created a moment ago and not be locked yet; its owner then finds it locked by us and gives up.
	c.problem(folder, dir, name, st, false, "an orphaned claim: its owner died (the next fill, or the sweep, takes it away)")
	return nil
}

func (c *checker) page(ctx context.Context, folder *sys.Dir, dir, name, pageName string, k Key, st sys.Stat) error {
	fd, err := folder.OpenFile(fault.CheckRead, name)
	if err != nil {
		return ignoreGone(err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	row, ok, err := c.g.inv.Find(ctx, join(dir, pageName), identityOf(st))
	if err != nil {
		return err
	}
	if !ok {
		c.problem(folder, dir, name, st, true, "the inventory does not know it: no invalidation by tag would find it")
		return nil
	}
	if k != (Key{}) && row.Key != k.String() {
		c.problem(folder, dir, name, st, true, "the inventory has it under the key %q", row.Key)
		return nil
	}
	if _, err := verify(fault.CheckRead, f, &row, 0); err != nil {
		c.problem(folder, dir, name, st, true, "%v", err)
		return nil
	}
	if st.Sec != digestSeconds(row.Digest) {
		c.problem(folder, dir, name, st, true, "its modification time is not that of its content")
		return nil
	}
	if name != pageName {
		c.report.Graced++
	} else {
		c.report.Pages++
	}
	return nil
}

// twin compares a twin with its page. One without a page is a left-over, as nothing serves it; one beside another
// publication would be served.
func (c *checker) twin(folder *sys.Dir, dir, name, pageName, suffix string, st sys.Stat) error {
	page, err := folder.Stat(fault.CheckRead, pageName)
	if errors.Is(err, fs.ErrNotExist) {
		c.problem(folder, dir, name, st, false, "a twin without a page (the next fill takes it away)")
		return nil
	}
	if err != nil {
		return err
	}
	if page.Nsec != st.Nsec {
		c.problem(folder, dir, name, st, true, "a twin of another publication than the page beside it")
		return nil
	}
	same, err := sameContent(folder, name, suffix, pageName)
	if err != nil {
		return ignoreGone(err)
	}
	if !same {
		c.problem(folder, dir, name, st, true, "a twin whose content is not that of its page")
		return nil
	}
	c.report.Twins++
	return nil
}

func sameContent(folder *sys.Dir, twinName, suffix, pageName string) (bool, error) {
	digest := func(name string, decode func(io.Reader) (io.Reader, error)) (sum [32]byte, err error) {
		fd, err := folder.OpenFile(fault.CheckRead, name)
		if err != nil {
			return sum, err
		}
		f := os.NewFile(uintptr(fd), name)
		defer f.Close()
		r, err := decode(f)
		if err != nil {
			return sum, nil // undecodable: equals nothing
		}
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return sum, nil
		}
		return [32]byte(h.Sum(nil)), nil
	}
	page, err := digest(pageName, func(r io.Reader) (io.Reader, error) { return r, nil })
	if err != nil {
		return false, err
	}
	twin, err := digest(twinName, func(r io.Reader) (io.Reader, error) { return decoder(suffix, r) })
	return page == twin, err
}

func decoder(suffix string, r io.Reader) (io.Reader, error) {
	switch suffix {
	case ".gz":
		return gzip.NewReader(r)
	case ".br":
		return brotli.NewReader(r), nil
	default:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// An Entry is a page as List shows it.
type Entry struct {
	Key    Key
	Page   *Page  // without its body
	File   string // relative to DIR/cache/current
	Hits   int64  // as last written by the servers: up to some seconds behind
	Twins  []string
	Graced bool
}

func newEntry(r *inventory.Row, graced bool) (Entry, error) {
	k, err := key.Parse(r.Key)
	if err != nil {
		return Entry{}, err
	}
	header, err := parseHeader(r.Header)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Key: k, Page: newPage(k, r, header, ""), File: "pages/" + r.File, Hits: r.Hits, Graced: graced}
	for i, enc := range encodings {
		if r.Twins&(1<<i) != 0 {
			e.Twins = append(e.Twins, enc.name)
		}
	}
	return e, nil
}

// List yields what is published, and graced pages, in the order of publication.
func (s *Store) List(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		g, err := s.current(ctx)
		if err != nil {
			yield(Entry{}, fmt.Errorf("list: %w", err))
			return
		}
		defer g.drop()
		enough := errors.New("enough")
		err = g.inv.Rows(ctx, inventory.Select{}, func(r *inventory.Row) error {
			published, graced := g.standing(r)
			if !published && !graced {
				return nil
			}
			e, err := newEntry(r, graced)
			if err != nil {
				return err
			}
			if !yield(e, nil) {
				return enough
			}
			return nil
		})
		if err != nil && !errors.Is(err, enough) {
			yield(Entry{}, fmt.Errorf("list: %w", err))
		}
	}
}
