package front

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

//go:embed nginx.conf.tmpl
var nginxText string

// Nginx returns the site's configuration for nginx 1.18 or later: for its http block. No modules are needed but those nginx is
// built with by default, and Site.Modules.
func Nginx(site Site) (string, error) {
	s, err := site.checked()
	if err != nil {
		return "", err
	}
	if s.Listen == "" {
		s.Listen = "80"
	}
	t, err := template.New("nginx").Parse(nginxText)
	if err != nil {
		return "", err
	}
	v := nginxView{V: "$" + s.Name + "_"}
	v.patterns = s.patterns(s.Name+"_", func(group string) string { return v.V + group })
	for _, h := range s.Hosts {
		v.Names = append(v.Names, serverName(h.Name))
	}
	v.Names = slices.Compact(slices.Sorted(slices.Values(v.Names)))
	for _, m := range s.Modules {
		v.Off = append(v.Off, nginxOff(v.V, m)...)
	}
	for _, name := range v.Apart {
		v.ApartValues += "${http_" + strings.ReplaceAll(strings.ToLower(name), "-", "_") + "}"
	}
	for _, long := range append(v.Targets, [2]string{v.Cookies}) {
		if len(long[0]) > maxToken {
			return "", fmt.Errorf("%w: the parameters or the public cookies are so many that nginx can't read their pattern (%d bytes, at most %d): list fewer",
				ErrSite, len(long[0]), maxToken)
		}
	}
	var b strings.Builder
	err = t.Execute(&b, v)
	return b.String(), err
}

// maxToken bounds one word of the configuration, in bytes: nginx refuses more than 4096 with its quotes.
const maxToken = 4000

type nginxView struct {
	patterns
	V           string // stands before the names of variables
	Names       []string
	ApartValues string // of the headers in Apart, joined
	Off         []string
}

// NginxModules are those that may change answers, and that not every nginx has: of an absent one not even the word "off" is
// understood.
var NginxModules = []string{"addition", "gunzip", "gzip_static", "sub", "brotli", "brotli_static", "zstd", "zstd_static"}

// defaultModules are in the packages of nginx.org, and of Debian, Ubuntu, Fedora and Alpine.
var defaultModules = NginxModules[:4]

// nginxOff returns the lines by which a module does nothing here, whatever the http block says. v stands before variables.
func nginxOff(v, module string) []string {
	switch module {
	case "addition":
		return []string{`add_before_body "";`, `add_after_body "";`}
	case "sub": // it has no "off"; of a list of nothing there is nothing to replace
		return []string{"sub_filter " + v + `nothing "";`}
	}
	return []string{module + " off;"}
}

// serverName is a host as nginx compares it: without its port.
func serverName(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}
