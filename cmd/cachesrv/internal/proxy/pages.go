package proxy

import (
	"net/http"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/middleware"
)

// Bounds of what is done to find the pages of one changed URL: hosts that are looked at, and rules that are matched.
const (
	maxNames   = 64
	maxMatches = 10_000
)

// pages returns the keys that pages of a URL may have: a request target in origin form on a request's host. Each host name has
// pages of its own, under the rule for it; but an origin may well be asked under several, and only it knows which of them mean
// the same. So a change through one is taken for a change of all that have the same origin for that path.
//
// Where hosts and rules are too many for that, it returns the keys under every rule for every host there is: that drops more
// than it must, and no less.
func (s *sites) pages(r *http.Request, target string) []cache.Key {
	host, err := key.Host(r.Host)
	if err != nil || s.byHost[host] == nil {
		return nil
	}
	sent, _, _ := strings.Cut(target, "?")
	path, err := key.Path(sent)
	if err != nil {
		return nil // no page
	}
	var keys []cache.Key
	add := func(host string, l lists) {
		if k, err := middleware.KeyOf(host, target, l.query, l.ignored); err == nil && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	if len(s.byHost) > maxNames || len(s.byHost)*len(s.lists) > maxMatches {
		for _, l := range s.lists {
			add("", l)
		}
		return keys
	}
	changed := s.originOf(host, s.set.Match(host, path))
	for name := range s.byHost {
		if rule := s.set.Match(name, path); s.originOf(name, rule) == changed {
			add(name, s.lists[1+rule])
		}
	}
	return keys
}

// elsewhere returns the keys of a URL under those of the folder's hosts that are not the site's: which origin they had, nobody
// knows. Where these can't be known, or are many, it returns the keys under every rule for every host there is.
func (s *sites) elsewhere(hosts []string, unknown bool, target string) (keys []cache.Key) {
	hosts = slices.DeleteFunc(slices.Clone(hosts), func(name string) bool { return s.byHost[name] != nil })
	sent, _, _ := strings.Cut(target, "?")
	path, err := key.Path(sent)
	if err != nil {
		return nil // no page
	}
	add := func(host string, l lists) {
		if k, err := middleware.KeyOf(host, target, l.query, l.ignored); err == nil {
			keys = append(keys, k)
		}
	}
	if unknown || len(hosts) > maxNames {
		for _, l := range s.lists {
			add("", l)
		}
		return keys
	}
	for _, name := range hosts {
		add(name, s.lists[1+s.set.Match(name, path)])
	}
	return keys
}

// A lists says which parameters make pages, and which are removed.
type lists struct{ query, ignored []string }

// originOf returns the origin of what a rule (its index; -1: none) matches on a host.
func (s *sites) originOf(host string, rule int) string {
	if rule >= 0 && s.rules[rule].Origin != "" {
		return s.rules[rule].Origin
	}
	return s.origins[host]
}
