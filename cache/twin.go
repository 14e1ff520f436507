package cache

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// encodings are those of twins, by the index used in a Page. The suffixes are key.TwinSuffixes.
var encodings = [...]encoding{
	{"gzip", ".gz", func(w io.Writer) (io.WriteCloser, error) { return kgzip.NewWriterLevel(w, gzip.DefaultCompression) }},
	{"br", ".br", func(w io.Writer) (io.WriteCloser, error) { return brotli.NewWriterLevel(w, 5), nil }},
	{"zstd", ".zst", func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	}},
}

type encoding struct {
	name, suffix string
	writer       func(io.Writer) (io.WriteCloser, error)
}

// A twin is a precompressed sibling of one publication. It has the page's stamp in its mtime, and is valid exactly as
// long as that publication is.
type twin struct {
	identity inventory.Identity // Nsec is the page's
	size     int64
	body     []byte // nil where the page is large
	etag     string
}

const (
	twinAfter   = 2     // hits that ask for an encoding before its twin is made
	twinMinSize = 512   // bytes; below, compression saves no packet
	twinQueue   = 1_024 // twins waiting to be made; beyond, later hits ask again
)

// Encoded returns the body in a content encoding ("gzip", "br", "zstd"), if there is such a twin. Asking often enough
// makes the store produce it, in the background.
func (h *Hit) Encoded(encoding string) (Body, bool) {
	for i := range encodings {
		if encodings[i].name != encoding {
			continue
		}
		t := h.Page.twins[i].Load()
		if t == nil {
			h.wish(i)
			return Body{}, false
		}
		b := Body{Encoding: encoding, ETag: t.etag, Size: t.size, Bytes: t.body}
		if t.body == nil {
			f, err := h.openTwin(i, t)
			if err != nil {
				return Body{}, false
			}
			b.File = f
			h.hitState.twins = append(h.hitState.twins, f)
		}
		return b, true
	}
	return Body{}, false
}

func (h *Hit) wish(i int) {
	if h.Graced || h.s == nil || h.Size < twinMinSize || len(h.Meta.Header["Content-Encoding"]) > 0 || !compressible(h.Meta.Header.Get("Content-Type")) {
		return
	}
	if n := h.asked[i].Add(1); n == twinAfter {
		if !h.s.twins.enqueue(h.Page, i) {
			h.asked[i].Store(0)
		}
	}
}

func (h *Hit) openTwin(i int, t *twin) (*os.File, error) {
	if h.view == nil || h.s == nil {
		return nil, errAbsent
	}
	fd, st, err := h.s.openPublished(h.view, h.Page.file+encodings[i].suffix)
	if err != nil {
		return nil, err
	}
	if identityOf(st) != t.identity {
		_ = sys.CloseFD(fault.HitClose, fd)
		return nil, errAbsent
	}
	return os.NewFile(uintptr(fd), h.Page.file), nil
}

var errNoSmaller = errors.New("compression makes it no smaller")

