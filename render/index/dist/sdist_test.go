package dist

import (
	"archive/tar"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/index/sample"
)

func TestSdist(t *testing.T) {
	name, content := sample.Dist{Name: "Demo.Thing", Version: "1.0", Description: "# Demo", Modules: map[string]string{"demo/__init__.py": ""}}.Sdist()
	d, err := inspectBytes(content, name, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Name{name, Sdist, "demo-thing", "1.0", "source"}); d.Name != want {
		t.Errorf("%+v, want %+v", d.Name, want)
	}
	if d.Metadata.Name != "Demo.Thing" || d.Metadata.Description != "# Demo\n" || !bytes.HasPrefix(d.Raw, []byte("Metadata-Version: 2.1\n")) {
		t.Errorf("%+v %q", d.Metadata, d.Raw)
	}
}

func TestGoodSdists(t *testing.T) {
	tarball := buildTar(t, sdistOf())
	half := len(tarball) / 2
	renamed := func(from, to string, entries []entry) []entry {
		for i := range entries {
			entries[i].name = strings.Replace(entries[i].name, from, to, 1)
		}
		return entries
	}
	for _, c := range []struct {
		name, filename string
		content        []byte
	}{
		{"plain", demoSdist, gzipped(tarball)},
		{"of two gzip members", demoSdist, slices.Concat(gzipped(tarball[:half]), gzipped(tarball[half:]))},
		{"without an end", demoSdist, gzipped(tarball[:1024])},
		{"with many zeros", demoSdist, gzipped(append(slices.Clone(tarball), make([]byte, 20480)...))},
		{"folders", demoSdist, tgz(t, append([]entry{{name: "demo-1.0/", typeflag: tar.TypeDir}}, sdistOf(entry{name: "demo-1.0/a/", typeflag: tar.TypeDir, mode: 0o2755})...)...)},
		{"of git", demoSdist, tgz(t, append([]entry{{content: "0123abcd", typeflag: tar.TypeXGlobalHeader}}, sdistOf()...)...)},
		{"long and foreign names", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/" + strings.Repeat("ü", 300)})...)},
		{"links inside", demoSdist, tgz(t, sdistOf(
			entry{name: "demo-1.0/a/b/up", typeflag: tar.TypeSymlink, linkname: "../../PKG-INFO"},
			entry{name: "demo-1.0/a/top", typeflag: tar.TypeSymlink, linkname: ".."},
			entry{name: "demo-1.0/down", typeflag: tar.TypeSymlink, linkname: "a/b"},
			entry{name: "demo-1.0/same", typeflag: tar.TypeLink, linkname: "demo-1.0/PKG-INFO"})...)},
		{"zip", "demo-1.0.zip", buildZip(sdistOf(entry{name: "demo-1.0/"}, entry{name: "demo-1.0/a", content: "xyz", deflate: true}), zipEdit{})},
		{"other spelling in the folder", "demo-1.0.tar.gz", tgz(t, renamed("demo-1.0", "DEMO-v1.0", sdistOf())...)},
		{"other spelling in the file name", "Demo-1.0.tar.gz", tgz(t, sdistOf()...)},
	} {
		if _, err := inspectBytes(c.content, c.filename, Limits{}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestBadSdists(t *testing.T) {
	good := tgz(t, sdistOf()...)
	tarball := buildTar(t, sdistOf())
	for _, c := range []struct {
		name, filename string
		content        []byte
		want           string
	}{
		{"empty", demoSdist, nil, "the file is empty"},
		{"text", demoSdist, []byte("<html>404 not found</html>"), "not a gzip file"},
		{"a zip named .tar.gz", demoSdist, buildZip(sdistOf(), zipEdit{}), "not a gzip file"},
		{"a tar named .tar.gz", demoSdist, tarball, "not a gzip file"},
		{"a .tar.gz named .zip", "demo-1.0.zip", good, "not a zip archive"},
		{"no tar archive", demoSdist, gzipped([]byte(strings.Repeat("x", 2000))), "it is damaged"},
		{"nothing in it", demoSdist, gzipped(nil), "no PKG-INFO"},
		{"torn", demoSdist, good[:len(good)-1], "it is damaged"},
		{"torn inside", demoSdist, gzipped(tarball[:700]), "it is damaged"},
		{"torn in a file", demoSdist, gzipped(tarball[:530]), "it is damaged"},
		{"checksum", demoSdist, append(slices.Clone(good[:len(good)-8]), 1, 2, 3, 4, good[len(good)-4], good[len(good)-3], good[len(good)-2], good[len(good)-1]), "it is damaged"},
		{"behind gzip", demoSdist, append(slices.Clone(good), "something"...), "it is damaged, or something stands behind its end"},
		{"zeros behind gzip", demoSdist, append(slices.Clone(good), make([]byte, 100)...), "it is damaged, or something stands behind its end"},
		{"behind tar", demoSdist, gzipped(append(slices.Clone(tarball), 1)), "behind the end of the tar archive"},
		{"a second tar", demoSdist, gzipped(append(slices.Clone(tarball), tarball...)), "behind the end of the tar archive"},
		{"a second tar, gzipped", demoSdist, slices.Concat(good, good), "behind the end of the tar archive"},
		{"no PKG-INFO", demoSdist, tgz(t, entry{name: "demo-1.0/setup.py"}), "no PKG-INFO"},
		{"PKG-INFO deeper", demoSdist, tgz(t, entry{name: "demo-1.0/demo/PKG-INFO", content: demoMetadata}), "no PKG-INFO"},
		{"PKG-INFO in no folder", demoSdist, tgz(t, entry{name: "PKG-INFO", content: demoMetadata}), "does not lie in a folder"},
		{"PKG-INFO is a folder", demoSdist, tgz(t, entry{name: "demo-1.0/PKG-INFO/", typeflag: tar.TypeDir}), "is not a file"},
		{"PKG-INFO is a link", demoSdist, tgz(t, entry{name: "demo-1.0/PKG-INFO", typeflag: tar.TypeSymlink, linkname: "x"}), "is not a file"},
		{"PKG-INFO twice", demoSdist, tgz(t, sdistOf(sdistOf()...)...), "comes twice"},
		{"PKG-INFO too long", demoSdist, tgz(t, entry{name: "demo-1.0/PKG-INFO", content: strings.Repeat("x", 1<<20+1)}), "at most 1048576 are allowed"},
		{"another folder", demoSdist, tgz(t, entry{name: "demo-1.1/PKG-INFO", content: demoMetadata}), `the folder "demo-1.1" is not named like the file`},
		{"two folders", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0.0/x"})...), `two folders, "demo-1.0" and "demo-1.0.0"`},
		{"a file beside the folder", demoSdist, tgz(t, sdistOf(entry{name: "x"})...), "does not lie in a folder"},
		{"another version", demoSdist, tgz(t, entry{name: "demo-1.0/PKG-INFO", content: strings.Replace(demoMetadata, "1.0", "1.1", 1)}), `PKG-INFO says version "1.1"`},
		{"another name", demoSdist, tgz(t, entry{name: "demo-1.0/PKG-INFO", content: strings.Replace(demoMetadata, "Demo", "Nemo", 1)}), `PKG-INFO says name "Nemo"`},
		{"bad PKG-INFO", demoSdist, tgz(t, entry{name: "demo-1.0/PKG-INFO", content: "x"}), "PKG-INFO line 1 is neither"},

		{"..", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/../x"})...), `has ".." for a segment`},
		{"absolute", demoSdist, tgz(t, sdistOf(entry{name: "/demo-1.0/x"})...), "is absolute"},
		{"backslash", demoSdist, tgz(t, sdistOf(entry{name: `demo-1.0\x`})...), "has a backslash"},
		{"not UTF-8", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/\xff"})...), "is not UTF-8"},
		{"same but for case", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/pkg-info"})...), "comes twice"},
		{"file and folder", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/PKG-INFO/x"})...), "which is no folder"},
		{"device", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/x", typeflag: tar.TypeChar})...), "no file, folder or link (type '3')"},
		{"FIFO", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/x", typeflag: tar.TypeFifo})...), "no file, folder or link"},
		{"contiguous", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/x", typeflag: tar.TypeCont})...), "no file, folder or link"},

		{"link up and out", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: "../x"})...), "outside or not plainly inside"},
		{"link out and in again", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: "../demo-1.0/x"})...), "outside or not plainly inside"},
		{"link to the folder above", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: ".."})...), "outside or not plainly inside"},
		{"absolute link", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: "/etc/passwd"})...), "outside or not plainly inside"},
		{"link to a drive", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: "c:x"})...), "outside or not plainly inside"},
		{"link with a backslash", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: `..\x`})...), "outside or not plainly inside"},
		{"link to nothing", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink})...), "outside or not plainly inside"},
		{"link through a link", demoSdist, tgz(t, sdistOf(
			entry{name: "demo-1.0/a/b/up", typeflag: tar.TypeSymlink, linkname: "../.."},
			entry{name: "demo-1.0/a/b/l", typeflag: tar.TypeSymlink, linkname: "up/../x"})...), "outside or not plainly inside"},
		{"file below a link", demoSdist, tgz(t, sdistOf(
			entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: "a"}, entry{name: "demo-1.0/l/x"})...), "which is no folder"},
		{"link where a folder is", demoSdist, tgz(t, sdistOf(
			entry{name: "demo-1.0/l/x"}, entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: "a"})...), "both a file and a folder"},
		{"hard link out", demoSdist, tgz(t, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeLink, linkname: "/etc/passwd"})...), "is no file before it"},
		{"hard link to a link", demoSdist, tgz(t, sdistOf(
			entry{name: "demo-1.0/s", typeflag: tar.TypeSymlink, linkname: "x"},
			entry{name: "demo-1.0/l", typeflag: tar.TypeLink, linkname: "demo-1.0/s"})...), "is no file before it"},
		{"hard link to what comes later", demoSdist, tgz(t, entry{name: "demo-1.0/l", typeflag: tar.TypeLink, linkname: "demo-1.0/PKG-INFO"}), "is no file before it"},
		{"zip: symlink", "demo-1.0.zip", buildZip(sdistOf(entry{name: "demo-1.0/l", content: "x", mode: 0o120777}), zipEdit{}), "is a symbolic link"},
		{"zip: no PKG-INFO", "demo-1.0.zip", buildZip([]entry{{name: "demo-1.0/x"}}, zipEdit{}), "no PKG-INFO"},
		{"zip: PKG-INFO too long", "demo-1.0.zip", buildZip([]entry{{name: "demo-1.0/PKG-INFO", content: strings.Repeat("x", 1<<20+1)}}, zipEdit{}), "at most 1048576 are allowed"},
		{"zip: damaged", "demo-1.0.zip", buildZip(sdistOf(entry{name: "demo-1.0/x", edit: func(h *zipHeader) { h.crc++; h.localCRC++ }}), zipEdit{}), "checksum is wrong"},
		{"zip: another folder", "demo-1.0.zip", buildZip([]entry{{name: "x/PKG-INFO", content: demoMetadata}}, zipEdit{}), "is not named like the file"},
		{"dashes that mislead", "demo-1.0-1.tar.gz", tgz(t, entry{name: "demo-1.0-1/PKG-INFO", content: "Metadata-Version: 1.0\nName: demo\nVersion: 1.0-1\n"}), `PKG-INFO says name "demo", the file name says "demo-1-0"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := inspectBytes(c.content, c.filename, Limits{})
			wantComplaint(t, err, c.want)
		})
	}
}

// TestSparse: Go's tar reader would unpack holes to zeros that nobody packed.
func TestSparse(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	// GNU sparse format 1.0: the map stands in front of the content.
	content := append([]byte("1\n1000000000000\n0\n"), make([]byte, 512-18)...)
	pax := "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n33 GNU.sparse.name=demo-1.0/hole\n37 GNU.sparse.realsize=1000000000000\n"
	if err := w.WriteHeader(&tar.Header{Name: "x", Size: int64(len(pax)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(pax))
	if err := w.WriteHeader(&tar.Header{Name: "demo-1.0/hole", Size: int64(len(content)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	w.Write(content)
	w.Close()
	archive := b.Bytes()
	archive[156] = tar.TypeXHeader
	sum := 0
	for i, c := range archive[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int(c)
	}
	copy(archive[148:], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
	_, err := inspectBytes(gzipped(archive), demoSdist, Limits{})
	wantComplaint(t, err, "is a sparse file")
}
