package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cachesrv/cachesrv/invalidate"
)

// A change is a transaction that has the lock and a serial.
type change struct {
	transaction
	serial int64
	at     int64 // microseconds since 1970
	who    string
	parts  int64 // journal rows so far

	projects map[string]struct{} // that it touches
	users    map[string]struct{} // who have a role in one of those, before or after

	// What the totals change by.
	newProjects, newReleases, newFiles, newBytes int64
}

// write makes a change: f, called under the lock, does it and names (touch) the projects that it concerns. errUnchanged
// from f rolls back and is returned, as every other error.
func (c *Catalog) write(ctx context.Context, who Identity, f func(context.Context, *change) error) (serial int64, err error) {
	err = c.transact(ctx, func(ctx context.Context, tx transaction) error {
		ch := &change{transaction: tx, who: who.User, projects: make(map[string]struct{}), users: make(map[string]struct{})}
		if err := ch.lock(ctx); err != nil {
			return err
		}
		if err := ch.stillValid(ctx, who); err != nil {
			return err
		}
		if err := f(ctx, ch); err != nil {
			return err
		}
		serial = ch.serial
		return ch.finish(ctx)
	})
	return serial, err
}

// transact runs f in a transaction and commits it, within writeTimeout. From the moment COMMIT is sent, the end of ctx
// no longer matters: else it would only make the outcome unknown.
func (c *Catalog) transact(ctx context.Context, f func(context.Context, transaction) error) error {
	whole, cancelWhole := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancelWhole()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-ctx.Done():
		return fmt.Errorf("wait for other changes: %w", ctx.Err())
	}
	tx, err := patiently(ctx, func() (transaction, error) { return c.db.begin(whole) })
	if err != nil {
		return err
	}
	defer tx.rollback()
	if err := f(ctx, tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = tx.commit(whole)
	switch {
	case errors.Is(err, invalidate.ErrNotInvalidated): // the cache serves nothing of what is concerned until it is
		c.log.Warn("a change of the index is committed; the cache is still to drop what it concerns", "err", err)
		return nil
	case errors.Is(err, invalidate.ErrCommitUnknown):
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return err
}

// hold takes the lock for a transaction that shows on no page of a project, and so needs no serial.
func hold(ctx context.Context, tx transaction) error {
	if _, err := tx.exec(ctx, "UPDATE index_state SET serial = serial WHERE one = 1"); err != nil {
		return fmt.Errorf("wait for other changes: %w", err)
	}
	return nil
}

// lock takes the lock and the next serial.
func (ch *change) lock(ctx context.Context) error {
	err := get(ctx, ch, "UPDATE index_state SET serial = serial + 1 WHERE one = 1 RETURNING serial", nil, &ch.serial)
	if err != nil {
		return fmt.Errorf("take the next serial: %w", err)
	}
	ch.at = time.Now().UnixMicro() // not before: who waits longer is later
	return nil
}

// touch says that a project's pages change. Called before its roles do.
func (ch *change) touch(ctx context.Context, normal string) error {
	ch.projects[normal] = struct{}{}
	users, err := list(ctx, ch, scanString, "SELECT user_name FROM index_role WHERE project = $1", normal)
	for _, u := range users {
		ch.users[u] = struct{}{}
	}
	return err
}

// journal writes down what happens, in the words of PyPI's changelog.
func (ch *change) journal(ctx context.Context, project, version, filename, action string) error {
	_, err := ch.exec(ctx, `INSERT INTO index_change (serial, part, project, version, filename, action, who, at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, ch.serial, ch.parts, project, version, filename, action, ch.who, ch.at)
	ch.parts++
	return err
}

// finish brings up to date what follows from a change, and names the pages to drop. Every change concerns the list of
// all projects, as it shows their serials.
func (ch *change) finish(ctx context.Context) error {
	tags := []string{AllProjects}
	for _, normal := range slices.Sorted(maps.Keys(ch.projects)) {
		if err := ch.refresh(ctx, normal); err != nil {
			return err
		}
		if err := ch.touch(ctx, normal); err != nil {
			return err
		}
		tags = append(tags, ProjectTag(normal))
	}
	for _, user := range slices.Sorted(maps.Keys(ch.users)) {
		tags = append(tags, UserTag(user))
	}
	if ch.newProjects != 0 || ch.newReleases != 0 || ch.newFiles != 0 {
		_, err := ch.exec(ctx, `UPDATE index_state SET projects = projects + $1, releases = releases + $2,
			files = files + $3, bytes = bytes + $4 WHERE one = 1`, ch.newProjects, ch.newReleases, ch.newFiles, ch.newBytes)
		if err != nil {
			return err
		}
	}
	return ch.tags(ctx, tags...)
}

// refresh gives a project, if it is still there, its new serial and what lists show of its latest release.
func (ch *change) refresh(ctx context.Context, normal string) error {
	var created int64
	err := get(ctx, ch, "SELECT created FROM index_project WHERE normal = $1", a(normal), &created)
	if errors.Is(err, errNoRow) {
		return nil
	} else if err != nil {
		return err
	}
	p := &Project{}
	p.Releases, err = list(ctx, ch, func(r row) (rel Release, err error) {
		var yanked int64
		err = r.Scan(&rel.Version, &yanked)
		rel.Yanked = yanked != 0
		return rel, err
	}, "SELECT version, yanked FROM index_release WHERE project = $1", normal)
	if err != nil {
		return err
	}
	sortReleases(p.Releases)
	latest := p.Latest()
	if latest == nil {
		_, err = ch.exec(ctx, "UPDATE index_project SET serial = $1, version = '', summary = '', search_text = $2, updated = created WHERE normal = $3",
			ch.serial, searchText(normal, "", "", nil), normal)
		return err
	}
	var summary, text string
	err = get(ctx, ch, "SELECT summary, search_text, created FROM index_release WHERE project = $1 AND version = $2",
		a(normal, latest.Version), &summary, &text, &created)
	if err != nil {
		return err
	}
	_, err = ch.exec(ctx, "UPDATE index_project SET serial = $1, version = $2, summary = $3, search_text = $4, updated = $5 WHERE normal = $6",
		ch.serial, latest.Version, summary, text, created, normal)
	return err
}
