package database

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Bounds of an SQLite database's connections.
const (
	maxConns     = 16 // of each pool; a query beyond waits for one
	maxIdleConns = 4
)

// Writer opens an SQLite database whose transactions are immediate ones: one never finds at its first write that its
// snapshot is too old. The file is made when it is missing, for its owner alone (SQLite gives its journals the same
// mode). WAL: readers see the last commit and wait for no writer. A commit is on the disk when it has returned.
func Writer(path string) (*sql.DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("the database: %w", err)
	}
	return open(path, "immediate")
}

// Reader is Writer for transactions that only read, which are deferred ones: they take no lock.
func Reader(path string) (*sql.DB, error) { return open(path, "deferred") }

func open(path, begin string) (*sql.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path,
		RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=" + begin}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxIdleConns)
	return db, nil
}
