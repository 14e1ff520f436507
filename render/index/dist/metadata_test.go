package dist

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const head = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"

func TestMetadata(t *testing.T) {
	got, err := parseMetadata([]byte(`Metadata-Version: 2.4
name: Demo.Thing
VERSION:1.0.0
Summary:   A thing
Keywords: one, two words ,,three
Author: Ada
Author-email: Ada <ada@example.org>,
  Bob <bob@example.org>
Maintainer: Carol
Maintainer-email: carol@example.org
License: MIT
        |
        |   indented: yes
License-Expression: MIT OR (Apache-2.0 WITH LLVM-exception)
License-File: LICENSE
License-File: NOTICE
Classifier: A :: B
Classifier: C :: D
Home-page: https://example.org/
Download-URL: ftp://example.org/
Project-URL: Source, https://example.org/a,b
Project-URL: Bugs,https://example.org/bugs
Platform: any
Platform: UNKNOWN
Requires-Python: >=3.8, <4
Requires-Dist: six
Requires-Dist: tomli (>=1.1.0) ;
	python_version < "3.11"
Provides-Extra: all
X-Unknown: 1
X-Unknown: 2
Description-Content-Type: text/markdown; charset=UTF-8; variant=GFM

# Title

  text: not a header
`), "METADATA")
	if err != nil {
		t.Fatal(err)
	}
	want := Metadata{
		MetadataVersion: "2.4", Name: "Demo.Thing", Version: "1.0.0", Summary: "A thing",
		Description: "# Title\n\n  text: not a header\n", DescriptionContentType: "text/markdown; charset=UTF-8; variant=GFM",
		Keywords: []string{"one", "two words", "three"}, Author: "Ada", AuthorEmail: "Ada <ada@example.org>, Bob <bob@example.org>",
		Maintainer: "Carol", MaintainerEmail: "carol@example.org", License: "MIT\n\n   indented: yes",
		LicenseExpression: "MIT OR (Apache-2.0 WITH LLVM-exception)", Classifiers: []string{"A :: B", "C :: D"},
		HomePage: "https://example.org/", DownloadURL: "ftp://example.org/",
		ProjectURLs: []Link{{"Source", "https://example.org/a,b"}, {"Bugs", "https://example.org/bugs"}},
		Platforms:   []string{"any"}, RequiresPython: ">=3.8, <4",
		RequiresDist: []string{"six", `tomli (>=1.1.0) ; python_version < "3.11"`}, ProvidesExtra: []string{"all"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
}

func TestDescriptions(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"none", head, ""},
		{"none, but an empty line", head + "\n", ""},
		{"only space", head + "\n \n\t\n", ""},
		{"body", head + "\n\nx\n\ny", "\nx\n\ny"},
		{"body with CRLF", strings.ReplaceAll(head+"\nx\ny\n", "\n", "\r\n"), "x\ny\n"},
		{"body with CR", head + "\nx\ry\n", "x\ny\n"},
		{"header", head + "Description: x\n", "x"},
		{"header, indented", head + "Description: x\n        y\n          z\n        \n        w\n", "x\ny\n  z\n\nw"},
		{"header, with bars", head + "Description: x\n       |\n       |  y\n       |z|\n", "x\n\n  y\nz|"},
		{"header, some bars", head + "Description: | a\n        | b\n        c\n", "| a\n| b\nc"},
		{"header, a bar at last", head + "Description: x\n        a\n        | b\n", "x\na\n| b"},
		{"header, empty lines inside", head + "Description: x\n \n   y\n", "x\n\ny"},
		{"header, begins below", head + "Description:\n  x\n  y\n", "\nx\ny"},
		{"header and empty body", head + "Description: x\n\n\n", "x"},
		{"unknown", head + "Description: UNKNOWN\n", ""},
	} {
		m, err := parseMetadata([]byte(c.raw), "METADATA")
		if err != nil || m.Description != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, m.Description, err, c.want)
		}
	}
}

func TestKeywords(t *testing.T) {
	for value, want := range map[string][]string{
		"a,b": {"a", "b"}, "a b": {"a", "b"}, "a b,c": {"a b", "c"}, "UNKNOWN": nil, "": nil, " , ": nil, "a\n  b": {"a", "b"},
	} {
		m, err := parseMetadata([]byte(head+"Keywords: "+value+"\n"), "METADATA")
		if err != nil || !slices.Equal(m.Keywords, want) {
			t.Errorf("%q: %q (%v), want %q", value, m.Keywords, err, want)
		}
	}
}

