package catalog

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// watched calls back at what is asked of a database.
type watched struct {
	database
	reads   func(context.Context) // a snapshot, or a statement of its own
	begins  func()
	locked  func()
	commits func(context.Context)
}

func (d *watched) read(ctx context.Context, f func(queryer) error) error {
	if d.reads != nil {
		d.reads(ctx)
	}
	return d.database.read(ctx, f)
}

func (d *watched) query(ctx context.Context, statement string, args ...any) (rows, error) {
	if d.reads != nil {
		d.reads(ctx)
	}
	return d.database.query(ctx, statement, args...)
}

func (d *watched) begin(ctx context.Context) (transaction, error) {
	if d.begins != nil {
		d.begins()
	}
	tx, err := d.database.begin(ctx)
	if err != nil {
		return nil, err
	}
	return watchedTransaction{tx, d}, nil
}

type watchedTransaction struct {
	transaction
	d *watched
}

func (t watchedTransaction) query(ctx context.Context, statement string, args ...any) (rows, error) {
	rs, err := t.transaction.query(ctx, statement, args...)
	if t.d.locked != nil && strings.HasPrefix(statement, "UPDATE index_state") {
		t.d.locked()
	}
	return rs, err
}

func (t watchedTransaction) commit(ctx context.Context) error {
	if t.d.commits != nil {
		t.d.commits(ctx)
	}
	return t.transaction.commit(ctx)
}

// testCommitGoesOn: once COMMIT is under way, whoever asked may leave: breaking it off would only make its outcome unknown.
func testCommitGoesOn(t *testing.T, b *base) {
	c := b.catalog(t)
	ctx, cancel := context.WithCancel(t.Context())
	right := c.db
	c.db = &watched{database: right, commits: func(commit context.Context) {
		cancel()
		end, ok := commit.Deadline()
		if commit.Err() != nil || !ok || time.Until(end) > writeTimeout {
			t.Errorf("COMMIT ends with whoever asked (%v), or never (%v, %v)", commit.Err(), end, ok)
		}
	}}
	must(t, c.AddUser(ctx, "ada"))
	c.db = right
	_, err := c.User(t.Context(), "ada")
	must(t, err)
}

// testDeadlines: every read has one, however patient whoever asks is.
func testDeadlines(t *testing.T, b *base) {
	c := b.catalog(t)
	user(t, c, "ada")
	_, secret, err := c.AddToken(t.Context(), Token{User: "ada", Scope: ScopeRead})
	must(t, err)
	add(t, c, Operator("ada"), wheel("tea", "1"))
	ctx := context.WithoutCancel(t.Context())
	for what, x := range map[string]struct {
		most time.Duration
		read func() error
	}{
		"Ping":           {readTimeout, func() error { return c.Ping(ctx) }},
		"Projects":       {readTimeout, func() error { _, err := c.Projects(ctx); return err }},
		"Project":        {readTimeout, func() error { _, err := c.Project(ctx, "tea"); return err }},
		"ProjectRelease": {readTimeout, func() error { _, _, _, err := c.ProjectRelease(ctx, "tea", ""); return err }},
		"Overview":       {readTimeout, func() error { _, err := c.Overview(ctx, 1); return err }},
		"User":           {readTimeout, func() error { _, err := c.User(ctx, "ada"); return err }},
		"Users":          {readTimeout, func() error { _, err := c.Users(ctx); return err }},
		"Tokens":         {readTimeout, func() error { _, err := c.Tokens(ctx, ""); return err }},
		"Add":            {readTimeout, func() error { _, err := tryAdd(ctx, c, Operator("ada"), wheel("tea", "1")); return err }},
		"Search":         {searchTimeout, func() error { _, err := c.Search(ctx, "tea", 1, 0); return err }},
		"Authenticate":   {tokenTimeout, func() error { _, err := c.Authenticate(ctx, "ada", secret); return err }},
	} {
		right, reads := c.db, 0
		c.db = &watched{database: right, reads: func(ctx context.Context) {
			reads++
			if end, ok := ctx.Deadline(); !ok || time.Until(end) > x.most {
				t.Errorf("%s may take %v", what, time.Until(end))
			}
			if what == "Search" && len(c.searching) != 1 {
				t.Error("a search has no slot")
			}
		}}
		if err := x.read(); err != nil || reads == 0 {
			t.Errorf("%s: %d reads, %v", what, reads, err)
		}
		c.db = right
	}
	equal(t, "searches under way", len(c.searching), 0)
}

// testSearches: a search that finds no slot waits, but not for long.
func testSearches(t *testing.T, b *base) {
	c := b.catalog(t)
	if n := c.db.connections(); cap(c.searching) > mostSearches || n > 1 && cap(c.searching) > n/2 {
		t.Errorf("%d searches at once, of %d connections", cap(c.searching), n)
	}
	synctest.Test(t, func(t *testing.T) {
		c.searching = make(chan struct{}) // none is free; made here for the fake clock
		begun := time.Now()
		_, err := c.Search(t.Context(), "tea", 1, 0)
		wantError(t, err, ErrBusy)
		equal(t, "waited", time.Since(begun), searchTimeout)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Search(ctx, "tea", 1, 0)
		wantError(t, err, context.DeadlineExceeded)
		if strings.Contains(err.Error(), ErrBusy.Error()) {
			t.Errorf("who asked was out of patience: %v", err)
		}
	})
}

// testInspections: so many files are looked into at once, and no more.
func testInspections(t *testing.T, b *base) {
	c := b.catalog(t)
	equal(t, "slots", cap(c.inspecting), runtime.GOMAXPROCS(0))
	c.inspecting = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	c.db = &afterRead{c.db, cancel}
	_, err := tryAdd(ctx, c, Operator(""), wheel("tea", "1"))
	wantError(t, err, context.Canceled)
	if !strings.Contains(err.Error(), "wait for other uploads") {
		t.Error(err)
	}
	whole(t, b.catalog(t))
}

type afterRead struct {
	database
	do func()
}

func (d *afterRead) read(ctx context.Context, f func(queryer) error) error {
	defer d.do()
	return d.database.read(ctx, f)
}

// testTimes: a change is dated when it has the lock, or an earlier one might be dated later.
func testTimes(t *testing.T, b *base) {
	c := b.catalog(t)
	var locked int64
	c.db = &watched{database: c.db, locked: func() { locked = time.Now().UnixMicro() }}
	add(t, c, Operator(""), wheel("tea", "1"))
	if at := count(t, c, "SELECT min(at) FROM index_change"); locked == 0 || at < locked {
		t.Errorf("the lock was taken at %d, the change is dated %d", locked, at)
	}
}
