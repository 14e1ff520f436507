package dist

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/render/index/sample"
)

func FuzzFilename(f *testing.F) {
	for _, s := range []string{demoWheel, demoSdist, "demo-1.0.zip", "a-1!2-1x-py2.py3-none-a.b.whl", "Zope.I-v1-beta2.tar.gz", "a-b-1.0-1.tar.gz", ".whl", "--.zip"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, filename string) {
		n, err := ParseFilename(filename)
		if err != nil {
			checkForm(t, err)
			return
		}
		if n.Filename != filename || !ValidName(n.Project) || Normalize(n.Project) != n.Project || (n.Kind == Sdist) != (n.Python == "source") {
			t.Errorf("%+v", n)
		}
		if v, err := CanonicalVersion(n.Version); err != nil || v != n.Version {
			t.Errorf("%q is not canonical: %q (%v)", n.Version, v, err)
		}
		if !filepath.IsLocal(filename) || filepath.Base(filename) != filename || !only(filename, "-_.+!") {
			t.Errorf("%q is no plain name", filename)
		}
	})
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"1.0", "v1!2.03-a.4-5.dev6+l-7", "1.0a--1", "1post2dev", "1+0.a", "0!0", "1.0-rc.1"} {
		f.Add(s, "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := CanonicalVersion(a)
		if err != nil {
			checkForm(t, err)
		} else {
			if again, err := CanonicalVersion(v); err != nil || again != v {
				t.Errorf("%q, %q, %q (%v)", a, v, again, err)
			}
			if CompareVersions(a, v) != 0 {
				t.Errorf("%q is not equal to its canonical form %q", a, v)
			}
			if err := checkSpecifiers("==" + v); err != nil {
				t.Error(err)
			}
		}
		if CompareVersions(a, b) != -CompareVersions(b, a) || CompareVersions(a, a) != 0 {
			t.Errorf("%q, %q: %d, %d", a, b, CompareVersions(a, b), CompareVersions(b, a))
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, s := range []string{
		demoMetadata, head + "Summary: x\nKeywords: a,b\nProject-URL: a, b\nClassifier: x\nPlatform: y\n\n# body\r\n",
		head + "Description: a\n        |b\n        |c\n", head + "Description: a\n   b\n  c\n",
		head + "Requires-Dist: a[b] (>=1) ; (os_name == 'x' and extra == \"y\")\nRequires-Python: >=3,!=3.1.*\nProvides-Extra: y\n",
		head + "Description-Content-Type: text/markdown; variant=GFM\nLicense: a\n  b\nLicense-Expression: MIT\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseMetadata(raw, "METADATA")
		if err != nil {
			checkForm(t, err)
			return
		}
		checkRoundTrip(t, m)
		for _, s := range slices.Concat([]string{m.Name, m.Version, m.Summary, m.Description, m.License, m.AuthorEmail}, m.Keywords, m.RequiresDist) {
			if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
				t.Errorf("%q would not do for a database", s)
			}
		}
		if !ValidName(m.Name) || strings.Contains(m.Summary, "\n") || strings.Contains(m.Description, "\r") {
			t.Errorf("%+v", m)
		}
	})
}

// small bounds keep a fuzz test from trying bombs.
var small = Limits{Entries: 50, Unpacked: 1 << 20, Metadata: 1 << 12}

// FuzzWheel inspects any file, and one that is good but for one more entry. What is taken, archive/zip must read in the
// same way.
func FuzzWheel(f *testing.F) {
	_, content := sample.Dist{Name: "demo", Version: "1.0"}.Wheel()
	folders := append([]entry{{name: "a/"}}, withRecord(demo())...)
	for _, seed := range [][]byte{content, buildZip(folders, zipEdit{zip64: true}), buildZip(withRecord(demo()), zipEdit{comment: "c"}), nil} {
		f.Add(seed, "x.py", []byte("x"), uint16(0o100644), uint8(16), true, []byte{})
	}
	f.Add([]byte{}, "a/../b", []byte{}, uint16(0o120777), uint8(0), false, []byte{1, 0, 0, 0})
	f.Add([]byte{}, "DEMO.py/", []byte("\xff"), uint16(0), uint8(24), false, []byte{0x75, 0x70, 5, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte, name string, content []byte, mode uint16, descriptor uint8, deflate bool, extra []byte) {
		checkWheel(t, raw)
		if len(name) > max16 || len(extra) > max16 || strings.Contains(name, "\n") {
			return
		}
		e := entry{name: name, content: string(content), mode: uint32(mode), descriptor: int(descriptor), deflate: deflate, extra: extra}
		e.edit = func(h *zipHeader) {
			if utf8.ValidString(name) {
				h.flags |= zipUTF8
				h.localFlags |= zipUTF8
			}
		}
		checkWheel(t, buildZip(withRecord(append(demo(), e)), zipEdit{}))
	})
}

