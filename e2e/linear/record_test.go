//go:build e2e || soak

package linear

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/cachesrv/cachesrv/e2e/torture"
)

// A recorder uses an application, round by round, and records what is seen of each page.
type recorder struct {
	torture.Config
	rand *rand.Rand
	// armed has the application kill itself at these points of its code; nil: it lives.
	armed []string

	began  time.Time
	down   sync.RWMutex // held exclusively from a kill until the application serves again: then files are not read
	pages  []page       // at the beginning of the round
	doubts [][]int64    // per page, the calls of commits that nobody answered, of all rounds
	kills  int
	errs   atomic.Int64 // requests without an answer
}

func newRecorder(ctx context.Context, c torture.Config, seed uint64, armed []string) (*recorder, error) {
	r := &recorder{Config: c, rand: rand.New(rand.NewPCG(seed, 0)), armed: armed, began: time.Now()}
	r.doubts = make([][]int64, c.Load.Pages)
	r.Site.Pages, r.Site.Size = c.Load.Pages, c.Load.Size
	versions, err := c.Source.Versions(ctx)
	for _, v := range versions {
		r.pages = append(r.pages, page{v, v}) // a new cache: there is nothing older
	}
	return r, err
}

// now is an even number of nanoseconds, so that there is room for an instant before the next.
func (r *recorder) now() int64 { return int64(time.Since(r.began)) &^ 1 }

// A round is what was recorded until all was at rest: per page, in no order.
type round struct {
	first   []page // at its beginning
	history [][]porcupine.Operation
	answers int
}

// The load of a round.
const (
	readers    = 12 // one in six reads the published files, of the others half ask for gzip
	committers = 4
	pause      = 2 * time.Millisecond // of each between two requests, on average; a committer's, or after no answer, longer by:
	slower     = 4
	lifetime   = time.Second      // of an armed application, at most
	passes     = 200              // of its point, at most
	timeout    = 20 * time.Second // of a request
)

// round holds one.
func (r *recorder) round(ctx context.Context, duration time.Duration) (*round, error) {
	loadCtx, end := context.WithTimeout(ctx, duration)
	defer end()
	var all sync.WaitGroup
	clients := make([]*client, readers+committers)
	for n := range clients {
		c := r.client(n)
		clients[n] = c
		act := c.commit
		if n < readers {
			act = c.reader()
		}
		all.Go(func() {
			for loadCtx.Err() == nil {
				wait := pause
				if !act(ctx, c.rand.IntN(len(r.pages))) || n >= readers {
					wait *= slower
				}
				sleep(loadCtx, time.Duration(c.rand.Int64N(int64(2*wait))))
			}
		})
	}
	harmer := r.client(0)
	err := r.harm(loadCtx, harmer)
	end()
	all.Wait()
	if err != nil {
		return nil, err
	}
	return r.settle(ctx, append(clients, harmer))
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// harm kills the application and starts it again until ctx ends; it then lives.
func (r *recorder) harm(ctx context.Context, c *client) error {
	for r.armed != nil && ctx.Err() == nil {
		if err := r.restart(context.WithoutCancel(ctx), c, fmt.Sprintf("%s:%d", r.armed[r.rand.IntN(len(r.armed))], 1+r.rand.IntN(passes))); err != nil {
			return err
		}
		select {
		case <-r.Target.(*torture.Application).Gone():
		case <-time.After(time.Duration(r.rand.Int64N(int64(lifetime)))):
		case <-ctx.Done():
		}
	}
	if r.armed != nil {
		return r.restart(context.WithoutCancel(ctx), c, "")
	}
	<-ctx.Done()
	return nil
}

// restart kills the application and starts it so that it kills itself when it passes the point; empty: it doesn't.
//
// What the database has while it is dead must be dropped before it serves again, and it serves nothing before it is
// started.
func (r *recorder) restart(ctx context.Context, c *client, point string) error {
	a := r.Target.(*torture.Application)
	r.down.Lock()
	defer r.down.Unlock()
	if err := a.Kill(); err != nil {
		return err
	}
	r.kills++
	call := r.now()
	versions, err := r.Source.Versions(ctx)
	if err != nil {
		return err
	}
	back := r.now()
	for p, version := range versions {
		c.history[p] = append(c.history[p], looking(version, call, back), dropping(0, version, back+2))
	}
	env := a.Env
	defer func() { a.Env = env }()
	if point != "" {
		a.Env = append(slices.Clone(env), "CACHESRV_KILL="+point)
	}
	if err = a.Start(ctx); err == nil || point == "" {
		return err
	}
	select {
	case <-a.Gone(): // it passed the point while it replayed
		a.Env = env
		return a.Start(ctx)
	default:
		return err
	}
}

// A client is one goroutine's part of a round.
type client struct {
	*recorder
	id      int
	rand    *rand.Rand
	history [][]porcupine.Operation // per page
	doubts  [][]int64               // as in the recorder
	torn    error                   // answers that were no page
}

func (r *recorder) client(id int) *client {
	return &client{
		recorder: r, id: id, rand: rand.New(rand.NewPCG(r.rand.Uint64(), 0)),
		history: make([][]porcupine.Operation, len(r.pages)), doubts: make([][]int64, len(r.pages)),
	}
}

// commit commits a page, and reports whether there was an answer.
func (c *client) commit(ctx context.Context, p int) bool {
	call := c.now()
	done, err := c.Commit.Commit(ctx, p)
	if err == nil {
		c.history[p] = append(c.history[p], committing(c.id, done.Version, call, c.now())...)
		return true
	}
	c.errs.Add(1)
	if !errors.Is(err, syscall.ECONNREFUSED) { // else it was not even sent
		c.doubts[p] = append(c.doubts[p], call)
	}
	return false
}

// reader returns this client's way of reading.
func (c *client) reader() func(ctx context.Context, p int) bool {
	if c.id%6 == 5 {
		return c.readFile
	}
	transport := &http.Transport{DisableCompression: c.id%2 == 0} // else it asks for gzip, and decodes it
	browser := &http.Client{Transport: transport, Timeout: timeout}
	return func(ctx context.Context, p int) bool {
		return c.seen(p, func() ([]byte, error) { return c.get(ctx, browser, p) })
	}
}

func (c *client) get(ctx context.Context, browser *http.Client, p int) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Target.BaseURL()+c.Site.Path(p), nil)
	if err != nil {
		return nil, err
	}
	q.Host = c.Site.Host
	answer, err := browser.Do(q)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return body, err
}

