package httpcache_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// TestSelect: which requests share a variant (RFC 9111, 4.1).
func TestSelect(t *testing.T) {
	for _, c := range []struct {
		vary string
		a, b []string
		same bool
	}{
		{"Foo", []string{"Foo: 1"}, []string{"Foo: 1", "Bar: 2"}, true},
		{"Foo", []string{"Foo: 1"}, []string{"Foo: 2"}, false},
		{"Foo", []string{"Foo: 1"}, nil, false},
		{"Foo", []string{"Foo: "}, nil, false}, // absent is not empty
		{"Foo", nil, nil, true},
		{"Foo", []string{"Foo: a"}, []string{"Foo: A"}, false},
		{"Foo", []string{"Foo: 1, 2"}, []string{"Foo: 1", "Foo: 2"}, true},
		{"Foo", []string{"Foo: 1,2"}, []string{"Foo:  1 ,\t2 "}, true},
		{"Foo", []string{"Foo: 1,2"}, []string{"Foo: 2,1"}, false},
		{"Foo", []string{"Foo: 1 2"}, []string{"Foo: 12"}, false},
		{"Foo", []string{`Foo: "1, 2"`}, []string{`Foo: "1,2"`}, false},
		{"Foo", []string{`Foo: "1`, "Foo: 2"}, []string{`Foo: "1,2`}, true},
		{"Foo", []string{`Foo: "\", 1"`}, []string{`Foo: "\",1"`}, false},
		{"A,B", []string{"A: xB1y"}, []string{"A: x", "B: yB0"}, false},
		{"A,B", []string{"A: x\x00B\x001\x00y"}, []string{"A: x", "B: y\x00B\x000\x00"}, false},
		{"Cookie", []string{"Cookie: a=1, 2"}, []string{"Cookie: a=1,2"}, false},
		{"Foo,Bar", []string{"Foo: 1", "Bar: 2"}, []string{"Bar: 2", "Foo: 1"}, true},
		{"Foo,Bar", []string{"Foo: 1", "Bar: 2"}, []string{"Foo: 2", "Bar: 1"}, false},
		{"Foo,Bar", []string{"Foo: 1"}, []string{"Bar: 1"}, false},
		{"Accept-Language", []string{"Accept-Language: en, de"}, []string{"Accept-Language:  eN ,  De"}, true},
		{"Accept-Language", []string{"Accept-Language: de;q=0.5, en"}, []string{"Accept-Language: en;q=1.000,de;Q=0.50"}, true},
		{"Accept-Language", []string{"Accept-Language: en, de"}, []string{"Accept-Language: de, en"}, false}, // a preference, to some
		{"Accept-Language", []string{"Accept-Language: en;q=0.5"}, []string{"Accept-Language: en;q=0.51"}, false},
		{"Accept-Language", []string{"Accept-Language: en;q=2"}, []string{"Accept-Language: EN;q=2"}, false}, // malformed: as it is
		{"Accept-Language", []string{"Accept-Language: en;q=0"}, []string{"Accept-Language: "}, false},
		{"Accept-Language", []string{"Accept-Language: ,en,,"}, []string{"Accept-Language: en"}, true},
		{"Accept", []string{"Accept: Text/HTML;Level=1;q=0.70, */*"}, []string{"Accept: */* , text/html ; level=1 ; q=0.7"}, true},
		{"Accept", []string{"Accept: text/html;a=B"}, []string{"Accept: text/html;a=b"}, false},
		{"Accept", []string{`Accept: text/html;a="x,y"`}, []string{`Accept: text/html;a="x, y"`}, false},
		{"Accept", []string{"Accept: text/html;q=0.5;x=1"}, []string{"Accept: text/html;q=0.5"}, false},
		{"Accept-Encoding;gzip", []string{"Accept-Encoding: br, gzip"}, []string{"Accept-Encoding: X-GZIP;q=0.1"}, true},
		{"Accept-Encoding;gzip", []string{"Accept-Encoding: *"}, []string{"Accept-Encoding: gzip"}, true},
		{"Accept-Encoding;gzip", []string{"Accept-Encoding: gzip;q=0, *"}, nil, true},
		{"Accept-Encoding;gzip", []string{"Accept-Encoding: gzip;q=x"}, []string{"Accept-Encoding: br"}, true},
		{"Accept-Encoding;gzip", []string{"Accept-Encoding: gzip"}, nil, false},
		{"Accept-Encoding;br+gzip", []string{"Accept-Encoding: gzip"}, []string{"Accept-Encoding: gzip, br"}, false},
	} {
		vary := strings.Split(c.vary, ",")
		a, b := httpcache.Select(vary, header(c.a...)), httpcache.Select(vary, header(c.b...))
		if (a == b) != c.same || len(a) != 32 {
			t.Errorf("%s: %q %q: %q %q", c.vary, c.a, c.b, a, b)
		}
		l := httpcache.Life{Vary: vary, Selected: a}
		if l.Selects(header(c.b...)) != c.same {
			t.Errorf("%s: %q selects %q: %v", c.vary, c.a, c.b, !c.same)
		}
	}
	if httpcache.Select(nil, header("A: b")) != "" || !(httpcache.Life{}).Selects(header("A: b")) {
		t.Error("nothing to vary on")
	}
	if httpcache.Select([]string{"A", "B"}, header("A: 1")) != httpcache.Select([]string{"B", "A"}, header("A: 1")) {
		t.Error("the order of names matters")
	}
	if httpcache.Select([]string{"A"}, header("A: 1")) == httpcache.Select([]string{"B"}, header("B: 1")) {
		t.Error("names don't matter")
	}
}

