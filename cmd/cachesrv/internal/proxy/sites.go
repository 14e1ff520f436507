package proxy

import (
	"fmt"
	"net/http"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
	"github.com/cachesrv/cachesrv/invalidate/purge"
)

// maxHandlers bounds the caches of one proxy: one for each origin and rule that can meet.
const maxHandlers = 10_000

// sites decide who answers a request: the host says which origin, host and path say which rule. Every host name has pages
// of its own, as only the origin knows which of its names mean the same. Immutable, so safe for concurrent use.
type sites struct {
	set     *rules.Set
	rules   []rules.Rule
	lists   []lists           // at 1+i those of rule i; at 0 the general ones
	byHost  map[string]site   // by name in canonical form
	origins map[string]string // the same hosts', where no rule names another one
	flag    string            // which adds a host; the host's name stands for %s
	purge   http.Handler      // answers PURGE, whatever the rule; set before the first request
}

// A site has a handler for each rule: at 1+i for rule i, nil if that can't match the host; at 0 for what no rule matches.
type site []http.Handler

// A use is how requests are answered: from which origin, changed by which rule.
type use struct {
	origin string
	rule   int // its index; -1: none
}

// newSites makes the handlers. A use has one, whatever hosts it serves.
func newSites(c conf.Config, ln *serve.Listener, handler func(use) (http.Handler, error)) (*sites, error) {
	set, err := rules.Compile(c.Rules)
	if err != nil {
		return nil, err
	}
	s := &sites{set: set, rules: c.Rules, byHost: map[string]site{}, origins: originsOf(c, ln), flag: "--origin %s=URL"}
	for i := range 1 + len(c.Rules) {
		o := proxyOptions(c, i-1)
		s.lists = append(s.lists, lists{o.Query, o.IgnoreQuery})
	}
	if c.Origins.Default() != "" {
		s.flag = "--host %s"
	}
	handlers := map[use]http.Handler{}
	for host := range s.origins {
		at := make(site, 1+len(c.Rules))
		for i := range at {
			if i > 0 && !set.MatchesHost(i-1, host) {
				continue
			}
			u := use{s.originOf(host, i-1), i - 1}
			if handlers[u] == nil {
				if len(handlers) == maxHandlers {
					return nil, fmt.Errorf("more than %d pairs of an origin and a rule: let rules name the hosts they are for", maxHandlers)
				}
				if handlers[u], err = handler(u); err != nil {
					return nil, err
				}
			}
			at[i] = handlers[u]
		}
		s.byHost[host] = at
	}
	for _, name := range c.Hosts {
		if host, err := key.Host(name); err == nil && s.byHost[host] == nil {
			return nil, fmt.Errorf("--host %s has no origin: name one with --origin %s=URL, or one for every host with --origin URL", name, name)
		}
	}
	return s, nil
}

// originsOf lists the hosts the proxy answers to, each with its origin. A name that has an origin is good with the
// listener's port too, unless that has an origin of its own.
func originsOf(c conf.Config, ln *serve.Listener) map[string]string {
	byHost := map[string]string{}
	add := func(name, origin string) {
		if host, err := key.Host(name); err == nil && byHost[host] == "" {
			byHost[host] = origin
		}
	}
	for _, o := range c.Origins {
		if o.Host != "" {
			add(o.Host, o.URL)
		}
	}
	for _, port := range ln.Ports {
		for _, o := range c.Origins {
			if o.Host != "" {
				add(o.Host+":"+port, o.URL) // no host name, and not added, if it has a port already
			}
		}
	}
	if all := c.Origins.Default(); all != "" {
		for _, host := range ln.Hosts {
			add(host, all)
		}
	}
	return byHost
}

func (s *sites) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, err := key.Host(r.Host)
	if err != nil {
		serve.NoHost(w, err)
		return
	}
	at, ok := s.byHost[host]
	if !ok {
		serve.NotHere(w, host, fmt.Sprintf(s.flag, host))
		return
	}
	if r.Method == purge.Method && s.purge != nil {
		s.purge.ServeHTTP(w, r)
		return
	}
	at[1+s.rule(host, r)].ServeHTTP(w, r)
}

// rule returns the index of the rule for a request, or -1. What has no canonical path is no page, but has an origin all the
// same: its path is matched as it was sent.
func (s *sites) rule(host string, r *http.Request) int {
	sent := r.URL.EscapedPath()
	path, err := key.Path(sent)
	if err != nil {
		path = sent
	}
	return s.set.Match(host, path)
}
