package dist

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/index/sample"
)

func TestWheel(t *testing.T) {
	name, content := sample.Dist{Name: "Demo.Thing", Version: "1.0rc1", Summary: "Héllo", Description: "# Demo\n\ntext\n",
		RequiresPython: ">=3.8", RequiresDist: []string{"six>=1", `tomli; python_version < "3.11"`}, Extra: []string{"Author: Ada"}}.Wheel()
	d, err := inspectBytes(content, name, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Name{name, Wheel, "demo-thing", "1.0rc1", "py3"}); d.Name != want {
		t.Errorf("%+v, want %+v", d.Name, want)
	}
	m := d.Metadata
	if m.Name != "Demo.Thing" || m.Summary != "Héllo" || m.Description != "# Demo\n\ntext\n" || m.RequiresPython != ">=3.8" || m.Author != "Ada" ||
		!slices.Equal(m.RequiresDist, []string{"six>=1", `tomli; python_version < "3.11"`}) || m.DescriptionContentType != "text/markdown; charset=UTF-8" {
		t.Errorf("%+v", m)
	}
	if !strings.HasPrefix(string(d.Raw), "Metadata-Version: 2.1\nName: Demo.Thing\n") || !strings.HasSuffix(string(d.Raw), "text\n") {
		t.Errorf("%q", d.Raw)
	}
}

