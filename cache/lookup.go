package cache

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// hitState is the part of a Hit that is ours.
type hitState struct {
	s        *Store
	view     *liveView
	file     *os.File // of a large page
	borrowed bool     // the file is a fill's, who closes it
	twins    []*os.File
}

// Lookup returns the page of a key if it is published now: a page found in memory is one only while the folder,
// resolved from live, still holds that very publication. Else it returns an ErrMiss that says why.
//
//	in memory:  fstatat live/pages/FILE: inode, mtime, size
//	else:       openat live/pages/FILE · fstat · inventory by identity · read · digest
func (s *Store) Lookup(k Key) (Hit, error) {
	view := s.live.view.Load()
	if view == nil || s.live.shut.Load() {
		s.stats.misses.Add(1)
		return Hit{}, errFenced
	}
	if p, ok := s.memory.get(k); ok {
		if p.body != nil {
			var st unix.Stat_t
			if view.stat(p.path, &st) && p.is(&st) || heldInside(view, p) {
				return s.hit(view, p, nil)
			}
		} else if f, err := s.reopen(view, p); err == nil {
			return s.hit(view, p, f)
		}
		s.memory.remove(p)
	}
	p, f, err := s.load(view, k, "")
	if err != nil {
		s.stats.misses.Add(1)
		return Hit{}, err
	}
	s.memory.put(p)
	holdInside(view, p)
	return s.hit(view, p, f)
}

var (
	errFenced  = fmt.Errorf("%w: %w", ErrMiss, ErrFenced)
	errAbsent  = fmt.Errorf("%w: not stored", ErrMiss)
	errExpired = fmt.Errorf("%w: expired", ErrMiss)
)

func (s *Store) hit(view *liveView, p *Page, f *os.File) (Hit, error) {
	if !p.Meta.Expires.IsZero() && !time.Now().Before(p.Meta.Expires) {
		if f != nil {
			_ = f.Close()
		}
		s.stats.misses.Add(1)
		return Hit{}, errExpired
	}
	s.stats.hits.Add(1)
	s.keep.hit(p)
	return Hit{Page: p, hitState: hitState{s: s, view: view, file: f}}, nil
}

// reopen opens the file of a large page whose identity is known.
func (s *Store) reopen(view *liveView, p *Page) (*os.File, error) {
	fd, st, err := s.openPublished(view, p.file)
	if err != nil {
		return nil, err
	}
	if p.identity != identityOf(st) || st.Size != p.Size {
		_ = sys.CloseFD(fault.HitClose, fd)
		return nil, errAbsent
	}
	return os.NewFile(uintptr(fd), p.file), nil
}

// openPublished opens a file through live. Only regular files of our own user are anything to us.
func (s *Store) openPublished(view *liveView, file string) (int, sys.Stat, error) {
	fd, err := view.dir.OpenFile(fault.HitOpen, s.live.prefix()+file)
	if err != nil {
		return -1, sys.Stat{}, err
	}
	st, err := sys.Fstat(fault.HitFstat, fd)
	if err == nil && (!st.Regular() || int(st.UID) != os.Geteuid()) {
		err = fmt.Errorf("%s is no regular file of ours", file)
	}
	if err != nil {
		_ = sys.CloseFD(fault.HitClose, fd)
		return -1, sys.Stat{}, err
	}
	return fd, st, nil
}

func identityOf(st sys.Stat) inventory.Identity {
	return inventory.Identity{Ino: st.Ino, Sec: st.Sec, Nsec: st.Nsec}
}

// load finds a page on disk that is not in memory: the publication of an earlier run, or of another process. For a
// large page it also returns its open file.
func (s *Store) load(view *liveView, k Key, suffix string) (*Page, *os.File, error) {
	if k.Host == "" {
		return nil, nil, errAbsent
	}
	f := k.File()
	for _, file := range []string{f.Page(), f.Private()} {
		p, f, err := s.loadFrom(view, k, file, suffix)
		if err == nil {
			return p, f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Debug("a published file can't be used; it counts as a miss", "file", file, "err", err)
		}
	}
	if _, err := view.dir.Stat(fault.LiveStat, filepath.Base(s.live.path)); err != nil {
		return nil, nil, errFenced
	}
	return nil, nil, errAbsent
}

