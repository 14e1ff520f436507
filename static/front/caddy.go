package front

import (
	_ "embed"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed caddyfile.tmpl
var caddyText string

// Caddy returns the site's configuration for Caddy 2.6 or later: a site block for its Caddyfile. No modules are needed but those
// that Caddy comes with.
//
// Caddy makes entity tags of its own, of which those of two versions differ, and none is ours. So pages that it sends have none, and
// what is conditional, or asks for a part, is answered by cachesrv.
func Caddy(site Site) (string, error) {
	s, err := site.checked()
	if err != nil {
		return "", err
	}
	t, err := template.New("caddy").Parse(caddyText)
	if err != nil {
		return "", err
	}
	v := caddyView{patterns: s.patterns("", func(group string) string {
		return map[string]string{"path": "${1}", "query": "${2}"}[group]
	})}
	v.quote()
	v.Apart = append(slices.Clone(v.Apart), "If-None-Match") // a list of tags, none of which is Caddy's
	v.Addresses, v.Bind = addressesOf(s)
	v.Dial = s.Upstream
	if path, ok := strings.CutPrefix(s.Upstream, "unix:"); ok {
		v.Dial = "unix/" + path
	}
	v.Sampled = sampledIDs(s.Sample)
	var b strings.Builder
	if err = t.Execute(&b, v); err != nil {
		return "", err
	}
	return indented(b.String()), nil
}

// indented returns a Caddyfile as `caddy fmt` would: each line as deep as the blocks that it stands in.
func indented(text string) string {
	var b strings.Builder
	depth := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "}" {
			depth--
		}
		if line != "" {
			b.WriteString(strings.Repeat("\t", depth) + line)
		}
		b.WriteByte('\n')
		if strings.HasSuffix(line, "{") {
			depth++
		}
	}
	return b.String()
}

type caddyView struct {
	patterns
	Addresses string // of the site block
	Bind      string // the address to listen on; "" for all
	Dial      string // of cachesrv, as Caddy writes it
	Sampled   string // matches the ids of requests that are left to cachesrv; "" for none
}

// P is the placeholder of one of the site's variables.
func (v caddyView) P(name string) string { return "{" + v.Name + "_" + name + "}" }

// Numbered is the placeholder of one of several variables.
func (v caddyView) Numbered(name string, i int) string { return v.P(name + strconv.Itoa(i)) }

// quote makes patterns mean themselves between backquotes.
func (v *caddyView) quote() {
	for _, list := range [][][2]string{v.Targets, v.HostForms} {
		for i := range list {
			list[i][0] = strings.ReplaceAll(list[i][0], "`", `\x60`)
		}
	}
	v.Cookies = strings.ReplaceAll(v.Cookies, "`", `\x60`)
}

// addressesOf returns the addresses of the site block: those of the site's hosts, with the certificates that Caddy gets for them,
// or where it listens, in clear text, for whatever host.
func addressesOf(s *Site) (addresses, bind string) {
	if s.Listen == "" {
		names := make([]string, len(s.Hosts))
		for i, h := range s.Hosts {
			names[i] = h.Name
		}
		return strings.Join(names, ", "), ""
	}
	listen, _, _ := strings.Cut(s.Listen, " ") // nginx's parameters
	if path, ok := strings.CutPrefix(listen, "unix:"); ok {
		return "http://", "unix/" + path
	}
	if host, port, err := net.SplitHostPort(listen); err == nil {
		return "http://:" + port, host
	}
	return "http://:" + listen, ""
}

// sampledIDs matches about that many percent of the ids that Caddy gives to requests, random numbers in hex: those below a bound.
func sampledIDs(percent int) string {
	if percent <= 0 {
		return ""
	}
	first := make([]string, max(1, percent*256/100))
	for i := range first {
		first[i] = fmt.Sprintf("%02x", i)
	}
	return "^(?:" + strings.Join(first, "|") + ")"
}
