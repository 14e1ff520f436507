// Package render turns what a handler answers into a page: it records the answer into a fill, keeps what the handler
// declared meanwhile, and decides whether the answer may be stored at all.
package render

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// maxDeclared bounds the tags kept for one render; cache.Options.MaxTags is the bound of a page.
const maxDeclared = 10_000

// Tags declares what the page being rendered depends on: an invalidation that names one of the tags drops it. A
// page that would list a row once it exists depends on the tag which that row will carry; so does a 404.
//
// Declarations may come from several goroutines, until the handler returns. Outside a fill they do nothing, so
// handlers need not know whether they render a page.
func Tags(ctx context.Context, tags ...string) {
	declare(ctx, func(d *declared) {
		if len(d.tags)+len(tags) > maxDeclared {
			slices.Sort(d.tags)
			d.tags = slices.Compact(d.tags)
		}
		if len(d.tags)+len(tags) > maxDeclared {
			d.refuse(fmt.Sprintf("over %d tags were declared", maxDeclared))
			return
		}
		d.tags = append(d.tags, tags...)
	})
}

// Expires declares when the page's life ends at the latest. The earliest declaration counts, a max-age in the
// answer's Cache-Control included. Without any, a page lives until it is invalidated.
func Expires(ctx context.Context, at time.Time) {
	declare(ctx, func(d *declared) { d.expires = earlier(d.expires, at) })
}

// Grace declares how long after its expiry or soft purge the page may still be served, while a new one is rendered or
// when that fails. The shortest declaration counts; zero means not at all.
func Grace(ctx context.Context, grace time.Duration) {
	declare(ctx, func(d *declared) {
		if !d.graced || grace < d.grace {
			d.graced, d.grace = true, max(grace, 0)
		}
	})
}

// NoStore declares that what is being rendered is no page; why says so to whoever reads the
// Cache-Status header.
func NoStore(ctx context.Context, why string) {
	declare(ctx, func(d *declared) { d.refuse(why) })
}

// declared is what a handler said of its page.
type declared struct {
	tags    []string
	expires time.Time
	graced  bool // grace was declared
	grace   time.Duration
	noStore bool
	why     string
}

// declarations collect it while the handler runs.
type declarations struct {
	mu sync.Mutex
	declared
}

func (d *declared) refuse(why string) {
	if !d.noStore {
		d.noStore, d.why = true, why
	}
}

type declarationsKey struct{}

func withDeclarations(ctx context.Context) (context.Context, *declarations) {
	d := new(declarations)
	return context.WithValue(ctx, declarationsKey{}, d), d
}

func declare(ctx context.Context, f func(*declared)) {
	if d, ok := ctx.Value(declarationsKey{}).(*declarations); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		f(&d.declared)
	}
}

// end returns a copy of what was declared so far, with the tags sorted and each once.
func (d *declarations) end() declared {
	d.mu.Lock()
	defer d.mu.Unlock()
	said := d.declared
	said.tags = slices.Clone(d.tags)
	slices.Sort(said.tags)
	said.tags = slices.Compact(said.tags)
	return said
}

// earlier returns the earlier of two times, of which a zero one says nothing.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