func (s *Store) loadFrom(view *liveView, k Key, file, suffix string) (*Page, *os.File, error) {
	fd, st, err := s.openPublished(view, file+suffix)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), file)
	keep := false
	defer func() {
		if !keep {
			_ = f.Close()
		}
	}()
	g, err := s.current(context.Background())
	if err != nil {
		return nil, nil, err
	}
	defer g.drop()
	row, ok, err := g.inv.Find(context.Background(), file, identityOf(st))
	if err != nil {
		return nil, nil, err
	}
	if !ok || row.Size != st.Size || row.Key != k.String() {
		return nil, nil, errors.New("the inventory does not know this publication")
	}
	header, err := parseHeader(row.Header)
	if err != nil {
		return nil, nil, err
	}
	body, err := verify(fault.HitRead, f, &row, s.o.MemoryPageMax)
	if err == nil && !sendable(row.Status) {
		err = fmt.Errorf("its row has the status %d", row.Status)
	}
	if err != nil {
		s.damaged(g, file+suffix, &row, err)
		return nil, nil, err
	}
	p := newPage(k, &row, header, s.live.prefix())
	p.gen = g.name
	if suffix != "" && row.Graced != 0 {
		p.Meta.Expires = time.Unix(0, row.Graced)
	}
	if body != nil {
		p.resident(body)
		return p, nil, nil
	}
	keep = true
	return p, f, nil
}

// verify reads a file and compares it with the digest its row has; it returns the body if that is small.
func verify(l fault.Label, f *os.File, row *inventory.Row, small int64) ([]byte, error) {
	h := sha256.New()
	var body []byte
	var n int64
	err := fault.Do(l, fault.Private, "", func() (err error) {
		if row.Size <= small {
			body = make([]byte, row.Size)
			var m int
			m, err = io.ReadFull(f, body)
			n = int64(m)
			h.Write(body)
		} else if n, err = io.Copy(h, f); err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if n != row.Size || [32]byte(h.Sum(nil)) != row.Digest {
		return nil, errDamaged
	}
	return body, nil
}

var errDamaged = errors.New("its content is not what was published")

// damaged drops a file whose content is not what was published: a truncated page, a bad disk.
func (s *Store) damaged(g *generation, file string, row *inventory.Row, cause error) {
	s.log.Error("a page is damaged; dropped", "file", file, "err", cause)
	s.stats.damaged.Add(1)
	if st, err := g.pages.Stat(fault.DamagedStat, file); err == nil && identityOf(st) == row.Identity {
		_, _ = g.pages.Unlink(fault.DamagedDrop, file)
	}
}

func parseHeader(text string) (http.Header, error) {
	h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(text + "\r\n"))).ReadMIMEHeader()
	return http.Header(h), err
}

// Graced returns the page of a key that was soft-purged or has expired, while its grace lasts; else an ErrMiss. Serve
// it only to requests that would otherwise wait for a fill under way, or when the fill has failed.
func (s *Store) Graced(k Key) (Hit, error) {
	view := s.live.view.Load()
	if view == nil || s.live.shut.Load() {
		return Hit{}, errFenced
	}
	// Not from memory: this is rare, and a graced page's only identity is its file.
	for _, suffix := range []string{"", key.StaleSuffix} {
		p, f, err := s.load(view, k, suffix)
		if err != nil {
			continue
		}
		if end := p.Meta.Expires.Add(p.Meta.Grace); !p.Meta.Expires.IsZero() && time.Now().Before(end) {
			return Hit{Page: p, Graced: true, hitState: hitState{s: s, view: view, file: f}}, nil
		}
		if f != nil {
			_ = f.Close()
		}
	}
	return Hit{}, fmt.Errorf("%w: no graced page", ErrMiss)
}

// Identity returns the page's own body.
func (h *Hit) Identity() Body {
	return Body{ETag: h.etag, Size: h.Size, Bytes: h.body, File: h.file}
}

// Close releases what the hit holds open.
func (h *Hit) Close() error {
	var err error
	if h.file != nil && !h.borrowed {
		err = h.file.Close()
	}
	for _, f := range h.twins {
		err = errors.Join(err, f.Close())
	}
	h.file, h.twins = nil, nil
	return err
}

// etag is a strong entity tag of nginx's form: modification time and length in hex.
func etag(sec, size int64) string {
	b := make([]byte, 0, 24)
	b = append(b, '"')
	b = strconv.AppendInt(b, sec, 16)
	b = append(b, '-')
	b = strconv.AppendInt(b, size, 16)
	return string(append(b, '"'))
}
