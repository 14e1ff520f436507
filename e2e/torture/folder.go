package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// A Folder is a cache folder that this program can see.
type Folder struct {
	Dir  string // what every --dir means
	Live string // the link readers go through

	// patience bounds how long an inspection is repeated before what it finds counts, as twins are still being made and
	// left-overs taken away. Default 3 s.
	patience time.Duration
}

// pages is where outside invalidators unlink; published is where other servers read.
func (f *Folder) pages() string     { return filepath.Join(f.Dir, "cache", "current", "pages") }
func (f *Folder) published() string { return filepath.Join(f.Live, "pages") }

// inspectionPause lies between two inspections.
const inspectionPause = 100 * time.Millisecond

// Inspect returns what is wrong with a folder that nobody fills at the moment: claims, as none should be left, and what
// the store's own check finds. After a crash the store's sweep is given the time to take away what the dead left; it
// repairs nothing.
func (f *Folder) Inspect(ctx context.Context, crashed bool) (flaws []string, err error) {
	o := cache.Options{Dir: f.Dir, Live: f.Live, SweepInterval: -1, Logger: slog.New(slog.DiscardHandler)}
	if crashed {
		o.SweepInterval = inspectionPause
	}
	s, err := cache.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	patience := f.patience
	defaultTo(&patience, 3*time.Second)
	for deadline := time.Now().Add(patience); ; {
		r, err := s.Check(ctx, cache.CheckOptions{})
		if err != nil {
			return nil, err
		}
		if flaws = nil; r.Claims > 0 {
			flaws = append(flaws, fmt.Sprintf("%d claims are held", r.Claims))
		}
		for _, p := range r.Problems {
			flaws = append(flaws, fmt.Sprintf("%s: %s", p.File, p.What))
		}
		if len(flaws) == 0 || time.Now().After(deadline) {
			return flaws, nil
		}
		pause(ctx, inspectionPause)
	}
}

// A fileReader reads pages from the folder, as another server would: through the live link, and twins only beside their
// page.
type fileReader struct {
	up     *sync.RWMutex // held exclusively while the target is started: then files are not read
	folder *Folder
	pages  Pages
	memos  memos
	rand   *rand.Rand
	space  bytes.Buffer
}

// suffixes of the twins, by encoding.
var suffixes = map[string]string{"gzip": ".gz", "br": ".br", "zstd": ".zst"}

// Read looks for the page or one of its twins.
func (r *fileReader) Read(_ context.Context, page int) (Answer, error) {
	r.up.RLock()
	defer r.up.RUnlock()
	return r.ask(page, Ask{Method: "GET", Encoding: []string{"", "", "gzip", "br"}[r.rand.IntN(4)]})
}

// Close does nothing.
func (r *fileReader) Close() error { return nil }

func (r *fileReader) ask(page int, a Ask) (Answer, error) {
	k, ok := r.pages.Key(page)
	if !ok {
		return Answer{From: Absent, Ask: a}, nil
	}
	path := filepath.Join(r.folder.published(), k.File().Page())
	if a.Encoding != "" {
		if _, err := os.Lstat(path); err != nil {
			return absent(a, err)
		}
		path += suffixes[a.Encoding]
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return absent(a, err)
	}
	version, err := r.memos.read(r.pages, page, http.StatusOK, a.Encoding, raw, &r.space)
	if err != nil {
		return Answer{}, fmt.Errorf("file %s: %w", path, err)
	}
	return Answer{Version: version, From: File, Ask: a}, nil
}

func absent(a Ask, err error) (Answer, error) {
	if !errors.Is(err, fs.ErrNotExist) {
		return Answer{}, err
	}
	return Answer{From: Absent, Ask: a}, nil
}

// Unlink commits through Plain, which invalidates nothing, and then invalidates as any program in any language could: it
// unlinks the page's claim, then the page. The folder must have been created with --plain.
type Unlink struct {
	Plain  Committer
	Folder *Folder
	Site   Site
	// Every calls the real rm for one commit in so many, instead of unlinking; 0: never. It costs an instance.
	Every int64

	commits atomic.Int64
}

func (u *Unlink) String() string { return "bare rm" }

// Commit commits, unlinks, and returns. It unlinks even if the commit failed, as it may have happened all the same.
func (u *Unlink) Commit(ctx context.Context, page int) (Commit, error) {
	c, err := u.Plain.Commit(ctx, page)
	began := time.Now()
	if err := errors.Join(err, u.unlink(ctx, page)); err != nil {
		return c, err
	}
	c.Invalidation = time.Since(began)
	return c, nil
}

func (u *Unlink) unlink(ctx context.Context, page int) error {
	file := u.Site.Key(page).File()
	claim, published := filepath.Join(u.Folder.pages(), file.Claim()), filepath.Join(u.Folder.pages(), file.Page())
	if n := u.commits.Add(1); u.Every > 0 && n%u.Every == 0 {
		out, err := exec.CommandContext(ctx, "sh", "-c", `rm -f "$1"; rm -f "$2"`, "sh", claim, published).CombinedOutput()
		if err != nil {
			return fmt.Errorf("rm: %w: %s", err, out)
		}
		return nil
	}
	for _, path := range []string{claim, published} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
