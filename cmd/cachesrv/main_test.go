package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

func TestDescribe(t *testing.T) {
	for _, tt := range []struct {
		dropped cache.Dropped
		sel     cache.Selection
		want    string
	}{
		{cache.Dropped{}, cache.Selection{}, "nothing was there"},
		{cache.Dropped{}, cache.Selection{DryRun: true}, "nothing was there"},
		{cache.Dropped{Pages: 1}, cache.Selection{}, "dropped 1 page"},
		{cache.Dropped{Pages: 2, Graced: 1, Twins: 3, Claims: 2}, cache.Selection{}, "dropped 2 pages, 1 graced page, 3 twins, 2 unfinished fills"},
		{cache.Dropped{Pages: 2}, cache.Selection{Soft: true}, "soft-purged 2 pages"},
		{cache.Dropped{Pages: 2, Keys: make([]key.Key, 2)}, cache.Selection{DryRun: true, Soft: true}, "would drop 2 pages"},
		{cache.Dropped{Retired: true}, cache.Selection{All: true}, "dropped no page"},
		{cache.Dropped{Retired: true, Pages: 9}, cache.Selection{}, "could not be dropped alone (see the log), so everything was: 9 pages"},
	} {
		if got := describe(tt.dropped, tt.sel); got != tt.want {
			t.Errorf("describe(%+v, %+v) = %q, want %q", tt.dropped, tt.sel, got, tt.want)
		}
	}
}

func TestHintIsBounded(t *testing.T) {
	var hosts []string
	for i := range maxHinted + 3 {
		hosts = append(hosts, fmt.Sprintf("h%d", i))
	}
	if got := hint(hosts); !strings.HasSuffix(got, "h9 and 3 more") || strings.Contains(got, "h10") {
		t.Error(got)
	}
	if got := hint(nil); got != "the folder has no page at all" {
		t.Error(got)
	}
}

func TestPrintable(t *testing.T) {
	for tag, want := range map[string]string{
		"note:1": "note:1", "ä": "ä", "a b": `"a b"`, "\x1b[2J": `"\x1b[2J"`, "a\tb": `"a\tb"`, `"`: `"\""`,
	} {
		if got := printable(tag); got != want {
			t.Errorf("printable(%q) = %s, want %s", tag, got, want)
		}
	}
	if got := printable("a", "", "b c"); got != `a "" "b c"` || printable() != "" {
		t.Errorf("several: %s, none: %q", got, printable())
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m", 119 * time.Minute: "1h", 47 * time.Hour: "47h", 49 * time.Hour: "2d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %s, want %s", d, got, want)
		}
	}
}

// TestFirstSignalWaits: a request under way is answered before the program ends.
func TestFirstSignalWaits(t *testing.T) {
	for _, b := range []busy{busyExample(), busyIndex(t)} {
		t.Run(b.args[0], func(t *testing.T) {
			cmd, conn := b.start(t)
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			for { // until it listens no more: the signal has arrived
				probe, err := net.Dial("tcp", conn.RemoteAddr().String())
				if err != nil {
					break
				}
				_ = probe.Close()
			}
			if _, err := io.WriteString(conn, b.body); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), b.answer) {
				t.Errorf("the request under way was answered %q, %v", answer, err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("after one signal: %v", err)
			}
		})
	}
}

// TestSecondSignalKills: whoever can't wait need not.
func TestSecondSignalKills(t *testing.T) {
	cmd, _ := busyExample().start(t)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for signals := 0; ; signals++ {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if signals == 0 || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("after %d signals: %v", signals+1, err)
			}
			return
		case <-time.After(20 * time.Millisecond): // the first one may still be on its way
		}
	}
}

// busy is a server with a request that waits for its body.
type busy struct {
	args   []string // of cachesrv, without those that name folder and address
	dir    string
	head   string // request line and headers, without Host and the length
	body   string
	answer string // what its answer begins with
}

func busyExample() busy {
	return busy{args: []string{"example"}, head: "POST /notes HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n",
		body: "text=a", answer: "201 Created"}
}

// busyIndex is an index with a user and an upload of theirs.
func busyIndex(t *testing.T) busy {
	dir := t.TempDir()
	var token string
	for _, args := range [][]string{{"user", "add", "ada", "--live", dir + "/live"}, {"token", "add", "--user", "ada"}} {
		var out, errs strings.Builder
		if status := run(t.Context(), append(args, "--dir", dir), &out, &errs, noEnv); status != statusOK {
			t.Fatalf("%q: %s", args, errs.String())
		}
		token = strings.TrimSpace(out.String())
	}
	name, content := sample.Dist{Name: "tea", Version: "1.0"}.Wheel()
	contentType, body, err := uploadForm(name, content)
	if err != nil {
		t.Fatal(err)
	}
	return busy{args: []string{"index"}, dir: dir, body: body, answer: "200 OK",
		head: "POST /legacy/ HTTP/1.1\r\nContent-Type: " + contentType + "\r\nAuthorization: Basic " +
			base64.StdEncoding.EncodeToString([]byte("__token__:"+token)) + "\r\n"}
}

// start starts the server and the request.
func (b busy) start(t *testing.T) (*exec.Cmd, net.Conn) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "cachesrv") // TestMain knows by this name what to be
	if err := os.Symlink(exe, program); err != nil {
		t.Fatal(err)
	}
	if b.dir == "" {
		b.dir = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, append(b.args, "--listen", "127.0.0.1:0", "--dir", b.dir, "--live", b.dir+"/live")...)
	cmd.Env = append(os.Environ(), "GORACE="+quickExit)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimSuffix(strings.TrimPrefix(strings.Fields(line)[2], "http://"), "/")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// The server asks for the body when the handler reads it: then the request is under way.
	fmt.Fprintf(conn, "%sHost: %s\r\nContent-Length: %d\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n", b.head, addr, len(b.body))
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	answer := make([]byte, len(goOn))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != goOn {
		t.Fatalf("%q, %v", answer, err)
	}
	return cmd, conn
}
