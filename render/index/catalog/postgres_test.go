//go:build e2e

package catalog

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/e2e/pgtest"
	"github.com/cachesrv/cachesrv/invalidate"
)

func runTests(m *testing.M) { pgtest.Main(m) }

func init() { openers["postgres"] = openPostgresDSN }

func openPostgresDSN(ctx context.Context, dsn string, o Options) (*Catalog, error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return OpenPostgres(ctx, pool, o)
}

func newPostgresBase(t testing.TB) *base {
	return &base{kind: "postgres", dir: t.TempDir(), database: pgtest.Start(t), fresh: newPostgresBase}
}

func TestPostgres(t *testing.T) { testCatalog(t, newPostgresBase) }

func BenchmarkPostgres(b *testing.B) {
	benchmark(b, func(b *testing.B) *base { return newPostgresBase(b) })
}

// TestPostgresDies kills the server in the middle of uploads and deletions: the folder follows when it is back.
func TestPostgresDies(t *testing.T) {
	s := pgtest.StartOwn(t)
	b := &base{kind: "postgres", dir: t.TempDir(), database: pgtest.NewDatabase(t, s)}
	c := b.catalog(t)
	who := Operator("ada")
	add(t, c, who, wheel("tea", "1"))
	die := func(at string) {
		c.passed = func(point string) {
			if point == at {
				must(t, s.Kill())
			}
		}
	}
	back := func() {
		c.passed = func(string) {}
		must(t, s.Start(t.Context()))
		for range 10 { // the pool has dead connections
			if c.Ping(t.Context()) == nil {
				break
			}
		}
		must(t, c.sweep(t.Context(), false))
		whole(t, c)
	}
	die(fault.UploadLinked)
	if _, err := tryAdd(t.Context(), c, who, wheel("tea", "2")); err == nil {
		t.Fatal("an upload without a database")
	}
	equal(t, "intents", len(onDisk(t, c, incomingDir)), 1)
	back()
	add(t, c, who, wheel("tea", "2"))
	die(fault.DeleteIntended)
	if err := c.Delete(t.Context(), who, "tea", "", ""); err == nil {
		t.Fatal("a deletion without a database")
	}
	equal(t, "intents", len(onDisk(t, c, incomingDir)), 2)
	back()
	die(fault.DeleteCommitted)
	must(t, c.Delete(t.Context(), who, "tea", "2", ""))
	equal(t, "intents", len(onDisk(t, c, incomingDir)), 1)
	back()
	p, err := c.Project(t.Context(), "tea")
	must(t, err)
	equal(t, "releases", len(p.Releases), 1)
}

// A zombie is a transaction whose COMMIT is still to come, though nobody waits for it any more.
type zombie struct {
	database
	tx transaction
}

func (z *zombie) begin(ctx context.Context) (transaction, error) {
	var err error
	z.tx, err = z.database.begin(context.WithoutCancel(ctx))
	return zombieTransaction{z.tx}, err
}

type zombieTransaction struct{ transaction }

func (zombieTransaction) commit(context.Context) error { return invalidate.ErrCommitUnknown }
func (zombieTransaction) rollback()                    {}

// TestPostgresZombie: nobody settles what a transaction that is not over yet may still commit.
func TestPostgresZombie(t *testing.T) {
	for _, commits := range []bool{true, false} {
		b := newPostgresBase(t)
		c, other := b.catalog(t), b.catalog(t)
		ada := user(t, c, "ada")
		z := &zombie{database: c.db}
		c.db = z
		_, err := tryAdd(t.Context(), c, ada, wheel("tea", "1"))
		wantError(t, err, ErrOutcomeUnknown)
		c.db = z.database
		impatient, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		for _, err := range []error{other.sweep(impatient, false), other.RevokeToken(impatient, ada.Token)} {
			wantError(t, err, context.DeadlineExceeded)
		}
		if commits {
			must(t, z.tx.commit(t.Context()))
		} else {
			z.tx.rollback()
		}
		must(t, other.sweep(t.Context(), false))
		whole(t, other)
		must(t, other.RevokeToken(t.Context(), ada.Token))
		equal(t, "files", count(t, other, "SELECT files FROM index_state"), int64(len(onDisk(t, other, filesDir))/2))
	}
}

// TestPostgresCommitsDurably: files follow what is committed, so a commit must not be undone by a crash.
func TestPostgresCommitsDurably(t *testing.T) {
	b := newPostgresBase(t)
	c := b.catalog(t)
	run(t, c, "ALTER ROLE CURRENT_USER SET synchronous_commit = off")
	c = b.catalog(t)
	tx, err := c.db.begin(t.Context())
	must(t, err)
	defer tx.rollback()
	var setting string
	must(t, get(t.Context(), tx, "SELECT current_setting('synchronous_commit')", nil, &setting))
	equal(t, "synchronous_commit", setting, "local")
	run(t, c, "ALTER ROLE CURRENT_USER RESET synchronous_commit")
}

// TestPostgresCollation: names are in the order of bytes in a database whose own order is another.
func TestPostgresCollation(t *testing.T) {
	s := pgtest.StartOwn(t)
	first := (&base{kind: "postgres", dir: t.TempDir(), database: pgtest.NewDatabase(t, s)}).catalog(t)
	for _, f := range []func(*testing.T, *base){testOrder, testSearch} {
		run(t, first, "DROP DATABASE IF EXISTS dashless WITH (FORCE)")
		run(t, first, "CREATE DATABASE dashless TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-u-ka-shifted'")
		b := &base{kind: "postgres", dir: t.TempDir(), database: s.DSN("dashless")}
		c := b.catalog(t)
		equal(t, "control", count(t, c, "SELECT count(*) FROM (SELECT 1) x WHERE 'a0' < 'a-b'"), 1)
		must(t, c.Close())
		f(t, b)
	}
}

// TestPostgresMigratesAtOnce opens many catalogs on an empty database.
func TestPostgresMigratesAtOnce(t *testing.T) { migrateAtOnce(t, newPostgresBase(t)) }
