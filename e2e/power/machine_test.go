//go:build linux && (e2e || soak)

package power

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A machine is a child of the test: this binary, in a mount namespace of its own. It mounts its disks at paths that are
// the same for each machine, as the format file of a cache and links name absolute paths. When it dies nothing of it
// stays mounted.
//
// One kind runs the application, and does what lines on its standard input say: "start BOOT", "stop", "abandon". It
// writes lines: "ack PAGE VERSION" when a commit and its invalidation have returned, "left N" pages when it has stopped,
// and "at PHASE". The other kind finds out what is left on a disk, and says it in one line of JSON.
type machine struct {
	Images []string  // of its disks, of which the first has the cache, and the last the database
	Dirs   [2]string // where they are mounted
	Type   string    // of the file systems
	Mount  string    // options
	App    settings
	Seed   uint64 // of the application's load

	Inspect bool // else run
	Forge   bool // inspect: write a clean mark first. A control
	Glance  bool // inspect: look at what is served, no more
}

// machineVariable has this binary be a machine.
const machineVariable = "POWER_TEST_MACHINE"

// be is main of a machine.
func be(text string) error {
	var m machine
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	for n, image := range m.Images {
		if out, err := exec.Command("mount", "-t", m.Type, "-o", m.Mount, image, m.Dirs[n]).CombinedOutput(); err != nil {
			return fmt.Errorf("mount %s: %w: %s", image, err, out)
		}
	}
	if m.Inspect {
		f, err := m.inspect(context.Background())
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(f)
	}
	return m.run(context.Background())
}

func (m *machine) application() *application {
	return &application{dir: m.Dirs[0], database: filepath.Join(m.Dirs[len(m.Images)-1], "pages.db"), settings: m.App}
}

// run does what standard input says until it ends; the machine then stops as if by a power cut.
func (m *machine) run(ctx context.Context) error {
	rnd := rand.New(rand.NewPCG(m.Seed, 0))
	a := m.application()
	if err := a.openDatabase(ctx); err != nil {
		return err
	}
	for n := range m.Images {
		go writeBack(m.Dirs[n], rand.New(rand.NewPCG(m.Seed, uint64(1+n)))) // ends with the machine
	}
	var l *load
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var err error
		switch verb, boot, _ := strings.Cut(lines.Text(), " "); verb {
		case "start":
			say("at opening")
			this := *a // of this opening; calls of an earlier one may still be ending
			this.Boot = boot
			if !m.App.Apart { // where it is about the position's lag, that is the default's
				this.replay = replayInterval
			}
			if err = this.open(ctx, os.Stderr); err == nil {
				say("at opened")
				err = this.serve(ctx)
			}
			if err == nil {
				say("at serving")
				l = startLoad(ctx, &this, rnd)
			}
		case "stop", "abandon":
			say("at stopping")
			if err = l.stop(verb == "abandon"); err != nil {
				break
			}
			var left int
			left, err = a.left(ctx)
			say("left %d", left)
			say("at stopped")
		}
		if err != nil {
			return err
		}
	}
	os.Exit(0) // nothing is closed
	return nil
}

// say writes a line in one call, as several goroutines do.
func say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
