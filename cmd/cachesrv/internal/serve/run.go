package serve

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/systemd"
)

// A Process is how the program was started, and what it is told while it runs. The zero Process is told nothing.
type Process struct {
	// Sockets are what it has inherited, instead of listening itself.
	Sockets systemd.Sockets
	// Given reports whether a setting, by its key, was set: by flag, environment or file. Nil: none was.
	Given func(key string) bool
	// Reload asks to take on new settings. Nil: nobody does.
	Reload <-chan os.Signal
	// Settings reads the settings again, as at the start, and validates them. Required where Reload is set.
	Settings func() (conf.Config, error)
	// TakeLevel takes on what is to be logged. Nil: that stays.
	TakeLevel func(level string)
}

func (p Process) given(key string) bool { return p.Given != nil && p.Given(key) }

// logLevel is the setting that every server takes on.
const logLevel = "log-level"

// A Running is a site that is served until it is asked to stop, and takes new settings on when asked.
type Running struct {
	Process  Process
	Store    *cache.Store
	Listener *Listener
	Logger   *slog.Logger
	Eras     *Eras // what answers on the site's servers

	// Settings are those at the start. Run keeps them up to date.
	Settings conf.Config
	// Takes lists the settings, by key, that Build takes on. The others need a restart.
	Takes []string
	// Build makes an era of new settings, or says what is wrong with them. It changes nothing that is in use.
	Build func(conf.Config) (*Era, error)
}

type running struct {
	Running
	servers []Server
	notify  *systemd.Notifier
}

// farewellTimeout is how long clients are told to make new connections when others go on serving the same sockets. Who sends
// nothing in that time has its connection closed.
const farewellTimeout = time.Second

// Run serves (All) until ctx ends or a server fails. systemd is told when it begins, that it goes on, and when it ends.
func Run(ctx context.Context, r Running, servers ...Server) error {
	s := &running{r, servers, systemd.NewNotifier(r.Logger)}
	var background sync.WaitGroup
	aside, cancel := context.WithCancel(ctx)
	defer background.Wait()
	defer cancel()
	background.Go(func() { s.reloads(aside) })
	if period := s.notify.Watchdog(); period > 0 {
		background.Go(func() { s.watch(aside, period) })
	}
	defer context.AfterFunc(ctx, s.notify.Stopping)()
	s.notify.Ready(s.status())
	farewell := time.Duration(0)
	if r.Listener.inherited {
		farewell = farewellTimeout
	}
	return all(ctx, farewell, servers)
}

func (r *running) reloads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.Process.Reload:
			r.notify.Reloading()
			r.reload(ctx)
			r.notify.Ready(r.status())
		}
	}
}

// reload takes on the settings as they are now: whole, or not at all.
func (r *running) reload(ctx context.Context) {
	const refused = "the new settings are refused: going on with the old ones"
	next, err := r.Process.Settings()
	if err != nil {
		r.Logger.Error(refused, "err", err)
		return
	}
	var taken, left []string
	for _, s := range conf.Changed(&r.Settings, &next) {
		if s.Key == logLevel || slices.Contains(r.Takes, s.Key) {
			taken = append(taken, s.Key)
			continue
		}
		left = append(left, s.Key)
		next.Keep(s, &r.Settings)
	}
	before := r.Eras.Current()
	era, err := r.Build(next) // also if nothing is another setting: files that settings name may be others
	if err == nil {
		if err = r.Eras.Replace(era); err != nil {
			era.close()
		}
	}
	if err != nil {
		r.Logger.Error(refused, "err", err)
		return
	}
	r.Settings = next
	if r.Process.TakeLevel != nil {
		r.Process.TakeLevel(next.LogLevel)
	}
	r.retire(ctx, before, era)
	if len(left) > 0 {
		r.Logger.Warn("took new settings on, but for some that need a restart", "changed", taken, "need a restart", left)
		return
	}
	r.Logger.Info("took new settings on", "changed", taken)
}

// retire makes an end of the pages of an era, if those of the next one depend on other settings:
//
//	requests that begin now are the next era's · the old one publishes no more · every page is dropped, with every claim
//
// So a page that was claimed by the old era is either dropped, or not published; and those of the next era, which may be claimed
// before all is dropped, lose nothing but a fill.
func (r *running) retire(ctx context.Context, before, next *Era) {
	if same, err := next.Maker.Same(before.Maker); same && err == nil {
		return
	}
	before.retire()
	if err := next.Maker.Replace(context.WithoutCancel(ctx), r.Store, r.Logger); err != nil {
		r.Logger.Error("pages of the old settings can't be dropped: run cachesrv fence on, mend the cause, then cachesrv purge --all", "err", err)
	}
}
