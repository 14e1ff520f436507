// Package rules decides which settings a request gets: rules are matched by host and path in their order, and the
// first that matches wins as a whole. What the settings do is up to the caller; the package is pure.
package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
)

// MaxRules bounds a list of rules: each request walks it.
const MaxRules = 1000

// A Rule gives settings to the requests it matches. A field left out keeps the general setting; fields of later
// rules are not mixed in.
type Rule struct {
	// Host is a host name in which "*" stands for any characters. Without a port it matches on every port. Empty:
	// every host.
	Host string `yaml:"host,omitempty"`
	// Path is a prefix of whole segments: "/a" matches /a, /a/ and /a/b, but not /ab. With a "*" in it, it is matched
	// against the whole path: "*" stands for any characters but "/", "**" for any at all. Empty: every path.
	Path string `yaml:"path,omitempty"`

	// Cache false answers past the cache. Default true.
	Cache *bool `yaml:"cache,omitempty"`
	// Query lists the parameters that make pages of their own; "*" stands for all of them. An empty list is none.
	Query []string `yaml:"query,omitzero"`
	// IgnoreQuery lists the parameters (a name, or a prefix that ends in "*") that are removed from requests.
	IgnoreQuery []string `yaml:"ignore-query,omitzero"`
	// Grace is how long after its soft purge a page may still be served. Not negative.
	Grace *unit.Duration `yaml:"grace,omitempty"`
	// ClientControl is the Cache-Control header that clients get with pages.
	ClientControl *string `yaml:"client-control,omitempty"`

	// The rest is for proxies only.

	// Policy says what is stored: Explicit or UntilInvalidated. Empty: the general one.
	Policy string `yaml:"policy,omitempty"`
	// MaxAge caps how long a page is fresh; 0: no cap. Not negative.
	MaxAge *unit.Duration `yaml:"max-age,omitempty"`
	// WhileRevalidate is how long past its freshness a page that does not say (RFC 5861) may be served while it is
	// fetched again. Not negative.
	WhileRevalidate *unit.Duration `yaml:"stale-while-revalidate,omitempty"`
	// IfError is the same, for when the origin fails. Not negative.
	IfError *unit.Duration `yaml:"stale-if-error,omitempty"`
	// PublicCookies lists cookies (a name, or a prefix that ends in "*") that mean nothing to the pages.
	PublicCookies []string `yaml:"public-cookies,omitzero"`
	// Validators says whose ETag and Last-Modified pages have that live until they are invalidated: OfOrigin or Ours. Empty: the
	// general setting.
	Validators string `yaml:"validators,omitempty"`
	// Origin is the URL of the origin of what the rule matches. Empty: that of the host.
	Origin string `yaml:"origin,omitempty"`
}

// What a proxy stores: what declares how long it is fresh, or whatever may be stored until it is invalidated.
const (
	Explicit         = "explicit"
	UntilInvalidated = "until-invalidated"
)

// Policies lists the policies by name.
func Policies() []string { return []string{Explicit, UntilInvalidated} }

// Whose validators a page has that lives until it is invalidated.
const (
	OfOrigin = "origin"
	Ours     = "ours"
)

// Validators lists whose validators pages can have.
func Validators() []string { return []string{OfOrigin, Ours} }

// ForProxies returns the name of a field that is set and means something to proxies only; "": there is none.
func (r Rule) ForProxies() string {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"policy", r.Policy != ""}, {"max-age", r.MaxAge != nil}, {"stale-while-revalidate", r.WhileRevalidate != nil},
		{"stale-if-error", r.IfError != nil}, {"public-cookies", r.PublicCookies != nil}, {"validators", r.Validators != ""}, {"origin", r.Origin != ""},
		{`query: ["*"]`, slices.Contains(r.Query, key.AllQueries)},
	} {
		if f.set {
			return f.name
		}
	}
	return ""
}

// Cached reports whether what the rule matches may be answered from the cache.
func (r Rule) Cached() bool { return r.Cache == nil || *r.Cache }

// A Set is a compiled list of rules. It is immutable; the zero Set matches nothing.
type Set struct{ matchers []matcher }

type matcher struct {
	host    *regexp.Regexp // nil: every host
	anyPort bool
	path    func(path string) bool // nil: every path
}

