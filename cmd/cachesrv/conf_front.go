package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
	"github.com/cachesrv/cachesrv/render/index"
	"github.com/cachesrv/cachesrv/static/front"
)

// frontSettings are those of another server that answers from the pages, whichever it is.
type frontSettings struct {
	Server  string `default:"proxy" enum:"proxy,index,example" placeholder:"SERVER" help:"What runs behind it: proxy, index or example."`
	Backend string `placeholder:"ADDR" help:"Where it reaches cachesrv: HOST:PORT, or unix:/PATH where systemd passes that socket. Default: where cachesrv listens."`
	Name    string `default:"cachesrv" placeholder:"NAME" help:"Stands in the names of the configuration's variables: give each site of one server another one."`
	Sample  int    `default:"2" placeholder:"PERCENT" help:"Share of requests that go to cachesrv all the same, so that it learns which pages are hot and which twins to make; 0: none."`
}

// printFront prints a site's configuration for another server.
func (p *program) printFront(text func(front.Site) (string, error), s allSettings, f frontSettings, address string) error {
	site, err := p.frontSite(s, f)
	if err != nil {
		return err
	}
	site.Listen = address
	printed, err := text(site)
	if err != nil {
		return err
	}
	_, err = io.WriteString(p.stdout, printed)
	return err
}

// frontSite says what another server needs to know of a site. What can't be said to it is left to cachesrv, or refused.
func (p *program) frontSite(s allSettings, f frontSettings) (site front.Site, err error) {
	var list []rules.Rule
	if p.file != nil {
		list = p.file.Config.Rules
	}
	if err := p.check(s.Folder, s.Link, s.Store, s.Serve, conf.Rules(list)); err != nil {
		return site, err
	}
	site = front.Site{Name: f.Name, Sample: f.Sample}
	if site.Sample == 0 {
		site.Sample = -1 // 0 is front's default
	}
	if f.Server == "proxy" {
		err = p.frontProxy(&site, s, list)
	} else {
		err = p.frontOurs(&site, s, f.Server, list)
	}
	if err != nil {
		return site, err
	}
	if err := frontRules(&site, list); err != nil {
		return site, err
	}
	if site.Upstream = f.Backend; site.Upstream == "" {
		if site.Upstream, err = upstreamOf(s.Listen); err != nil {
			return site, err
		}
	}
	site.Live, err = liveOf(s.Folder, s.Link)
	return site, err
}

// frontProxy says what is a proxy's. Each of its hosts has pages of its own.
func (p *program) frontProxy(site *front.Site, s allSettings, list []rules.Rule) error {
	if err := p.check(s.Proxy); err != nil {
		return err
	}
	if len(s.TrustForwarded) > 0 {
		site.Scheme = s.Scheme() // that of pages
	}
	site.Query, site.PublicCookies, site.ClientDirectives = s.Query, s.PublicCookies, s.ClientDirectives == "on"
	headers, err := s.SentWithPages()
	if err != nil {
		return err
	}
	site.CacheControl = headers.Get("Cache-Control")
	delete(headers, "Cache-Control")
	site.Headers = listed(headers)
	untilInvalidated := s.Policy == rules.UntilInvalidated ||
		slices.ContainsFunc(list, func(r rules.Rule) bool { return r.Policy == rules.UntilInvalidated })
	switch {
	case !untilInvalidated:
		return errors.New("with the policy explicit there is nothing for another server to serve: pages that expire are answered by cachesrv only." +
			" Set --policy until-invalidated, or a rule with it")
	case s.TLSCert != "":
		return errors.New("cachesrv has a certificate: behind another server leave --tls-cert and --tls-key out, and give the certificate to that one")
	}
	names := slices.Clone(s.Hosts)
	for _, o := range s.Origins {
		if o.Host != "" {
			names = append(names, o.Host)
		}
	}
	for _, name := range names {
		if err := addHost(site, name, name); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		return errors.New("name the site's hosts with --host, or --origin HOST=URL: a page belongs to a host")
	}
	return nil
}

// frontOurs says what is a package index's, or the example's. All names share the pages of the first.
func (p *program) frontOurs(site *front.Site, s allSettings, kind string, list []rules.Rule) error {
	for i, r := range list {
		if field := r.ForProxies(); field != "" {
			return fmt.Errorf("rule %d: %s is for cachesrv proxy only: leave it out", i+1, field)
		}
	}
	if len(s.Hosts) == 0 {
		return fmt.Errorf("name the host of the %s with --host: a page belongs to a host", kind)
	}
	for _, name := range s.Hosts {
		if err := addHost(site, name, s.Hosts[0]); err != nil {
			return err
		}
	}
	site.Headers = listed(serve.Headers())
	if kind == "example" {
		return nil
	}
	if err := p.check(s.Index); err != nil {
		return err
	}
	if s.Private {
		return errors.New("of a private index another server can serve nothing: each request's token is looked at. Let it pass all requests on")
	}
	site.Headers = append(site.Headers, listed(index.Headers("/", false))...)
	site.Parts = []front.Part{{
		Prefix: index.SimplePrefix, Headers: append(listed(serve.Headers()), listed(index.Headers(index.SimplePrefix, false))...),
		Vary: strings.Join(index.Vary(), ", "), Accept: acceptsText,
	}}
	return nil
}

// acceptsText matches Accept headers for which the index is certain to choose the form that has no name (index.Variant): what is
// named first, without a weight, is liked as much as anything can be, and of equals the first form counts.
const acceptsText = `^(?:\*/\*|text/html(?:, ?.*)?)\z`

// listed returns headers in the order of their names.
func listed(h http.Header) (list [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		list = append(list, [2]string{name, strings.Join(h[name], ", ")})
	}
	return list
}

func addHost(site *front.Site, name, inKeys string) error {
	host, err := key.Host(name)
	if err != nil {
		return err
	}
	canonical, err := key.Host(inKeys)
	if err != nil {
		return err
	}
	if h := (front.Host{Name: host, Key: canonical}); !slices.Contains(site.Hosts, h) {
		site.Hosts = append(site.Hosts, h)
	}
	return nil
}

// frontRules leaves to cachesrv what rules make of some paths only.
func frontRules(site *front.Site, list []rules.Rule) error {
	for i, r := range list {
		if r.Query != nil {
			site.Query = nil // which parameters count depends on the path; without any, a page is one under every rule
		}
		if r.PublicCookies != nil {
			site.PublicCookies = nil
		}
		if r.ClientControl != nil { // a header that differs
			except, err := exceptRule(r)
			if err != nil {
				return fmt.Errorf("rule %d: %w", i+1, err)
			}
			site.Except = append(site.Except, except)
		}
	}
	return nil
}
