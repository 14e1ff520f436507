package dist

import (
	"archive/tar"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	posix = "ustar\x0000"
	gnu   = "ustar  \x00"
)

// A tarPart is a header with what comes behind it, written as it is told.
type tarPart struct {
	name, content, prefix, link string
	typeflag                    byte   // default '0'
	magic                       string // default posix
	size                        string // the field, if not what content has
	padding                     string // behind content, before zeros
	at                          int    // put bytes there
	bytes                       string
	sum                         int // is wrong by so much
}

func (p tarPart) build() []byte {
	b := make([]byte, tarBlock)
	copy(b, p.name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:], cmp.Or(p.size, fmt.Sprintf("%011o\x00", len(p.content))))
	copy(b[136:], "00000000000\x00")
	b[156] = p.typeflag
	if p.typeflag == 0 {
		b[156] = '0'
	}
	copy(b[157:], p.link)
	copy(b[257:], cmp.Or(p.magic, posix))
	copy(b[345:], p.prefix)
	copy(b[p.at:], p.bytes)
	b = resum(b, p.sum)
	b = append(append(b, p.content...), p.padding...)
	return append(b, make([]byte, -len(b)&(tarBlock-1))...)
}

// resum writes the checksum of a header, wrong by off.
func resum(b []byte, off int) []byte {
	copy(b[148:], "        ")
	for _, c := range b[:tarBlock] {
		off += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", off))
	return b
}

// pax makes records of keys and values.
func pax(pairs ...string) string {
	s := ""
	for i := 0; i < len(pairs); i += 2 {
		body := " " + pairs[i] + "=" + pairs[i+1] + "\n"
		n := len(body) + 1
		for len(fmt.Sprint(n))+len(body) > n {
			n++
		}
		s += fmt.Sprint(n) + body
	}
	return s
}

func tarOf(parts ...tarPart) []byte {
	b := tarPart{name: "demo-1.0/PKG-INFO", content: demoMetadata}.build()
	for _, p := range parts {
		b = append(b, p.build()...)
	}
	return append(b, make([]byte, 2*tarBlock)...)
}

type tarCase struct {
	name    string
	content []byte
	want    string
}

// tarTricks are archives that Python reads otherwise than Go, or that some other program might.
func tarTricks() []tarCase {
	x := func(pairs ...string) tarPart { return tarPart{name: "x", typeflag: 'x', content: pax(pairs...)} }
	long := func(t byte, s string) tarPart {
		return tarPart{name: "././@LongLink", typeflag: t, magic: gnu, content: s}
	}
	a := tarPart{name: "demo-1.0/a", content: "print(1)"}
	evil := "../../evil.py"
	return []tarCase{
		{"global path", tarOf(tarPart{name: "g", typeflag: 'g', content: pax("path", evil)}, a), `sets "path" for all entries`},
		{"prefix in a v7 header", tarOf(tarPart{name: "demo-1.0/a", magic: "\x00", prefix: "../../evil"}), "none of the formats"},
		{"two records of paths", tarOf(x("path", evil), x("path", "demo-1.0/b"), a), `of types "xx"`},
		{"path, then long name", tarOf(x("path", "/tmp/evil.py"), long('L', "demo-1.0/b\x00"), a), `of types "xL"`},
		{"another PKG-INFO", tarOf(x("path", "demo-1.0/PKG-INFO"), x("path", "demo-1.0/other.txt"), tarPart{name: "demo-1.0/a", content: demoMetadata + "Summary: x\n"}), `of types "xx"`},

		{"long name, then path", tarOf(long('L', "demo-1.0/b\x00"), x("path", evil), a), `of types "Lx"`},
		{"two long names", tarOf(long('L', evil), long('L', "demo-1.0/b\x00"), a), `of types "LL"`},
		{"path, then global", tarOf(x("path", evil), tarPart{name: "g", typeflag: 'g', content: pax("comment", "c")}, a), `of types "xg"`},
		{"global at the end", tarOf(tarPart{name: "g", typeflag: 'g', content: pax("comment", "c")}), "an entry that is not there"},
		{"path at the end", tarOf(x("path", "demo-1.0/b")), "an entry that is not there"},
		{"time where Python sees a prefix", tarOf(tarPart{name: "demo-1.0/a", magic: gnu, prefix: "../../evil"}), "where its format has nothing"},
		{"behind the prefix", tarOf(tarPart{name: "demo-1.0/a", at: 508, bytes: "tar\x00"}), "where its format has nothing"},
		{"empty path", tarOf(x("path", ""), a), "an empty path"},
		{"file named like a folder", tarOf(tarPart{name: "demo-1.0/a/", content: "print(1)"}), "is named like a folder"},
		{"empty link", tarOf(x("linkpath", ""), tarPart{name: "demo-1.0/l", typeflag: '2', link: "a"}), "an empty linkpath"},
		{"empty long name", tarOf(long('L', "\x00"), a), "empty or has a NUL"},
		{"NUL in a long name", tarOf(long('L', "demo-1.0/b\x00c"), a), "empty or has a NUL"},
		{"long name behind its end", tarOf(tarPart{name: "L", typeflag: 'L', magic: gnu, content: "demo-1.0", padding: "/../../evil"}, a), "behind the end of a header"},
		{"record behind the end", tarOf(tarPart{name: "x", typeflag: 'x', content: pax("comment", "c"), padding: pax("path", evil)}, a), "behind the end of a header"},
		{"header without records", tarOf(tarPart{name: "x", typeflag: 'x'}, a), "has 0 bytes"},
		{"header too long", tarOf(x("comment", strings.Repeat("c", maxTarMeta)), a), "has 1048593 bytes"},
		{"length with a sign", tarOf(tarPart{name: "x", typeflag: 'x', content: "+20 path=demo-1.0/b\n"}, a), "a record of a wrong length"},
		{"length with a zero", tarOf(tarPart{name: "x", typeflag: 'x', content: "020 path=demo-1.0/b\n"}, a), "a record of a wrong length"},
		{"length too short", tarOf(tarPart{name: "x", typeflag: 'x', content: "10 path=demo-1.0/b\n"}, a), "a record of a wrong length"},
		{"record without an end of line", tarOf(tarPart{name: "x", typeflag: 'x', content: "19 path=demo-1.0/bX"}, a), "a record of a wrong length"},
		{"length too long", tarOf(tarPart{name: "x", typeflag: 'x', content: "99 path=demo-1.0/b\n"}, a), "a record of a wrong length"},
		{"no length", tarOf(tarPart{name: "x", typeflag: 'x', content: "3"}, a), "a record of a wrong length"},
		{"no key", tarOf(x("", "v"), a), "twice or without a value"},
		{"key twice", tarOf(x("path", evil, "path", "demo-1.0/b"), a), `"path" twice`},
		{"encoding", tarOf(x("hdrcharset", "BINARY"), a), "in which encoding"},
		{"encoding in a comment", tarOf(x("comment", "1 hdrcharset=BINARY\n"), a), "in which encoding"},
		{"two sizes", tarOf(x("size", "512"), tarPart{name: "demo-1.0/a"}), `two sizes, 0 and "512"`},
		{"folder with a size", tarOf(tarPart{name: "demo-1.0/a/", typeflag: '5', content: "x"}), "has a size and is no file"},
		{"link with a size", tarOf(tarPart{name: "demo-1.0/l", typeflag: '2', link: "a", content: "x"}), "has a size and is no file"},
		{"oldest type, a folder for Python", tarOf(x("path", "demo-1.0/b"), tarPart{name: "demo-1.0/a/", at: 156, bytes: "\x00", content: "x"}), "oldest tar archives"},
		{"size behind a NUL", tarOf(tarPart{name: "demo-1.0/a", size: "\x0000000000010"}), "an impossible size"},
		{"size with a sign", tarOf(tarPart{name: "demo-1.0/a", size: "-0000000010\x00"}), "an impossible size"},
		{"size below zero", tarOf(tarPart{name: "demo-1.0/a", size: strings.Repeat("\xff", 12)}), "an impossible size"},
		{"size beyond all", tarOf(tarPart{name: "demo-1.0/a", size: "\x80\x01" + strings.Repeat("\x00", 10)}), "an impossible size"},
		{"half binary", tarOf(tarPart{name: "demo-1.0/a", at: 108, bytes: "\x81\x00\x00\x00"}), "for a number"},
		{"device number for Go only", tarOf(tarPart{name: "demo-1.0/a", at: 329, bytes: "\x00001"}), "for a number"},
		{"checksum", tarOf(tarPart{name: "demo-1.0/a", sum: 1}), "checksum is wrong"},
	}
}

func TestTarTricks(t *testing.T) {
	for _, c := range tarTricks() {
		t.Run(c.name, func(t *testing.T) {
			_, err := inspectBytes(gzipped(c.content), demoSdist, Limits{})
			wantComplaint(t, err, c.want)
		})
	}
}

// goodTars are archives that all read alike.
func goodTars(t testing.TB) []tarCase {
	dotted := buildTar(t, []entry{
		{name: "./", typeflag: tar.TypeDir}, {name: "./demo-1.0/", typeflag: tar.TypeDir},
		{name: "./demo-1.0/PKG-INFO", content: demoMetadata},
		{name: "./demo-1.0/a/same", typeflag: tar.TypeLink, linkname: "./demo-1.0/PKG-INFO"},
		{name: "./demo-1.0/a/up", typeflag: tar.TypeSymlink, linkname: "../PKG-INFO"}})
	a := tarPart{name: "demo-1.0/a", content: "print(1)"}
	long := func(t byte, s string) tarPart {
		return tarPart{name: "././@LongLink", typeflag: t, magic: gnu, content: s}
	}
	return []tarCase{
		{name: "plain", content: tarOf(a)},
		{name: "packed from .", content: dotted},
		{name: "comment", content: tarOf(tarPart{name: "g", typeflag: 'g', content: pax("comment", "0123abcd")}, tarPart{name: "x", typeflag: 'x', content: pax("path", "demo-1.0/ü", "mtime", "1.5", "size", "8", "LIBARCHIVE.creationtime", "1")}, a)},
		{name: "prefix", content: tarOf(tarPart{name: "b", prefix: "demo-1.0/a", content: "x"})},
		{name: "long names", content: tarOf(long('K', strings.Repeat("x", 600)+"\x00"), long('L', "demo-1.0/"+strings.Repeat("l", 600)+"\x00"), tarPart{name: "l", typeflag: '2', link: "x", magic: gnu})},
		{name: "binary numbers", content: tarOf(tarPart{name: "demo-1.0/a", magic: gnu, size: "\x80" + strings.Repeat("\x00", 10) + "\x08", content: "print(1)", at: 136, bytes: strings.Repeat("\xff", 12)})},
		{name: "numbers in spaces", content: tarOf(tarPart{name: "demo-1.0/a", size: "       10 \x00 ", content: "print(1)", at: 329, bytes: "        \x00\x00\x00\x00\x00\x00\x00\x00"})},
	}
}

func TestGoodTars(t *testing.T) {
	for _, c := range goodTars(t) {
		if d, err := inspectBytes(gzipped(c.content), demoSdist, Limits{}); err != nil || string(d.Raw) != demoMetadata {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestDots: "./" in front is harmless, and nothing but that.
func TestDots(t *testing.T) {
	for _, c := range []struct {
		entry
		want string
	}{
		{entry{name: "././demo-1.0/a"}, `has "." for a segment`},
		{entry{name: "demo-1.0/./a"}, `has "." for a segment`},
		{entry{name: "./../a"}, `has ".." for a segment`},
		{entry{name: ".//etc/passwd"}, "is absolute"},
		{entry{name: "./demo-1.0/PKG-INFO"}, "comes twice"},
		{entry{name: "."}, `has "." for a segment`},
		{entry{name: ".", typeflag: tar.TypeSymlink, linkname: "x"}, `has "." for a segment`},
		{entry{name: ".//", typeflag: tar.TypeDir}, "no name"},
		{entry{name: "/", typeflag: tar.TypeDir}, "no name"},
		{entry{name: "./demo-1.0/l", typeflag: tar.TypeSymlink, linkname: "../../x"}, "not plainly inside"},
		{entry{name: "./demo-1.0/l", typeflag: tar.TypeSymlink, linkname: ".."}, "not plainly inside"},
		{entry{name: "./demo-1.0/l", typeflag: tar.TypeLink, linkname: "././demo-1.0/PKG-INFO"}, "no file before it"},
	} {
		_, err := inspectBytes(tgz(t, sdistOf(c.entry)...), demoSdist, Limits{})
		wantComplaint(t, err, c.want)
	}
	if _, err := inspectBytes(gzipped(tarOf(tarPart{name: "", typeflag: '5'})), demoSdist, Limits{}); err == nil {
		t.Error("a folder without a name")
	}
}

// TestTornTars cuts good archives wherever a block ends, and somewhere in it.
func TestTornTars(t *testing.T) {
	for _, c := range goodTars(t) {
		for n := 0; n < len(c.content); n += tarBlock / 2 {
			if _, err := inspectBytes(gzipped(slices.Clone(c.content[:n])), demoSdist, Limits{}); err != nil {
				checkForm(t, err)
			} else if n%tarBlock != 0 {
				t.Errorf("%s: cut at %d", c.name, n)
			}
		}
	}
}
