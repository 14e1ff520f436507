package torture

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"
)

// A Target serves the pages. The methods are called by one goroutine at a time, BaseURL by many.
type Target interface {
	// Start returns when the target answers requests.
	Start(ctx context.Context) error
	// Stop ends it in order, Kill without warning. Both return when it is gone.
	Stop(ctx context.Context) error
	Kill() error
	// BaseURL is where it answers ("http://127.0.0.1:8080"); it may change with each start.
	BaseURL() string
	String() string
}

// A Committer gives pages new versions. It is used by several goroutines.
type Committer interface {
	// Commit gives a page its next version and returns when that version's invalidation has returned.
	Commit(ctx context.Context, page int) (Commit, error)
	String() string
}

// A Commit has been invalidated.
type Commit struct {
	Version      int64         // of the page
	Invalidation time.Duration // the part of the commit that is the cache's; 0: not known
	Also         []Shown       // other pages that the commit has changed
}

// Shown is a version of a page.
type Shown struct {
	Page    int
	Version int64
}

// A Source knows the newest committed version of every page. It is asked while nothing commits, and while the target is
// dead.
type Source interface {
	Versions(ctx context.Context) ([]int64, error)
}

// A Reader asks for pages, one at a time.
type Reader interface {
	// Read asks for a page in one of the ways the reader has. Errors: ErrTorn; others mean that there was no answer.
	Read(ctx context.Context, page int) (Answer, error)
	Close() error
}

// An Answer is what a reader got.
type Answer struct {
	Version     int64 // 0: it doesn't tell
	From        From
	Ask         Ask // as it was asked for
	NotModified bool
	Part        bool   // a 206
	Encoding    string // of its body, if it has one
}

// From says how an answer came about.
type From string

const (
	Hit       From = "hit"
	Miss      From = "miss"
	Collapsed From = "collapsed"
	Bypass    From = "bypass"
	File      From = "file"   // read from the folder
	Absent    From = "absent" // looked for in the folder, not there
)

// A Fault harms the target. Run returns when ctx has ended or the fault has done what it wanted, with the target
// running; the load goes on meanwhile, and ends with the fault.
type Fault interface {
	Run(ctx context.Context, s *Stage) error
	String() string
}

// Load is how hard a target is pressed. Zero fields take the values of the standard load.
type Load struct {
	Seed       uint64        `json:"seed"`       // of all choices; default: chosen and reported
	Duration   time.Duration `json:"duration"`   // default 30 s. A fault that ends by itself ends the load
	Reads      int64         `json:"reads"`      // ends the load sooner, when so many were answered; default: the duration ends it
	Pages      int           `json:"pages"`      // default 64
	Size       int           `json:"size"`       // of a body, in bytes; default 15,000
	Readers    int           `json:"readers"`    // default 32
	Committers int           `json:"committers"` // default 4
	Rate       float64       `json:"rate"`       // commits per second, all committers together; default 200
	Pause      time.Duration `json:"pause"`      // of a reader between two requests, on average; default 4 ms
	Silence    time.Duration `json:"silence"`    // between the load and the search for survivors; default 2 s
}

func (l Load) withDefaults() Load {
	if l.Seed == 0 {
		l.Seed = rand.Uint64()
	}
	defaultTo(&l.Duration, 30*time.Second)
	defaultTo(&l.Pages, 64)
	defaultTo(&l.Size, 15_000)
	defaultTo(&l.Readers, 32)
	defaultTo(&l.Committers, 4)
	defaultTo(&l.Rate, 200)
	defaultTo(&l.Pause, 4*time.Millisecond)
	defaultTo(&l.Silence, 2*time.Second)
	return l
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Config says what to torture, and how.
type Config struct {
	Load   Load
	Target Target // started by Run if it has no BaseURL yet, and left running
	Commit Committer
	Source Source
	Site   Site  // Pages and Size are taken from Load
	Pages  Pages // what the target serves, Load.Pages in number. Default: the Site's numbered pages
	Fault  Fault // default none

	// Folder is the cache's folder, if this program can see it: some readers then read its files as another server
	// would, and it is inspected at the end. Nil: neither.
	Folder *Folder
	// UntilViolated ends the run at the first violation: for controls.
	UntilViolated bool
	// Control names the way in which the target was built wrong, for the report.
	Control string
	// Logger follows the run. Default: discard.
	Logger *slog.Logger
}

// Run applies the load and reports what was seen; the verdict is the report's. An error means that the run itself could
// not be held.
func Run(ctx context.Context, c Config) (*Report, error) {
	c.Load = c.Load.withDefaults()
	c.Site.Pages, c.Site.Size = c.Load.Pages, c.Load.Size
	if c.Pages == nil {
		c.Pages = numbered{c.Site}
	}
	if c.Pages.Len() != c.Load.Pages {
		return nil, fmt.Errorf("torture: the load is for %d pages, and there are %d", c.Load.Pages, c.Pages.Len())
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Target.BaseURL() == "" {
		if err := c.Target.Start(ctx); err != nil {
			return nil, fmt.Errorf("torture: %w", err)
		}
	}
	r := newRun(c)
	if err := r.load(ctx); err != nil {
		return nil, fmt.Errorf("torture: %w (seed %d)", err, c.Load.Seed)
	}
	if c.UntilViolated && r.ledger.violated() {
		return r.report(), nil
	}
	if err := r.silence(ctx); err != nil {
		return nil, fmt.Errorf("torture: %w (seed %d)", err, c.Load.Seed)
	}
	return r.report(), nil
}

// closeAll closes readers at the end of their use. They only read, so that their errors tell nothing.
func closeAll[C io.Closer](closers ...C) {
	for _, c := range closers {
		_ = c.Close()
	}
}