// Compile checks the rules and makes a Set of them. The error names the rule by its place in the list, from 1.
func Compile(list []Rule) (*Set, error) {
	if len(list) > MaxRules {
		return nil, fmt.Errorf("%d rules: at most %d are allowed", len(list), MaxRules)
	}
	s := &Set{matchers: make([]matcher, len(list))}
	for i, r := range list {
		var err error
		if s.matchers[i], err = compile(r); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return s, nil
}

func compile(r Rule) (m matcher, err error) {
	switch {
	case r.Host == "" && r.Path == "":
		return m, errors.New(`it names neither host nor path; write "path: /" for every request`)
	case r.Grace != nil && *r.Grace < 0:
		return m, fmt.Errorf("grace %v is negative", *r.Grace)
	case r.ClientControl != nil && strings.ContainsFunc(*r.ClientControl, control):
		return m, fmt.Errorf("client-control %q has a control character", *r.ClientControl)
	}
	if err := checkProxy(r); err != nil {
		return m, err
	}
	if err := CheckQuery(r.Query, r.IgnoreQuery); err != nil {
		return m, err
	}
	if r.Host != "" {
		probe := strings.ReplaceAll(r.Host, "*", "x") // a pattern is valid when a name it matches is
		if _, err := key.Host(probe); err != nil {
			return m, fmt.Errorf("host %q: not a host name, nor one with \"*\" in it", r.Host)
		}
		name := strings.TrimSuffix(strings.ToLower(r.Host), ".")
		m.host, m.anyPort = glob(name), stripPort(name) == name
	}
	if r.Path != "" {
		path, err := key.Path(r.Path)
		if err != nil {
			return m, err
		}
		if strings.Contains(path, "*") {
			m.path = glob(path).MatchString
		} else {
			prefix := key.Prefix{Path: strings.TrimRight(path, "/")}
			m.path = func(path string) bool { return prefix.Covers(key.Key{Path: path}) }
		}
	}
	return m, nil
}

func checkProxy(r Rule) error {
	for _, d := range []struct {
		name  string
		value *unit.Duration
	}{{"max-age", r.MaxAge}, {"stale-while-revalidate", r.WhileRevalidate}, {"stale-if-error", r.IfError}} {
		if d.value != nil && *d.value < 0 {
			return fmt.Errorf("%s %v is negative", d.name, *d.value)
		}
	}
	switch {
	case r.Policy != "" && !slices.Contains(Policies(), r.Policy):
		return fmt.Errorf("policy %q is not %s", r.Policy, strings.Join(Policies(), " or "))
	case slices.Contains(r.PublicCookies, ""):
		return errors.New("a cookie's name is empty")
	case r.Validators != "" && !slices.Contains(Validators(), r.Validators):
		return fmt.Errorf("validators %q is not %s", r.Validators, strings.Join(Validators(), " or "))
	}
	return nil
}

// CheckQuery checks which parameters make pages, and which are removed from requests. What the first list names, "*" for
// all among it, can't be in the second.
func CheckQuery(query, ignore []string) error {
	if slices.Contains(slices.Concat(query, ignore), "") {
		return errors.New("a parameter's name is empty")
	}
	for _, name := range query {
		if name != key.AllQueries && strings.HasSuffix(name, "*") {
			return fmt.Errorf("query lists parameters by their names, or is \"*\" for all, and %q is neither", name)
		}
		for _, pattern := range ignore {
			if prefix, wild := strings.CutSuffix(pattern, "*"); name == pattern || wild && strings.HasPrefix(name, prefix) {
				return fmt.Errorf("parameter %q is in query and, as %q, in ignore-query", name, pattern)
			}
		}
	}
	return nil
}

// Match returns the index of the first rule that matches a host and a path in canonical form (key.Host, key.Path),
// or -1. It is safe for concurrent use.
func (s *Set) Match(host, path string) int {
	for i := range s.matchers {
		if s.matchers[i].match(host, path) {
			return i
		}
	}
	return -1
}

// MatchesHost reports whether the rule of an index can match a request for the host, in canonical form.
func (s *Set) MatchesHost(i int, host string) bool { return s.matchers[i].matchHost(host) }

func (m *matcher) match(host, path string) bool {
	return m.matchHost(host) && (m.path == nil || m.path(path))
}

func (m *matcher) matchHost(host string) bool {
	if m.host == nil {
		return true
	}
	if m.anyPort {
		host = stripPort(host)
	}
	return m.host.MatchString(host)
}

// glob compiles a pattern in which "**" stands for anything and "*" for anything without a "/".
func glob(pattern string) *regexp.Regexp {
	r := strings.NewReplacer(`\*\*`, `.*`, `\*`, `[^/]*`)
	return regexp.MustCompile(`^(?s:` + r.Replace(regexp.QuoteMeta(pattern)) + `)$`)
}

func stripPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}

func control(r rune) bool { return r < ' ' || r == 0x7f }
