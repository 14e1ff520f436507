package front

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cachesrv/cachesrv/cache/key"
)

// How a request target becomes a file
//
// cache/key decides which file a target's page lies in. Another server can only match patterns, so it looks at the target
// as it was sent, byte by byte, and takes for a page only what has the very bytes of its file's name: nothing to decode, to
// encode, to sort or to hash. That is nearly every URL there is; the others are answered by cachesrv, from the same pages.
//
// The patterns are in the common part of RE2 and PCRE, without look-around and without anything to backtrack into: so Go
// evaluates the same list that nginx is given (File), and a long target costs no more than its length.

// Bounds of what is matched, in bytes. A name longer than maxName has its digest in the file's name (cache/key).
const maxName = 120

// A step is one line of the list. The first that matches wins.
type step struct {
	pattern string
	page    bool // the groups named path and query are those of a page; else the target is none
	query   bool // there is a group named query
}

// A target's bytes that stand for themselves in a file's name: unreserved ones, and escapes in the one canonical spelling. What
// RFC 3986 allows in a path besides ("+", "!" …) is escaped in the file's name.
const (
	// An escape of what is neither unreserved, nor a control character, nor a slash or backslash.
	escapeInPath = `%(?:2[0-9ABC]|3[A-F]|40|5[BDE]|60|7[BCD]|[89A-F][0-9A-F])`
	// In a query all but unreserved bytes may be escaped; control characters are left to cachesrv.
	escapeInQuery = `%(?:2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[BCD]|[89A-F][0-9A-F])`
	// A dot that begins a segment is escaped in the file's name, and a dot segment is malformed.
	segment   = `(?:[A-Za-z0-9_~-]|` + escapeInPath + `)(?:[A-Za-z0-9._~-]|` + escapeInPath + `)*`
	pathForm  = `/(?:` + segment + `/)*(?:` + segment + `)?`
	valueForm = `(?:[A-Za-z0-9._~-]|` + escapeInQuery + `)*`
	nameForm  = `(?:[A-Za-z0-9._~-]|` + escapeInQuery + `)(?:[A-Za-z0-9._~-]|` + escapeInQuery + `)*`
)

// targets returns the list for a site. prefix stands before the names of the groups.
func (s *Site) targets(prefix string) []step {
	list := []step{
		{pattern: `^` + more(key.MaxPath, `[^?]`)},
		{pattern: `^` + more(key.MaxSegments, `/[^/?]*`)},
		{pattern: `/` + more(maxName, `[^/?]`)},
		{pattern: `\?` + more(maxName, `.`)},
		{pattern: `^[^?]*` + regexp.QuoteMeta(key.Suffix) + `[^/?]*/`}, // the name of a folder of ours
	}
	for _, except := range s.Except {
		list = append(list, step{pattern: except})
	}
	path := `^(?P<` + prefix + `path>` + pathForm + `)`
	list = append(list, step{pattern: path + `\z`, page: true})
	if form := s.queryForm(); form != "" {
		list = append(list, step{pattern: `\?\z|&\z`}) // nothing, or nothing more
		list = append(list, step{pattern: path + `\?(?P<` + prefix + `query>` + form + `)\z`, page: true, query: true})
	}
	return list
}

// more is a pattern for more than n of something. (RE2 repeats at most 1000 times.)
func more(n int, of string) string {
	const most = 1000
	full := strings.Repeat(`(?:`+of+`){`+strconv.Itoa(most)+`}`, (n+1)/most)
	return full + `(?:` + of + `){` + strconv.Itoa((n+1)%most) + `}`
}

// queryForm matches queries that are canonical as they are: the listed parameters in the order of their names. Each of them
// may be repeated. "": a page has no query.
func (s *Site) queryForm() string {
	const value, end = `(?:=` + valueForm + `)?`, `(?:&|\z)`
	if slices.Contains(s.Query, key.AllQueries) {
		return `(?:` + nameForm + value + end + `)*`
	}
	names := slices.Compact(slices.Sorted(slices.Values(s.Query)))
	var b strings.Builder
	for _, name := range names {
		b.WriteString(`(?:` + regexp.QuoteMeta(queryName(name)) + value + end + `)*`)
	}
	return b.String()
}

// queryName returns a parameter's name as it stands in a canonical query.
func queryName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		const hex = "0123456789ABCDEF"
		if c := name[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}

// A Mapping is what the configurations of a site do with a request, evaluated here: the same patterns in the same order.
// It is immutable, so safe for concurrent use.
type Mapping struct {
	hosts []compiledHost
	steps []compiledStep
}

type compiledHost struct {
	re  *regexp.Regexp
	key string
}

type compiledStep struct {
	step
	re *regexp.Regexp
}

// Map returns the mapping of a site, or what is wrong with it.
func Map(site Site) (*Mapping, error) {
	s, err := site.checked()
	if err != nil {
		return nil, err
	}
	m := &Mapping{}
	for _, h := range s.Hosts {
		m.hosts = append(m.hosts, compiledHost{regexp.MustCompile("(?i)" + hostForm(h.Name)), h.Key})
	}
	for _, step := range s.targets("") {
		m.steps = append(m.steps, compiledStep{step, regexp.MustCompile(step.pattern)})
	}
	return m, nil
}

// File returns the file, relative to pages/, in which the page of a request is looked for: its Host header, and its target as it
// was sent. false: the request is left to cachesrv.
func (m *Mapping) File(host, target string) (string, bool) {
	site := ""
	for _, h := range m.hosts {
		if h.re.MatchString(host) {
			site = h.key
			break
		}
	}
	if site == "" {
		return "", false
	}
	for _, step := range m.steps {
		found := step.re.FindStringSubmatch(target)
		switch {
		case found == nil:
			continue
		case !step.page:
			return "", false
		case step.query:
			return site + found[step.re.SubexpIndex("path")] + "?" + found[step.re.SubexpIndex("query")] + key.Suffix, true
		}
		return site + found[step.re.SubexpIndex("path")] + key.Suffix, true
	}
	return "", false
}

// hostForm matches the spellings of a host in canonical form (key.Host): in any case, with a trailing dot, with a default port.
func hostForm(name string) string {
	ends := `\.?(?::(?:80|443))?`
	if host, port, ok := strings.Cut(name, ":"); ok && !strings.HasSuffix(name, "]") && !strings.HasPrefix(name, "[") {
		return `^` + regexp.QuoteMeta(host) + `\.?:` + port + `\z`
	}
	if strings.HasPrefix(name, "[") {
		ends = `(?::(?:80|443))?`
		if !strings.HasSuffix(name, "]") {
			ends = ``
		}
	}
	return `^` + regexp.QuoteMeta(name) + ends + `\z`
}
