package front

import (
	"regexp"
	"slices"
	"strings"
)

// patterns are what the configurations for all servers are made of, in the common part of RE2 and PCRE.
type patterns struct {
	*Site
	// Targets are the patterns of request targets, in their order, and what the first that matches makes of the target: the path and
	// the query in the file's name; "" if it is no page.
	Targets [][2]string
	// HostForms are the patterns of hosts, in any case, and the host in the file's name.
	HostForms [][2]string
	Cookies   string   // matches Cookie headers that are all public; "" if none is
	Codings   string   // matches Accept-Encoding headers that another server can be trusted to read
	Tags      string   // matches well-formed If-None-Match headers
	Apart     []string // headers with which no request is answered
	Varied    []varied // headers of pages
	Choices   []choice
}

// patterns returns those of a site. prefix stands before the names of groups; group returns how the server writes what a group
// has matched.
func (s *Site) patterns(prefix string, group func(name string) string) patterns {
	p := patterns{Site: s, Cookies: cookieForm(s.PublicCookies), Codings: codingsForm, Tags: tagsForm, Apart: apartNames, Varied: s.varied(), Choices: s.choices()}
	for _, h := range s.Hosts {
		p.HostForms = append(p.HostForms, [2]string{hostForm(h.Name), h.Key})
	}
	for _, t := range s.targets(prefix) {
		line := [2]string{t.pattern, ""}
		switch {
		case t.query:
			line[1] = group("path") + "?" + group("query")
		case t.page:
			line[1] = group("path")
		}
		p.Targets = append(p.Targets, line)
	}
	if s.ClientDirectives {
		p.Apart = append(slices.Clone(p.Apart), "Cache-Control", "Pragma")
	}
	return p
}

// Chosen is what the variables of all choices are, joined, for a request that gets the published form.
func (p patterns) Chosen() string { return strings.Repeat("1", len(p.Choices)) }

const (
	// Lists of codings that are all as welcome as each other: with weights, "*" or unknown ones, what is best takes an evaluation.
	codingsForm = `^(?:gzip|deflate|br|zstd)(?:, ?(?:gzip|deflate|br|zstd))*\z`
	tagsForm    = `^(?:W/)?"[!#-+.-~-]*"(?:, ?(?:W/)?"[!#-+.-~-]*")*\z`
)

// cookieForm matches a Cookie header in which all cookies are public; "" if none is. A name is matched in one way only: there is
// nothing to backtrack into. A comma is nowhere: it may be the place where a server has joined two headers.
func cookieForm(public []string) string {
	if len(public) == 0 {
		return ""
	}
	var names []string
	for i, name := range public {
		// With a name that another one covers, PCRE would try both ways for each cookie of a header that doesn't match.
		if slices.Contains(public[:i], name) || slices.ContainsFunc(public, func(other string) bool { return other != name && covers(other, name) }) {
			continue
		}
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			names = append(names, regexp.QuoteMeta(prefix)+`[^=;, ]*`)
		} else {
			names = append(names, regexp.QuoteMeta(name))
		}
	}
	return `^(?:(?:` + strings.Join(names, "|") + `)(?:=[^;, ]*)?(?:; |\z))*\z`
}

// covers reports whether a public cookie's name stands for all that another one does.
func covers(name, other string) bool {
	prefix, ok := strings.CutSuffix(name, "*")
	return ok && strings.HasPrefix(other, prefix)
}

// apartNames are headers that make a request its client's own (render/origin.Apart), that turn a GET into something else, that
// ask for a part of a page or depend on its dates, or that change what the connection speaks. A pattern of names can't be looked for,
// so of the tokens these are the ones in use.
var apartNames = []string{
	"Authorization", "Upgrade", "Transfer-Encoding", "Expect",
	"Range", "If-Range", "If-Match", "If-Modified-Since", "If-Unmodified-Since",
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Method",
	"Api-Key", "Apikey", "Dpop", "Remote-User", "X-Api-Key", "X-Authenticated-User", "X-Remote-User", "X-User",
	"Base-Url", "Destination", "Http-Url", "Redirect", "Request-Uri", "Uri", "Url", "X-Amz-Website-Redirect-Location", "X-Url",
	"Profile", "Translate", "X-Middleware-Prefetch", "X-Nextjs-Data", "X-Wap-Profile", "X-Up-Devcap-Post-Charset",
	"Access-Token", "Auth-Token", "Csrf-Token", "Id-Token", "Job-Token", "Private-Token", "Session-Token", "Token", "X-Access-Token",
	"X-Amz-Security-Token", "X-Auth-Token", "X-Csrf-Token", "X-Csrftoken", "X-Gitlab-Token", "X-Id-Token", "X-Refresh-Token",
	"X-Session-Token", "X-Token", "X-User-Token", "X-Vault-Token", "X-Xsrf-Token", "Xsrf-Token",
	"X-Auth-Request-Access-Token", "X-Auth-Request-Email", "X-Auth-Request-User", "X-Auth-User", "X-Auth-Key", "X-Auth-Email",
}

// ApartNames lists the request headers with which a request is never answered by another server.
func ApartNames() []string { return slices.Clone(apartNames) }
