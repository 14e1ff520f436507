package dist

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// deflatedZeros packs what comes first, and then so many MiB of zeros: one of them is packed, and stands for the others,
// too.
func deflatedZeros(first []byte, mib int) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	w.Write(first)
	w.Flush()
	start := b.Len()
	w.Write(make([]byte, 1<<20))
	w.Flush()
	one := bytes.Clone(b.Bytes()[start:])
	for range mib - 1 {
		b.Write(one)
	}
	b.Write([]byte{3, 0}) // the last block, empty
	return b.Bytes()
}

// gzipMember is a gzip file but for its end, to which nobody should come.
func gzipMember(deflated []byte) []byte {
	return append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, deflated...)
}

// TestBombs unpack to far more than they are. What is allocated in sum, let alone at once, stays below the bound.
func TestBombs(t *testing.T) {
	const MB = 1 << 20
	packed := deflatedZeros(nil, 256)
	claims := func(unpacked uint32) []byte {
		return buildZip(withRecord(append(demo(), entry{name: "bomb", deflate: true, raw: packed, edit: func(h *zipHeader) {
			h.unpacked, h.localUnpacked = unpacked, unpacked
		}})), zipEdit{})
	}
	named := func(name string) []byte { // a bomb in a file that we keep
		all := withRecord(demo())
		for i := range all {
			if strings.HasSuffix(all[i].name, name) {
				all[i].deflate, all[i].raw = true, deflatedZeros(nil, 60)
				all[i].edit = func(h *zipHeader) { h.unpacked, h.localUnpacked = 60*MB, 60*MB }
			}
		}
		return buildZip(all, zipEdit{})
	}
	tarOf := func(name string, size int64) []byte {
		var header bytes.Buffer
		if err := tar.NewWriter(&header).WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		return gzipMember(deflatedZeros(header.Bytes(), int(size/MB)))
	}
	paths := func(n, depth int) []byte { // each with folders of its own
		all := sdistOf()
		for i := range n {
			all = append(all, entry{name: fmt.Sprintf("demo-1.0/%06d/%s", i, strings.Repeat("a/", depth))[:depth*2+10] + "x"})
		}
		return tgz(t, all...)
	}
	var overlapping []entry // all share the content of the last
	for i := range 1000 {
		overlapping = append(overlapping, entry{name: fmt.Sprintf("f%d", i), deflate: true, raw: []byte{}, content: "x", edit: func(h *zipHeader) { h.packed, h.unpacked = 60000, 60*MB }})
	}
	for _, c := range []struct {
		name, filename string
		content        []byte
		want           string
		bound          uint64
	}{
		{"says so", demoWheel, claims(256 * MB), "unpacks to more than 50 times", 1 * MB},
		{"says less than it is", demoWheel, claims(1000), "unpacks to more than the directory says", 1 * MB},
		{"overlapping", demoWheel, buildZip(overlapping, zipEdit{}), "unpacks to more than 50 times", 2 * MB},
		{"METADATA", demoWheel, named("METADATA"), "at most 1048576", 1 * MB},
		{"WHEEL", demoWheel, named("WHEEL"), "at most 65536", 1 * MB},
		{"RECORD", demoWheel, named("RECORD"), "RECORD line 1 has more than", 1 * MB},
		{"tar", demoSdist, tarOf("demo-1.0/bomb", 256*MB), "unpacks to more than 50 times", 1 * MB},
		{"tar, PKG-INFO", demoSdist, tarOf("demo-1.0/PKG-INFO", 60*MB), "at most 1048576", 1 * MB},
		{"a tar archive that ends at once, and then zeros", demoSdist, gzipMember(deflatedZeros(nil, 256)), "unpacks to more than 50 times", 1 * MB},
		{"paths", demoSdist, paths(2000, 490), "more than 100000 files and folders", 24 * MB},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := inspectBytes(c.content, c.filename, Limits{})
			runtime.ReadMemStats(&after)
			wantComplaint(t, err, c.want)
			if got := after.TotalAlloc - before.TotalAlloc; got > c.bound {
				t.Errorf("%d bytes were allocated for a file of %d; at most %d should", got, len(c.content), c.bound)
			}
		})
	}
}

// TestMuchUnpacksInLittleMemory: a good wheel may be large.
func TestMuchUnpacksInLittleMemory(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<19) // 8 MiB
	content := buildZip(withRecord(append(demo(), entry{name: "big.txt", content: big, deflate: true})), zipEdit{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := inspectBytes(content, demoWheel, Limits{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated", got)
	}
}

// BenchmarkInspect looks into a wheel of about 10 MB.
func BenchmarkInspect(b *testing.B) {
	all := demo()
	for i := range 200 {
		var text strings.Builder
		for j := range 30000 {
			fmt.Fprintf(&text, "%x ", (j*2654435761+i*40503)^(j<<13))
		}
		all = append(all, entry{name: fmt.Sprintf("demo/m%03d.py", i), content: text.String()[:130_000], deflate: true})
	}
	content := buildZip(withRecord(all), zipEdit{})
	r := bytes.NewReader(content)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Inspect(r, int64(len(content)), demoWheel, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompareVersions(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		CompareVersions("1.10.0rc1", "1.10.0rc2.dev3")
	}
}