// TestVary: what Judge makes of Vary, and of a response that is encoded.
func TestVary(t *testing.T) {
	for _, c := range []struct {
		lines []string
		vary  string
	}{
		{[]string{"Vary: foo , BAR", "vary: Foo"}, "Bar Foo"},
		{[]string{"Vary: Accept-Encoding"}, ""},
		{[]string{"Vary: accept-encoding, Accept", "Content-Encoding: identity"}, "Accept"},
		{[]string{"Content-Encoding: x-gzip"}, "Accept-Encoding;gzip"},
		{[]string{"Content-Encoding: gzip, BR", "Vary: Z"}, "Accept-Encoding;gzip+br Z"},
		{[]string{"Content-Encoding: own"}, ""}, // nothing that clients negotiate: it is the same for all
		{[]string{"Content-Encoding: own", "Vary: Accept-Encoding"}, "Accept-Encoding;own"},
	} {
		x := exchange(200, append(c.lines, explicit)...)
		v := httpcache.Judge(x, httpcache.Policy{})
		if v.Why != "" || strings.Join(v.Life.Vary, " ") != c.vary || (v.Life.Selected == "") != (c.vary == "") {
			t.Errorf("%q: %q %+v", c.lines, v.Why, v.Life)
		}
	}
	// Whoever asked, what is encoded is for those who accept it.
	x := exchange(200, explicit, "Content-Encoding: gzip", "Vary: Foo")
	x.Request = header("Foo: 1")
	l := httpcache.Judge(x, httpcache.Policy{}).Life
	if l.Selects(x.Request) || l.Selects(header("Accept-Encoding: gzip")) || !l.Selects(header("Accept-Encoding: gzip", "Foo: 1")) {
		t.Errorf("%+v", l)
	}
}

// TestSelectIsInjective: values that differ in their normal form never share a digest. The model of a normal form: the
// elements of an unknown header, without the whitespace around them.
func TestSelectIsInjective(t *testing.T) {
	value := rapid.StringMatching(`[ab,1;=" \\]{0,6}`)
	lines := rapid.SliceOfN(value, 0, 3)
	seen := make(map[string]string)
	rapid.Check(t, func(t *rapid.T) {
		h := http.Header{}
		for _, name := range []string{"Foo", "Bar"} {
			if l := lines.Draw(t, name); len(l) > 0 {
				h[name] = l
			}
		}
		form := ""
		for _, name := range []string{"Bar", "Foo"} {
			form += name
			if h[name] != nil {
				form += ":" + model(strings.Join(h[name], ",")) + "\n"
			}
		}
		digest := httpcache.Select([]string{"Bar", "Foo"}, h)
		if old, ok := seen[digest]; ok && old != form {
			t.Fatalf("%q and %q have one digest", old, form)
		}
		seen[digest] = form
		// And the normal form itself selects the same.
		n := http.Header{}
		for name, l := range h {
			n[name] = []string{model(strings.Join(l, ","))}
		}
		if httpcache.Select([]string{"Bar", "Foo"}, n) != digest {
			t.Fatalf("%q is not like its normal form %q", h, n)
		}
	})
}

