//go:build e2e || soak

// Package syscalls tests the real program, built as anybody would, with each of its system calls going wrong: those of a
// fill, of an invalidation, of an upload, and of the start after a kill. In turn, each call that concerns a file
//
//   - fails: it is not made, and returns EIO, or ENOSPC, or EMFILE
//   - fails but has happened: it is made, and an error is returned all the same
//   - is the last one: SIGKILL before it is made, and after
//   - fails, or fails but has happened, and the program is killed as soon as the operation has ended
//
// Afterwards the fault is over, and what is promised holds: no page is older than the database, none is torn, in answers
// and in the files that other servers read; an upload is whole or has never happened; the program has said that
// something was wrong, or nothing was; `check` finds nothing, or has it dropped; and the page is kept again.
//
// The calls are listed, and made to fail, by a small tracer of our own (ptrace): strace counts per thread, which means
// little in a program whose goroutines move between threads, and can't let a call happen and fail. That it lists
// what strace lists is tested.
//
// A call is known by its name, by the file it is about, and by the how-many-th of these it is: "unlinkat
// cache/gen-N/pages/index.test/simple/P.page.tmp 1".
//
// Every choice follows from a seed, which is printed; -args -seed=N makes them again, though not what goroutines make of
// them. -args -case='OPERATION KIND CALL' runs one case.
package syscalls
