package torture

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// Instances are several applications on one database and one cache folder, as while a new release takes over from an old
// one: a Target whose readers and committers turn to each in turn.
type Instances struct {
	Applications []*Application

	turn atomic.Uint64
}

func (i *Instances) String() string {
	return fmt.Sprintf("%d instances of %s", len(i.Applications), i.Applications[0])
}

func (i *Instances) next() *Application {
	return i.Applications[i.turn.Add(1)%uint64(len(i.Applications))]
}

// BaseURL is that of the next instance.
func (i *Instances) BaseURL() string { return i.next().BaseURL() }

// Start starts one after another.
func (i *Instances) Start(ctx context.Context) error {
	for _, a := range i.Applications {
		if err := a.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop stops all.
func (i *Instances) Stop(ctx context.Context) error {
	return i.all(func(a *Application) error { return a.Stop(ctx) })
}

// Kill kills all.
func (i *Instances) Kill() error { return i.all((*Application).Kill) }

func (i *Instances) all(f func(*Application) error) (err error) {
	for _, a := range i.Applications {
		err = errors.Join(err, f(a))
	}
	return err
}

// By returns a committer that turns to each instance in turn.
func (i *Instances) By(means string) Committer { return instancesBy{i, means} }

type instancesBy struct {
	*Instances
	means string
}

func (b instancesBy) String() string { return b.means }

func (b instancesBy) Commit(ctx context.Context, page int) (Commit, error) {
	return b.next().By(b.means).Commit(ctx, page)
}
