package cache

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/position"
)

// Sources that lag. A fill that is claimed after an invalidation may read from a replica that has not seen the change yet, or
// through another cache: its page would be old, and nothing would drop it again. Two things help: a source that says what it
// contains (Fill's Meta.Position against Selection.Position), and time (Options.Settle).
//
// That something settles stands in the generation's name, which every claim and every invalidation reads anyway: so all
// processes know, and where nothing settles nothing is paid.

// MaxSettle bounds Options.Settle.
const MaxSettle = time.Hour

const settleMark = "-settle-"

// generationName is a name that was never used before: other processes know theirs by it.
func generationName(unique string, settle time.Duration) string {
	if settle == 0 {
		return unique
	}
	return unique + settleMark + settle.String()
}

// settleOf reads from a generation's name how long what was invalidated settles in it.
func settleOf(name string) (time.Duration, error) {
	_, text, ok := strings.Cut(name, settleMark)
	if !ok {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > MaxSettle {
		return 0, fmt.Errorf("the name %q does not tell how long it settles", name)
	}
	return d, nil
}

// Settle returns how long what was invalidated is not stored again, in this folder; see Options.Settle.
func (s *Store) Settle() time.Duration {
	if g := s.gen.Load(); g != nil {
		return g.settle
	}
	return 0
}

// An UnsettledError is an ErrUnsettled that says for how long.
type UnsettledError struct {
	Left time.Duration // until a fill that is claimed then may be published
}

func (e *UnsettledError) Error() string {
	return fmt.Sprintf("%v (for %s yet)", ErrUnsettled, e.Left.Round(time.Millisecond))
}

// Is makes it an ErrUnsettled.
func (e *UnsettledError) Is(target error) bool { return target == ErrUnsettled }

// verdict makes an error of what stands against a page.
func verdict(v inventory.Verdict, left time.Duration) error {
	switch v {
	case inventory.Clear:
		return nil
	case inventory.Behind:
		return ErrBehind
	case inventory.Unsettled:
		return &UnsettledError{left}
	default:
		return fmt.Errorf("%w: by tag or prefix", ErrInvalidated)
	}
}

// The names by which a Settling knows what was invalidated: "k" and a URL, "t" and a tag, "p" and a prefix; a URL or prefix
// without a host concerns every host.

// notice is what a selection leaves for the fills that come after it.
func (g *generation) notice(sel Selection) inventory.Notice {
	n := inventory.Notice{Positioned: len(sel.Position) > 0}
	if g.settle == 0 {
		return n
	}
	for _, k := range sel.Keys {
		n.Names = append(n.Names, "k"+k.Default().String())
	}
	for _, t := range sel.Tags {
		n.Names = append(n.Names, "t"+t)
	}
	for _, p := range sel.Prefixes {
		n.Names = append(n.Names, "p"+p.Host+strings.TrimRight(p.Path, "/")+"/")
	}
	if sel.All {
		n.Names = append(n.Names, inventory.Everything)
	}
	return n
}

// namesOf lists the names under which a page may have been invalidated: as many as it has tags and segments.
func (g *generation) namesOf(k Key, tags []string) (names []string) {
	if g.settle == 0 {
		return nil
	}
	for _, t := range tags {
		names = append(names, "t"+t)
	}
	for _, host := range []string{k.Host, ""} {
		k := k.Default()
		k.Host = host
		names = append(names, "k"+k.String(), "p"+host+k.Path+"/")
		for i := range len(k.Path) {
			if k.Path[i] == '/' {
				names = append(names, "p"+host+k.Path[:i+1])
			}
		}
	}
	return names
}

// checkPosition says what is wrong with a position that was not made by its package.
func checkPosition(p position.Vector) error {
	if _, err := position.New(p...); err != nil {
		return fmt.Errorf("its position: %w", err)
	}
	return nil
}

var errSettle = errors.New("a time to settle is at most " + MaxSettle.String())
