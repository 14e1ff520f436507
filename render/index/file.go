package index

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cachesrv/cachesrv/render/index/catalog"
)

// How long files may be kept: their paths hold their digests, so what a path names never changes.
const (
	filePolicy        = "max-age=365000000, immutable, public"
	privateFilePolicy = "max-age=365000000, immutable, private"
)

// file answers /files/…: a distribution, or the metadata beside it. Only paths that a catalog could have made are
// opened, and only below the folder of files.
func (s *Site) file(w http.ResponseWriter, r *http.Request) error {
	path, ok := catalog.FilePath(strings.TrimPrefix(r.URL.Path, "/files/"))
	if !ok {
		return noFile()
	}
	// O_NONBLOCK: whatever else somebody has put there, as a FIFO, must not be waited for.
	f, err := s.files.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return noFile()
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return noFile()
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Etag", `"`+fileTag(path)+`"`)
	h.Set("Cache-Control", filePolicy)
	if s.o.Private {
		h.Set("Cache-Control", privateFilePolicy)
	}
	paced := &pacedWriter{ResponseWriter: w, rc: http.NewResponseController(w)}
	defer paced.release(r)
	http.ServeContent(paced, r, "", time.Time{}, f) // without a time: no Last-Modified, and conditions with dates don't count
	return nil
}

func noFile() error { return fail(http.StatusNotFound, "There is no such file.") }

// fileTag is what the entity tag of a file is made from: its digest, which its path holds. The metadata beside a file
// follow from it.
func fileTag(path string) string {
	digest := strings.ReplaceAll(path[:strings.LastIndexByte(path, '/')], "/", "")
	if strings.HasSuffix(path, ".metadata") {
		digest += ".metadata"
	}
	return digest
}
