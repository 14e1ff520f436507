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
	// Query lists the parameters that make pages of their own.
	Query []string `yaml:"query,omitempty"`
	// IgnoreQuery lists the parameters (a name, or a prefix that ends in "*") that are removed from requests.
	IgnoreQuery []string `yaml:"ignore-query,omitempty"`
	// Grace is how long after its soft purge a page may still be served. Not negative.
	Grace *unit.Duration `yaml:"grace,omitempty"`
	// ClientControl is the Cache-Control header that clients get with pages.
	ClientControl *string `yaml:"client-control,omitempty"`
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
	if slices.Contains(slices.Concat(r.Query, r.IgnoreQuery), "") {
		return m, errors.New("a parameter's name is empty")
	}
	for _, name := range r.Query {
		if strings.HasSuffix(name, "*") {
			return m, fmt.Errorf("query lists parameters by their names, and %q is none", name)
		}
		for _, pattern := range r.IgnoreQuery {
			if prefix, wild := strings.CutSuffix(pattern, "*"); name == pattern || wild && strings.HasPrefix(name, prefix) {
				return m, fmt.Errorf("parameter %q is in query and, as %q, in ignore-query", name, pattern)
			}
		}
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

func (m *matcher) match(host, path string) bool {
	if m.host != nil {
		if m.anyPort {
			host = stripPort(host)
		}
		if !m.host.MatchString(host) {
			return false
		}
	}
	return m.path == nil || m.path(path)
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
