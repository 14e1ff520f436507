package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
	"github.com/cachesrv/cachesrv/invalidate/purge"
)

// Proxy configures a proxy. Those of its settings that rules have too are what a rule changes.
type Proxy struct {
	Origins          Origins       `yaml:"origins" name:"origin" placeholder:"[HOST=]URL" help:"The site to stand in front of: http://HOST:PORT, https://HOST or unix:/PATH. With HOST= before it, that of one host name; repeat it for others."`
	TLSCert          string        `yaml:"tls-cert" name:"tls-cert" placeholder:"FILE" help:"Serve HTTPS with this certificate chain (PEM). It is read again when it changes."`
	TLSKey           string        `yaml:"tls-key" name:"tls-key" placeholder:"FILE" help:"The certificate's key (PEM)."`
	OriginTimeout    unit.Duration `yaml:"origin-timeout" default:"30s" placeholder:"D" help:"How long an origin may be silent: before its answer, and within the body of a page."`
	Policy           string        `yaml:"policy" default:"explicit" placeholder:"POLICY" help:"What is stored. explicit: what declares how long it is fresh. until-invalidated: whatever may be, until it is purged."`
	MaxAge           unit.Duration `yaml:"max-age" default:"0s" placeholder:"D" help:"Cap of how long a page is fresh, whatever it declares; 0s: none."`
	WhileRevalidate  unit.Duration `yaml:"stale-while-revalidate" name:"stale-while-revalidate" default:"0s" placeholder:"D" help:"How long past its freshness a page that does not say may be served while it is fetched again."`
	IfError          unit.Duration `yaml:"stale-if-error" name:"stale-if-error" default:"0s" placeholder:"D" help:"The same, when its origin fails."`
	Grace            unit.Duration `yaml:"grace" default:"0s" placeholder:"D" help:"How long after a soft purge a page may be served while it is fetched again."`
	Query            []string      `yaml:"query" placeholder:"NAME" help:"Query parameters that make pages of their own; * for all. Default: all with the policy explicit, none with until-invalidated."`
	IgnoreQuery      []string      `yaml:"ignore-query" placeholder:"NAME" help:"Parameters (a name, or a prefix that ends in *) that are removed from requests."`
	PublicCookies    []string      `yaml:"public-cookies" placeholder:"NAME" help:"Cookies (a name, or a prefix that ends in *) that mean nothing to pages. A request with any other goes past the cache."`
	Validators       string        `yaml:"validators" default:"origin" placeholder:"origin|ours" help:"Whose ETag and Last-Modified pages have that live until they are purged. origin: what it sends. ours: a tag made of the content, as by nginx from the page's file."`
	PageHeaders      []string      `yaml:"page-headers" name:"page-header" sep:"|" placeholder:"NAME:VALUE" help:"A header that the origin sends with every page. Pages that have all of these, and no others, nginx or Caddy can serve, which send them, too (conf nginx). Repeat it, or separate several by |."`
	Settle           unit.Duration `yaml:"settle" default:"0s" placeholder:"D" help:"The longest that an origin lags behind a change it was purged for, as one that reads a replica: so long, what was purged is not stored again. 0s: origins read their primary."`
	ClientDirectives string        `yaml:"client-directives" default:"off" placeholder:"on|off" help:"Let clients ask for newer pages than the cache has: Cache-Control: no-cache, max-age, …"`
	TrustForwarded   []string      `yaml:"trust-forwarded" placeholder:"CIDR" help:"Servers in front: addresses, networks, or unix for whoever comes by a Unix socket. Their X-Forwarded-For and X-Forwarded-Proto are believed, and told the origin. Default: nobody's."`
	PublicScheme     string        `yaml:"public-scheme" placeholder:"http|https" help:"With trust-forwarded: how clients reach the site. Pages are made for requests that came so; others go past the cache. Default: https with tls-cert, else http."`
}

func (p Proxy) check(bad complaint) {
	for _, err := range p.Origins.wrong() {
		bad("origins", "%w", err)
	}
	if (p.TLSCert == "") != (p.TLSKey == "") {
		bad("tls-cert", "a certificate and its key belong together: set tls-cert and tls-key, or neither")
	}
	if p.OriginTimeout <= 0 {
		bad("origin-timeout", "it must be above 0s")
	}
	for _, d := range []struct {
		key   string
		value unit.Duration
	}{{"max-age", p.MaxAge}, {"stale-while-revalidate", p.WhileRevalidate}, {"stale-if-error", p.IfError}, {"grace", p.Grace}, {"settle", p.Settle}} {
		if d.value < 0 {
			bad(d.key, "%v is negative", d.value)
		}
	}
	if time.Duration(p.Settle) > cache.MaxSettle {
		bad("settle", "%v is more than %v", p.Settle, cache.MaxSettle)
	}
	if !slices.Contains(rules.Policies(), p.Policy) {
		bad("policy", "%q is not %s", p.Policy, strings.Join(rules.Policies(), " or "))
	}
	if p.ClientDirectives != "on" && p.ClientDirectives != "off" {
		bad("client-directives", "%q is not on or off", p.ClientDirectives)
	}
	if _, _, err := ParseTrusted(p.TrustForwarded); err != nil {
		bad("trust-forwarded", "%w", err)
	}
	if p.PublicScheme != "" && p.PublicScheme != "http" && p.PublicScheme != "https" {
		bad("public-scheme", "%q is not http or https", p.PublicScheme)
	}
	if err := rules.CheckQuery(p.Query, p.IgnoreQuery); err != nil {
		bad("query", "%w", err)
	}
	if slices.Contains(p.PublicCookies, "") {
		bad("public-cookies", "a cookie's name is empty")
	}
	if !slices.Contains(rules.Validators(), p.Validators) {
		bad("validators", "%q is not %s", p.Validators, strings.Join(rules.Validators(), " or "))
	}
	if _, err := p.SentWithPages(); err != nil {
		bad("page-headers", "%w", err)
	}
}

