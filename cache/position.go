package cache

import (
	"context"
	"fmt"
)

// A Position says how much of the change history of one source was applied, in a text form that only the source's follower
// reads. (What an answer contains, of all its sources, is a position.Vector.)
type Position string

// SourcePosition returns how much of a source's invalidations has been applied to the pages. It is kept beside them
// and lost with them; empty: unknown.
func (s *Store) SourcePosition(ctx context.Context, source string) (Position, error) {
	g, err := s.current(ctx)
	if err != nil {
		return "", fmt.Errorf("position of %s: %w", source, err)
	}
	defer g.drop()
	p, err := g.inv.Source(ctx, source)
	if err != nil {
		return "", fmt.Errorf("position of %s: %w", source, err)
	}
	return Position(p), nil
}

// SetSourcePosition stores a source's applied position. Call it after the invalidations it covers.
func (s *Store) SetSourcePosition(ctx context.Context, source string, p Position) error {
	g, err := s.current(ctx)
	if err != nil {
		return fmt.Errorf("set the position of %s: %w", source, err)
	}
	defer g.drop()
	if err := g.inv.SetSource(ctx, source, string(p)); err != nil {
		return fmt.Errorf("set the position of %s: %w", source, err)
	}
	return nil
}