// TestGoodWheels are wheels that are unusual and right.
func TestGoodWheels(t *testing.T) {
	edited := func(i int, edit func(e *entry)) []byte {
		all := withRecord(demo())
		edit(&all[i])
		return buildZip(all, zipEdit{})
	}
	wide := func(values ...uint64) []byte { // a 64-bit extra field
		b := le.AppendUint16(le.AppendUint16(nil, zipExtra64), uint16(8*len(values)))
		for _, v := range values {
			b = le.AppendUint64(b, v)
		}
		return b
	}
	for name, content := range map[string][]byte{
		"plain":         buildZip(withRecord(demo()), zipEdit{}),
		"comment":       buildZip(withRecord(demo()), zipEdit{comment: "commit 0123"}),
		"64-bit end":    buildZip(withRecord(demo()), zipEdit{zip64: true}),
		"descriptor 12": edited(0, func(e *entry) { e.descriptor = 12 }),
		"descriptor 16": edited(0, func(e *entry) { e.descriptor = 16 }),
		"descriptor 20": edited(0, func(e *entry) { e.descriptor = 20 }),
		"descriptor 24": edited(0, func(e *entry) { e.descriptor = 24 }),
		"64-bit sizes, local": edited(1, func(e *entry) {
			e.edit = func(h *zipHeader) {
				h.localExtra = wide(uint64(h.unpacked), uint64(h.packed))
				h.localPacked, h.localUnpacked = max32, max32
			}
		}),
		"64-bit sizes and offset": edited(1, func(e *entry) {
			e.edit = func(h *zipHeader) {
				h.extra = wide(uint64(h.unpacked), uint64(h.packed), uint64(h.offset))
				h.packed, h.unpacked, h.offset = max32, max32, max32
			}
		}),
		"same name in an extra field": edited(0, func(e *entry) {
			e.extra = slices.Concat(le.AppendUint16(le.AppendUint16(nil, zipExtraName), 12), []byte{1, 0, 0, 0, 0}, []byte("demo.py"))
		}),
		"mode": edited(0, func(e *entry) { e.mode = 0o100755 }),
		"folders": buildZip(append([]entry{{name: "pkg/", mode: 0o042755}, {name: demoInfo, deflate: true}},
			withRecord(append(demo(), entry{name: "pkg/x"}))...), zipEdit{}),
		"UTF-8 name":                buildZip(withRecord(append(demo(), entry{name: "ü.txt", edit: func(h *zipHeader) { h.flags, h.localFlags = zipUTF8, zipUTF8 }})), zipEdit{}),
		"quoted name in RECORD":     buildZip(withRecord(append(demo(), entry{name: `a,"b".txt`, content: "x"})), zipEdit{}),
		"signatures, not in RECORD": buildZip(append(withRecord(demo()), entry{name: demoInfo + "RECORD.jws", content: "x"}, entry{name: demoInfo + "RECORD.p7s"}), zipEdit{}),
		"signature in RECORD": buildZip(append(demo(), entry{name: demoInfo + "RECORD.jws", content: "x"},
			entry{name: demoInfo + "RECORD", content: recordOf(demo()) + demoInfo + "RECORD.jws,,\n"}), zipEdit{}),
		"RECORD first": buildZip(append([]entry{{name: demoInfo + "RECORD", content: recordOf(demo())}}, demo()...), zipEdit{}),
		"RECORD deflated, CRLF, no last newline, padded hashes": buildZip(append(demo(), entry{name: demoInfo + "RECORD", deflate: true,
			content: strings.TrimSuffix(strings.ReplaceAll(strings.ReplaceAll(recordOf(demo()), "\n", "\r\n"), ",2", "=,2"), "\r\n")}), zipEdit{}),
		"a wheel with data": buildZip(withRecord(append(demo(), entry{name: "demo-1.0.data/scripts/demo", content: "#!python\n", mode: 0o100755})), zipEdit{}),
	} {
		if _, err := inspectBytes(content, demoWheel, Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadWheels has an archive for each complaint.
func TestBadWheels(t *testing.T) {
	type bad struct {
		name    string
		content []byte
		want    string
	}
	var table []bad
	add := func(name string, content []byte, want string) { table = append(table, bad{name, content, want}) }
	around := func(name string, z zipEdit, want string) { add(name, buildZip(withRecord(demo()), z), want) }
	more := func(name, want string, e ...entry) {
		add(name, buildZip(withRecord(append(demo(), e...)), zipEdit{}), want)
	}
	header := func(name, want string, edit func(h *zipHeader)) {
		all := withRecord(demo())
		all[1].edit = edit
		add("header: "+name, buildZip(all, zipEdit{}), want)
	}
	replaced := func(name string, i int, content, want string) {
		all := demo()
		all[i].content = content
		add(name, buildZip(withRecord(all), zipEdit{}), want)
	}
	without := func(name string, i int, want string) {
		add(name, buildZip(slices.Delete(withRecord(demo()), i, i+1), zipEdit{}), want)
	}
	records := func(name, record, want string) {
		add("RECORD: "+name, buildZip(append(demo(), entry{name: demoInfo + "RECORD", content: record}), zipEdit{}), want)
	}
	good := buildZip(withRecord(demo()), zipEdit{})

	add("empty", nil, "the file is empty")
	add("text", []byte("<html>404</html>"), "not a zip archive")
	add("torn", good[:len(good)-1], "not a zip archive, or torn")
	add("no header", append([]byte("pk"), good[2:]...), `"demo.py" has no header of its own`)
	add("torn in front", good[10:], "does not lie in front of its end")
	around("junk in front", zipEdit{front: []byte("#!/bin/sh\n"), shift: -10}, "does not lie in front of its end")
	around("junk in front, offsets counted from the first byte", zipEdit{front: []byte("#!/bin/sh\n")}, `"demo.py" does not lie right behind`)
	around("junk behind", zipEdit{behind: []byte("x")}, "1 bytes stand behind the end of the zip archive")
	around("an archive behind", zipEdit{behind: good}, "does not lie in front of its end")
	around("an archive in the comment", zipEdit{comment: string(good)}, "does not lie in front of its end")
	around("an end record in the comment", zipEdit{comment: "PK\x05\x06" + strings.Repeat("\x00", 18)}, "does not lie in front of its end")
	around("junk in front of the directory", zipEdit{beforeDirectory: []byte("x")}, "does not end where the next begins")
	add("nothing but junk", buildZip(nil, zipEdit{beforeDirectory: []byte("junk")}), "4 bytes in front of the zip archive's directory belong to no entry")
	header("in the directory", "does not end where the next begins", func(h *zipHeader) { h.offset = 1 << 10 })
	around("junk behind the directory", zipEdit{behindDirectory: []byte("x")}, "does not lie in front of its end")
	around("directory longer than its entries", zipEdit{end: func(e []byte) { e[8], e[10] = 3, 3 }}, "bytes more than its 3 entries")
	around("directory shorter", zipEdit{end: func(e []byte) { e[8], e[10] = 5, 5 }}, "torn")
	around("a thousand entries", zipEdit{end: func(e []byte) { e[9], e[11] = 4, 4 }}, "too short for its 1028 entries")
	around("several disks", zipEdit{end: func(e []byte) { e[4] = 1 }}, "part of a zip archive of several")
	around("entries elsewhere", zipEdit{end: func(e []byte) { e[8] = 1 }}, "part of a zip archive of several")
	around("64-bit end missing", zipEdit{end: func(e []byte) { copy(e[8:], "\xff\xff\xff\xff") }}, "lacks its 64-bit end record")
	around("64-bit end says another count", zipEdit{zip64: true, end64: func(r, _ []byte) { r[24] = 9 }}, "two end records don't agree")
	around("64-bit end says another start", zipEdit{zip64: true, end64: func(r, _ []byte) { r[48]++ }}, "two end records don't agree")
	around("64-bit end elsewhere", zipEdit{zip64: true, end64: func(_, l []byte) { l[8]-- }}, "two end records don't agree")
	around("64-bit end is longer", zipEdit{zip64: true, end64: func(r, _ []byte) { r[4]++ }}, "two end records don't agree")
	around("64-bit start is negative", zipEdit{zip64: true, end: func(e []byte) { copy(e[16:], "\xff\xff\xff\xff") }, end64: func(r, _ []byte) { r[55] = 0x80 }}, "two end records don't agree")

	for _, p := range []struct{ path, want string }{
		{"../evil.py", `has ".." for a segment`},
		{"a/../../evil.py", `has ".." for a segment`},
		{"a/./b", `has "." for a segment`},
		{"a//b", `has "" for a segment`},
		{"/etc/passwd", "is absolute"},
		{"C:/evil", "is absolute"},
		{"c:evil", "is absolute"},
		{`a\b`, "has a backslash"},
		{"a\x00b", "has a control character"},
		{"a\nb", "has a control character"},
		{"a\tb", "has a control character"},
		{"a\x7fb", "has a control character"},
		{"ü", "not marked as UTF-8"},
		{"a/" + strings.Repeat("b", maxPath), "at most 1024 are allowed"},
		{"", "has no name"},
		{"a//", `has "" for a segment`},
		{"demo.py", "comes twice"},
		{"DEMO.PY", "comes twice"},
		{"demo.py/x", `leads through "demo.py", which is no folder`},
		{"Demo.py/x/y", `leads through "Demo.py", which is no folder`},
		{demoInfo[:len(demoInfo)-1], "both a file and a folder"},
	} {
		more("path "+p.path, p.want, entry{name: p.path})
	}
	more("not UTF-8", "is not UTF-8", entry{name: "a\xff", edit: func(h *zipHeader) { h.flags, h.localFlags = zipUTF8, zipUTF8 }})
	more("C1 control", "has a control character", entry{name: "a\u0085", edit: func(h *zipHeader) { h.flags, h.localFlags = zipUTF8, zipUTF8 }})
	utf8 := func(h *zipHeader) { h.flags, h.localFlags = zipUTF8, zipUTF8 }
	more("same but for case, beyond ASCII", "comes twice", entry{name: "Ä/ß", edit: utf8}, entry{name: "ä/ß", edit: utf8})
	more("same but for a long s", "comes twice", entry{name: "ſ", edit: utf8}, entry{name: "S"})
	more("folder twice", "comes twice", entry{name: "a/"}, entry{name: "A/"})

	more("symlink", "is a symbolic link", entry{name: "l", content: "/etc/passwd", mode: 0o120777})
	more("device", "which is no file's or folder's", entry{name: "l", mode: 0o020666})
	more("FIFO", "which is no file's or folder's", entry{name: "l", mode: 0o010666})
	more("folder's mode on a file", "which is no file's or folder's", entry{name: "l", mode: 0o040755})
	more("file's mode on a folder", "which is no file's or folder's", entry{name: "l/", mode: 0o100755})
	more("setuid", "remove setuid", entry{name: "l", mode: 0o104755})
	more("folder with content", "has content", entry{name: "l/", content: "x"})
	more("hidden between", "does not end where the next begins", entry{name: "l", content: "x", behind: []byte("hidden")})
	more("descriptor says another size", "another size or checksum behind it", entry{name: "l", content: "x", descriptor: 16, edit: func(h *zipHeader) { h.descriptor[12]++ }})
	more("descriptor says another checksum", "another size or checksum behind it", entry{name: "l", content: "x", descriptor: 12, edit: func(h *zipHeader) { h.descriptor[0]++ }})
	more("descriptor without its signature", "another size or checksum behind it", entry{name: "l", content: "x", descriptor: 24, edit: func(h *zipHeader) { h.descriptor[0]++ }})
	more("descriptor missing", "another size or checksum behind it", entry{name: "l", content: "x", descriptor: 16, edit: func(h *zipHeader) { h.descriptor = nil }})
	more("damaged", "is damaged: ", entry{name: "l", content: "x", deflate: true, raw: []byte("\xff\xff")})
	more("empty and deflated to nothing", "is damaged: ", entry{name: "l", deflate: true, raw: []byte{}})
	more("checksum", "its checksum is wrong", entry{name: "l", content: "x", edit: func(h *zipHeader) { h.crc++; h.localCRC++ }})
	more("more than it says", "unpacks to more than", entry{name: "l", content: "x", deflate: true, raw: deflated("xyz")})
	more("less than it says", "unpacks to less than", entry{name: "l", content: "xyz", deflate: true, raw: deflated("x")})
	more("behind the content", "something behind its content", entry{name: "l", content: "x", deflate: true, raw: append(deflated("x"), 0)})
	more("folder with packed bytes", "something behind its content", entry{name: "l/", deflate: true, raw: append(deflated(""), "hidden"...)})

	header("encrypted", "is encrypted", func(h *zipHeader) { h.flags, h.localFlags = 1, 1 })
	header("encrypted, says its own header", "another set of flags", func(h *zipHeader) { h.localFlags = 1 })
	header("flags", "has flags 0x10", func(h *zipHeader) { h.flags = 1 << 4 })
	header("method", "is packed by method 12", func(h *zipHeader) { h.method, h.localMethod = 12, 12 })
	header("another method", "another method", func(h *zipHeader) { h.localMethod = 8 })
	header("another name", "another name", func(h *zipHeader) { h.localName = strings.ToUpper(h.localName) })
	header("another size", "another size", func(h *zipHeader) { h.localUnpacked++ })
	header("another packed size", "another size", func(h *zipHeader) { h.localPacked++ })
	header("another checksum", "another checksum", func(h *zipHeader) { h.localCRC++ })
	header("stored in two sizes", "in two different sizes", func(h *zipHeader) { h.unpacked++ })
	header("ends behind the next", "does not end where the next begins", func(h *zipHeader) { h.packed++; h.unpacked++ })
	header("ends before the next", "does not end where the next begins", func(h *zipHeader) {
		h.packed--
		h.unpacked--
		h.localPacked--
		h.localUnpacked--
	})
	header("overlaps the first", "does not end where the next begins", func(h *zipHeader) { h.offset = 0 })
	header("beyond the end", "does not end where the next begins", func(h *zipHeader) { h.offset += 1 << 20 })
	header("another disk", "another part of the zip archive", func(h *zipHeader) { h.disk = 1 })
	header("a byte further", "does not end where the next begins", func(h *zipHeader) { h.offset++ })
	header("extra field torn", "extra fields that make no sense", func(h *zipHeader) { h.extra = []byte{1, 0, 9, 0, 1} })
	header("extra field missing", "extra fields that make no sense", func(h *zipHeader) { h.unpacked = max32 })
	header("extra field twice", "extra fields that make no sense", func(h *zipHeader) { h.extra = []byte{1, 0, 0, 0, 1, 0, 0, 0} })
	header("negative size", "extra fields that make no sense", func(h *zipHeader) {
		h.unpacked, h.extra = max32, []byte{1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x80}
	})
	header("huge size", "unpacks to more than", func(h *zipHeader) {
		h.method, h.localMethod, h.unpacked = 8, 8, max32
		h.extra = []byte{1, 0, 8, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	})
	header("another name in an extra field", "another name in an extra field", func(h *zipHeader) {
		h.extra = slices.Concat([]byte{0x75, 0x70, 6, 0, 1, 0, 0, 0, 0}, []byte("x"))
	})
	header("another name in its own extra field", "another name in an extra field", func(h *zipHeader) {
		h.localExtra = slices.Concat([]byte{0x75, 0x70, 6, 0, 1, 0, 0, 0, 0}, []byte("x"))
	})

	without("no METADATA", 1, `it has no "demo-1.0.dist-info/METADATA"`)
	without("no WHEEL", 2, `it has no "demo-1.0.dist-info/WHEEL"`)
	without("no RECORD", 3, `it has no "demo-1.0.dist-info/RECORD"`)
	add("nothing", buildZip(nil, zipEdit{}), "it has no .dist-info folder")
	more("two .dist-info", "two .dist-info folders", entry{name: "other-1.0.dist-info/METADATA"})
	more("two .dist-info, one in capitals", "two .dist-info folders", entry{name: "Other-1.0.DIST-INFO/"})
	for _, stem := range []string{"demo-1.1", "other-1.0", "demo", "demo-1.0.0"} {
		all := withRecord(demo())
		for i := range all {
			all[i].name = strings.ReplaceAll(all[i].name, "demo-1.0.dist-info", stem+".dist-info")
		}
		add("folder "+stem, buildZip(all, zipEdit{}), "is not that of demo 1.0")
	}
	caps := withRecord(demo())
	for i := range caps {
		caps[i].name = strings.ReplaceAll(caps[i].name, ".dist-info", ".Dist-Info")
	}
	add("folder in capitals", buildZip(caps, zipEdit{}), "in lower case")

	replaced("another version", 1, "Metadata-Version: 2.1\nName: demo\nVersion: 1.1\n", `METADATA says version "1.1", the file name says "1.0": build it anew`)
	replaced("another name", 1, "Metadata-Version: 2.1\nName: demos\nVersion: 1.0\n", `METADATA says name "demos", the file name says "demo"`)
	replaced("bad METADATA", 1, "nonsense", "METADATA line 1 is neither a header nor indented")
	replaced("METADATA too long", 1, demoMetadata+"\n"+strings.Repeat("x", 1<<20), "at most 1048576 are allowed")
	replaced("WHEEL too long", 2, strings.Repeat("x", 1<<17), "at most 65536 are allowed")
	replaced("WHEEL without version", 2, "Tag: py3-none-any\n", "WHEEL lacks Wheel-Version")
	replaced("WHEEL of tomorrow", 2, "Wheel-Version: 2.0\n", `WHEEL says Wheel-Version "2.0"`)
	replaced("bad WHEEL", 2, "?", "WHEEL line 1 is neither")

	r := recordOf(demo())
	records("a file missing", strings.SplitN(r, "\n", 2)[1], `RECORD does not list "demo.py"`)
	records("empty", "", "RECORD does not list")
	records("another file", r+"x.py,sha256=abc,1\n", `"x.py" is not in the wheel`)
	records("a file twice", r+r, `RECORD line 5: "demo.py" is listed twice`)
	records("itself twice", demoInfo+"RECORD,,\n"+r, "is listed twice")
	records("another hash", strings.Replace(r, "sha256=", "sha256=A", 1), `"demo.py" has another sha256`)
	records("another hash, later in the alphabet", strings.Replace(r, "sha256=", "sha256=z", 1), `"demo.py" has another sha256`)
	records("no last newline", r+"x.py,sha256=abc,1", `"x.py" is not in the wheel`)
	records("a signature that isn't there", r+demoInfo+"RECORD.jws,,\n", "is not in the wheel")
	records("a weak hash", strings.Replace(r, "sha256=", "md5=", 1), `"demo.py" has no sha256, but "md5=`)
	records("no hash", demoInfo+"METADATA,,\n", "has no sha256")
	records("another size", strings.Replace(r, ",20\n", ",21\n", 1), `"demo.py" has 20 bytes, not "21"`)
	records("two columns", "demo.py,sha256=abc\n", "RECORD line 1 is not path,hash,size")
	records("four columns", "demo.py,sha256=abc,1,2\n", "RECORD line 1 is not path,hash,size")
	records("a quote left open", "\"demo.py,sha256=abc,1\n\",,\n", "RECORD line 1 is not path,hash,size")
	records("a folder", "demo-1.0.dist-info/,,\n"+r, "is not in the wheel")
	records("a long line", strings.Repeat("x", 1<<16), "RECORD line 1 has more than")
	records("a path in another form", strings.Replace(r, "demo.py", "./demo.py", 1), "is not in the wheel")

	for _, b := range table {
		t.Run(b.name, func(t *testing.T) {
			_, err := inspectBytes(b.content, demoWheel, Limits{})
			wantComplaint(t, err, b.want)
			if !strings.HasPrefix(err.Error(), demoWheel+": ") {
				t.Errorf("%q does not say which file", err)
			}
		})
	}
}

// TestEveryTornWheel cuts a wheel, and changes a byte of it, at every place: nothing but the dates and the version of
// the format may be changed unnoticed.
func TestEveryTornWheel(t *testing.T) {
	all := withRecord(demo())
	all[0].descriptor = 16
	good := buildZip(all, zipEdit{})
	for n := range good {
		if _, err := inspectBytes(good[:n], demoWheel, Limits{}); err == nil {
			t.Errorf("cut to %d of %d bytes it is good", n, len(good))
		} else {
			checkForm(t, err)
		}
	}
	free := make([]bool, len(good))
	for i := range good {
		switch sig := good[i:]; {
		case len(sig) > 4 && le.Uint32(sig) == zipLocal:
			copy(free[i+4:], []bool{true, true, true, true, false, false, true, true, true, true}) // version, flags (some), time, date
		case len(sig) > 4 && le.Uint32(sig) == zipCentral:
			copy(free[i+4:], []bool{true, true, true, true, true, true, false, false, true, true, true, true})
			for j := 36; j < 42; j++ { // attributes
				free[i+j] = true
			}
		}
	}
	for i := range good {
		if free[i] {
			continue
		}
		bad := slices.Clone(good)
		bad[i] ^= 0x81
		if _, err := inspectBytes(bad, demoWheel, Limits{}); err == nil {
			t.Errorf("byte %d (%q) can be changed", i, good[max(0, i-10):min(len(good), i+10)])
		} else {
			checkForm(t, err)
		}
	}
}

func TestErrorsOfReadingAreNotComplaints(t *testing.T) {
	_, content := sample.Dist{Name: "demo", Version: "1.0"}.Wheel()
	_, tarball := sample.Dist{Name: "demo", Version: "1.0"}.Sdist()
	broken := errors.New("disk on fire")
	for filename, b := range map[string][]byte{demoWheel: content, demoSdist: tarball} {
		for at := range b {
			_, err := Inspect(&failingReader{b, int64(at), broken}, int64(len(b)), filename, Limits{})
			if !errors.Is(err, broken) || errors.Is(err, ErrInvalid) {
				t.Fatalf("%s fails at byte %d: %v", filename, at, err)
			}
		}
		if _, err := Inspect(strings.NewReader(string(b[:50])), int64(len(b)), filename, Limits{}); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrInvalid) {
			t.Errorf("%s is shorter than it should be: %v", filename, err)
		}
	}
}

// A failingReader can't read the byte at bad.
type failingReader struct {
	content []byte
	bad     int64
	err     error
}

func (f *failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off <= f.bad && f.bad < off+int64(len(p)) {
		return copy(p, f.content[off:f.bad]), f.err
	}
	n := copy(p, f.content[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestLimits(t *testing.T) {
	many := func(n int) []entry {
		all := demo()
		for i := range n {
			all = append(all, entry{name: fmt.Sprintf("d%d/x", i)})
		}
		return withRecord(all)
	}
	big := strings.Repeat("x", 1000)
	wheel := withRecord(append(demo(), entry{name: "x", content: big}))
	var unpacked int64
	for _, e := range wheel {
		unpacked += int64(len(e.content))
	}
	tarball := buildTar(t, sdistOf(entry{name: "demo-1.0/a", content: big}, entry{name: "demo-1.0/b/c/d/e", content: big}))
	sd, tarred := gzipped(tarball), int64(len(tarball))
	for _, c := range []struct {
		name, filename string
		content        []byte
		l              Limits
		want           string // "": none
	}{
		{"as many", demoWheel, buildZip(many(10), zipEdit{}), Limits{Entries: 25}, ""}, // 14 files, 10 folders, .dist-info
		{"too many", demoWheel, buildZip(many(10), zipEdit{}), Limits{Entries: 24}, "more than 24 files and folders"},
		{"too many by the end record", demoWheel, buildZip(many(10), zipEdit{}), Limits{Entries: 13}, "more than 13 files and folders"},
		{"as much", demoWheel, buildZip(wheel, zipEdit{}), Limits{Unpacked: unpacked}, ""},
		{"too much", demoWheel, buildZip(wheel, zipEdit{}), Limits{Unpacked: unpacked - 1}, "unpacks to more than"},
		{"long METADATA", demoWheel, buildZip(withRecord(demo()), zipEdit{}), Limits{Metadata: int64(len(demoMetadata))}, ""},
		{"too long METADATA", demoWheel, buildZip(withRecord(demo()), zipEdit{}), Limits{Metadata: int64(len(demoMetadata)) - 1}, "at most 45 are allowed"},
		{"sdist: as many", demoSdist, sd, Limits{Entries: 7}, ""}, // three files, the top, b, c, d
		{"sdist: too many", demoSdist, sd, Limits{Entries: 6}, "more than 6 files and folders"},
		{"sdist: as much", demoSdist, sd, Limits{Unpacked: tarred}, ""},
		{"sdist: too much", demoSdist, sd, Limits{Unpacked: tarred - 1}, "unpacks to more than"},
		{"sdist: long PKG-INFO", demoSdist, sd, Limits{Metadata: int64(len(demoMetadata))}, ""},
		{"sdist: too long PKG-INFO", demoSdist, sd, Limits{Metadata: int64(len(demoMetadata)) - 1}, "at most 45 are allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := inspectBytes(c.content, c.filename, c.l)
			if c.want != "" {
				wantComplaint(t, err, c.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
