//go:build e2e

package dist

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listTars prints, for each .tar of a folder, what Python finds in it: one line of JSON.
const listTars = `
import glob, json, sys, tarfile, zlib
for path in sorted(glob.glob(sys.argv[1] + "/*.tar")):
    found, error = [], ""
    try:
        with tarfile.open(path, "r:", encoding="utf-8") as t:
            for m in t:
                content = t.extractfile(m).read() if m.isreg() else b""
                link = m.linkname if m.issym() or m.islnk() else ""
                found.append([m.type.decode("latin-1"), m.name, link, str(m.size), str(zlib.crc32(content))])
    except Exception as e:
        error = repr(e)
    print(json.dumps({"found": found, "error": error}))
`

// packTars packs the folder demo-1.0 with Python in its three formats.
const packTars = `
import tarfile
for name, form in ("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT):
    for top in ("demo-1.0", "./demo-1.0"):
        with tarfile.open("python-" + name + top.replace("/", "") + ".tar", "w", format=form) as t:
            t.add(top, arcname=None if top == "demo-1.0" else top)
`

// TestTarsAsPython: what is accepted, Python reads as Go does. Real archives are accepted; of tricks and of what comes of
// changing them at random, some are.
func TestTarsAsPython(t *testing.T) {
	dir := t.TempDir()
	real := realTars(t)
	names := []string{}
	for i, c := range append(real, goodTars(t)...) {
		if _, err := inspectBytes(gzipped(c.content), demoSdist, Limits{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		names = append(names, fmt.Sprintf("%05d %s", i, c.name))
		writeTar(t, dir, names[i], c.content)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	seeds := slices.DeleteFunc(slices.Concat(tarTricks(), goodTars(t), goodTars(t)), func(c tarCase) bool { return len(c.content) > 64<<10 })
	for range 4_000 {
		content := change(rnd, seeds[rnd.IntN(len(seeds))].content, seeds[rnd.IntN(len(seeds))].content)
		if _, err := inspectBytes(gzipped(content), demoSdist, Limits{}); err == nil {
			names = append(names, fmt.Sprintf("%05d changed", len(names)))
			writeTar(t, dir, names[len(names)-1], content)
		}
	}
	t.Logf("%d archives accepted", len(names))
	if len(names) < 200 {
		t.Errorf("too few to say anything")
	}
	found := pythonFinds(t, dir)
	if len(found) != len(names) {
		t.Fatalf("Python saw %d archives", len(found))
	}
	for i, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, name+".tar"))
		if err != nil {
			t.Fatal(err)
		}
		if ours := goFinds(t, content); found[i].Error != "" || !slices.EqualFunc(ours, found[i].Found, slices.Equal) {
			t.Errorf("%s: Go finds\n%q, Python\n%q %s", name, ours, found[i].Found, found[i].Error)
		}
	}
}

type findings struct {
	Found [][]string // type, name, link, size, checksum
	Error string
}

func pythonFinds(t *testing.T, dir string) []findings {
	out, err := exec.Command("python3", "-c", listTars, dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []findings
	for line := range bytes.Lines(out) {
		var f findings
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

func goFinds(t *testing.T, content []byte) [][]string {
	found := [][]string{}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeDir {
			h.Linkname = ""
		}
		name := strings.TrimSuffix(h.Name, "/")
		found = append(found, []string{string(h.Typeflag), name, h.Linkname, fmt.Sprint(h.Size), fmt.Sprint(crc32.ChecksumIEEE(b))})
	}
}

func writeTar(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name+".tar"), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// realTars packs a folder with GNU tar and with Python, in all formats that tools write.
func realTars(t *testing.T) []tarCase {
	dir := t.TempDir()
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	deep := "demo-1.0/" + strings.Repeat("d", 90) + "/" + strings.Repeat("ü", 40) // still fits ustar's two fields
	run("mkdir", "-p", deep, "demo-1.0/empty")
	run("sh", "-c", `printf '%s' "$1" >demo-1.0/PKG-INFO`, "sh", demoMetadata)
	run("sh", "-c", `head -c 5000 /dev/zero >"$1/file"`, "sh", deep)
	run("touch", "-d", "1960-01-02 03:04:05.6", "demo-1.0/empty/old") // a number below zero
	run("chmod", "755", deep+"/file")
	run("ln", "-s", "PKG-INFO", "demo-1.0/soft")
	run("ln", "demo-1.0/PKG-INFO", "demo-1.0/twice")
	// Nothing in ustar's fields for times before 1970: tar refuses it.
	run("tar", "--format=ustar", "--mtime=@0", "--sort=name", "-cf", "ustar.tar", "demo-1.0")
	run("tar", "--format=gnu", "--sort=name", "-cf", "gnu.tar", "demo-1.0")
	run("tar", "--format=gnu", "--sort=name", "-cf", "gnu dots.tar", "./demo-1.0")
	run("tar", "--format=gnu", "--sort=name", "--exclude=*.tar", "-cf", "gnu folder.tar", ".")
	run("tar", "--format=posix", "--sort=name", "-cf", "pax.tar", "demo-1.0")
	run("touch", "demo-1.0/empty/old")
	run("python3", "-c", packTars)
	long := deep + "/" + strings.Repeat("f", 200)
	run("sh", "-c", `echo x >"$1"`, "sh", long)
	run("ln", "-s", strings.Repeat("ü", 80)+"/x", "demo-1.0/soft2")
	run("tar", "--format=gnu", "--sort=name", "-cf", "gnu long.tar", "demo-1.0")
	run("tar", "--format=posix", "--sort=name", "-cf", "pax long.tar", "demo-1.0")
	run("python3", "-c", strings.ReplaceAll(strings.ReplaceAll(packTars, `("ustar", tarfile.USTAR_FORMAT), `, ""), `"python-"`, `"python-long-"`))
	paths, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil || len(paths) != 17 {
		t.Fatalf("%q %v", paths, err)
	}
	var all []tarCase
	for _, p := range paths {
		content, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tarCase{name: filepath.Base(p), content: content})
	}
	return all
}

// change changes an archive a little, so that it is still one: a header's bytes, or blocks, some of another archive.
func change(rnd *rand.Rand, b, other []byte) []byte {
	b = slices.Clone(b)
	blocks := func(b []byte) int { return len(b) / tarBlock }
	for range 1 + rnd.IntN(3) {
		at := rnd.IntN(blocks(b)) * tarBlock
		block := b[at:][:tarBlock]
		switch rnd.IntN(6) {
		case 0, 1:
			if string(block[257:262]) != "ustar" {
				break
			}
			fields := []int{0, 50, 99, 100, 107, 124, 134, 135, 136, 147, 156, 157, 256, 257, 262, 263, 264, 329, 337, 345, 346, 476, 499, 500, 511}
			block[fields[rnd.IntN(len(fields))]] = pick(rnd, "\x00 /.0123457aLKxgXS\x80\xff")
			resum(block, 0)
		case 2:
			if string(block[257:262]) != "ustar" {
				block[rnd.IntN(tarBlock)] = pick(rnd, "\x00\n =/.09a\xff")
			}
		case 3:
			b = slices.Delete(b, at, at+tarBlock)
		case 4:
			b = slices.Insert(b, at, b[at:][:tarBlock]...)
		case 5:
			from := rnd.IntN(blocks(other)) * tarBlock
			n := min(1+rnd.IntN(4), blocks(other[from:]))
			b = slices.Insert(b, at, other[from:][:n*tarBlock]...)
		}
		if len(b) == 0 {
			break
		}
	}
	return b
}

func pick(rnd *rand.Rand, from string) byte { return from[rnd.IntN(len(from))] }
