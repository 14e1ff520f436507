package httpcache

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rules are what a response says about being cached.
type rules struct {
	control directives // Cache-Control
	target  *target    // what is addressed to us; nil: nothing
	pragma  bool       // Pragma: no-cache, where there is no Cache-Control
}

func readRules(h http.Header, p Policy) (r rules, why string) {
	var ok bool
	if r.control, ok = parseDirectives(h["Cache-Control"]); !ok {
		return r, "malformed Cache-Control"
	}
	if r.target, why = targeted(h, p); why != "" {
		return r, why
	}
	for _, name := range [...]string{"s-maxage", "max-age"} {
		if _, _, ok := r.deciding().seconds(name); !ok {
			return r, "contradictory " + r.name() + ": " + name
		}
	}
	if r.control.has("public") && r.control.has("private") {
		return r, "contradictory Cache-Control: public"
	}
	// RFC 9111, 5.4, gives Pragma no meaning in responses; who sends it means no-cache all the same.
	r.pragma = len(h["Cache-Control"]) == 0 && strings.Contains(strings.ToLower(strings.Join(h["Pragma"], ",")), "no-cache")
	return r, ""
}

// deciding returns the directives that bind us: a targeted field has taken the place of Cache-Control and Expires (RFC
// 9213, 2.2).
func (r rules) deciding() directives {
	if r.target != nil {
		return r.target.directives
	}
	return r.control
}

// name returns the name of the field they are of.
func (r rules) name() string {
	if r.target != nil {
		return r.target.name
	}
	return "Cache-Control"
}

// forbid says why the response may not be stored: no-store (RFC 9111, 5.2.2.5) or private (5.2.2.7).
func (r rules) forbid(status int) (why string) {
	if why = forbidden(r.deciding(), r.name(), status); why != "" || r.target == nil || r.target.fresh() {
		return why
	}
	// Stricter than RFC 9213, 2.2: a targeted field that declares no freshness can't lift what Cache-Control forbids.
	return forbidden(r.control, "Cache-Control", status)
}

func forbidden(ds directives, name string, status int) string {
	must := ds.has("must-understand") // RFC 9111, 5.2.2.3: it lifts a no-store, for those who know the status
	switch private, _ := ds.flagged("private"); {
	case must && !understood(status):
		return name + ": must-understand, status " + strconv.Itoa(status)
	case ds.has("no-store") && !must:
		return name + ": no-store"
	case private:
		return name + ": private"
	}
	return ""
}

// lifetime works out how long a response may be used, or why it may not be at all.
func (r rules) lifetime(x Exchange, h http.Header, date time.Time, p Policy) (l Life, why string) {
	l.Born = born(h, date, x)
	if r.target != nil {
		l.Target = r.target.name + ": " + strings.ReplaceAll(r.target.text, "\t", " ")
	}
	ds, usual := r.deciding(), slices.Contains(heuristic, x.Status)
	fresh, shared, given := r.declared(h, date, x.Received)
	addressed := shared || given && r.target != nil // by s-maxage or a targeted field
	validate, _ := ds.flagged("no-cache")           // RFC 9111, 5.2.2.4
	if r.target == nil {
		validate = validate || r.pragma
	}
	switch {
	case p.UntilInvalidated && usual && !addressed:
		fresh, validate = Forever, validate && r.target != nil
	case blaming(x.Status) && !addressed:
		return l, "status " + strconv.Itoa(x.Status)
	case given:
	case x.Status >= 400:
		return l, "status " + strconv.Itoa(x.Status) + " without explicit freshness"
	case !usual && !ds.has("public") && !validate:
		return l, "status " + strconv.Itoa(x.Status) + " without explicit freshness"
	case validate:
	default:
		if fresh, l.Heuristic = guess(h, date); !l.Heuristic {
			return l, "no explicit freshness"
		}
	}
	if p.MaxAge > 0 {
		fresh = min(fresh, p.MaxAge)
	}
	l.Fresh, l.Validate = fresh, validate
	if fresh == Forever {
		return l, ""
	}
	// RFC 9111, 5.2.2.2, 5.2.2.8, and 5.2.2.10: s-maxage implies proxy-revalidate.
	l.Must = shared || ds.has("must-revalidate") || ds.has("proxy-revalidate")
	if !l.Must && !l.Validate { // RFC 5861, 3 and 4; RFC 9111, 4.2.4
		l.WhileRevalidate = r.window("stale-while-revalidate", p.WhileRevalidate)
		l.IfError = r.window("stale-if-error", p.IfError)
	}
	l.truncate()
	return l, ""
}

// declared returns the freshness that the response declares, if it does (RFC 9111, 4.2.1); shared says that this is by
// s-maxage.
func (r rules) declared(h http.Header, date, received time.Time) (fresh time.Duration, shared, given bool) {
	if d, given, _ := r.deciding().seconds("s-maxage"); given {
		return d, true, true
	}
	if d, given, _ := r.deciding().seconds("max-age"); given {
		return d, false, true
	}
	if r.target != nil || len(h["Expires"]) == 0 {
		return 0, false, false
	}
	at, ok := expires(h["Expires"], received)
	if !ok {
		return 0, false, true // RFC 9111, 5.3: an invalid date, "0" above all, is in the past
	}
	return min(max(at.Sub(date), 0), maxDelta), false, true
}

// window returns how long past its freshness the response may be used for a purpose.
func (r rules) window(name string, otherwise time.Duration) time.Duration {
	if d, given, _ := r.deciding().seconds(name); given {
		return d
	}
	if r.target != nil && r.target.grace > 0 {
		return r.target.grace
	}
	return max(otherwise, 0)
}

// Heuristic freshness (RFC 9111, 4.2.2): a tenth of the time since the last change, at most a day.
const (
	heuristicPart = 10
	maxHeuristic  = 24 * time.Hour
)

// guess returns a heuristic freshness, if the response gives reason for one.
func guess(h http.Header, date time.Time) (time.Duration, bool) {
	if len(h["Last-Modified"]) != 1 {
		return 0, false
	}
	modified, ok := parseDate(h["Last-Modified"][0], date)
	if !ok || modified.After(date) {
		return 0, false
	}
	return min(date.Sub(modified)/heuristicPart, maxHeuristic).Truncate(time.Second), true
}

// stored returns the headers to keep (RFC 9111, 3.1).
func (r rules) stored(h http.Header, p Policy) http.Header {
	s := h.Clone()
	HopByHop(s)
	StripForCaches(s)
	for _, name := range append(p.names(), "Age", "Content-Length", "Set-Cookie") {
		delete(s, name)
	}
	for _, ds := range [...]directives{r.control, r.deciding()} {
		for _, name := range [...]string{"no-cache", "private"} {
			_, fields := ds.flagged(name)
			for _, f := range fields {
				delete(s, f)
			}
		}
	}
	return s
}
