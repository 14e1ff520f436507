package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/invalidate"
)

// postgres is a database on PostgreSQL, with hooks on pgx.
type postgres struct {
	pool  *pgxpool.Pool
	hooks *invalidate.PgxHooks
}

func openPostgres(ctx context.Context, dsn string, pages int, store timed) (database, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 16
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (database, error) {
		pool.Close()
		return nil, err
	}
	if err := invalidate.Migrate(ctx, pool); err != nil {
		return fail(err)
	}
	if _, err := pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS page (number integer PRIMARY KEY, version bigint NOT NULL)`); err != nil {
		return fail(err)
	}
	_, err = pool.Exec(ctx, `INSERT INTO page SELECT n, 1 FROM generate_series(0, $1 - 1) n ON CONFLICT DO NOTHING`, pages)
	if err != nil {
		return fail(err)
	}
	hooks, err := invalidate.NewPgx(ctx, store, pool, invalidate.Options{})
	if err != nil {
		return fail(err)
	}
	return &postgres{pool, hooks}, nil
}

func (p *postgres) version(ctx context.Context, page int) (version int64, err error) {
	err = p.pool.QueryRow(ctx, `SELECT version FROM page WHERE number = $1`, page).Scan(&version)
	return version, err
}

func (p *postgres) commit(ctx context.Context, page int, s cache.Selection) (version int64, err error) {
	if s.Empty() {
		err := p.pool.QueryRow(ctx, raise, page).Scan(&version)
		return version, err
	}
	tx, err := p.hooks.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after Commit
	if err := tx.QueryRow(ctx, raise, page).Scan(&version); err != nil {
		return 0, err
	}
	if err := invalidate.SelectTx(ctx, tx, s); err != nil {
		return 0, err
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, fmt.Errorf("commit of page %d: %w", page, err)
	}
	return version, nil
}

const raise = `UPDATE page SET version = version + 1 WHERE number = $1 RETURNING version`

func (p *postgres) close() error {
	err := p.hooks.Close()
	p.pool.Close()
	return err
}
