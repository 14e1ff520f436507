//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/e2e/indextest"
	"github.com/cachesrv/cachesrv/e2e/program"
	"github.com/cachesrv/cachesrv/e2e/torture"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// A world is an index that runs, or has been killed, in a folder of its own, and what a client knows of it.
type world struct {
	dir     string // of everything here
	app     *torture.Application
	cli     *torture.Application // for the program's other commands
	client  *indextest.Client
	log     *program.Log
	pid     int
	pids    *os.File // FIFO from which we learn the program's process id before it begins
	pidLine *bufio.Reader
	starts  *os.File // FIFO that lets it begin
	cases   int
	changes int // so far; each is told apart by its number
	project string
}

// host is the site's name: with one that no port is part of, pages outlive a restart.
const host = "index.test"

// gate runs the program once we are ready to trace it: its process is there, and has done nothing yet.
const gate = `echo $$ >"$0/pids"; read go <"$0/starts"; exec "$@"`

// newWorld starts an index with a project and somebody who may upload. It lies in memory: what is looked for depends on
// which calls were made, not on a disk.
func newWorld(ctx context.Context, path string, env ...string) (*world, error) {
	dir, err := os.MkdirTemp("/dev/shm", "syscalls-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, log: &program.Log{Bytes: loggedBytes}, project: "sys-p0"}
	for _, fifo := range []struct {
		name string
		file **os.File
	}{{"pids", &w.pids}, {"starts", &w.starts}} {
		path := filepath.Join(dir, fifo.name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return nil, err
		}
		if *fifo.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
			return nil, err
		}
	}
	w.pidLine = bufio.NewReader(w.pids)
	// Without the serial, HTML pages are such that other servers read them.
	args := []string{"--host", host, "--live", w.live(), "--serial-header", "off"}
	w.cli = torture.NewIndex(path, w.data(), "", args...)
	w.app = torture.NewIndex("/bin/sh", w.data(), "", args...)
	w.app.Args = append([]string{"-c", gate, dir, path}, w.app.Args...)
	w.app.Log, w.app.Env = w.log, env
	if err := w.start(ctx, nil); err != nil {
		return nil, errors.Join(err, w.close())
	}
	token, err := w.cli.AddToken(ctx, "ada")
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.client = &indextest.Client{Base: w.app.BaseURL(), Host: host, Token: token}
	if a, err := w.client.Upload(ctx, wheel(w.project, "1.0")); err != nil || a.Status != 200 {
		return nil, errors.Join(fmt.Errorf("the first upload: %v, %w", a, err), w.close())
	}
	return w, nil
}

func (w *world) data(path ...string) string {
	return filepath.Join(append([]string{w.dir, "data"}, path...)...)
}
func (w *world) live() string { return filepath.Join(w.dir, "data", "live") }

// close kills it, and removes its folder.
func (w *world) close() error {
	return errors.Join(w.app.Kill(), w.pids.Close(), w.starts.Close(), os.RemoveAll(w.dir))
}

// startTime bounds a start up to the program's execve.
const startTime = 20 * time.Second

// An attacher begins to watch the calls of a process: those from now on, or, if it has yet to become the program, from its
// execve on. stop lets go of it.
type attacher func(pid int, running bool) (stop func() error, err error)

// start starts the program, and waits until it serves. With an attacher its calls are watched, from the first one on.
func (w *world) start(ctx context.Context, attach attacher) error {
	started := make(chan error, 1)
	go func() { started <- w.app.Start(ctx) }()
	if err := w.pids.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		return err
	}
	line, err := w.pidLine.ReadString('\n')
	if err == nil {
		w.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		return fmt.Errorf("the program's process id: %w", errors.Join(err, w.app.Kill(), <-started))
	}
	stop := func() error { return nil }
	if attach != nil {
		if stop, err = attach(w.pid, false); err != nil {
			return errors.Join(err, errTracer, w.app.Kill(), <-started)
		}
	}
	if _, err := w.starts.WriteString("go\n"); err != nil {
		return errors.Join(err, w.app.Kill(), <-started)
	}
	err = <-started
	if stopErr := stop(); stopErr != nil {
		return errors.Join(stopErr, errTracer)
	}
	if err == nil && w.client != nil {
		w.client.Base = w.app.BaseURL()
	}
	return err
}

var errTracer = errors.New("the tracer failed")

// during watches the running program while f runs.
func (w *world) during(attach attacher, f func()) error {
	stop, err := attach(w.pid, true)
	if err != nil {
		return errors.Join(err, errTracer)
	}
	f()
	if err := stop(); err != nil {
		return errors.Join(err, errTracer)
	}
	return nil
}

// down reports whether the program has ended.
func (w *world) down() bool {
	select {
	case <-w.app.Gone():
		return true
	default:
		return false
	}
}

// wheel makes a small one.
func wheel(name, version string) indextest.File {
	return indextest.Wheel(sample.Dist{Name: name, Version: version, Summary: name + " for tests"})
}

// A page of the site.
type page struct{ path, accept string }

func (p page) String() string { return p.path + " as " + p.accept }

// pagesOf are the pages that a change of a project changes.
func pagesOf(project string) []page {
	return []page{
		{"/simple/" + project + "/", indextest.HTML}, {"/simple/" + project + "/", indextest.JSON},
		{"/project/" + project + "/", indextest.HTML}, {"/simple/", indextest.JSON}, {"/simple/", indextest.HTML},
	}
}

func (w *world) get(ctx context.Context, p page) (indextest.Answer, error) {
	return w.client.Get(ctx, p.path, "Accept", p.accept)
}

// past asks past the cache.
func (w *world) past(ctx context.Context, p page) (indextest.Answer, error) {
	return w.client.Get(ctx, p.path, "Accept", p.accept, "Cookie", "past=the-cache")
}

// yank changes the project: its only release is yanked, for a reason that no other change has.
func (w *world) yank(ctx context.Context) (reason string, a indextest.Answer, err error) {
	w.changes++
	reason = fmt.Sprintf("change %d", w.changes)
	a, err = w.client.Do(ctx, "POST", "/project/"+w.project+"/1.0/yank", []byte(url.Values{"reason": {reason}}.Encode()),
		"Content-Type", "application/x-www-form-urlencoded")
	return reason, a, err
}

// loggedBytes bounds what is kept of a world's log.
const loggedBytes = 4 << 20