// compressible reports whether a media type is worth compressing.
func compressible(contentType string) bool {
	t, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	t = strings.TrimSpace(t)
	switch t {
	case "application/json", "application/javascript", "application/xml", "application/wasm", "image/svg+xml":
		return true
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml")
}

// twinMaker makes twins, one at a time, off the requests' path.
type twinMaker struct {
	s     *Store
	queue chan twinJob
	quit  context.CancelFunc
	done  sync.WaitGroup
}

type twinJob struct {
	page     *Page
	encoding int
}

func startTwinMaker(s *Store) *twinMaker {
	ctx, quit := context.WithCancel(context.Background())
	m := &twinMaker{s: s, queue: make(chan twinJob, twinQueue), quit: quit}
	m.done.Go(func() {
		for {
			select {
			case job := <-m.queue:
				switch err := m.s.makeTwin(ctx, job.page, job.encoding); {
				case err == nil:
					m.s.stats.twins.Add(1)
				default:
					if !errors.Is(err, errNoSmaller) {
						job.page.asked[job.encoding].Store(0) // a later hit asks again
					}
					m.s.log.Debug("no twin was made", "key", job.page.Key, "encoding", encodings[job.encoding].name, "err", err)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return m
}

func (m *twinMaker) stop() {
	m.quit()
	m.done.Wait()
}

func (m *twinMaker) enqueue(p *Page, i int) bool {
	select {
	case m.queue <- twinJob{p, i}:
		return true
	default:
		return false
	}
}

// makeTwin makes one twin of a publication, under the page's own claim; a twin with a claim of its own could be left
// beside a newer page.
//
//	claim NAME.tmp · fstatat NAME: still that publication? · write · utimensat
//	inventory: look for newer invalidations, note the twin, commit
//	linkat NAME.gz · fstatat NAME: still there? · unlink NAME.tmp
func (s *Store) makeTwin(ctx context.Context, p *Page, i int) error {
	c, err := s.claim(ctx, p.Key)
	if err != nil {
		return err
	}
	defer c.close()
	defer c.unlinkOwn()
	place, name := c.place, p.name()
	if err := stillThere(fault.TwinPage, place, name, p); err != nil {
		return err
	}
	t, err := s.existingTwin(place, name+encodings[i].suffix, p)
	if err != nil {
		if t, err = s.writeTwin(ctx, c, p, i); err != nil {
			return err
		}
	}
	if p.body != nil && t.body == nil {
		return errAbsent
	}
	p.twins[i].Store(t)
	s.memory.reweigh(p)
	return nil
}

// name is the page's name within its folder.
func (p *Page) name() string {
	_, name := splitLast(p.file)
	return name
}

func stillThere(l fault.Label, place *sys.Dir, name string, p *Page) error {
	st, err := place.Stat(l, name)
	if err != nil {
		return err
	}
	if identityOf(st) != p.identity {
		return ErrInvalidated
	}
	return nil
}

// existingTwin takes over a twin that an earlier run made of this very publication.
func (s *Store) existingTwin(place *sys.Dir, name string, p *Page) (*twin, error) {
	fd, err := place.OpenFile(fault.TwinOpen, name)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	st, err := sys.Fstat(fault.TwinStat, fd)
	if err != nil {
		return nil, err
	}
	if !st.Regular() || int(st.UID) != os.Geteuid() || st.Nsec != p.identity.Nsec {
		return nil, errAbsent
	}
	h := sha256.New()
	var body bytes.Buffer
	if err := fault.Do(fault.TwinRead, fault.Private, "", func() error {
		_, err := io.Copy(io.MultiWriter(h, &body), f)
		return err
	}); err != nil {
		return nil, err
	}
	if digestSeconds([32]byte(h.Sum(nil))) != st.Sec {
		return nil, errDamaged
	}
	t := &twin{identity: identityOf(st), size: st.Size, etag: etag(st.Sec, st.Size)}
	if p.body != nil {
		t.body = body.Bytes()
	}
	return t, nil
}

func (s *Store) writeTwin(ctx context.Context, c *claim, p *Page, i int) (*twin, error) {
	place, name := c.place, p.name()
	var source io.Reader = bytes.NewReader(p.body)
	if p.body == nil {
		fd, err := place.OpenFile(fault.TwinOpen, name)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), name)
		defer f.Close()
		source = f
	}
	h := sha256.New()
	var body bytes.Buffer
	w, err := encodings[i].writer(io.MultiWriter(h, &body))
	if err != nil {
		return nil, err
	}
	if err = fault.Do(fault.TwinRead, fault.Private, "", func() error {
		_, err := io.Copy(w, source)
		return err
	}); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, err
	}
	if int64(body.Len()) >= p.Size {
		return nil, errNoSmaller
	}
	if err := sys.WriteAll(fault.TwinWrite, c.fd, body.Bytes()); err != nil {
		return nil, err
	}
	sec, nsec := digestSeconds([32]byte(h.Sum(nil))), p.identity.Nsec
	if err := sys.SetMtime(fault.TwinMtime, c.fd, sec, nsec); err != nil {
		return nil, err
	}
	st, err := sys.Fstat(fault.TwinLinks, c.fd)
	if err != nil {
		return nil, err
	}
	if st.Links != 1 {
		return nil, ErrInvalidated
	}
	ok, err := c.gen.inv.AddTwin(ctx, p.id, 1<<i, c.noted, func(n *inventory.Invalidation) bool { return concerns(n, p.Key, p.Meta.Tags) })
	if err != nil || !ok {
		return nil, errors.Join(err, ErrInvalidated)
	}
	if err := s.link(fault.TwinLink, c, place, name+encodings[i].suffix); err != nil {
		return nil, err
	}
	c.published = true
	if err := stillThere(fault.TwinStill, place, name, p); err != nil {
		_, _ = place.Unlink(fault.TwinWithdraw, name+encodings[i].suffix)
		return nil, err
	}
	t := &twin{identity: identityOf(st), size: st.Size, etag: etag(sec, st.Size)}
	if p.body != nil {
		t.body = body.Bytes()
	}
	return t, nil
}
