package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Announcement is how an application says on its standard output where it listens, once it serves.
const Announcement = "listening on "

// startTimeout bounds a start, stopTimeout a stop in order.
const startTimeout, stopTimeout = 60 * time.Second, 20 * time.Second

// An Application is a child instance of one of our programs. Set the fields, then use it as a Target.
type Application struct {
	Name string    // for reports
	Path string    // of the program
	Args []string  // the program must listen on a port of its choice and announce it
	Env  []string  // added to this program's; may be changed between two starts
	Log  io.Writer // what it writes to standard error; default: nothing

	// Announced finds the address (127.0.0.1:PORT) in a line of its standard output that says where it serves. Default:
	// what follows Announcement.
	Announced func(line string) (address string, ok bool)

	// Listens is an address on which a server of another make listens once it serves, as it announces nothing. It may have
	// processes of its own, so that it is not killed but asked to end.
	Listens string

	command *exec.Cmd
	gone    chan struct{} // closed when it has ended
	ended   error         // why; read it after gone
	base    atomic.Pointer[string]
	client  http.Client
}

func (a *Application) String() string { return a.Name }

// BaseURL is where it answers; empty before the first start.
func (a *Application) BaseURL() string {
	if base := a.base.Load(); base != nil {
		return *base
	}
	return ""
}

// ErrKilled marks a start during which the program was killed, or killed itself.
var ErrKilled = errors.New("killed")

// Start runs the program and waits for its announcement.
func (a *Application) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	last := &lastLines{also: a.Log}
	a.command = exec.Command(a.Path, a.Args...)
	a.command.Env = append(os.Environ(), a.Env...)
	a.command.Stderr = last
	a.command.WaitDelay = time.Second
	a.command.SysProcAttr = attributes(a.last())
	stdout, err := a.command.StdoutPipe()
	if err != nil {
		return err
	}
	// Never written to: our test programs end when it is closed, and so when this program dies.
	if _, err := a.command.StdinPipe(); err != nil {
		return err
	}
	find := a.Announced
	if find == nil {
		find = func(line string) (string, bool) { return strings.CutPrefix(line, Announcement) }
	}
	started, announced := make(chan error, 1), make(chan string, 1)
	gone := make(chan struct{})
	a.gone = gone
	go func() { // ends with the child
		runtime.LockOSThread() // the child ends with the thread that started it
		defer close(gone)
		err := a.command.Start()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if address, ok := find(lines.Text()); ok {
				announced <- address
				break
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
		a.ended = a.command.Wait()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", a.Name, err)
	}
	if a.Listens != "" {
		go func() {
			if listens(ctx, a.Listens) {
				announced <- a.Listens
			}
		}()
	}
	select {
	case address := <-announced:
		base := "http://" + address
		a.base.Store(&base)
		return nil
	case <-gone:
		if status, ok := a.command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return fmt.Errorf("%s: %w before it served", a.Name, ErrKilled)
		}
		return fmt.Errorf("%s ended before it served: %v\n%s", a.Name, a.ended, last)
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s does not serve: %w\n%s", a.Name, ctx.Err(), last), a.Kill())
	}
}

// listens waits until something accepts connections on an address, or ctx ends.
func listens(ctx context.Context, address string) bool {
	for ctx.Err() == nil {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return true
		}
		pause(ctx, 20*time.Millisecond)
	}
	return false
}

// last is the signal that ends it for good.
func (a *Application) last() syscall.Signal {
	if a.Listens != "" {
		return syscall.SIGTERM
	}
	return syscall.SIGKILL
}

// Gone is closed when the instance started last has ended, in whatever way.
func (a *Application) Gone() <-chan struct{} { return a.gone }

// Stop asks it to end, and waits until it has. It is an error if it doesn't end well.
func (a *Application) Stop(ctx context.Context) error {
	if err := a.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	select {
	case <-a.gone:
		if a.ended != nil {
			return fmt.Errorf("%s was told to stop: %w", a.Name, a.ended)
		}
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s does not stop: %w", a.Name, ctx.Err()), a.command.Process.Kill())
	}
}

// Kill ends it by SIGKILL, or SIGTERM if it is of another make. One that has ended is fine.
func (a *Application) Kill() error {
	if a.command == nil || a.command.Process == nil {
		return nil
	}
	if err := a.command.Process.Signal(a.last()); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	defer time.AfterFunc(stopTimeout, func() { _ = a.command.Process.Kill() }).Stop()
	<-a.gone
	return nil
}

// By returns a committer that has the application commit and invalidate: by "key", "tag" or "prefix" through its hooks,
// or by "nothing", which leaves the invalidation to the caller.
func (a *Application) By(means string) Committer { return byHook{a, means} }

type byHook struct {
	*Application
	means string
}

func (b byHook) String() string { return b.means }

// CommitAnswer is what an application answers to POST /commit/{page}?by=MEANS.
type CommitAnswer struct {
	Version      int64         `json:"version"`
	Invalidation time.Duration `json:"invalidation_ns"`
}

// Commit returns when the application says that the commit's hook has returned.
func (b byHook) Commit(ctx context.Context, page int) (Commit, error) {
	var answer CommitAnswer
	err := b.post(ctx, fmt.Sprintf("/commit/%d?by=%s", page, b.means), &answer)
	return Commit{Version: answer.Version, Invalidation: answer.Invalidation}, err
}

// post sends a request that no cache answers, and decodes the JSON of its answer.
func (a *Application) post(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.BaseURL()+path, nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(r)
	if err != nil {
		return err
	}
	defer closeAll(resp.Body)
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: status %s: %.300q", path, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}

// lastLines keeps the end of what a child wrote, for an error's text.
type lastLines struct {
	mu   sync.Mutex
	kept bytes.Buffer
	also io.Writer
}

// keptBytes bounds what is kept.
const keptBytes = 8 << 10

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Write(p)
	if over := l.kept.Len() - keptBytes; over > 0 {
		l.kept.Next(over)
	}
	if l.also != nil {
		return l.also.Write(p)
	}
	return len(p), nil
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.String()
}
