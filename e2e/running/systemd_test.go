//go:build e2e

package running

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// TestUnits: systemd understands the units, and finds them hardened. (It need not run for that.)
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Fatal("there is no systemd-analyze: run e2e/install.sh")
	}
	for _, template := range []bool{false, true} {
		folder := t.TempDir()
		file, text := filepath.Join(folder, "cachesrv.yaml"), "dir: /var/lib/cachesrv\nlisten: :8080\norigins: http://127.0.0.1:9000\n"
		args := []string{"conf", "systemd", "--config", file, "--binary", binary, "--user", "root", "--out", folder}
		name := "cachesrv.service"
		if template {
			args, name = append(args, "--template"), "cachesrv@.service"
		} else {
			text += "admin: unix:/run/cachesrv/admin.sock\n"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, args...)
		units, err := filepath.Glob(filepath.Join(folder, "cachesrv*.s*"))
		if err != nil {
			t.Fatal(err)
		}
		if template { // what is verified is an instance
			instance := filepath.Join(folder, "cachesrv@1.service")
			if err := os.Symlink(name, instance); err != nil {
				t.Fatal(err)
			}
			units = []string{instance, filepath.Join(folder, "cachesrv.socket")}
		}
		if out, err := exec.Command(analyze, append([]string{"verify"}, units...)...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v\n%s", err, out)
		}
		if template {
			continue
		}
		out, err := exec.Command(analyze, "security", "--offline=yes", filepath.Join(folder, name)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
		if found == nil {
			t.Fatalf("%s", out)
		}
		exposure, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil || exposure > 2 {
			t.Errorf("exposure %v: more than 2 of 10\n%s", exposure, out)
		}
	}
}
