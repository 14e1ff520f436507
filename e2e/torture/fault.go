package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Stage is what a fault acts on.
type Stage struct {
	Rand *rand.Rand // of all the fault's choices

	run *run
}

// Target is what is tortured.
func (s *Stage) Target() Target { return s.run.Target }

// Alone runs f while nothing commits. Readers go on.
func (s *Stage) Alone(f func() error) error {
	s.run.gate.Lock()
	defer s.run.gate.Unlock()
	return f()
}

// Verify compares every page with the database. Call it alone.
func (s *Stage) Verify(ctx context.Context) error { return s.run.verify(ctx) }

// Killed counts a kill.
func (s *Stage) Killed() { s.run.counts.kills.Add(1) }

// KillAtRandom kills the target now and then, starts it again, and verifies every page.
type KillAtRandom struct {
	Kills int           // default: until the load ends
	Every time.Duration // between a start and the kill, on average; default 500 ms
}

func (k KillAtRandom) String() string { return "kill -9 at random" }

// Run kills.
func (k KillAtRandom) Run(ctx context.Context, s *Stage) error {
	defaultTo(&k.Every, 500*time.Millisecond)
	for n := 0; k.Kills == 0 || n < k.Kills; n++ {
		pause(ctx, time.Duration(s.Rand.Int64N(int64(2*k.Every))))
		if ctx.Err() != nil {
			return enough(ctx, k.Kills, n)
		}
		if err := s.Target().Kill(); err != nil {
			return err
		}
		s.Killed()
		if err := s.restart(ctx, s.Target()); err != nil {
			return err
		}
	}
	return nil
}

// KillAtPoints has the application kill itself at points of its code (cache/fault), one after another, starts it again,
// and verifies every page. The application must have been built with the tag cachesrv_fault.
type KillAtPoints struct {
	Application *Application
	Points      []string
	Kills       int // default: one at each point
	// Within bounds how often a point is passed before the kill. Default 40.
	Within int
	// Patience is how long to wait for the application to reach the point, before it is killed where it is. Default 5 s.
	Patience time.Duration
	// Crashed, if not nil, is called after each kill, before the restart.
	Crashed func(ctx context.Context) error
}

func (k *KillAtPoints) String() string { return fmt.Sprintf("kill -9 at %v", k.Points) }

// Run kills.
func (k *KillAtPoints) Run(ctx context.Context, s *Stage) error {
	defaultTo(&k.Kills, len(k.Points))
	defaultTo(&k.Within, 40)
	defaultTo(&k.Patience, 5*time.Second)
	for n := range k.Kills {
		if ctx.Err() != nil {
			return enough(ctx, k.Kills, n)
		}
		point := k.Points[n%len(k.Points)]
		if err := k.kill(ctx, s, fmt.Sprintf("%s:%d", point, 1+s.Rand.IntN(k.Within))); err != nil {
			return err
		}
	}
	return nil
}

// kill starts the application armed, waits for its death under load, and starts it again unarmed. It doesn't stop half-way.
func (k *KillAtPoints) kill(ctx context.Context, s *Stage, point string) error {
	ctx = context.WithoutCancel(ctx)
	clean := k.Application.Env
	defer func() { k.Application.Env = clean }()
	err := s.Alone(func() error {
		if err := k.Application.Stop(ctx); err != nil {
			return err
		}
		k.Application.Env = append(clean[:len(clean):len(clean)], "CACHESRV_KILL="+point)
		return s.start(ctx, k.Application)
	})
	if err != nil && !errors.Is(err, ErrKilled) { // it may pass the point while it replays
		return err
	}
	select {
	case <-k.Application.Gone():
	case <-time.After(k.Patience):
		return errors.Join(fmt.Errorf("%s did not pass %s within %v", k.Application, point, k.Patience), k.Application.Kill())
	}
	s.Killed()
	s.run.Logger.Info("killed", "at", point)
	if k.Crashed != nil {
		if err := k.Crashed(ctx); err != nil {
			return err
		}
	}
	k.Application.Env = clean
	return s.restart(ctx, k.Application)
}

// restart starts a target that was killed, and verifies what it serves, even if the load has ended meanwhile. What was
// begun before the kill can't commit any more, as Alone waits until each commit has failed.
func (s *Stage) restart(ctx context.Context, t Target) error {
	ctx = context.WithoutCancel(ctx)
	return s.Alone(func() error {
		if err := s.start(ctx, t); err != nil {
			return err
		}
		return s.Verify(ctx)
	})
}

// start starts a target that is down. From its first answer on it owes what the database has (P2), also of commits whose
// invalidation never returned. Until then, who reads the files gets what lies there: only a watchdog could take that
// away, and there is none.
func (s *Stage) start(ctx context.Context, t Target) error {
	s.run.up.Lock()
	defer s.run.up.Unlock()
	if err := s.run.owe(ctx); err != nil {
		return err
	}
	return t.Start(ctx)
}

// enough is an error if the load's time ran out before a fault's kills were done. One that a violation ended is fine.
func enough(ctx context.Context, wanted, done int) error {
	if done < wanted && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%d of %d kills when the load ended: give it more time", done, wanted)
	}
	return nil
}
