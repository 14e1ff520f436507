package dist

import (
	"cmp"
	"slices"
	"strings"
)

// maxVersion bounds a version, in bytes.
const maxVersion = 128

// A version is parsed (PEP 440). Numbers are decimals without leading zeros, of any length; "" means there is none.
type version struct {
	epoch     string
	release   []string
	kind, pre string // "a", "b" or "rc"; pre is set whenever kind is
	post, dev string
	local     []string
}

// CanonicalVersion returns a version's canonical form (PEP 440, trailing zeros kept as packaging.version.Version
// prints it: "1.0" stays "1.0", "1.0-Beta.2" becomes "1.0b2"), or an ErrInvalid.
func CanonicalVersion(version string) (string, error) {
	v, ok := parseVersion(version)
	if !ok {
		return "", invalidf("%s is not a version as of PEP 440, like 1.0, 1.0rc1 or 1.0.post1", quote(version))
	}
	return v.String(), nil
}

// CompareVersions orders canonical versions as pip does: negative, 0 or positive. Equal versions may be written
// differently ("1.0", "1.0.0"). What is no version comes before all that are.
func CompareVersions(a, b string) int {
	va, aok := parseVersion(a)
	vb, bok := parseVersion(b)
	switch {
	case aok && bok:
		return va.compare(vb)
	case aok:
		return 1
	case bok:
		return -1
	}
	return strings.Compare(a, b)
}

// Prerelease reports whether a canonical version is a pre-release or a development release.
func Prerelease(version string) bool {
	v, ok := parseVersion(version)
	return ok && (v.pre != "" || v.dev != "")
}

// preKinds are the spellings of pre-releases; where one begins another, the longer comes first.
var preKinds = [...]struct{ spelling, kind string }{
	{"alpha", "a"}, {"a", "a"}, {"beta", "b"}, {"b", "b"}, {"preview", "rc"}, {"pre", "rc"}, {"c", "rc"}, {"rc", "rc"},
}

// parseVersion reads what the regular expression in PEP 440's appendix B matches, in any of the spellings it allows.
func parseVersion(s string) (v version, ok bool) {
	p := versionParser(strings.Trim(s, " \t\n\v\f\r"))
	if len(p) > maxVersion {
		return v, false
	}
	p = versionParser(lowered(string(p)))
	p.skip("v")
	n := p.number()
	if n != "" && p.skip("!") {
		v.epoch, n = n, p.number()
	}
	if n == "" {
		return v, false
	}
	v.release = append(v.release, n)
	for len(p) > 1 && p[0] == '.' && digit(p[1]) {
		p = p[1:]
		v.release = append(v.release, p.number())
	}
	for _, k := range preKinds {
		if n, ok := p.labelled(k.spelling); ok {
			v.kind, v.pre = k.kind, n
			break
		}
	}
	if len(p) > 1 && p[0] == '-' && digit(p[1]) {
		p = p[1:]
		v.post = p.number()
	} else {
		for _, spelling := range [...]string{"post", "rev", "r"} {
			if v.post, ok = p.labelled(spelling); ok {
				break
			}
		}
	}
	v.dev, _ = p.labelled("dev")
	if p.skip("+") {
		v.local = strings.FieldsFunc(string(p), func(r rune) bool { return strings.ContainsRune(separators, r) })
		length := max(0, len(v.local)-1) // what the separators take, one each
		for i, part := range v.local {
			length += len(part)
			if !only(part, "") {
				return v, false
			}
			v.local[i] = decimal(part)
		}
		if len(v.local) == 0 || length != len(p) {
			return v, false
		}
		p = ""
	}
	return v, p == ""
}

const separators = "-_."

// A versionParser is what remains to be read, in lower case.
type versionParser string

func (p *versionParser) skip(s string) bool {
	rest, ok := strings.CutPrefix(string(*p), s)
	if ok {
		*p = versionParser(rest)
	}
	return ok
}

// number reads a number, if there is one.
func (p *versionParser) number() string {
	s, i := string(*p), 0
	for i < len(s) && digit(s[i]) {
		i++
	}
	*p = versionParser(s[i:])
	return decimal(s[:i])
}

// labelled reads "-label.12": the separators may be missing, and so may the number, which then is 0.
func (p *versionParser) labelled(label string) (string, bool) {
	rest := *p
	rest.separator()
	if !rest.skip(label) {
		return "", false
	}
	rest.separator()
	n := rest.number()
	if n == "" {
		n = "0"
	}
	*p = rest
	return n, true
}

func (p *versionParser) separator() {
	if *p != "" && strings.IndexByte(separators, (*p)[0]) >= 0 {
		*p = (*p)[1:]
	}
}

// decimal removes leading zeros, if the string is a number.
func decimal(s string) string {
	if s == "" || !isDecimal(s) {
		return s
	}
	if s = strings.TrimLeft(s, "0"); s == "" {
		return "0"
	}
	return s
}

func (v version) String() string {
	var b strings.Builder
	if v.epoch != "" && v.epoch != "0" {
		b.WriteString(v.epoch + "!")
	}
	b.WriteString(strings.Join(v.release, "."))
	b.WriteString(v.kind + v.pre)
	if v.post != "" {
		b.WriteString(".post" + v.post)
	}
	if v.dev != "" {
		b.WriteString(".dev" + v.dev)
	}
	if len(v.local) > 0 {
		b.WriteString("+" + strings.Join(v.local, "."))
	}
	return b.String()
}

// compare orders versions as PEP 440 says: dev releases, then a, b, rc, the release, posts; each its own dev releases
// first.
func (v version) compare(w version) int {
	return cmp.Or(
		compareNumbers(v.epoch, w.epoch),
		compareReleases(v.release, w.release),
		cmp.Compare(v.stage(), w.stage()),
		compareNumbers(v.pre, w.pre),
		comparePresence(v.post != "", w.post != ""),
		compareNumbers(v.post, w.post),
		comparePresence(v.dev == "", w.dev == ""),
		compareNumbers(v.dev, w.dev),
		slices.CompareFunc(v.local, w.local, compareLocal),
	)
}

// stage is where a version stands before its release: "1.dev0" comes before "1a0", but "1.post0.dev0" after "1".
func (v version) stage() int {
	switch {
	case v.kind == "a":
		return 1
	case v.kind == "b":
		return 2
	case v.kind == "rc":
		return 3
	case v.post == "" && v.dev != "":
		return 0
	}
	return 4
}

func comparePresence(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// compareNumbers compares decimals; "" counts as 0.
func compareNumbers(a, b string) int {
	if a == "0" {
		a = ""
	}
	if b == "0" {
		b = ""
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// compareReleases takes what is missing as zeros.
func compareReleases(a, b []string) int {
	for i := range max(len(a), len(b)) {
		x, y := "", ""
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if c := compareNumbers(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// compareLocal orders parts of local versions: words before numbers.
func compareLocal(a, b string) int {
	x, y := isDecimal(a), isDecimal(b)
	switch {
	case x && y:
		return compareNumbers(a, b)
	case x || y:
		return comparePresence(x, y)
	}
	return strings.Compare(a, b)
}

func isDecimal(s string) bool { return strings.Trim(s, "0123456789") == "" }
