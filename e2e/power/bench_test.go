//go:build linux && (e2e || soak)

package power

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "of the tests' choices; 0: each chooses and prints its own")

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(machineVariable); ok {
		if err := be(text); err != nil {
			fmt.Fprintln(os.Stderr, "machine:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A bench is where one test's machines stand.
type bench struct {
	*testing.T
	fs    fileSystem
	shelf shelf
	dirs  [2]string // where each machine mounts its disks
	rand  *rand.Rand
	boots int

	demanding     bool // a control must find something
	cuts          int  // judged
	clean, linked int  // of these, those with a clean mark, and with a live link on the disk
	survived      int  // pages served of before the cut
	leftOvers     int  // of check's problems, those that break no promise
	found         map[string]tally
}

func newBench(t *testing.T, fs fileSystem) *bench {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return &bench{
		T: t, fs: fs, shelf: newShelf(t), dirs: [2]string{t.TempDir(), t.TempDir()},
		rand: rand.New(rand.NewPCG(seed, 0)), found: map[string]tally{},
	}
}

// boot returns the identity of another boot.
func (b *bench) boot() string {
	b.boots++
	return fmt.Sprintf("boot-%d", b.boots)
}

// machine returns one with these disks.
func (b *bench) machine(images []string, app settings) machine {
	return machine{Images: images, Dirs: b.dirs, Type: b.fs.name, Mount: b.fs.mount, App: app, Seed: b.rand.Uint64()}
}

// disks makes the empty disks of an application of this kind.
func (b *bench) disks(app settings) []string {
	images := []string{b.shelf.disk(b.T, b.fs, "cache")}
	if app.Apart {
		images = append(images, b.shelf.disk(b.T, b.fs, "database"))
	}
	return images
}

// command returns the command that is the machine.
func (m machine) command(t *testing.T) *exec.Cmd {
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), machineVariable+"="+string(text))
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // where its mounts are private
	return c
}

// A running machine is one whose application is used.
type running struct {
	*bench
	machine
	command *exec.Cmd
	orders  io.Writer
	log     bytes.Buffer
	boot    string // the current one
	ended   chan struct{}

	mu    sync.Mutex
	news  *sync.Cond
	phase string
	acked []int64 // per page
	acks  int
	left  int // pages, by its last stop
	over  bool
}

// start switches a machine on.
func (b *bench) start(m machine) *running {
	b.Helper()
	r := &running{bench: b, machine: m, command: m.command(b.T), acked: make([]int64, site.Pages), ended: make(chan struct{})}
	r.news = sync.NewCond(&r.mu)
	r.command.Stderr = &r.log
	orders, err := r.command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	r.orders = orders
	out, err := r.command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := r.command.Start(); err != nil {
		b.Fatalf("%v (these tests need root)", err)
	}
	go r.listen(out)
	b.Cleanup(r.off)
	return r
}

// off takes a machine away. Its disks are not used again: they get what it had not written.
func (r *running) off() {
	_ = r.command.Process.Kill()
	<-r.ended
}

// listen follows what the machine says, which is later than what it did.
func (r *running) listen(out io.Reader) {
	defer close(r.ended)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		r.mu.Lock()
		var page int
		var version int64
		_, _ = fmt.Sscanf(lines.Text(), "left %d", &r.left)
		if phase, ok := strings.CutPrefix(lines.Text(), "at "); ok {
			r.phase = phase
		} else if n, _ := fmt.Sscanf(lines.Text(), "ack %d %d", &page, &version); n == 2 {
			r.acked[page] = max(r.acked[page], version)
			r.acks++
		}
		r.news.Broadcast()
		r.mu.Unlock()
	}
	_ = r.command.Wait() // its log is whole then
	r.mu.Lock()
	r.over = true
	r.news.Broadcast()
	r.mu.Unlock()
}

// until waits for something that the machine says.
func (r *running) until(what string, reached func() bool) {
	r.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !reached() {
		if r.over {
			r.Fatalf("the machine ended before %s:\n%s", what, &r.log)
		}
		r.news.Wait()
	}
}

func (r *running) reach(phase string) {
	r.Helper()
	r.until(phase, func() bool { return r.phase == phase })
}

// work waits for so many commits.
func (r *running) work(commits int) {
	r.Helper()
	r.mu.Lock()
	goal := r.acks + commits
	r.mu.Unlock()
	r.until("its commits", func() bool { return r.acks >= goal })
}

func (r *running) order(verb string) {
	r.Helper()
	if verb == "start" {
		r.boot = r.bench.boot()
		verb += " " + r.boot
	}
	if _, err := fmt.Fprintln(r.orders, verb); err != nil {
		r.Fatalf("%s: %v\n%s", verb, err, &r.log)
	}
}

// A cut is the disks as they were when the power went.
type cut struct {
	r      *running
	images []string
	boot   string  // that ended so
	acked  []int64 // what surely was acknowledged before
	left   int     // pages, if the application had stopped
}

// cut copies the machine's disks as they are now. The machine goes on.
func (r *running) cut() *cut {
	r.Helper()
	r.mu.Lock()
	c := &cut{r: r, boot: r.boot, acked: slices.Clone(r.acked), left: r.left}
	r.mu.Unlock()
	c.images = r.copies(r.Images)
	r.Cleanup(c.discard)
	return c
}

// copies copies disks, the last one first. Of several, this is no single instant: nothing may be under way then.
func (b *bench) copies(images []string) []string {
	b.Helper()
	copies := make([]string, len(images))
	for n, image := range slices.Backward(images) {
		copies[n] = b.shelf.copy(b.T, image)
	}
	return copies
}

func (c *cut) discard() { remove(c.images) }

func remove(images []string) {
	for _, image := range images {
		_ = os.Remove(image)
	}
}

// soon waits for a time that is chosen anew each time: the instant of a cut.
func (b *bench) soon(most time.Duration) { <-time.After(upTo(b.rand, most)) }
