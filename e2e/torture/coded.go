package torture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encodings are those a page may come in, besides identity.
var encodings = []string{"gzip", "br", "zstd"}

// memos has a memo for each encoding, under its name, and for identity under "".
type memos map[string]*memo

func newMemos(pages int) memos {
	m := memos{"": newMemo(pages)}
	for _, e := range encodings {
		m[e] = newMemo(pages)
	}
	return m
}

// read returns the version that a body in some encoding shows. Space is used for decoding.
func (m memos) read(p Pages, page, status int, encoding string, raw []byte, space *bytes.Buffer) (int64, error) {
	of, ok := m[encoding]
	if !ok {
		return 0, fmt.Errorf("%w: Content-Encoding %q", ErrTorn, encoding)
	}
	return of.read(page, raw, func() (int64, error) {
		body, err := decode(encoding, raw, space)
		if err != nil {
			return 0, fmt.Errorf("%w: decoding %s: %v", ErrTorn, encoding, err)
		}
		version, err := p.Read(page, status, body)
		if err != nil && encoding != "" {
			err = fmt.Errorf("%w (decoded from %s)", err, encoding)
		}
		return version, err
	})
}

func decode(encoding string, raw []byte, space *bytes.Buffer) ([]byte, error) {
	var r io.Reader
	switch encoding {
	case "":
		return raw, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		r = z
	case "br":
		r = brotli.NewReader(bytes.NewReader(raw))
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, errors.ErrUnsupported
	}
	space.Reset()
	_, err := space.ReadFrom(r)
	return space.Bytes(), err
}

// etags remembers which version an ETag stands for, so that a HEAD can be judged. It has one entry per body that was
// seen: a few per commit. Safe for concurrent use.
type etags struct {
	versions sync.Map // etagOf → int64
	repeated atomic.Int64
}

type etagOf struct {
	page int
	etag string
}

func newETags() *etags { return &etags{} }

// saw records a version's ETag. Two versions with one are possible, as it has 31 bits of digest: the newer counts then.
func (e *etags) saw(page int, etag string, version int64) {
	for {
		old, loaded := e.versions.LoadOrStore(etagOf{page, etag}, version)
		if !loaded || old == version {
			return
		}
		e.repeated.Add(1)
		if old.(int64) > version || e.versions.CompareAndSwap(etagOf{page, etag}, old, version) {
			return
		}
	}
}

// version returns what an ETag stands for; 0: not known.
func (e *etags) version(page int, etag string) int64 {
	v, _ := e.versions.Load(etagOf{page, etag})
	version, _ := v.(int64)
	return version
}