func TestBadMetadata(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"", "METADATA lacks Metadata-Version"},
		{"\n" + head, "METADATA lacks Metadata-Version"},
		{"Metadata-Version: 2.1\nVersion: 1\n", "METADATA lacks Name"},
		{"Metadata-Version: 2.1\nName: a\n", "METADATA lacks Version"},
		{"Metadata-Version: 2.1\nName:\nVersion: 1\n", "METADATA lacks Name"},
		{"Metadata-Version: 3.0\n", `Metadata-Version: "3.0" is not one of 1.0, `},
		{"\xef\xbb\xbf" + head, "METADATA line 1 is neither a header nor indented"},
		{head + "Summary: \xff\n", "METADATA is not UTF-8"},
		{head + "\n\xc0\x80", "METADATA is not UTF-8"},
		{head + "Summary: a\x00b\n", "METADATA line 4 has a stray carriage return or NUL"},
		{head + "Summary: a\rName: b\n", "METADATA line 4 has a stray carriage return or NUL"},
		{head + "\na\x00b", "has a NUL"},
		{" " + head, "begins with a space"},
		{head + "License: MIT\nCopyright (c) Ada\n", `METADATA line 5 is neither a header nor indented: "Copyright (c) Ada"`},
		{head + "From Ada: x\n", "line 4 is neither"},
		{head + "Na me: x\n", "line 4 is neither"},
		{head + "Näme: x\n", "line 4 is neither"},
		{head + ": x\n", "line 4 is neither"},
		{head + "name: demo\n", "line 4: name: it is given twice"},
		{head + "Summary: a\nsummary: a\n", "line 5: summary: it is given twice"},
		{head + "License: a\nLicense: a\n", "line 5: License: it is given twice"},
		{head + "Keywords: a\nKeywords: a\n", "line 5: Keywords: it is given twice"},
		{head + "Description: a\n\nb\n", "two descriptions"},
		{"Metadata-Version: 2.1\nName: demo\n thing\n", "line 2: Name: it must be one line"},
		{"Metadata-Version: 2.1\nName: -demo\n", `line 2: Name: "-demo" is no name`},
		{"Metadata-Version: 2.1\nName: " + strings.Repeat("a", 101) + "\n", "at most 100 bytes"},
		{"Metadata-Version: 2.1\nName: d\xc3\xa9mo\n", `"d\u00e9mo" is no name`},
		{"Metadata-Version: 2.1\nName: demo\nVersion: one\n", `line 3: Version: "one" is not a version as of PEP 440`},
		{head + "Summary: a\n b\n", "Summary: it must be one line"},
		{head + "Summary: " + strings.Repeat("ü", 513) + "\n", "it has 513 characters; at most 512 are allowed"},
		{head + "Author: a\x1b[31m\n", "Author: it has a control character"},
		{head + "Author: a\u0085b\n", "Author: it has a control character"},
		{head + "Author: a\u2028b\n", "Author: it has a control character"},
		{head + "License: a\n b\x07\n", "License: it has a control character"},
		{head + "Author: " + strings.Repeat("a", 8193) + "\n", "at most 8192 are allowed"},
		{head + "Home-page: http://" + strings.Repeat("a", 2048) + "\n", "at most 2048 are allowed"},
		{head + "License-Expression: MIT; rm\n", "is not a licence expression"},
		{head + "Project-URL: https://example.org\n", `is not "label, URL"`},
		{head + "Project-URL: , https://example.org\n", `is not "label, URL"`},
		{head + "Project-URL: x,\n", `is not "label, URL"`},
		{head + "Project-URL: " + strings.Repeat("x", 33) + ", https://example.org\n", "more than 32 characters"},
		{head + "Project-URL: x, https://" + strings.Repeat("x", 2048) + "\n", "at most 2048 are allowed"},
		{head + "Requires-Python: 3\n", `line 4: Requires-Python: "3" is not a version specifier`},
		{head + "Requires-Python: >=3.6.*\n", "is not a version specifier"},
		{head + "Requires-Dist: six @ https://example.org/six.whl\n", "requires a URL"},
		{head + "Requires-Dist: six >= x\n", "is not a requirement"},
		{head + "Requires-Dist: ; python_version<'3'\n", "is not a requirement"},
		{head + "Requires-Dist: a; " + strings.Repeat("(", 100) + "\n", "no environment marker"},
		{head + "Requires-Dist: a; " + strings.Repeat("(", 21) + "os_name=='a'" + strings.Repeat(")", 21) + "\n", "no environment marker"},
		{head + "Provides-Extra: a b\n", "is no name for an extra"},
		{head + "Description-Content-Type: text/html\n", "is not one of text/plain"},
		{head + "Description-Content-Type: text/plain; charset=latin-1\n", "only UTF-8"},
		{head + "Description-Content-Type: text/markdown; variant=x\n", "not GFM or CommonMark"},
		{head + "Description-Content-Type: ;\n", "is not one of text/plain"},
	} {
		_, err := parseMetadata([]byte(c.raw), "METADATA")
		t.Run(c.want, func(t *testing.T) { wantComplaint(t, err, c.want) })
	}
}

// TestMetadataKeepsUpToBounds has what is just allowed.
func TestMetadataKeepsUpToBounds(t *testing.T) {
	for _, line := range []string{
		"Summary: " + strings.Repeat("ü", 512), "Author: " + strings.Repeat("a", 8192), "License: " + strings.Repeat("a\n ", 9000),
		"Project-URL: " + strings.Repeat("ü", 32) + ", x", "Home-page: " + strings.Repeat("x", 2048), "Author: a\tb", "License: a\n \f\n b",
		"Requires-Python:", "Requires-Dist:", "Project-URL:", "Description-Content-Type: text/x-rst",
		"Description-Content-Type: text/markdown; variant=CommonMark", "Requires-Dist: a; " + strings.Repeat("(", 20) + "os_name=='a'" + strings.Repeat(")", 20),
	} {
		if _, err := parseMetadata([]byte(head+line+"\n"), "METADATA"); err != nil {
			t.Errorf("%.40q: %v", line, err)
		}
	}
}

func checkRoundTrip(t *testing.T, m Metadata) {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var again Metadata
	if err := json.Unmarshal(b, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, again) {
		t.Errorf("%+v comes back from JSON as %+v", m, again)
	}
}