// Scheme returns how clients reach the site, where servers in front are trusted to say how each one did.
func (p Proxy) Scheme() string {
	switch {
	case p.PublicScheme != "":
		return p.PublicScheme
	case p.TLSCert != "":
		return "https"
	}
	return "http"
}

// ParseTrusted reads the servers in front: addresses, networks, and the word unix.
func ParseTrusted(list []string) (from []netip.Prefix, unix bool, err error) {
	addresses := slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "unix" })
	from, err = purge.ParseFrom(addresses)
	return from, len(addresses) < len(list), err
}

// MaxOrigins bounds the origins of one proxy.
const MaxOrigins = 100

// An Origin is a site that a proxy stands in front of.
type Origin struct {
	Host string // in canonical form (key.Host); "": every host that has none of its own
	URL  string
}

// Origins are those of a proxy. In the file they are one URL, or a mapping from host names, "*" for every other host,
// to URLs.
type Origins []Origin

// anyHost is what stands in the file for every host that has no origin of its own.
const anyHost = "*"

// UnmarshalText reads URL or HOST=URL. What it can't read stays as it is: check says what is wrong.
func (o *Origin) UnmarshalText(text []byte) error {
	*o = Origin{URL: string(text)}
	// A host has no "/"; and each kind of URL has one before any "=" it may have.
	if host, url, ok := strings.Cut(o.URL, "="); ok && !strings.Contains(host, "/") {
		if host == "" {
			return fmt.Errorf("%q has no host before its \"=\"", text)
		}
		*o = named(host, url)
	}
	return nil
}

func named(host, url string) Origin {
	if host == anyHost {
		host = ""
	} else if name, err := key.Host(host); err == nil {
		host = name
	}
	return Origin{host, url}
}

func (o Origin) String() string {
	if o.Host == "" {
		return o.URL
	}
	return o.Host + "=" + o.URL
}

func (list Origins) String() string {
	text := make([]string, len(list))
	for i, o := range list {
		text[i] = o.String()
	}
	return strings.Join(text, ",")
}

// UnmarshalYAML reads one URL, or a mapping from hosts to URLs.
func (list *Origins) UnmarshalYAML(node ast.Node) error {
	*list = nil
	wrong := func(at ast.Node) error {
		return &yaml.SyntaxError{Message: `origins is one URL, or a mapping from host names ("*": every other) to URLs`, Token: at.GetToken()}
	}
	entries := func(node *ast.MappingNode) error {
		for _, entry := range node.Values {
			var host, url string
			if yaml.NodeToValue(entry.Key, &host) != nil || yaml.NodeToValue(entry.Value, &url) != nil || host == "" {
				return wrong(entry)
			}
			*list = append(*list, named(host, url))
		}
		return nil
	}
	switch node := node.(type) {
	case *ast.StringNode:
		*list = Origins{{URL: node.Value}}
		return nil
	case *ast.MappingNode:
		return entries(node)
	case *ast.MappingValueNode: // a mapping of one entry, in some versions of the library
		return entries(&ast.MappingNode{Values: []*ast.MappingValueNode{node}})
	case *ast.NullNode:
		return nil
	}
	return wrong(node)
}

// MarshalYAML writes the mapping, in the list's order.
func (list Origins) MarshalYAML() (any, error) {
	m := yaml.MapSlice{}
	for _, o := range list {
		host := o.Host
		if host == "" {
			host = anyHost
		}
		m = append(m, yaml.MapItem{Key: host, Value: o.URL})
	}
	return m, nil
}

func (list Origins) wrong() (errs []error) {
	if len(list) > MaxOrigins {
		return []error{fmt.Errorf("%d origins: at most %d are allowed", len(list), MaxOrigins)}
	}
	seen := map[string]bool{}
	for _, o := range list {
		if o.Host != "" {
			if _, err := key.Host(o.Host); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if seen[o.Host] {
			errs = append(errs, fmt.Errorf("two origins for %s: a host has one", orAny(o.Host)))
		}
		seen[o.Host] = true
		if err := CheckOrigin(o.URL); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func orAny(host string) string {
	if host == "" {
		return "every host"
	}
	return host
}

// Default returns the URL of the origin for hosts that have none of their own; "": there is none.
func (list Origins) Default() string {
	for _, o := range list {
		if o.Host == "" {
			return o.URL
		}
	}
	return ""
}

// CheckOrigin checks the URL of an origin. Its errors don't repeat a password.
func CheckOrigin(origin string) error {
	const like = "write it like http://127.0.0.1:9000, https://www.example.org or unix:/run/app.sock"
	if path, ok := strings.CutPrefix(origin, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("origin %.200q: the socket's path must be absolute: %s", origin, like)
		}
		return nil
	}
	u, err := url.Parse(origin)
	switch {
	case err != nil: // its text repeats the URL
		return errors.New("an origin is not a URL: " + like)
	case u.Scheme != "http" && u.Scheme != "https", u.Opaque != "", u.Hostname() == "":
		return fmt.Errorf("origin %.200q: %s", u.Redacted(), like)
	case u.User != nil:
		return errors.New("an origin has a user or password: leave that out; what clients send as Authorization is passed on")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, strings.Contains(origin, "#"):
		return fmt.Errorf("origin %.200q has a path, query or fragment: leave that out; the paths of requests are passed on as they are", origin)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		return fmt.Errorf("origin %.200q: %s is no address to connect to: %s", origin, ip, like)
	}
	if _, err := key.Host(u.Host); err != nil {
		return err
	}
	return nil
}
