package dist

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestLinksStayInside unpacks random sdists full of links, if they are taken, under a folder of another name, and looks
// where the links lead.
func TestLinksStayInside(t *testing.T) {
	dir := t.TempDir()
	taken, led := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		segment := rapid.SampledFrom([]string{"a", "b", "c", "demo-1.0"})
		target := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "..", "..", "..", ".", "", "demo-1.0"})
		files := []entry{}
		for range rapid.IntRange(1, 5).Draw(t, "links") {
			e := entry{name: "demo-1.0/" + strings.Join(rapid.SliceOfN(segment, 1, 3).Draw(t, "name"), "/"), typeflag: tar.TypeSymlink}
			e.linkname = strings.Join(rapid.SliceOfN(target, 1, 5).Draw(t, "target"), "/")
			if rapid.IntRange(0, 3).Draw(t, "plain") > 0 { // most lead where there is something: else few sdists would be taken
				up := rapid.IntRange(0, strings.Count(e.name, "/")-1).Draw(t, "up")
				e.linkname = strings.Repeat("../", up) + rapid.SampledFrom([]string{"d", "d/e", "a", "."}).Draw(t, "down")
			}
			files = append(files, e)
		}
		var b strings.Builder
		w := tar.NewWriter(&b)
		folders := []entry{{name: "demo-1.0/d/", typeflag: tar.TypeDir}, {name: "demo-1.0/d/e/", typeflag: tar.TypeDir}}
		for _, e := range sdistOf(append(folders, files...)...) {
			h := &tar.Header{Name: e.name, Typeflag: e.typeflag, Linkname: e.linkname, Size: int64(len(e.content))}
			if h.Typeflag == 0 {
				h.Typeflag = tar.TypeReg
			}
			if err := w.WriteHeader(h); err != nil {
				t.Skip(err)
			}
			w.Write([]byte(e.content))
		}
		w.Close()
		if _, err := inspectBytes(gzipped([]byte(b.String())), demoSdist, Limits{}); err != nil {
			return
		}
		taken++
		// What lies outside, and links might find: the same names.
		outer, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(outer)
		top := filepath.Join(outer, "x", "y", "top")
		for _, p := range []string{"x/y/top/d/e", "x/y/d/e", "x/d/e", "x/y/a/b/c", "x/a/b", "x/y/b/c", "x/y/c", "x/y/demo-1.0/a/b", "a", "demo-1.0/a"} {
			if err := os.MkdirAll(filepath.Join(outer, p), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range files {
			p := filepath.Join(top, strings.TrimPrefix(e.name, "demo-1.0/"))
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(e.linkname, p); err != nil {
				t.Fatal(err)
			}
		}
		real, err := filepath.EvalSymlinks(top)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range files {
			to, err := filepath.EvalSymlinks(filepath.Join(top, strings.TrimPrefix(e.name, "demo-1.0/")))
			if err != nil { // to nothing, or in circles
				continue
			}
			led++
			if to != real && !strings.HasPrefix(to, real+"/") {
				t.Fatalf("%s -> %s leads to %s", e.name, e.linkname, to)
			}
		}
	})
	if taken == 0 || led == 0 {
		t.Errorf("of the random sdists %d were taken, in which %d links led somewhere: this shows nothing", taken, led)
	}
	t.Logf("%d taken, %d links led somewhere", taken, led)
}
