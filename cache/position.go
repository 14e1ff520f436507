package cache

import (
	"context"
	"fmt"
)

// Position says how much of the change history a source contains, in the text form of the source. The zero
// Position is that of a primary read after the claim: it contains everything.
type Position string

// Primary is the position of a source that is the primary itself.
const Primary Position = ""

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
