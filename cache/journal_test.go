package cache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cache/position"
)

// journal reads what is written down, newest first.
func journal(t *testing.T, dir string) (entries []cache.Journaled) {
	t.Helper()
	for e, err := range cache.Journal(t.Context(), dir) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// TestJournal: every process writes down what it invalidated; Close waits for that.
func TestJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	fill(t, s, "h/a", "x", "t", "u")
	fill(t, s, "h/b", "x", "t")
	p, err := position.Parse("m=1@0/5")
	if err != nil {
		t.Fatal(err)
	}
	invalidate(t, s, cache.Selection{Tags: []string{"t"}, Cause: "a\x1b[31m\xff\nb", Position: p})
	invalidate(t, s, cache.Selection{All: true, DryRun: true})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, other, "h/a", "x")
	keys := []cache.Key{mustKey(t, "h/a")}
	for i := range 60 {
		keys = append(keys, mustKey(t, fmt.Sprintf("h/%d", i)))
	}
	keys[20].Path += strings.Repeat("x", 2000)
	invalidate(t, other, cache.Selection{Keys: keys, Soft: true})
	invalidate(t, other, cache.Selection{Keys: keys, Prefixes: []key.Prefix{{Host: "h", Path: "/p"}}})
	invalidate(t, other, cache.Selection{All: true})
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	entries := journal(t, dir)
	if len(entries) != 4 {
		t.Fatalf("%+v", entries)
	}
	all, hard, tag := entries[0], entries[1], entries[3]
	if !all.All || !all.Retired || all.PID != os.Getpid() || all.Program == "" || time.Since(all.At) > time.Minute {
		t.Errorf("%+v", all)
	}
	if len(hard.Keys) != 50 || hard.More != 11 || !slices.Equal(hard.Prefixes, []string{"h/p/"}) || !slices.Equal(hard.Dropped, []string{}) || hard.Soft {
		t.Errorf("%+v", hard)
	}
	if tag.Pages != 2 || !slices.Equal(tag.Dropped, []string{"h/a", "h/b"}) || tag.Cause != "a\x1b[31m\uFFFD\nb" || tag.Position != "m=1@0/5" {
		t.Errorf("%+v", tag)
	}
	for k, want := range map[string]bool{"h/a": true, "h/b": true, "h/c": false} {
		if got := tag.Concerns(mustKey(t, k), nil); got != want {
			t.Errorf("%s: %t", k, got)
		}
	}
	if !tag.Concerns(mustKey(t, "h/c"), []string{"t"}) || !hard.Concerns(mustKey(t, "h/p/q"), nil) || !all.Concerns(mustKey(t, "g/"), nil) {
		t.Error("a tag, a subtree, and all are not found")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "cache/log"))
	if err != nil || bytes.Contains(raw, []byte("\x1b")) || !utf8.Valid(raw) || bytes.Count(raw, []byte("\n")) != 4 {
		t.Errorf("%q, %v", raw, err)
	}
}

// TestJournalKeepsNothing: what the caller does with its lists after Invalidate has returned is its own business.
func TestJournalKeepsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	keys, tags, prefixes := []cache.Key{{}}, []string{""}, []key.Prefix{{}}
	for i := range 9 {
		name := strconv.Itoa(i)
		keys[0], tags[0], prefixes[0] = mustKey(t, "h/"+name), name, key.Prefix{Host: "h", Path: "/" + name}
		invalidate(t, s, cache.Selection{Keys: keys, Tags: tags, Prefixes: prefixes})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, e := range slices.Backward(journal(t, dir)) {
		name := strconv.Itoa(8 - i)
		if !slices.Equal(e.Keys, []string{"h/" + name}) || !slices.Equal(e.Tags, []string{name}) || !slices.Equal(e.Prefixes, []string{"h/" + name + "/"}) {
			t.Errorf("call %s: %+v", name, e)
		}
	}
}

// TestJournalIsInNobodysWay: it may be missing, damaged, a trap, or unwritable.
func TestJournalIsInNobodysWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	path := filepath.Join(dir, "cache/log")
	if entries := journal(t, dir); len(entries) > 0 {
		t.Errorf("%+v", entries)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.WriteFile(outside, nil, 0o644), os.Symlink(outside, path)); err != nil {
		t.Fatal(err)
	}
	invalidate(t, s, cache.Selection{Keys: []cache.Key{mustKey(t, "h/a")}})
	_ = s.Close()
	if b, err := os.ReadFile(outside); err != nil || len(b) > 0 {
		t.Errorf("written through a link: %q, %v", b, err)
	}
	line, _ := json.Marshal(cache.Journaled{Cause: "whole"})
	half := string(line[:10])
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("\x00\n{}x\n"+half+"\n[]\n"+string(line)+"\n"+half), 0o644)); err != nil {
		t.Fatal(err)
	}
	if entries := journal(t, dir); len(entries) != 1 || entries[0].Cause != "whole" {
		t.Errorf("%+v", entries)
	}
}

// TestJournalIsBounded: a file over its bound gives way to a new one, and there are two.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	path := filepath.Join(dir, "cache/log")
	line, _ := json.Marshal(cache.Journaled{Cause: strings.Repeat("x", 200)})
	if err := os.WriteFile(path, bytes.Repeat(append(line, '\n'), 4<<20/(len(line)+1)), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		invalidate(t, s, cache.Selection{Keys: []cache.Key{mustKey(t, "h/a")}, Cause: strings.Repeat("y", 300)})
	}
	_ = s.Close()
	again := open(t, dir)
	invalidate(t, again, cache.Selection{Keys: []cache.Key{mustKey(t, "h/a")}, Cause: "last"})
	_ = again.Close()
	st, err := os.Stat(path)
	if err != nil || st.Size() > 10_000 {
		t.Errorf("%v, %v", st, err)
	}
	if st, err := os.Stat(path + ".1"); err != nil || st.Size() < 4<<20 {
		t.Errorf("%v, %v", st, err)
	}
	if entries := journal(t, dir); len(entries) < 10_000 || entries[0].Cause != "last" {
		t.Errorf("%d entries", len(entries))
	}
}

// TestUnstored: why answers are not stored is told once a minute for a page and a reason, and never without end.
func TestUnstored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	k := mustKey(t, "h/a")
	for range 3 {
		s.NoteUnstored(k, "cookie")
	}
	s.NoteUnstored(k, "no explicit freshness\n")
	for i := range 1000 {
		s.NoteUnstored(mustKey(t, fmt.Sprintf("h/%d", i)), "x")
	}
	_ = s.Close()
	var about int
	var total int
	for e, err := range cache.UnstoredPages(t.Context(), dir) {
		if err != nil {
			t.Fatal(err)
		}
		total++
		if e.Key == "h/a" {
			about++
		}
	}
	if about != 2 || total < 100 || total > 300 {
		t.Errorf("%d lines about the page, %d in all", about, total)
	}
}

// TestFollowJournal: what another process drops comes, also over a change of files.
func TestFollowJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cache/log")
	line := func(cause string) []byte {
		b, _ := json.Marshal(cache.Journaled{Cause: cause})
		return append(b, '\n')
	}
	add := func(name string, b []byte) {
		f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.Write(b)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	add(path, line("before"))
	var got []string
	from := cache.FollowJournal(t.Context(), dir)
	add(path, line("one"))
	for e, err := range from {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Cause)
		if len(got) == 1 {
			b := line("three")
			add(path, append(line("two"), b[:5]...))
			add(path, b[5:])
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			add(path, line("four"))
		}
		if len(got) == 4 {
			break
		}
	}
	if want := []string{"one", "two", "three", "four"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