func (c *client) readFile(_ context.Context, p int) bool {
	c.down.RLock()
	defer c.down.RUnlock()
	return c.seen(p, func() ([]byte, error) {
		return os.ReadFile(filepath.Join(c.Folder.Live, "pages", c.Site.Key(p).File().Page()))
	})
}

// seen records one read, and reports whether there was an answer.
func (c *client) seen(p int, get func() ([]byte, error)) bool {
	call := c.now()
	body, err := get()
	back := c.now()
	if errors.Is(err, fs.ErrNotExist) { // of a file: there is no page
		return true
	}
	if err != nil {
		c.errs.Add(1)
		return false
	}
	version, err := c.Site.Read(p, body)
	if err != nil {
		c.torn = errors.Join(c.torn, err)
		return true
	}
	c.history[p] = append(c.history[p], reading(c.id, version, call, back))
	return true
}

// settle puts the clients' parts together, with the application at rest.
//
// Commits that nobody answered: the database tells which versions there are, and so how many of them happened, if not
// which. The i-th of their versions can't be older than the i-th of their calls.
func (r *recorder) settle(ctx context.Context, clients []*client) (*round, error) {
	versions, err := r.Source.Versions(ctx)
	if err != nil {
		return nil, err
	}
	done := &round{first: slices.Clone(r.pages)}
	for p, newest := range versions {
		var history []porcupine.Operation
		for _, c := range clients {
			if c.torn != nil {
				return nil, c.torn
			}
			history = append(history, c.history[p]...)
			r.doubts[p] = append(r.doubts[p], c.doubts[p]...)
		}
		slices.Sort(r.doubts[p])
		known := map[int64]bool{}
		for _, op := range history {
			switch version := op.Output.(int64); op.Input {
			case commit:
				known[version] = true
			case drop:
				r.pages[p].dropped = max(r.pages[p].dropped, version)
			case read:
				done.answers++
			}
		}
		unknown := 0
		for version := r.pages[p].committed + 1; version <= newest; version++ {
			if known[version] {
				continue
			}
			if unknown == len(r.doubts[p]) {
				return nil, fmt.Errorf("page %d: nobody has committed version %d", p, version)
			}
			history = append(history, committing(0, version, r.doubts[p][unknown], ever)...)
			unknown++
		}
		r.pages[p].committed = newest
		slices.SortFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		done.history = append(done.history, history)
	}
	return done, nil
}
