package cache

import (
	"slices"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cache/position"
)

// A Selection names what an invalidation drops: the union of its fields.
type Selection struct {
	Keys     []Key        // a key without a variant drops all variants of its URL; without a host, on every host
	Tags     []string     // every page that declared one of them
	Prefixes []key.Prefix // whole subtrees
	All      bool         // everything

	// Position is what the source of a page must contain from now on, for pages that say what theirs contains
	// (Meta.Position): the position of the database with the change that makes the invalidation necessary. Default: none.
	//
	// In a folder where a position was required before, and which does not settle (Options.Settle), an invalidation without one
	// makes what is required unknown, as its change may lie behind all that were named: a page that names a source is then
	// stored only once an invalidation has named that source again.
	Position position.Vector
	// PositionUnknown: the change has a position, but it could not be read. What is required is then unknown, though none was
	// required before. Not together with Position.
	PositionUnknown bool
	// NoChange: the pages are not dropped for a change of what they were made from, so nothing more is required of those that
	// come after them. Default false.
	NoChange bool
	// Soft turns pages into graced ones instead: served only within their grace, while a fill is under way.
	Soft bool
	// DryRun drops nothing and reports what would be dropped.
	DryRun bool
	// Cause is written to the log and kept for explain: "purge by hand", "transaction 4711".
	Cause string
}

// Empty reports whether the selection names nothing.
func (s Selection) Empty() bool {
	return len(s.Keys) == 0 && len(s.Tags) == 0 && len(s.Prefixes) == 0 && !s.All
}

// spelled adds the other spelling that a key may have: whoever invalidates need not know in which order the site's pages
// have their parameters.
func (s Selection) spelled() Selection {
	for _, k := range slices.Clip(s.Keys) {
		if sorted := k.Sorted(); sorted != k {
			s.Keys = append(slices.Clip(s.Keys), sorted)
		}
	}
	return s
}

// Dropped counts what an invalidation dropped.
type Dropped struct {
	// Pages counts published pages, all variants. Subtrees and everything are dropped by a rename, whatever they hold,
	// and counted by the inventory: pages that were dropped already within the last seconds may count again.
	Pages  int
	Graced int // graced pages
	Twins  int // compressed siblings
	Claims int // fills in flight that lost their claim; those caught through the inventory aren't counted
	// Retired is set when everything was dropped with its generation: asked for (All), or because the inventory or
	// the file system failed and unknown means drop.
	Retired bool
	// Keys lists what a dry run would drop, at most 10,000.
	Keys []Key
}
