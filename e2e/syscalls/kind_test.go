//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A kind is a way for a call to go wrong.
type kind struct {
	name   string
	change change
	of     func(c call) bool // calls that can go wrong so
	// then: the program is killed as soon as the operation has ended. Trouble seldom comes alone: what a failed call has
	// left half done must not come back.
	then bool
}

func (k kind) kills() bool {
	return k.then || k.change.what == killBefore || k.change.what == killAfter
}

var kinds = []kind{
	{"EIO", change{notMade, unix.EIO}, func(c call) bool { return !releases(c) }, false},
	{"ENOSPC", change{notMade, unix.ENOSPC}, needsSpace, false},
	{"EMFILE", change{notMade, unix.EMFILE}, opens, false},
	{"happened", change{madeFailing, unix.EIO}, func(call) bool { return true }, false},
	{"EIO,killed", change{notMade, unix.EIO}, needsSpace, true},
	{"happened,killed", change{madeFailing, unix.EIO}, needsSpace, true},
	{"killed-before", change{what: killBefore}, func(call) bool { return true }, false},
	{"killed-after", change{what: killAfter}, func(call) bool { return true }, false},
}

// releases: Linux lets go of a descriptor and of a lock whatever it returns, so these fail only after they have happened.
func releases(c call) bool { return c.name == "close" || strings.HasSuffix(c.name, " unlock") }

func opens(c call) bool {
	return strings.HasPrefix(c.name, "open") || c.name == "fcntl dup" || c.name == "dup"
}

func needsSpace(c call) bool {
	return slices.Contains([]string{
		"openat create", "open create", "write", "pwrite64", "writev", "pwritev", "ftruncate", "fallocate", "mkdir", "mkdirat", "link", "linkat",
		"symlink", "symlinkat", "rename", "renameat", "renameat2", "fsync", "fdatasync", "syncfs", "mmap",
	}, c.name)
}

// A kase is a call of an operation, and how it goes wrong.
type kase struct {
	op   operation
	call call
	kind kind
	rare bool // seen in fewer than half of the recordings: background work, mostly
}

func (c kase) String() string { return c.op.name + " " + c.kind.name + " " + c.call.String() }

// quiets are the faults that nobody need be told of, as the operation has gone well all the same, each with the reason.
var quiets = []struct {
	op, kind, name, file string // patterns; empty: any
	why                  string
}{
	{"", "happened", "close", "", "the descriptor is gone whatever close returns; what must last was synced before"},
	{"", "", "fcntl flags", "", "Go asks how a file was opened, SQLite sees to it that no child inherits it: nothing here depends on that"},
	{"", "", "fchown", "", "SQLite gives its files the owner of the database, if it can"},
	{"", "", "fcntl lock( shared)?", `.*\.db(-shm)?`, "SQLite takes any error for a lock that somebody else has, and tries again"},
	{"", "happened", ".* unlock", "", "it is released; what SQLite makes of the error, see cures"},
	{"fill|recovery", "", "openat|newfstatat", "live.*", "what can't be shown to be a hit is none: the page is rendered"},
	{"", "", "flock", `.*/\.page\.tmp`, "a claim that can't be locked is another's: it is claimed again"},
	{"", "", "newfstatat", `cache/gen-N/pages/.*\.stale`, "upkeep's look whether a row may go: it stays until it is known that its page has gone"},
	{"", "", "unlinkat|newfstatat", `.*/\.page\.tmp`, "a claim that its owner has let go of and left lying is taken away by the next fill, or the sweep"},
	{"", "", "newfstatat", "cache/gen-N", "upkeep's look whether the generation was half retired: the next round looks again"},
	{"recovery", "", "newfstatat", "cache/drop(ping)?", "whether an invalidation had failed can't be known: every page is dropped, and rendered again"},
	{"", "", "open|fsync|fstat", `\.`, "SQLite syncs the folder of a database that is long there"},
	{"", "", "flock", "cache/[a-z]+", "the library opens the file anew, and tries again"},
	{"recovery", "", "f?stat|open( create)?", `.*\.db(-wal|-shm|-journal)?`,
		"SQLite looks for a log before it has read that the database has one, and opens for reading what it can't have for writing: a connection for readers needs no more"},
	{"upload|recovery", "", "f?stat|newfstatat|openat", `incoming(/RANDOM[.@].*)?`, "a file that can't be shown to be ours, and locked, is left to the sweep, and another one begun"},
	{"upload", "", "unlinkat", "incoming/RANDOM@.*", "an intent that is left lying is settled within a minute"},
	{"", "", "unlinkat( folder)?", "cache/trash.*", "it is tried as a file, then as a folder; what is gone is gone, and what is left the next round takes"},
	{"upload|recovery", "happened", "unlinkat( folder)?", "(files|incoming|live).*", "os.Remove tries unlink and rmdir: of what is gone by now, the second says so"},
	{"recovery", "EIO", "unlinkat", `files/.*\.metadata`, "there is none, and the second try, as a folder, says so"},
	{"", "", "fstat", "cache/(boot|format|fenced|clean)|pages-made-by|files", "Go asks how much there is to read, and reads on without knowing"},
	{"recovery", "", "newfstatat", `\.|cache`, "whether the folder is there is asked once more by making it"},
	{"recovery", "", "unlinkat( folder)?", `live\.probe\.N`, "what is left of a probe has a name that nobody follows"},
	{"upload|recovery", "", "unlinkat", "files(/D)+", "os.Root tries to unlink a folder as if it were a file, and then as a folder"},
	{"", "", "open|openat", "/.*", "the runtime's and the C library's own: they do without what they can't have"},
}

func quiet(c kase) bool {
	for _, q := range quiets {
		if match(q.op, c.op.name) && match(q.kind, c.kind.name) && match(q.name, c.call.name) && match(q.file, c.call.file) {
			return true
		}
	}
	return false
}

func match(pattern, text string) bool {
	return pattern == "" || regexp.MustCompile("^(?:"+pattern+")$").MatchString(text)
}

// A remedy is what it takes, in a few cases, until everything is as before.
type remedy int

const (
	anotherChange remedy = iota + 1 // of the index
	restart
)

// cures are the faults whose end is not enough.
var cures = []struct {
	kind, name, file string
	remedy           remedy
	why              string
}{
	{"happened", "fcntl unlock", `.*/inventory\.db(-shm)?`, anotherChange,
		"SQLite takes its own lock for held as long as the inventory is open. (No unlock on a Linux file system fails: it has nothing to fail for.)" +
			" Pages are rendered past the cache, and the log says so, until the next invalidation finds it busy and drops everything"},
	{"happened", "fcntl unlock", `index\.db(-shm)?`, restart, "the same, of the database: 503 until the program is started again"},
}

// cure applies a remedy where one is needed.
func (w *world) cure(ctx context.Context, c kase, r remedy) error {
	for _, cure := range cures {
		if cure.remedy != r || !match(cure.kind, c.kind.name) || !match(cure.name, c.call.name) || !match(cure.file, c.call.file) {
			continue
		}
		if r == restart {
			return errors.Join(w.app.Kill(), w.start(ctx, nil))
		}
		if _, a, err := w.yank(ctx); err != nil || a.Status != 200 {
			return fmt.Errorf("the next change: %v, %w", a, err)
		}
	}
	return nil
}
