package dist

import (
	"bytes"
	"encoding/csv"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRequirement: what stands beside a requirement, or around its parts, does not change whether it is one; nor can two
// good ones become a bad one by being joined as the grammar joins them.
func FuzzRequirement(f *testing.F) {
	for _, s := range [][2]string{
		{"a[b,c] (>=1.0,!=1.5.*) ; python_version < \"3.8\" and (os_name=='nt' or extra == 'x')", ">=3.8"}, {"a>=1,<2", "~=1.4"}, {"a @ https://x", "===x y"}, {"a;", "==1.*"}, {"a[", ">"}, {"a;'x' in y", ","},
		{"a; " + strings.Repeat("(", 25) + "x=='1'" + strings.Repeat(")", 25), "==1.0.*,"}, {"a b", ">=1.0+local"}, {"a;x not in 'y'", "<=1.dev0"}, {"A.b-c_d", "!=1!2.*"}, {"-a", "==1a.*"}, {"a[x y]", "~=1"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, requirement, specifiers string) {
		err := checkRequirement(requirement)
		if err != nil {
			checkForm(t, err)
		}
		if again := checkRequirement(" \t" + requirement + " "); (again == nil) != (err == nil) {
			t.Fatalf("%q: %v; with spaces around: %v", requirement, err, again)
		}
		specErr := checkSpecifiers(specifiers)
		if specErr != nil {
			checkForm(t, specErr)
		}
		if again := checkSpecifiers(" " + specifiers + " ,"); (again == nil) != (specErr == nil) {
			t.Fatalf("%q: %v; with a comma behind: %v", specifiers, specErr, again)
		}
		if err := checkSpecifiers(">=1," + specifiers); (err == nil) != (specErr == nil) {
			t.Fatalf("%q: %v; behind another: %v", specifiers, specErr, err)
		}
		if !strings.ContainsAny(specifiers, ";()@[") && !strings.HasPrefix(strings.TrimLeft(specifiers, spaces), "-") {
			joined := checkRequirement("a (" + specifiers + ") ; os_name == 'x'")
			if (joined == nil) != (specErr == nil) {
				t.Fatalf("%q: %v; in a requirement: %v", specifiers, specErr, joined)
			}
		}
		if err != nil {
			return
		}
		name, rest := identifier(strings.Trim(requirement, spaces))
		if !ValidName(name) || strings.HasPrefix(strings.TrimLeft(rest, spaces), "@") {
			t.Fatalf("%q is taken", requirement)
		}
		if _, marker, marked := strings.Cut(requirement, ";"); marked && strings.Count(marker, "(") < maxMarkerDepth {
			for _, joined := range []string{"(" + marker + ") and os_name == \"x\"", "os_name not in 'x' or (" + marker + ")"} {
				if err := checkRequirement("a ; " + joined); err != nil {
					t.Fatalf("%q has a marker; with another beside it: %v", requirement, err)
				}
			}
		}
	})
}

// FuzzRecord: a RECORD is judged by its bytes, however they come in; by its rows, as CSV has them; and one that lists
// all files with their digests is good, but not with one of them changed.
func FuzzRecord(f *testing.F) {
	good := "a.py,sha256=" + emptyHash + ",0\r\nd.dist-info/RECORD,,\n\"b,\"\"c.py\",sha256=" + emptyHash + ",\n"
	for _, s := range []string{good, "", "a.py,,\n", strings.Replace(good, "a.py", "x.py", 1), strings.Replace(good, "sha256", "md5", 1), good + good, "\n\r\n" + good, strings.ReplaceAll(good, ",0", ",1"), "\"a.py", strings.Repeat("x", maxRecordLine+1), "a.py,sha256=" + emptyHash + "=,0\n"} {
		f.Add([]byte(s), uint8(3), uint16(7))
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece uint8, changed uint16) {
		judge := func(raw []byte, piece int) error {
			empty := recorded{digest: emptyDigest}
			r := record{name: "d.dist-info/RECORD", files: map[string]*recorded{"a.py": {digest: emptyDigest}, `b,"c.py`: &empty}}
			for len(raw) > 0 {
				n := min(piece, len(raw))
				if _, err := r.Write(raw[:n]); err != nil {
					return err
				}
				raw = raw[n:]
			}
			return r.finish()
		}
		whole := judge(raw, len(raw)+1)
		if whole != nil {
			checkForm(t, whole)
		}
		if pieces := judge(raw, int(piece)+1); (pieces == nil) != (whole == nil) || pieces != nil && pieces.Error() != whole.Error() {
			t.Fatalf("%q: %v; in pieces of %d: %v", raw, whole, piece+1, pieces)
		}
		if whole != nil {
			return
		}
		// A second reading.
		rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
		listed := map[string]string{}
		for _, row := range rows {
			if len(row) == 3 {
				listed[row[0]] = strings.TrimRight(row[1], "=")
			}
		}
		if err == nil && (listed["a.py"] != "sha256="+emptyHash || listed[`b,"c.py`] != "sha256="+emptyHash) {
			t.Fatalf("%q is taken", raw)
		}
		at := bytes.Index(raw, []byte(emptyHash))
		if at < 0 {
			t.Fatalf("%q is taken without a digest", raw)
		}
		at += int(changed) % len(emptyHash)
		raw = bytes.Clone(raw)
		if raw[at]++; judge(raw, len(raw)) == nil {
			t.Fatalf("%q is taken with another digest", raw)
		}
	})
}

// Of no bytes.
const emptyHash = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"

var emptyDigest = [32]byte{
	0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
	0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
}

// FuzzPaths: entries that may lie side by side stay in their folder on every system, and never are one file, nor one the
// other's folder, where upper and lower case are the same; links lead to what is in the folder.
func FuzzPaths(f *testing.F) {
	for _, s := range [][3]string{
		{"d/a", "d/A", "x"}, {"d/a", "d/a/b", "../x"}, {"../a", "d/./a", "../../x"}, {"/a", "C:/a", "/x"}, {`a\b`, "a//b", `..\x`}, {"d/ſ", "d/s", "a/../../x"}, {"d/K", "d/\u212a", ".."}, {"a\x00", "a\n", "b/.."}, {"d/e/f", "d", "../../d"}, {"d/con", "d/aux.py", "./x"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, a, b, target string) {
		tr := newTree(100)
		if err := tr.add(a, file); err != nil {
			checkForm(t, err)
			return
		}
		if !fs.ValidPath(a) || !filepath.IsLocal(a) || strings.ContainsAny(a, "\\\x00\r\n") || path.Clean(a) != a || len(a) > maxPath {
			t.Fatalf("%q is taken", a)
		}
		if top, _, _ := strings.Cut(a, "/"); checkSymlink(a, target) == nil {
			where := path.Join(path.Dir(a), target)
			if where != top && !strings.HasPrefix(where, top+"/") || path.IsAbs(target) {
				t.Fatalf("%q may lead to %q, which is %q", a, target, where)
			}
		}
		if err := tr.add(b, file); err != nil {
			checkForm(t, err)
			return
		}
		if strings.EqualFold(a, b) || len(a) < len(b) && strings.EqualFold(a+"/", b[:min(len(b), len(a)+1)]) || len(b) < len(a) && strings.EqualFold(b+"/", a[:len(b)+1]) {
			t.Fatalf("%q and %q are taken together", a, b)
		}
	})
}
