package index

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A form is one of the forms that pages of the simple API have (PEP 691).
type form int

const (
	formText form = iota // text/html
	formHTML             // the same, versioned
	formJSON
	forms // how many there are
)

// Media types of the simple API. A client may ask for the latest version instead of a certain one; there is one.
const (
	typeJSON       = "application/vnd.pypi.simple.v1+json"
	typeHTML       = "application/vnd.pypi.simple.v1+html"
	typeText       = "text/html"
	typeLatestJSON = "application/vnd.pypi.simple.latest+json"
	typeLatestHTML = "application/vnd.pypi.simple.latest+html"
)

// contentTypes are sent with the forms. That of text/html is the one a plain folder's pages have.
var contentTypes = [forms]string{formText: "text/html; charset=utf-8", formHTML: typeHTML, formJSON: typeJSON}

// variants name them in keys.
var variants = [forms]string{formText: "", formHTML: "html", formJSON: "json"}

// formOf returns the form of a media type, in lower case.
func formOf(mediaType string) (form, bool) {
	switch mediaType {
	case typeText:
		return formText, true
	case typeHTML, typeLatestHTML:
		return formHTML, true
	case typeJSON, typeLatestJSON:
		return formJSON, true
	}
	return 0, false
}

// Variant names the form of a /simple/ page that a request gets: "" for text/html, "json", or "html" for the versioned
// HTML. For middleware.Options.Variant; a request that accepts no form at all never comes as far.
func Variant(r *http.Request) string {
	f, _ := negotiate(r.Header["Accept"])
	return variants[f]
}

// Vary lists the request headers that Variant looks at.
func Vary() []string { return []string{"Accept"} }

// acceptPip is what every pip sends.
const acceptPip = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"

// How exactly a media range names a form: the most exact range decides (RFC 9110, 12.5.1).
const (
	unnamed = iota
	anything
	anyOfType
	exactly
)

// negotiate chooses the form a client likes best; of those it likes equally, the first. It reports false if there is
// none. Elements of Accept that are malformed say nothing; a header without any other is as good as none. It doesn't
// allocate: it runs for each hit.
func negotiate(accept []string) (form, bool) {
	if len(accept) == 1 && accept[0] == acceptPip {
		return formJSON, true
	}
	var (
		quality [forms]int // in thousandths
		named   [forms]int
		heard   bool
	)
	for _, line := range accept {
		for element := range strings.SplitSeq(line, ",") {
			mediaRange, parameters, _ := strings.Cut(element, ";")
			q, ok := qualityOf(parameters)
			if mediaRange = strings.Trim(mediaRange, " \t"); !ok || !strings.Contains(mediaRange, "/") {
				continue
			}
			heard = true
			for f := range forms {
				switch how := names(mediaRange, f); {
				case how > named[f]:
					named[f], quality[f] = how, q
				case how == named[f] && how != unnamed:
					quality[f] = max(quality[f], q) // twice the same, or v1 and latest
				}
			}
		}
	}
	if !heard {
		return formText, true
	}
	best := formText
	for f := range forms {
		if quality[f] > quality[best] {
			best = f
		}
	}
	return best, quality[best] > 0
}

// names says how exactly a media range names a form. Its parameters don't count: the forms have none.
func names(mediaRange string, f form) int {
	switch {
	case mediaRange == "*/*":
		return anything
	case strings.EqualFold(mediaRange, "text/*") && f == formText, strings.EqualFold(mediaRange, "application/*") && f != formText:
		return anyOfType
	}
	exact := false
	switch f {
	case formText:
		exact = strings.EqualFold(mediaRange, typeText)
	case formHTML:
		exact = strings.EqualFold(mediaRange, typeHTML) || strings.EqualFold(mediaRange, typeLatestHTML)
	case formJSON:
		exact = strings.EqualFold(mediaRange, typeJSON) || strings.EqualFold(mediaRange, typeLatestJSON)
	}
	if exact {
		return exactly
	}
	return unnamed
}

// qualityOf reads the q among the parameters of a media range, in thousandths: 1000 without one, false if malformed.
func qualityOf(parameters string) (int, bool) {
	for parameters != "" {
		var p string
		p, parameters, _ = strings.Cut(parameters, ";")
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.Trim(name, " \t"), "q") {
			return parseQuality(strings.Trim(value, " \t"))
		}
	}
	return 1000, true
}

// parseQuality reads "0.25" as 250: 0 to 1. There should be at most three decimals; clients that compute them send more,
// which count for no more than that it isn't 0.
func parseQuality(s string) (int, bool) {
	if s == "" || s[0] != '0' && s[0] != '1' || len(s) > 1 && s[1] != '.' {
		return 0, false
	}
	q := int(s[0]-'0') * 1000
	for i, worth := 2, 100; i < len(s); i, worth = i+1, worth/10 {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		q += int(s[i]-'0') * worth
		if worth == 0 && s[i] != '0' {
			q = max(q, 1)
		}
	}
	return q, q <= 1000
}

var errFormat = errors.New("unknown format")

// formatKey is the context key of the parameter "format": what leads to another index leads to that form there.
type formatKey struct{}

// withFormat turns the parameter "format" of a /simple/ URL, by which a form is chosen where headers can't be set, into
// the Accept header that asks for it. The request returned is one for the plain URL, also as it was sent (RequestURI):
// so it shares that URL's pages. Its context knows what was asked for, by formatKey. Without the parameter it is the same
// request.
func withFormat(r *http.Request) (*http.Request, error) {
	if !strings.Contains(r.URL.RawQuery, "format") {
		return r, nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || !query.Has("format") {
		return r, nil // what else is wrong with the query is for others to say
	}
	mediaType := query["format"][0]
	if strings.Contains(mediaType, " ") {
		mediaType = strings.ReplaceAll(mediaType, " ", "+") // a "+" that should have been sent as %2B
	}
	f, ok := formOf(strings.ToLower(mediaType))
	if !ok || slices.ContainsFunc(query["format"], func(again string) bool { return again != query["format"][0] }) {
		return nil, errFormat
	}
	plain := r.Clone(context.WithValue(r.Context(), formatKey{}, mediaType))
	plain.Header["Accept"] = []string{[...]string{formText: typeText, formHTML: typeHTML, formJSON: typeJSON}[f]}
	query.Del("format")
	plain.URL.RawQuery = query.Encode()
	plain.RequestURI = plain.URL.EscapedPath()
	if plain.URL.RawQuery != "" {
		plain.RequestURI += "?" + plain.URL.RawQuery
	}
	return plain, nil
}
