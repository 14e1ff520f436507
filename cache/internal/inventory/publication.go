package inventory

import (
	"context"
	"math"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/position"
)

// An Identity tells one publication from all others: inode numbers are used again at once, stamps are not.
type Identity struct {
	Ino       uint64
	Sec, Nsec int64
}

// A Row is one publication.
type Row struct {
	ID                              int64
	File, Claim, Key                string
	Identity                        Identity
	Size                            int64
	Digest                          [32]byte
	Status                          int
	Header                          string
	Tags                            []string
	Position                        string
	Created, Expires, Graced, Grace int64
	Twins                           int
	Hits                            int64
	Visited                         bool
}

const columns = `id, file, claim, key, ino, sec, nsec, size, digest, status, header, tags, position, created, expires, graced, grace, twins, hits, visited`

func scan(s *sqlite.Stmt) (r Row) {
	r.ID = s.ColumnInt64(0)
	r.File, r.Claim, r.Key = s.ColumnText(1), s.ColumnText(2), s.ColumnText(3)
	r.Identity = Identity{uint64(s.ColumnInt64(4)), s.ColumnInt64(5), s.ColumnInt64(6)}
	r.Size = s.ColumnInt64(7)
	s.ColumnBytes(8, r.Digest[:])
	r.Status = s.ColumnInt(9)
	r.Header = s.ColumnText(10)
	r.Tags = split(s.ColumnText(11))
	r.Position = s.ColumnText(12)
	r.Created, r.Expires, r.Graced, r.Grace = s.ColumnInt64(13), s.ColumnInt64(14), s.ColumnInt64(15), s.ColumnInt64(16)
	r.Twins = s.ColumnInt(17)
	r.Hits = s.ColumnInt64(18)
	r.Visited = s.ColumnInt(19) != 0
	return r
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// Counter returns the number of the newest invalidation. A fill notes it after its claim and before it reads.
func (db *DB) Counter(ctx context.Context) (int64, error) {
	var seq int64
	const op = "read the invalidation counter"
	read := func(c *sqlite.Conn) error {
		return run(c, `SELECT max(seq) FROM invalidation`, nil, func(s *sqlite.Stmt) error {
			seq = s.ColumnInt64(0)
			return nil
		})
	}
	if err := fault.Enter(fault.CounterRead, fault.Read, name); err != nil {
		return 0, db.wrap(op, err)
	}
	var err error
	select {
	case c := <-db.writer: // what it wrote last it need not read again
		err = db.wrap(op, read(c))
		db.writer <- c
	default:
		err = db.readNow(ctx, op, read)
	}
	if err = fault.Leave(fault.CounterRead, err); err != nil {
		return 0, err
	}
	fault.Saw(fault.CounterRead, seq)
	return seq, nil
}

// Earlier is what an earlier publication of the same key may have left.
type Earlier struct {
	File          string
	Twins, Graced bool
}

// A Fill is what decides, besides its row, whether a page may be published.
type Fill struct {
	Noted    int64                    // the Counter after its claim
	Concerns func(*Invalidation) bool // whether an invalidation newer than that does
	Claimed  time.Duration            // when it was claimed, by the clock of the Settling
	Names    []string                 // by which a Settling knows the page
	Position position.Vector          // what its source contains, if that was said
}

// A Verdict says whether a page may be published.
type Verdict int

// Verdicts. The first that holds is given.
const (
	Clear     Verdict = iota
	Disturbed         // it was invalidated since its claim
	Behind            // its source lacks what is required
	Unsettled         // it was invalidated too short a time before its claim
)

// Publish stores a row, unless an invalidation newer than the fill concerns the page, or another verdict stands against it;
// then it says for how long the next fill will fare the same, if it can. All happens in one transaction: either the fill sees
// the invalidation, or the invalidation sees the row. The row is committed before the page gets its name.
//
// It also tells what earlier publications, of this file or of sibling (the key's other form), may have left. That is
// complete: a twin or a graced page is noted before it gets its name, and a row is deleted only when they are gone.
func (db *DB) Publish(ctx context.Context, r *Row, sibling string, f *Fill) (earlier []Earlier, v Verdict, left time.Duration, err error) {
	err = db.write(ctx, fault.RowCommit, "store a publication", func(c *sqlite.Conn) error {
		if v, left, err = db.judge(c, f); err != nil || v != Clear {
			return err
		}
		if err := run(c, `SELECT file, twins, graced FROM publication WHERE file IN (?, ?)`,
			func(s *sqlite.Stmt) {
				s.BindText(1, r.File)
				s.BindText(2, sibling)
			},
			func(s *sqlite.Stmt) error {
				earlier = append(earlier, Earlier{s.ColumnText(0), s.ColumnInt(1) != 0, s.ColumnInt64(2) != 0})
				return nil
			}); err != nil {
			return err
		}
		if err := run(c, `INSERT INTO publication(id, file, claim, key, ino, sec, nsec, size, digest, status, header, tags, position, created, expires, grace)
			VALUES((SELECT next FROM total), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, func(s *sqlite.Stmt) {
			s.BindText(1, r.File)
			s.BindText(2, r.Claim)
			s.BindText(3, r.Key)
			s.BindInt64(4, int64(r.Identity.Ino))
			s.BindInt64(5, r.Identity.Sec)
			s.BindInt64(6, r.Identity.Nsec)
			s.BindInt64(7, r.Size)
			s.BindBytes(8, r.Digest[:])
			s.BindInt64(9, int64(r.Status))
			s.BindText(10, r.Header)
			s.BindText(11, strings.Join(r.Tags, "\n"))
			s.BindText(12, r.Position)
			s.BindInt64(13, r.Created)
			s.BindInt64(14, r.Expires)
			s.BindInt64(15, r.Grace)
		}, nil); err != nil {
			return err
		}
		r.ID = c.LastInsertRowID()
		for _, tag := range r.Tags {
			if err := run(c, `INSERT OR IGNORE INTO tag VALUES(?, ?)`, func(s *sqlite.Stmt) {
				s.BindText(1, tag)
				s.BindInt64(2, r.ID)
			}, nil); err != nil {
				return err
			}
		}
		return nil
	})
	fault.Saw(fault.RowCommit, v == Clear && err == nil)
	fault.Saw(fault.RowCommit, earlier)
	return earlier, v, left, err
}

// judge says whether a page may be published now.
func (db *DB) judge(c *sqlite.Conn, f *Fill) (v Verdict, left time.Duration, err error) {
	if ok, err := undisturbed(c, f.Noted, f.Concerns); err != nil || !ok {
		return Disturbed, 0, err
	}
	if len(f.Position) > 0 {
		if required, err := readRequired(c); err != nil || !required.Admits(f.Position) {
			return Behind, 0, err
		}
	}
	if left, err = db.left(c, f); err != nil || left > 0 {
		return Unsettled, left, err
	}
	return Clear, 0, nil
}

// undisturbed reports whether no invalidation after noted concerns a page. Where rows it would have to look at are
// gone already, it is unknown, and unknown means no.
func undisturbed(c *sqlite.Conn, noted int64, concerns func(*Invalidation) bool) (ok bool, err error) {
	ok = true
	expected := noted + 1
	err = run(c, `SELECT `+invalidationColumns+` FROM invalidation WHERE seq > ? ORDER BY seq`,
		func(s *sqlite.Stmt) { s.BindInt64(1, noted) },
		func(s *sqlite.Stmt) error {
			i := scanInvalidation(s)
			if i.Seq != expected || concerns(&i) {
				ok = false
			}
			expected = i.Seq + 1
			return nil
		})
	return ok, err
}

// AddTwin notes that a publication has a twin, before the twin gets its name. The decision is that of Publish, and an
// invalidation still being carried out counts as well: it may have read the row before the twin was noted.
func (db *DB) AddTwin(ctx context.Context, id int64, bit int, noted int64, concerns func(*Invalidation) bool) (ok bool, err error) {
	err = db.write(ctx, fault.TwinCommit, "note a twin", func(c *sqlite.Conn) error {
		if ok, err = undisturbed(c, noted, concerns); err != nil || !ok {
			return err
		}
		if err := run(c, `SELECT `+invalidationColumns+` FROM invalidation WHERE done = 0`, nil, func(s *sqlite.Stmt) error {
			i := scanInvalidation(s)
			ok = ok && !concerns(&i)
			return nil
		}); err != nil || !ok {
			return err
		}
		err := run(c, `UPDATE publication SET twins = twins | ? WHERE id = ?`, func(s *sqlite.Stmt) {
			s.BindInt64(1, int64(bit))
			s.BindInt64(2, id)
		}, nil)
		ok = c.Changes() == 1
		return err
	})
	ok = ok && err == nil
	fault.Saw(fault.TwinCommit, ok)
	return ok, err
}

// Find returns the publication that a file found on disk is.
func (db *DB) Find(ctx context.Context, file string, identity Identity) (r Row, ok bool, err error) {
	err = db.read(ctx, fault.RowFind, "find a publication", func(c *sqlite.Conn) error {
		return run(c, `SELECT `+columns+` FROM publication WHERE file = ?`,
			func(s *sqlite.Stmt) { s.BindText(1, file) },
			func(s *sqlite.Stmt) error {
				if got := scan(s); got.Identity == identity {
					r, ok = got, true
				}
				return nil
			})
	})
	if fault.Enabled {
		var found []Row
		if ok {
			found = append(found, r)
		}
		fault.Saw(fault.RowFind, found)
	}
	return r, ok, err
}

// A Range selects rows by file name: From <= file < To. An empty To means From alone.
type Range struct{ From, To string }

// Below returns the range of the files below a folder.
func Below(folder string) Range { return Range{folder + "/", folder + "0"} } // "0" follows "/"

const pageOfRows = 5000

// Rows calls f for each row that is selected: those of a tag, of a range of files, or all, with After < id <= Until; in
// the order of ids, or within a range in that of files. It reads in pages, so that no long snapshot keeps the WAL from being reset.
func (db *DB) Rows(ctx context.Context, sel Select, f func(*Row) error) error {
	after, until := sel.After, sel.Until
	file, last := sel.Files.From, int64(0)
	if until == 0 {
		until = math.MaxInt64
	}
	for {
		var rows []Row
		err := db.read(ctx, fault.RowsRead, "read publications", func(c *sqlite.Conn) error {
			keep := func(s *sqlite.Stmt) error {
				rows = append(rows, scan(s))
				return nil
			}
			switch {
			case sel.Tag != "":
				return run(c, `SELECT `+columns+` FROM tag JOIN publication ON id = publication
					WHERE tag = ? AND publication > ? AND publication <= ? ORDER BY publication LIMIT ?`,
					func(s *sqlite.Stmt) {
						s.BindText(1, sel.Tag)
						s.BindInt64(2, after)
						s.BindInt64(3, until)
						s.BindInt64(4, pageOfRows)
					}, keep)
			case sel.Files != Range{}:
				to := sel.Files.To
				if to == "" {
					to = sel.Files.From + "\x00"
				}
				// In the order of files: by ids SQLite would read the whole table.
				return run(c, `SELECT `+columns+` FROM publication
					WHERE (file, id) > (?, ?) AND file < ? AND +id > ? AND +id <= ? ORDER BY file, id LIMIT ?`,
					func(s *sqlite.Stmt) {
						s.BindText(1, file)
						s.BindInt64(2, last)
						s.BindText(3, to)
						s.BindInt64(4, sel.After)
						s.BindInt64(5, until)
						s.BindInt64(6, pageOfRows)
					}, keep)
			default:
				return run(c, `SELECT `+columns+` FROM publication WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`,
					func(s *sqlite.Stmt) {
						s.BindInt64(1, after)
						s.BindInt64(2, until)
						s.BindInt64(3, pageOfRows)
					}, keep)
			}
		})
		if err != nil {
			return err
		}
		fault.Saw(fault.RowsRead, rows)
		for i := range rows {
			if err := f(&rows[i]); err != nil {
				return err
			}
		}
		if len(rows) < pageOfRows {
			return nil
		}
		after = rows[len(rows)-1].ID
		file, last = rows[len(rows)-1].File, after
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Select says which rows to read; see Rows.
type Select struct {
	Tag          string
	Files        Range
	After, Until int64
}

// Count counts the publications in a range of files.
func (db *DB) Count(ctx context.Context, r Range) (n int64, err error) {
	err = db.read(ctx, fault.RowsCount, "count publications", func(c *sqlite.Conn) error {
		return run(c, `SELECT count(*) FROM publication WHERE file >= ? AND file < ?`, func(s *sqlite.Stmt) {
			s.BindText(1, r.From)
			s.BindText(2, r.To)
		}, func(s *sqlite.Stmt) error {
			n = s.ColumnInt64(0)
			return nil
		})
	})
	fault.Saw(fault.RowsCount, n)
	return n, err
}

// Newest returns the largest id of a publication.
func (db *DB) Newest(ctx context.Context) (id int64, err error) {
	err = db.read(ctx, fault.RowsNewest, "read the newest publication", func(c *sqlite.Conn) error {
		return run(c, `SELECT max(id) FROM publication`, nil, func(s *sqlite.Stmt) error {
			id = s.ColumnInt64(0)
			return nil
		})
	})
	fault.Saw(fault.RowsNewest, id)
	return id, err
}

// SetGraced notes, before the rename, that publications are soft-purged.
func (db *DB) SetGraced(ctx context.Context, at int64, ids []int64) error {
	return db.batches(ctx, fault.RowGraced, "note graced pages", ids, func(c *sqlite.Conn, id int64) error {
		return run(c, `UPDATE publication SET graced = ? WHERE id = ? AND graced = 0`, func(s *sqlite.Stmt) {
			s.BindInt64(1, at)
			s.BindInt64(2, id)
		}, nil)
	})
}

// Delete removes rows whose files are gone for good.
func (db *DB) Delete(ctx context.Context, ids []int64) error {
	return db.batches(ctx, fault.RowsDelete, "delete publications", ids, deleteRow)
}

func deleteRow(c *sqlite.Conn, id int64) error {
	var tags []string
	bind := func(s *sqlite.Stmt) { s.BindInt64(1, id) }
	if err := run(c, `SELECT tags FROM publication WHERE id = ?`, bind, func(s *sqlite.Stmt) error {
		tags = split(s.ColumnText(0))
		return nil
	}); err != nil {
		return err
	}
	for _, tag := range tags {
		if err := run(c, `DELETE FROM tag WHERE tag = ? AND publication = ?`, func(s *sqlite.Stmt) {
			s.BindText(1, tag)
			s.BindInt64(2, id)
		}, nil); err != nil {
			return err
		}
	}
	return run(c, `DELETE FROM publication WHERE id = ?`, bind, nil)
}

// Hits adds counts to publications, and marks them visited.
func (db *DB) Hits(ctx context.Context, hits map[int64]int64) error {
	ids := make([]int64, 0, len(hits))
	for id := range hits {
		ids = append(ids, id)
	}
	return db.batches(ctx, fault.HitsWrite, "count hits", ids, func(c *sqlite.Conn, id int64) error {
		return run(c, `UPDATE publication SET hits = hits + ?, visited = 1 WHERE id = ?`, func(s *sqlite.Stmt) {
			s.BindInt64(1, hits[id])
			s.BindInt64(2, id)
		}, nil)
	})
}

// batches runs f for each id, some at a time, so that fills and invalidations get their turn between.
func (db *DB) batches(ctx context.Context, l fault.Label, op string, ids []int64, f func(c *sqlite.Conn, id int64) error) error {
	const batch = 200
	for len(ids) > 0 {
		n := min(batch, len(ids))
		if err := db.write(ctx, l, op, func(c *sqlite.Conn) error {
			for _, id := range ids[:n] {
				if err := f(c, id); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// Totals returns the number and bytes of all rows. Rows whose page is gone count until they are deleted.
func (db *DB) Totals(ctx context.Context) (pages, bytes int64, err error) {
	err = db.read(ctx, fault.TotalsRead, "read totals", func(c *sqlite.Conn) error {
		return run(c, `SELECT pages, bytes FROM total`, nil, func(s *sqlite.Stmt) error {
			pages, bytes = s.ColumnInt64(0), s.ColumnInt64(1)
			return nil
		})
	})
	fault.Saw(fault.TotalsRead, pages)
	return pages, bytes, err
}

// Sieve moves the hand of SIEVE (Zhang et al., NSDI 2024) over at most limit rows, oldest first, and returns the ones
// to evict, at most want. A visited row is spared once. The hand starts again when it has passed the newest row.
func (db *DB) Sieve(ctx context.Context, want, limit int) (victims []Row, err error) {
	err = db.write(ctx, fault.SieveWrite, "choose what to evict", func(c *sqlite.Conn) error {
		victims = victims[:0]
		var hand int64
		if err := run(c, `SELECT hand FROM total`, nil, func(s *sqlite.Stmt) error {
			hand = s.ColumnInt64(0)
			return nil
		}); err != nil {
			return err
		}
		var spared []int64
		seen := 0
		for wraps := 0; len(victims) < want && seen < limit && wraps < 2; {
			n := 0
			err := run(c, `SELECT `+columns+` FROM publication WHERE id > ? ORDER BY id LIMIT 100`,
				func(s *sqlite.Stmt) { s.BindInt64(1, hand) },
				func(s *sqlite.Stmt) error {
					n++
					if len(victims) == want {
						return nil
					}
					r := scan(s)
					hand = r.ID
					seen++
					if r.Visited {
						spared = append(spared, r.ID)
					} else {
						victims = append(victims, r)
					}
					return nil
				})
			if err != nil {
				return err
			}
			for _, id := range spared {
				if err := run(c, `UPDATE publication SET visited = 0 WHERE id = ?`, func(s *sqlite.Stmt) { s.BindInt64(1, id) }, nil); err != nil {
					return err
				}
			}
			spared = spared[:0]
			if n < 100 && len(victims) < want {
				hand = 0
				wraps++
			}
		}
		return run(c, `UPDATE total SET hand = ?`, func(s *sqlite.Stmt) { s.BindInt64(1, hand) }, nil)
	})
	fault.Saw(fault.SieveWrite, victims)
	return victims, err
}
