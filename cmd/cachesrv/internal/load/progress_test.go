package load

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestProgress: a line each second, none for what is over sooner.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := NewProgress(&out, &Found{Files: make([]Candidate, 40), Bytes: 6 << 20})
		time.Sleep(interval - 1)
		synctest.Wait()
		if out.Len() > 0 {
			t.Errorf("too early: %q", out.String())
		}
		p.bytes.Add(3 << 20)
		p.done()
		time.Sleep(interval + 1)
		synctest.Wait()
		want := "1 of 40 files, 3.0 MiB of 6.0 MiB, 3.0 MiB/s\n1 of 40 files, 3.0 MiB of 6.0 MiB, 1.5 MiB/s\n"
		if out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
		p.Stop()
		time.Sleep(10 * interval)
		if out.String() != want {
			t.Errorf("after Stop: %q", out.String())
		}
	})
}

// TestProgressOnTerminal: one line, out of the way of what else is printed, and gone at the end.
func TestProgressOnTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, &Found{Files: make([]Candidate, 2)}, true)
		time.Sleep(interval)
		synctest.Wait()
		p.Printf(&out, "failed: %s\n", "x")
		time.Sleep(interval)
		synctest.Wait()
		p.Stop()
		line := "0 of 2 files, 0 B of 0 B, 0 B/s"
		if want := fmt.Sprintf("%s\r\x1b[Kfailed: x\n%s\r\x1b[K", line, line); out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
	})
}