// model removes the whitespace beside commas that stand in no quotes, and at both ends; byte by byte.
func model(s string) string {
	s = strings.Trim(s, " ")
	var out []byte
	quoted, space := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\' && i+1 < len(s):
			out = append(out, c, s[i+1])
			i++
			space = 0
			continue
		case c == '"':
			quoted = !quoted
		case !quoted && c == ',':
			out = append(out[:len(out)-space], ',')
			for i+1 < len(s) && s[i+1] == ' ' {
				i++
			}
			space = 0
			continue
		case !quoted && c == ' ':
			out = append(out, c)
			space++
			continue
		}
		out = append(out, s[i])
		space = 0
	}
	return string(out)
}

// FuzzWeighted: elements of Accept-Language in any order but that of their weights select the same; another element does not.
func FuzzWeighted(f *testing.F) {
	f.Add("en", "de", uint16(500), uint16(1000))
	f.Fuzz(func(t *testing.T, a, b string, qa, qb uint16) {
		a, b = strings.Map(letter, a), strings.Map(letter, b)
		if a == "" || b == "" || strings.EqualFold(a, b) || qa%1001 == qb%1001 {
			t.Skip()
		}
		element := func(tag string, q uint16) string {
			q %= 1001
			return tag + ";q=" + string('0'+byte(q/1000)) + "." + string([]byte{'0' + byte(q/100%10), '0' + byte(q/10%10), '0' + byte(q%10)})
		}
		digest := func(elements ...string) string {
			return httpcache.Select([]string{"Accept-Language"}, http.Header{"Accept-Language": {strings.Join(elements, ",")}})
		}
		one := digest(element(a, qa), element(b, qb))
		if other := digest(element(strings.ToUpper(b), qb), element(strings.ToUpper(a), qa)); other != one {
			t.Fatalf("%q %d %q %d", a, qa, b, qb)
		}
		if other := digest(element(a, qb), element(b, qa)); other == one {
			t.Fatalf("%q %d %q %d: weights don't matter", a, qa, b, qb)
		}
		if other := digest(element(a, qa)); other == one {
			t.Fatal("an element does not matter")
		}
	})
}

func letter(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' {
		return r
	}
	return -1
}

// drawExchange and drawPolicy make responses of what caches read, well-formed or nearly so.
func drawExchange(t *rapid.T) httpcache.Exchange {
	x := exchange(rapid.SampledFrom([]int{200, 200, 200, 200, 301, 302, 404, 400, 500, 206, 304, 599}).Draw(t, "status"))
	x.Sent = noon.Add(-rapid.SampledFrom([]timeDuration{0, 1500000, 3e9}).Draw(t, "delay"))
	lines := rapid.SliceOfN(rapid.SampledFrom(responseLines), 0, 6).Draw(t, "lines")
	x.Header = header(lines...)
	x.Header.Add("Cache-Control", strings.Join(rapid.SliceOfN(rapid.SampledFrom(controlParts), 0, 5).Draw(t, "control"), rapid.SampledFrom([]string{",", ", ", " ,,\t"}).Draw(t, "sep")))
	x.Request = header(slices.Concat([]string{"Foo: 1"}, rapid.SliceOfN(rapid.SampledFrom([]string{"Accept: */*", "Foo: 2", "Accept-Encoding: gzip"}), 0, 2).Draw(t, "request"))...)
	return x
}

func drawPolicy(t *rapid.T) httpcache.Policy {
	return httpcache.Policy{
		UntilInvalidated: rapid.Bool().Draw(t, "until invalidated"),
		MaxAge:           rapid.SampledFrom([]timeDuration{0, 0, 1234567, 60e9}).Draw(t, "max age"),
		WhileRevalidate:  rapid.SampledFrom([]timeDuration{0, 5e9}).Draw(t, "while"),
		IfError:          rapid.SampledFrom([]timeDuration{0, 1500000001}).Draw(t, "error"),
	}
}
