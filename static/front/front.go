// Package front prints configurations by which other servers, nginx first, answer from the published pages of a cache folder,
// and leave everything else to cachesrv. It is text only: it touches no file and no network.
//
// Such a server takes a request for a page only if it is certain that the middleware would, and that the file's bytes are the
// whole answer. What it is not certain of goes to cachesrv, which answers from the same pages: that costs time, and never
// correctness.
package front

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache/key"
)

// Bounds of a site. Each host is a pattern that requests are matched with, one after the other.
const (
	MaxHosts   = 200
	MaxQuery   = 64  // listed parameters
	MaxCookies = 64  // public cookies
	MaxExcept  = 200 // excepted targets
	MaxHeaders = 32  // of the site, and of each part
	MaxParts   = 20
)

// ErrSite is wrapped by what is wrong with a Site.
var ErrSite = errors.New("no configuration can be printed")

// A Host is a name that the site answers to.
type Host struct {
	Name string // as clients write it, in canonical form (key.Host)
	Key  string // the host that stands in the keys of its pages, in canonical form
}

// A Part is a folder of a site whose pages are sent with other headers, and may have several forms.
type Part struct {
	// Prefix is what the paths of its pages begin with: one or more plain segments between slashes, as "/simple/".
	Prefix string
	// Headers are sent with its pages instead of Site.Headers.
	Headers [][2]string
	// Vary lists what chooses among the forms of a page, besides Accept-Encoding. Default nothing.
	Vary string
	// Accept matches (RE2 and PCRE) the Accept headers, none being "", that get the form that is published where other servers look.
	// With others a request is cachesrv's. Default: there is one form.
	Accept string
}

// A Site is what a configuration is made for. Hosts, Live and Upstream are required; the zero value of every other field means
// its default.
type Site struct {
	// Name stands in the names of variables, so that one server can have several sites: lower-case letters and digits.
	// Default "cachesrv".
	Name string
	// Hosts are the site's names. Requests for others go to cachesrv, which refuses them.
	Hosts []Host
	// Live is the absolute path of the live link.
	Live string
	// Upstream is where cachesrv listens: HOST:PORT or unix:/PATH.
	Upstream string
	// Listen is where the other server listens, in clear text: a port, ADDRESS:PORT or unix:/PATH; for nginx with its parameters.
	// Default: 80 for nginx; for Caddy 443 and 80, with the certificates that it gets for the hosts.
	Listen string
	// Scheme is the one by which requests get pages, http or https; by the other they are cachesrv's. Default: any.
	Scheme string
	// Query lists the parameters that make pages, as middleware.Options.Query. Default none.
	Query []string
	// PublicCookies are those of middleware.Options.
	PublicCookies []string
	// Except are regular expressions (RE2 and PCRE) of request targets that are always cachesrv's. Default none.
	Except []string
	// CacheControl is sent with pages. Default "no-cache".
	CacheControl string
	// Headers are sent with pages besides, as names and values.
	Headers [][2]string
	// Parts are folders of the site whose pages have other headers or forms. Default none.
	Parts []Part
	// ClientDirectives says that a client's Cache-Control and Pragma count: such requests are cachesrv's. Default false.
	ClientDirectives bool
	// Modules are those of NginxModules that this nginx has. nil means those that its packages have; of none, an empty list.
	Modules []string
	// Sample is the share of requests, in percent, that are left to cachesrv although the page is there: from them it learns which
	// pages are asked for often, so that they are not evicted, and in which encodings, so that it makes twins. 0 means the default,
	// 2; below 0 means none: then no twins are made but those that requests past the pages ask for.
	Sample int
}

// defaultSample: one of fifty costs little, and a page asked for a hundred times has its twin.
const defaultSample = 2

