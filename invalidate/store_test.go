package invalidate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// recordingStore is a Store that records what it is told.
type recordingStore struct {
	// invalidating, if set, is called within Invalidate, without a lock. Its error is Invalidate's.
	invalidating func(ctx context.Context, sel cache.Selection) error

	mu        sync.Mutex
	changed   chan struct{} // closed at each change
	sels      []cache.Selection
	positions map[string]cache.Position
	withheld  map[string]cache.Selection
	events    []string // in order
	open      bool
}

func newStore() *recordingStore {
	return &recordingStore{changed: make(chan struct{}), positions: map[string]cache.Position{}, withheld: map[string]cache.Selection{}}
}

func (s *recordingStore) note(event string) {
	s.events = append(s.events, event)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *recordingStore) Invalidate(ctx context.Context, sel cache.Selection) (cache.Dropped, error) {
	if s.invalidating != nil {
		if err := s.invalidating(ctx, sel); err != nil {
			return cache.Dropped{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sels = append(s.sels, sel)
	s.note("invalidate")
	return cache.Dropped{}, nil
}

func (s *recordingStore) SourcePosition(_ context.Context, source string) (cache.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.positions[source], nil
}

func (s *recordingStore) SetSourcePosition(_ context.Context, source string, p cache.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.positions[source] = p
	s.note("position")
	return nil
}

func (s *recordingStore) Withhold(_ context.Context, id string, sel cache.Selection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withheld[id] = sel
	s.note("withhold")
	return nil
}

func (s *recordingStore) Release(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.withheld, id)
	s.note("release")
	return nil
}

func (s *recordingStore) Withheld(context.Context) (ids []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.withheld {
		ids = append(ids, id)
	}
	return ids, nil
}

func (s *recordingStore) Unfence(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
	s.note("unfence")
	return nil
}

// forget drops the records, not the state.
func (s *recordingStore) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sels, s.events = nil, nil
}

// selections returns what was invalidated.
func (s *recordingStore) selections() []cache.Selection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sels)
}

// tags returns the tags that were invalidated, sorted, each once; "*" stands for everything.
func (s *recordingStore) tags() (tags []string) {
	for _, sel := range s.selections() {
		tags = append(tags, sel.Tags...)
		if sel.All {
			tags = append(tags, "*")
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

func (s *recordingStore) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *recordingStore) held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.withheld)
}

// await waits until a condition holds, looking whenever something changed.
func (s *recordingStore) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("in vain waited until %s; %v, invalidated %v", what, s.log(), s.tags())
		}
	}
}

// equal fails the test if two lists differ.
func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want one that is %q", err, want)
	}
}

func parseKey(t *testing.T, text string) cache.Key {
	t.Helper()
	k, err := key.Parse(text)
	must(t, err)
	return k
}
