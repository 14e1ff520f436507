package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/gofrs/flock"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// Bounds of TakeDown's waits: for someone who opens or closes the folder, and for someone who only looks whether anyone serves.
const (
	takeDownTimeout = 2 * time.Second
	lookTimeout     = 100 * time.Millisecond
)

// TakeDown removes the live link of a folder, unless a program that serves from it lives: it is for the moment after one has
// died, from when on nobody may drop what it was to drop. It opens no store, and waits for nobody longer than 2.1 s. The next
// Unfence makes the link again.
//
//	lock opening, for 2 s at most · lock serving, for 0.1 s at most: held by others all the time? leave live · unlink live
//
// Who serves holds serving shared for as long as it lives, and makes the link while it holds opening. Should that be held for
// too long, the link of one that lives stays all the same; and nobody begins to serve while we hold serving.
func TakeDown(ctx context.Context, dir string) (live string, removed bool, err error) {
	at := func(name string) string { return filepath.Join(dir, "cache", name) }
	text, err := os.ReadFile(at("format"))
	if err != nil {
		return "", false, fmt.Errorf("find the live link: %w", err)
	}
	var f format
	if err := yaml.Unmarshal(text, &f); err != nil || !filepath.IsAbs(f.Live) {
		return "", false, fmt.Errorf("%w: %s does not say where the live link lies", ErrIncompatible, at("format"))
	}
	opening := flock.New(at("opening"))
	defer opening.Close()
	waiting, cancel := context.WithTimeout(ctx, takeDownTimeout)
	defer cancel()
	_, _ = opening.TryLockContext(waiting, 20*time.Millisecond) // without it goes, too
	serving := flock.New(at("serving"))
	defer serving.Close()
	if lives(ctx, serving) {
		return f.Live, false, nil
	}
	if st, err := os.Lstat(f.Live); err == nil && st.Mode()&os.ModeSymlink == 0 {
		return f.Live, false, fmt.Errorf("%s is not a link: it is left alone", f.Live)
	}
	return f.Live, true, removeLink(f.Live)
}

// lives reports whether a program serves. If not, it returns with the lock held. What can't be known counts as no. One look would
// not do: LiftFence and TakeDown look, too, by holding the lock for a moment.
func lives(ctx context.Context, serving *flock.Flock) bool {
	looking, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	return errors.Is(waitLock(looking, fault.ServingLock, serving, 5*time.Millisecond), context.DeadlineExceeded)
}