// checked returns the site with its defaults, or what is wrong with it.
func (s Site) checked() (*Site, error) {
	bad := func(format string, args ...any) (*Site, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{ErrSite}, args...)...)
	}
	if s.Name == "" {
		s.Name = "cachesrv"
	}
	if s.CacheControl == "" {
		s.CacheControl = "no-cache"
	}
	if s.Modules == nil {
		s.Modules = defaultModules
	}
	if s.Sample == 0 {
		s.Sample = defaultSample
	}
	switch {
	case !regexp.MustCompile(`^[a-z][a-z0-9]{0,30}\z`).MatchString(s.Name):
		return bad("name %.40q: it has 1 to 31 lower-case letters and digits, a letter first", s.Name)
	case len(s.Hosts) == 0:
		return bad("the site has no host: name one, as requests for unknown hosts are nobody's pages")
	case len(s.Hosts) > MaxHosts, len(s.Query) > MaxQuery, len(s.PublicCookies) > MaxCookies, len(s.Except) > MaxExcept, len(s.Headers) > MaxHeaders:
		return bad("at most %d hosts, %d query parameters, %d public cookies, %d exceptions and %d headers are allowed",
			MaxHosts, MaxQuery, MaxCookies, MaxExcept, MaxHeaders)
	case !strings.HasPrefix(s.Live, "/") || !writable(s.Live) || strings.ContainsAny(s.Live, "[]"): // Caddy would take brackets for a pattern
		return bad("live link %.200q: its path must be absolute, of letters, digits and ._~+,:@-", s.Live)
	case !writable(s.Upstream) || s.Upstream == "":
		return bad("upstream %.200q: write HOST:PORT or unix:/PATH", s.Upstream)
	case s.Listen != "" && !regexp.MustCompile(`^[][A-Za-z0-9.:/_-]+( [a-z0-9_=]+)*\z`).MatchString(s.Listen):
		return bad("listen %.200q: write a port, ADDRESS:PORT or unix:/PATH, and parameters if need be", s.Listen)
	case s.Scheme != "" && s.Scheme != "http" && s.Scheme != "https":
		return bad("scheme %.20q: it is http or https", s.Scheme)
	case s.Sample > 100:
		return bad("sample %d: it is a percentage", s.Sample)
	}
	for _, h := range s.Hosts {
		for _, name := range []string{h.Name, h.Key} {
			if canonical, err := key.Host(name); err != nil || canonical != name {
				return bad("host %.200q is not in canonical form", name)
			}
		}
	}
	for _, name := range s.Modules {
		if !slices.Contains(NginxModules, name) {
			return bad("module %.40q: known are %s", name, strings.Join(NginxModules, ", "))
		}
	}
	for _, name := range slices.Concat(s.Query, s.PublicCookies) {
		if name == "" {
			return bad("the name of a parameter or cookie is empty")
		}
	}
	for _, name := range s.PublicCookies {
		if !regexp.MustCompile("^[!#%&'*+.^_`|~A-Za-z0-9$-]+\\z").MatchString(name) {
			return bad("public cookie %.60q: that is no cookie's name", name)
		}
	}
	for _, except := range s.Except {
		if _, err := regexp.Compile(except); err != nil || !quotable(except) {
			return bad("exception %.60q is no pattern that can be written down", except)
		}
	}
	headers := append([][2]string{{"Cache-Control", s.CacheControl}}, s.Headers...)
	for _, p := range s.Parts {
		switch _, err := regexp.Compile(p.Accept); {
		case len(s.Parts) > MaxParts, len(p.Headers) > MaxHeaders:
			return bad("at most %d parts with %d headers each are allowed", MaxParts, MaxHeaders)
		case !regexp.MustCompile(`^/(?:[A-Za-z0-9_-]+/)+\z`).MatchString(p.Prefix):
			return bad("part %.60q: its prefix is made of plain segments between slashes", p.Prefix)
		case err != nil || !quotable(p.Accept):
			return bad("part %s: the pattern %.60q of Accept can't be written down", p.Prefix, p.Accept)
		}
		headers = append(append(headers, p.Headers...), [2]string{"Vary", p.Vary})
	}
	for _, h := range headers {
		if !regexp.MustCompile(`^[A-Za-z0-9-]+\z`).MatchString(h[0]) || !headerValue(h[1]) {
			return bad("header %.60q: %.200q: its value has a character that can't be written down ($, \\, {, }, \" or a control character)", h[0], h[1])
		}
	}
	return &s, nil
}

// writable reports whether a path or an address means itself in every configuration.
func writable(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("/._~+,:@-[]", c)
	}) < 0
}

// quotable reports whether a pattern means itself between double quotes.
func quotable(s string) bool {
	return !strings.ContainsAny(s, "\"'\x00\r\n\t`") && !strings.Contains(s, `\t`) && !strings.Contains(s, `\r`) &&
		!strings.Contains(s, `\n`) && !strings.Contains(s, `\\`)
}

func headerValue(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' || strings.ContainsRune("\"$\\{}`", c) }) < 0
}
