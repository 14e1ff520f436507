package torture

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Fencer fences the folder by hand, and lifts the fence. While there is one nothing is served from the cache, so that commits
// count without an invalidation: those are made up for before the fence is lifted. A run needs its Committer too.
type Fencer struct {
	By    Committer     // commits and invalidates, while there is no fence
	Plain Committer     // commits only
	Proxy *Application  // whose folder is fenced
	Every time.Duration // of both states, on average; default 300 ms

	// What happened so far; read it when the run has ended.
	Fences int // lifted again
	Behind int // pages that had changed behind them

	mu     sync.RWMutex // held shared by commits, exclusively while a fence comes or goes
	fenced bool
	owed   sync.Map // page → struct{}: committed behind the fence
}

func (f *Fencer) String() string { return "fence on, fence off" }

// Committer commits, and invalidates if there is no fence.
func (f *Fencer) Committer() Committer { return mindful{f} }

type mindful struct{ *Fencer }

func (m mindful) String() string { return m.By.String() + ", or nothing behind a fence" }

func (m mindful) Commit(ctx context.Context, page int) (Commit, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.fenced {
		return m.By.Commit(ctx, page)
	}
	m.owed.Store(page, struct{}{})
	return m.Plain.Commit(ctx, page)
}

// Run fences, and lifts the fence.
func (f *Fencer) Run(ctx context.Context, s *Stage) error {
	defaultTo(&f.Every, 300*time.Millisecond)
	whole := context.WithoutCancel(ctx) // it ends without a fence
	for {
		pause(ctx, s.about(f.Every))
		if ctx.Err() != nil {
			return nil
		}
		if err := f.fence(whole); err != nil {
			return err
		}
		pause(ctx, s.about(f.Every))
		if err := f.lift(whole); err != nil {
			return err
		}
	}
}

func (f *Fencer) fence(ctx context.Context) error {
	if _, err := f.Proxy.Command(ctx, "fence", "on"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fenced = true
	return nil
}

// lift has every page invalidated that was committed behind the fence, by one more commit, and then lifts it.
func (f *Fencer) lift(ctx context.Context) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owed.Range(func(page, _ any) bool {
		_, e := f.By.Commit(ctx, page.(int))
		err = errors.Join(err, e)
		f.owed.Delete(page)
		f.Behind++
		return true
	})
	if err != nil {
		return err
	}
	f.fenced = false
	f.Fences++
	_, err = f.Proxy.Command(ctx, "fence", "off")
	return err
}
