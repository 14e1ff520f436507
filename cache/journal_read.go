package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cachesrv/cachesrv/cache/key"
)

// Journal returns what was invalidated lately in the folder DIR, newest first: the last 10,000 calls of Invalidate by all
// processes, or some more. Lines that can't be read are left out. The folder need not be open.
func Journal(ctx context.Context, dir string) iter.Seq2[Journaled, error] {
	return lines[Journaled](ctx, dir, "log", journalFile)
}

// UnstoredPages returns which answers were lately not stored in the folder DIR, and why, newest first.
func UnstoredPages(ctx context.Context, dir string) iter.Seq2[Unstored, error] {
	return lines[Unstored](ctx, dir, "unstored", unstoredFile)
}

// lines reads a log backwards.
func lines[T any](ctx context.Context, dir, name string, bound int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, name := range []string{name, name + ".1"} {
			b, err := readLog(filepath.Join(dir, "cache", name), 0, bound)
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, line := range slices.Backward(bytes.Split(b, []byte("\n"))) {
				if ctx.Err() != nil {
					yield(*new(T), ctx.Err())
					return
				}
				var entry T
				if len(line) > 0 && json.Unmarshal(line, &entry) == nil && !yield(entry, nil) {
					return
				}
			}
		}
	}
}

// readLog reads a file from an offset, at most twice the bound; a missing one is empty.
func readLog(path string, from, bound int64) ([]byte, error) {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.Mode().IsRegular() {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, ignoreGone(err)
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, 2*bound))
}

// followPause is the time between two looks at a log that is followed.
const followPause = 250 * time.Millisecond

// FollowJournal returns what is invalidated in the folder DIR from now on, as it comes, until the context ends. It is to be
// ranged over once.
func FollowJournal(ctx context.Context, dir string) iter.Seq2[Journaled, error] {
	path := filepath.Join(dir, "cache", "log")
	var read int64
	var last os.FileInfo
	if st, err := os.Lstat(path); err == nil {
		last, read = st, st.Size()
	}
	return func(yield func(Journaled, error) bool) {
		tick := time.NewTicker(followPause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for _, name := range []string{path + ".1", path} { // what was written to a file before it gave way, first
				st, err := os.Lstat(name)
				if err != nil || last != nil && name != path && !os.SameFile(st, last) || last == nil && name != path {
					continue
				}
				if last != nil && !os.SameFile(st, last) {
					read = 0
				}
				b, err := readLog(name, read, journalFile)
				if err != nil {
					yield(Journaled{}, err)
					return
				}
				whole := b[:bytes.LastIndexByte(b, '\n')+1]
				read, last = read+int64(len(whole)), st
				for line := range bytes.SplitSeq(whole, []byte("\n")) {
					var entry Journaled
					if len(line) > 0 && json.Unmarshal(line, &entry) == nil && !yield(entry, nil) {
						return
					}
				}
			}
		}
	}
}

// Concerns reports whether the call concerned a page with these tags, as far as the line tells: by name, by a tag, by a
// subtree, by all, or as it names the page among those dropped.
func (j Journaled) Concerns(k Key, tags []string) bool {
	if j.All || j.Retired || slices.Contains(j.Dropped, k.String()) {
		return true
	}
	for _, text := range j.Keys {
		if named, err := key.Parse(text); err == nil && sameURL(named, k) {
			return true
		}
	}
	for _, text := range j.Prefixes {
		if p, err := key.ParsePrefix(text); err == nil && p.Covers(k) {
			return true
		}
	}
	return slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(j.Tags, t) })
}
