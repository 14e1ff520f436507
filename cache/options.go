package cache

import (
	"log/slog"
	"time"

	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// Options configure a Store. Only Dir is required; the zero value of every other field means its default.
type Options struct {
	// Dir is the folder that holds DIR/cache. It is created if missing.
	Dir string
	// Live is where the link readers go through lies. Default: /run/cachesrv/NAME, else
	// $XDG_RUNTIME_DIR/cachesrv/NAME, else DIR/cache/live. The folder's first opener decides; others follow.
	Live string
	// Plain makes a new folder one that two bare unlinks invalidate: no grace, no private pages, one variant per
	// URL. It can't be changed later. Default false.
	Plain bool

	// Settle is for sources that lag: what was invalidated less than Settle ago is not stored when it is rendered anew
	// (ErrUnsettled). It must be longer than any source ever lags behind a commit. The folder has one such time, which its
	// users share: who opens it alone sets it; who opens it while others have it open can make it longer. Changing it
	// drops every page. Default 0: as the folder has it, and a new folder has none; negative: none. At most MaxSettle.
	//
	// A bare rm can't be seen, and so settles nothing.
	Settle time.Duration

	// MaxBytes bounds the pages on disk. Default 10 GiB.
	MaxBytes int64
	// MaxPages bounds their number. Default 1,000,000.
	MaxPages int64
	// MinFree is the free space of the file system below which pages are evicted, in bytes. Default 256 MiB.
	MinFree int64
	// MemoryBytes bounds the pages held in memory. Default 256 MiB.
	MemoryBytes int64
	// MemoryPageMax is the largest body held in memory; larger ones are served by descriptor. Default 256 KiB.
	MemoryPageMax int64
	// PageMax is the largest body stored. Default 64 MiB.
	PageMax int64
	// MaxTags bounds the tags of a page. Default 128. A tag has at most 512 bytes.
	MaxTags int
	// MaxHeader bounds a page's stored headers, in bytes. Default 16 KiB.
	MaxHeader int
	// ClaimTimeout bounds the life of a claim: a fill older than that is not published. Default 60 s.
	ClaimTimeout time.Duration
	// InventoryTimeout is how long a call waits for others of this process, and then again for other processes, to
	// let go of the inventory; an invalidation that waited in vain drops everything. Default 1 s.
	InventoryTimeout time.Duration
	// SweepInterval is the time between background sweeps for orphaned claims and rows. Default 10 min;
	// negative: never.
	SweepInterval time.Duration

	// Logger receives what operators should know. Default slog.Default().
	Logger *slog.Logger

	// BootID identifies the boot of the machine. Default: the kernel's. Tests of power cuts supply another.
	BootID string

	// BootClock is the time since the machine was booted, suspension included, by which what was invalidated settles: the same
	// in all processes; 0: it can't be read. Default: the kernel's. Tests of sources that lag supply another.
	BootClock func() time.Duration
}

func (o Options) withDefaults() Options {
	orDefault(&o.MaxBytes, 10<<30)
	orDefault(&o.MaxPages, 1_000_000)
	orDefault(&o.MinFree, 256<<20)
	orDefault(&o.MemoryBytes, 256<<20)
	orDefault(&o.MemoryPageMax, 256<<10)
	orDefault(&o.PageMax, 64<<20)
	orDefault(&o.MaxTags, 128)
	orDefault(&o.MaxHeader, 16<<10)
	orDefault(&o.ClaimTimeout, time.Minute)
	orDefault(&o.InventoryTimeout, time.Second)
	orDefault(&o.SweepInterval, 10*time.Minute)
	orDefault(&o.Logger, slog.Default())
	if o.BootClock == nil {
		o.BootClock = sys.BootClock
	}
	return o
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
