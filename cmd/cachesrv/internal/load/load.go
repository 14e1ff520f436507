package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/cachesrv/cachesrv/render/index/catalog"
)

// An Index takes files: a *catalog.Catalog.
type Index interface {
	Receive(ctx context.Context) (*catalog.Incoming, error)
	Add(ctx context.Context, who catalog.Identity, in *catalog.Incoming, u catalog.Upload) (catalog.Added, error)
}

// Result counts what became of a folder's files.
type Result struct {
	Added, Unchanged, Failed int   // files
	Projects                 int   // that are new
	Bytes                    int64 // of the files added
}

// Files adds files to an index, one after the other. What is wrong with a file is told to failed, and the others are
// tried; so is a file that was added before by whoever calls Files again: it counts as unchanged. Any other error, as
// a database that is gone, ends the loop. When ctx ends, the file under way is finished, and the error is ctx's.
func Files(ctx context.Context, index Index, who catalog.Identity, files []Candidate, p *Progress, failed func(Candidate, error)) (r Result, err error) {
	for _, c := range files {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		added, err := file(context.WithoutCancel(ctx), index, who, c, p)
		switch {
		case err != nil && !ofFile(err):
			return r, fmt.Errorf("%s: %w", c.Path, err)
		case err != nil:
			r.Failed++
			failed(c, err)
		case added.Unchanged:
			r.Unchanged++
		default:
			r.Added++
			r.Bytes += c.Size
		}
		if err == nil && added.New {
			r.Projects++
		}
		p.done()
	}
	return r, nil
}

// ofFile reports whether an error is about the one file, so that others may be better.
func ofFile(err error) bool {
	for _, known := range []error{errSource, catalog.ErrInvalid, catalog.ErrExists, catalog.ErrTooLarge, catalog.ErrForbidden} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// errSource is what is wrong with reading a file.
var errSource = errors.New("it can't be read")

func file(ctx context.Context, index Index, who catalog.Identity, c Candidate, p *Progress) (catalog.Added, error) {
	// Not blocking: what was a file a moment ago may be a FIFO now.
	src, err := os.OpenFile(c.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return catalog.Added{}, fmt.Errorf("%w: %w", errSource, reason(err))
	}
	defer src.Close()
	in, err := index.Receive(ctx)
	if err != nil {
		return catalog.Added{}, err
	}
	defer in.Close()
	if _, err := io.Copy(in, source{src, p}); err != nil {
		return catalog.Added{}, err
	}
	return index.Add(ctx, who, in, catalog.Upload{Filename: c.Filename})
}

// source counts what is read, and tells its errors from those of writing.
type source struct {
	io.Reader
	p *Progress
}

func (s source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	s.p.bytes.Add(int64(n))
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errSource, reason(err))
	}
	return n, err
}
