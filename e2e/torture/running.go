package torture

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Faults of a cache server whose committers are other programs: they go on committing while it is down, and see to it
// themselves that each invalidation is answered (OverHTTP.Patience). What was not answered doesn't count.

// CrashUnderCommits kills the target now and then, and starts it again, while readers and committers go on. Then it waits until
// those under way have been answered, and verifies every page.
type CrashUnderCommits struct {
	Every time.Duration // between a start and the kill, on average; default 1 s
	Down  time.Duration // between the kill and the start, on average; default 100 ms
}

func (c CrashUnderCommits) String() string { return "kill -9, and a restart under commits" }

// Run kills.
func (c CrashUnderCommits) Run(ctx context.Context, s *Stage) error {
	defaultTo(&c.Every, time.Second)
	defaultTo(&c.Down, 100*time.Millisecond)
	for {
		pause(ctx, s.about(c.Every))
		if ctx.Err() != nil {
			return nil
		}
		if err := s.Target().Kill(); err != nil {
			return err
		}
		s.Killed()
		whole := context.WithoutCancel(ctx) // it ends with a target that runs
		pause(whole, s.about(c.Down))
		if err := s.Target().Start(whole); err != nil {
			return err
		}
		if err := s.Alone(func() error { return s.Verify(whole) }); err != nil {
			return err
		}
	}
}

// about chooses a duration that is d on average.
func (s *Stage) about(d time.Duration) time.Duration {
	return time.Duration(s.Rand.Int64N(int64(2 * d)))
}

// Hangups has the proxy take on other settings, by SIGHUP. Each time its pages are made anew.
type Hangups struct {
	Proxy *Application
	File  string        // of its configuration
	Every time.Duration // on average; default 200 ms
	Sent  int           // so far; read it when the run has ended
}

func (h *Hangups) String() string { return "SIGHUP" }

// Run sends.
func (h *Hangups) Run(ctx context.Context, s *Stage) error {
	defaultTo(&h.Every, 200*time.Millisecond)
	for {
		pause(ctx, s.about(h.Every))
		if ctx.Err() != nil {
			return nil
		}
		if err := h.change(); err != nil {
			return err
		}
		if err := h.Proxy.command.Process.Signal(syscall.SIGHUP); err != nil {
			return fmt.Errorf("SIGHUP: %w", err)
		}
		h.Sent++
	}
}

// change replaces the file by one that says something else.
func (h *Hangups) change() error {
	text := fmt.Sprintf("rules:\n  - path: /s\n    grace: %ds\n", 10+h.Sent)
	if err := os.WriteFile(h.File+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(h.File+".new", h.File)
}
