package front

import (
	"regexp"
	"slices"
)

// everywhere is the part of a site that is in no other.
func (s *Site) everywhere() Part { return Part{Headers: s.Headers} }

// A varied header is one that the site's parts send with different values.
type varied struct {
	Name   string
	Value  string      // in no part; "" for none
	Within [][2]string // a pattern of targets, and the value there, where it is another
}

// A choice is made among the forms of a part's pages.
type choice struct {
	Accept string // matches the headers that choose the published form
	Within string // what the targets begin with
}

// varied returns the headers of pages, in the order in which they are first named.
func (s *Site) varied() []varied {
	list := []varied{{Name: "Vary", Value: s.everywhere().vary()}, {Name: "Cache-Control", Value: s.CacheControl}}
	at := map[string]int{"Vary": 0, "Cache-Control": 1}
	index := func(name string) int {
		if _, ok := at[name]; !ok {
			at[name] = len(list)
			list = append(list, varied{Name: name})
		}
		return at[name]
	}
	for _, h := range s.Headers {
		list[index(h[0])].Value = h[1] // of two the last counts
	}
	for _, p := range s.Parts {
		for _, h := range p.Headers {
			index(h[0])
		}
	}
	for i := range list {
		for _, p := range s.Parts {
			if value := p.value(s, list[i].Name); value != list[i].Value {
				list[i].Within = append(list[i].Within, [2]string{p.within(), value})
			}
		}
	}
	return list
}

// value returns what a part sends as a header; "" for nothing.
func (p Part) value(s *Site, name string) string {
	for _, h := range slices.Backward(p.Headers) {
		if h[0] == name {
			return h[1]
		}
	}
	switch name {
	case "Vary":
		return p.vary()
	case "Cache-Control":
		return s.CacheControl
	}
	return ""
}

// vary is as static.Serve joins it.
func (p Part) vary() string {
	if p.Vary == "" {
		return "Accept-Encoding"
	}
	return p.Vary + ", Accept-Encoding"
}

// within matches the targets of a part, of those that are pages.
func (p Part) within() string { return "^" + regexp.QuoteMeta(p.Prefix) }

// choices returns those of the parts whose pages have several forms.
func (s *Site) choices() []choice {
	var list []choice
	for _, p := range s.Parts {
		if p.Accept != "" {
			list = append(list, choice{p.Accept, p.Prefix})
		}
	}
	return list
}
