package catalog

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/crypto/blake2b"
)

// An Incoming is a file on its way in. Write to it, Add it, and Close it in any case. Not for concurrent use.
//
// It lies in Dir/incoming. Whoever makes a file there holds its flock, by the descriptor, for as long as they may still
// do something with it: a name without one belongs to the dead. These are the steps, each durable before the next; a
// process, or the power, may go after any of them:
//
//  1. open(RANDOM.part, O_CREAT|O_EXCL); flock; write, hashing
//  2. the same for the metadata of a wheel; fsync
//  3. rename RANDOM.part to the intent, RANDOM@DIGEST@FILENAME: the place may have a file without a row; fsync the file,
//     fsync incoming
//  4. BEGIN; lock the serial; INSERT the rows
//  5. mkdir the place's folders; link the metadata, link the file; fsync the folders
//  6. COMMIT
//  7. unlink the intent and the metadata's other name
//
// After a step before 6 the upload never happened, after 6 it is whole. What is left over is settled the same way by
// the upload itself when it fails, by the next opening and by a look every minute: lock the serial, look for the row;
// without one, unlink the place's files, fsync; then unlink the intent (see settle). A deletion makes such intents, as
// empty files, under the lock, and settles them when it has committed.
type Incoming struct {
	c       *Catalog
	file    *os.File // nil when closed
	name    string   // below Dir
	random  string
	size    int64
	sha256  hash.Hash
	md5     hash.Hash
	blake2b hash.Hash
	err     error // what ended the writing
	added   bool  // Add was called
	keep    bool  // the name is an intent, not ours to remove
}

var _ io.WriteCloser = (*Incoming)(nil)

// Receive begins a file. It waits while 256 others of this process are on their way in.
func (c *Catalog) Receive(ctx context.Context) (*Incoming, error) {
	select {
	case c.arriving <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("receive a file: wait for others: %w", ctx.Err())
	}
	in := &Incoming{c: c, sha256: sha256.New(), md5: md5.New()}
	var err error
	if in.blake2b, err = blake2b.New256(nil); err == nil {
		in.random, in.name, in.file, err = c.newIncoming(partSuffix)
	}
	if err != nil {
		<-c.arriving
		return nil, fmt.Errorf("receive a file: %w", err)
	}
	return in, nil
}

// newIncoming makes a file in incoming and locks it. A sweep may come between the two: then it is another file.
func (c *Catalog) newIncoming(suffix string) (random, name string, f *os.File, err error) {
	for try := 0; ; try++ {
		random = rand.Text()[:10]
		name = path.Join(incomingDir, random+suffix)
		f, err = c.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			if errors.Is(err, fs.ErrExist) && try < 10 {
				continue
			}
			return "", "", nil, err
		}
		free, err := tryLock(f)
		if err == nil && free && c.holds(name, f) {
			return random, name, f, nil
		}
		_ = f.Close() // the sweep has removed it, or will
		if err != nil || try == 10 {
			return "", "", nil, fmt.Errorf("lock %s: %w", name, errors.Join(err, errSwept))
		}
	}
}

var errSwept = errors.New("another process removes every file that this one makes")

// tryLock takes a file's lock if nobody has it. The lock ends with the descriptor, so with the process.
func tryLock(f *os.File) (bool, error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err {
		case nil:
			return true, nil
		case syscall.EWOULDBLOCK:
			return false, nil
		case syscall.EINTR:
		default:
			return false, err
		}
	}
}

// holds reports whether the file at a name is the open one.
func (c *Catalog) holds(name string, f *os.File) bool {
	open, err1 := f.Stat()
	there, err2 := c.root.Lstat(name)
	return err1 == nil && err2 == nil && os.SameFile(open, there)
}

// Write returns ErrTooLarge when the file grows over MaxFile. After an error the file is of no use.
func (in *Incoming) Write(p []byte) (n int, err error) {
	switch {
	case in.file == nil || in.added:
		return 0, fmt.Errorf("receive a file: %w", fs.ErrClosed)
	case in.err != nil:
		return 0, in.err
	case in.size+int64(len(p)) > in.c.o.MaxFile:
		in.err = refuse(ErrTooLarge, "the file is larger than the %d bytes that this index takes", in.c.o.MaxFile)
		return 0, in.err
	}
	if n, err = in.file.Write(p); err != nil {
		in.err = fmt.Errorf("receive a file: %w", err)
		return n, in.err
	}
	in.size += int64(n)
	for _, h := range []hash.Hash{in.sha256, in.md5, in.blake2b} {
		_, _ = h.Write(p) // a hash never fails
	}
	return n, nil
}

// Size is how many bytes were written.
func (in *Incoming) Size() int64 { return in.size }

// Close removes what Add has not put in place. It may be called again.
func (in *Incoming) Close() error {
	if in.file == nil {
		return nil
	}
	var err error
	if !in.keep {
		err = in.c.remove(in.name)
	}
	err = errors.Join(err, in.file.Close())
	in.file = nil
	<-in.c.arriving
	return err
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
