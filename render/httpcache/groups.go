package httpcache

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// The fields of RFC 9875.
const (
	cacheGroups       = "Cache-Groups"             // 2: what a response belongs to
	groupInvalidation = "Cache-Group-Invalidation" // 3: what the answer to an unsafe request invalidates
)

// Groups returns the tags of the groups that the answer to an unsafe request invalidates (RFC 9875, 3), whatever its status: who
// names them has changed something. Groups are those of the host alone (2.1), as it stands in keys.
//
// The error, an ErrTags, says that nobody knows which groups were meant. The RFC would have the field ignored; drop all of the
// host.
func Groups(h http.Header, host string) ([]string, error) {
	names, err := groupNames(groupInvalidation, canonical(h)[groupInvalidation])
	if err != nil {
		return nil, err
	}
	var tags []string
	for _, name := range names {
		if tag := groupTag(host, name); len(tag) <= maxTag { // longer ones no page has
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// groupTag names a group among the tags: "group:HOST:NAME". In NAME all but letters, digits and "-._~" is percent-encoded, so the
// last colon ends the host, which may have a port.
func groupTag(host, name string) string {
	return "group:" + host + ":" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

// groupNames reads a List of Strings (RFC 9651, 3.1 and 3.3.3). Parameters are ignored (RFC 9875, 2 and 3); any other type of
// member makes the field malformed. An empty line is as if it were not there.
func groupNames(field string, lines []string) ([]string, error) {
	var names []string
	for _, line := range lines {
		p := &fields{textproto.TrimString(line)}
		for more := p.s != ""; more; {
			name, ok := p.member()
			if more = p.s != ""; more && ok {
				ok = p.comma()
			}
			switch {
			case !ok:
				return nil, fmt.Errorf("%w: %s: it is a list of quoted strings", ErrTags, field)
			case len(names) == maxRead:
				return nil, fmt.Errorf("%w: %s: more than %d", ErrTags, field, maxRead)
			}
			names = append(names, name)
		}
	}
	return names, nil
}

// member reads a String and its parameters, and the whitespace behind them.
func (p *fields) member() (string, bool) {
	if !strings.HasPrefix(p.s, `"`) {
		return "", false
	}
	k, name := p.quotation()
	ok := k == quotation && p.parameters()
	p.s = strings.TrimLeft(p.s, " \t")
	return name, ok
}

// comma reads what separates two members: RFC 9651, 4.2.1, wants one behind it.
func (p *fields) comma() bool {
	if !p.skip(',') {
		return false
	}
	p.s = strings.TrimLeft(p.s, " \t")
	return p.s != ""
}