func checkWheel(t *testing.T, raw []byte) {
	t.Helper()
	d, err := inspectBytes(raw, demoWheel, small)
	if err != nil {
		checkForm(t, err)
		return
	}
	z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatalf("archive/zip: %v", err)
	}
	ours, err := openZip(&source{r: bytes.NewReader(raw), size: int64(len(raw))}, small)
	if err != nil || len(z.File) != len(ours.entries) {
		t.Fatalf("archive/zip has %d entries: %v", len(z.File), err)
	}
	seen := map[string]bool{}
	for _, entry := range z.File {
		name := strings.TrimSuffix(entry.Name, "/")
		if fold := strings.ToLower(name); seen[fold] || !filepath.IsLocal(name) || filepath.Clean(name) != name || entry.Mode().Type()&^(1<<31) != 0 {
			t.Errorf("%q %v", entry.Name, entry.Mode())
		} else {
			seen[fold] = true
		}
		r, err := entry.Open()
		if err != nil {
			t.Fatalf("archive/zip: %q: %v", entry.Name, err)
		}
		theirs, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("archive/zip: %q: %v", entry.Name, err)
		}
		if name == demoInfo+"METADATA" && !bytes.Equal(theirs, d.Raw) {
			t.Errorf("METADATA: %q and %q", d.Raw, theirs)
		}
		i := slices.IndexFunc(ours.entries, func(e zipEntry) bool { return e.name == name })
		if i < 0 {
			t.Fatalf("only archive/zip has %q", name)
		}
		var mine bytes.Buffer
		if err := ours.unpack(&ours.entries[i], &mine); err != nil || !bytes.Equal(mine.Bytes(), theirs) {
			t.Errorf("%q: %q and %q (%v)", name, mine.Bytes(), theirs, err)
		}
	}
	checkRoundTrip(t, d.Metadata)
}

// FuzzSdist inspects any file, and any tar archive.
func FuzzSdist(f *testing.F) {
	_, content := sample.Dist{Name: "demo", Version: "1.0"}.Sdist()
	f.Add(content, []byte{}, false)
	f.Add(tgz(f, sdistOf()...), buildTar(f, sdistOf(entry{name: "demo-1.0/l", typeflag: tar.TypeSymlink, linkname: "PKG-INFO"})), true)
	f.Add([]byte{}, buildTar(f, sdistOf(entry{name: "demo-1.0/" + strings.Repeat("ü", 60)}, entry{content: "c", typeflag: tar.TypeXGlobalHeader})), false)
	f.Add([]byte{}, buildZip(sdistOf(), zipEdit{}), true)
	for _, c := range slices.Concat(tarTricks(), goodTars(f)) {
		f.Add([]byte{}, c.content, false)
	}
	f.Fuzz(func(t *testing.T, raw, archive []byte, asZip bool) {
		if asZip {
			if _, err := inspectBytes(archive, "demo-1.0.zip", small); err != nil {
				checkForm(t, err)
			}
		}
		if _, err := inspectBytes(raw, demoSdist, small); err != nil {
			checkForm(t, err)
		}
		d, err := inspectBytes(gzipped(archive), demoSdist, small)
		if err != nil {
			checkForm(t, err)
			return
		}
		checkRoundTrip(t, d.Metadata)
		for r := tar.NewReader(bytes.NewReader(archive)); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			if h.Typeflag == tar.TypeXGlobalHeader || h.Typeflag == tar.TypeDir && filepath.Clean(h.Name) == "." {
				continue
			}
			if !filepath.IsLocal(h.Name) || strings.ToLower(strings.SplitN(strings.TrimPrefix(h.Name, "./"), "/", 2)[0])[:4] != "demo" {
				t.Errorf("%q", h.Name)
			}
			if h.Typeflag == tar.TypeSymlink && !filepath.IsLocal(filepath.Join(filepath.Dir(h.Name), h.Linkname)) {
				t.Errorf("%q -> %q", h.Name, h.Linkname)
			}
		}
	})
}
