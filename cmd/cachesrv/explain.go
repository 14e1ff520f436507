package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/proxy"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

type explainCmd struct {
	proxySettings

	URL    string   `arg:"" help:"The URL as a browser shows it, or host/path?query."`
	Method string   `default:"GET" placeholder:"METHOD" help:"The request's method."`
	Header []string `sep:"none" placeholder:"LINE" help:"A header of the request, like 'Cookie: session=1'. May be repeated."`
	JSON   bool     `name:"json" help:"One JSON object."`
}

func (explainCmd) Help() string {
	return `Whether the URL is answered from the cache and why, what its page is and where it lies, what last dropped it, and ` +
		`why it was last not stored. Exit status 0: it is cached; 1: it is not; 2: that can't be found out. With a proxy's own ` +
		`settings it also says what goes past the cache, and by which rule.

    cachesrv explain https://www.example.org/a?x=1 --config /etc/cachesrv.yaml
    cachesrv explain www.example.org/a --dir /srv/pages --header 'Cookie: session=1'`
}

// An explained is what explain --json prints.
type explained struct {
	Key      string           `json:"key"`
	Cached   bool             `json:"cached"`
	Why      string           `json:"why"` // what stands before the rest of the text
	Rule     int              `json:"rule,omitempty"`
	Bypass   string           `json:"bypass,omitempty"`
	Scheme   string           `json:"scheme,omitempty"` // of the requests that pages are for
	Fenced   string           `json:"fenced,omitempty"`
	Withheld bool             `json:"withheld"`
	Settles  int64            `json:"settles_ms,omitempty"`
	Filling  bool             `json:"filling"`
	Filler   int              `json:"filler_pid,omitempty"`
	Required string           `json:"required,omitempty"`
	Pages    []explainedPage  `json:"pages"`
	Dropped  *cache.Journaled `json:"dropped,omitempty"`
	Unstored *cache.Unstored  `json:"unstored,omitempty"`
}

type explainedPage struct {
	jsonEntry
	Digest   string              `json:"sha256"`
	Header   map[string][]string `json:"header"`
	Private  string              `json:"private,omitempty"` // why
	Position string              `json:"position,omitempty"`
	GraceEnd *time.Time          `json:"grace_end,omitempty"`
	Expired  bool                `json:"expired"`
}

func (c *explainCmd) Run(ctx context.Context, p *program) error {
	err := c.run(ctx, p)
	if errors.As(err, new(statusCode)) || err == nil {
		return err
	}
	return usageError(err.Error()) // as grep: 1 is an answer
}

func (c *explainCmd) run(ctx context.Context, p *program) error {
	k, route, err := c.route(p)
	if err != nil {
		return err
	}
	return p.withFolder(ctx, c.Dir, func(store *cache.Store) error {
		var e cache.Explanation
		if k != (cache.Key{}) {
			if e, err = store.Explain(ctx, k); err != nil {
				return err
			}
		}
		cached, why := judge(e, route)
		if c.JSON {
			err = json.NewEncoder(p.stdout).Encode(c.object(e, route, cached, why))
		} else {
			err = c.print(newLines(p.stdout), e, route, cached, why)
		}
		if err == nil && !cached {
			err = statusCode(1)
		}
		return err
	})
}

// route finds the page's key: by the settings of the proxy, or else with all of the query.
func (c *explainCmd) route(p *program) (cache.Key, *proxy.Route, error) {
	header := http.Header{}
	for _, line := range c.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return cache.Key{}, nil, fmt.Errorf("--header %q: it is like 'Cookie: session=1'", line)
		}
		header.Add(textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(value))
	}
	cfg := conf.Config{Folder: c.Folder, Link: c.Link, Store: c.Store, Serve: c.Serve, Proxy: c.Proxy, Log: p.cli.Log}
	if p.file != nil {
		cfg.Rules = p.file.Config.Rules
	}
	if len(cfg.Origins) == 0 && len(c.Header) == 0 && c.Method == http.MethodGet {
		k, err := key.Parse(c.URL)
		if err == nil && k.Host == "" {
			err = fmt.Errorf("%q has no host: give the URL as a browser shows it", c.URL)
		}
		return k, nil, err
	}
	text := c.URL
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return cache.Key{}, nil, fmt.Errorf("%q is no URL: give it as a browser shows it", c.URL)
	}
	_, rest, _ := strings.Cut(text, "://")
	target := "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		target, _, _ = strings.Cut(rest[i:], "#")
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	r, err := proxy.RouteOf(cfg, c.Method, u.Host, target, header)
	return r.Key, &r, err
}

// judge says whether a page is served, and why in one line.
func judge(e cache.Explanation, route *proxy.Route) (cached bool, why string) {
	var page, graced *cache.Explained
	for i := range e.Pages {
		switch x := &e.Pages[i]; {
		case page == nil && !x.Graced && !x.Expired:
			page = x
		case graced == nil:
			graced = x
		}
	}
	switch {
	case route != nil && route.Bypass != "":
		return false, "no: the request goes past the cache"
	case e.Fenced != "":
		return false, "no: the folder is fenced"
	case page != nil:
		return true, "yes"
	case graced != nil && time.Now().Before(graced.GraceEnd):
		return false, "no; but there is a page past its life, served within its grace while the next request fills"
	case graced != nil:
		return false, "no: its page is past its life"
	case e.Claim != nil:
		return false, "no, but a fill is under way"
	case e.Dropped != nil && (e.Dropped.All || e.Dropped.Retired):
		return false, "no: it was not asked for, or not stored, since everything was dropped"
	case e.Dropped != nil:
		return false, "no: it was dropped, and not asked for or not stored since"
	case e.Unstored != nil:
		return false, "no: answers for it were not stored"
	default:
		return false, "no: it was not asked for yet, or evicted"
	}
}

func (c *explainCmd) object(e cache.Explanation, route *proxy.Route, cached bool, why string) explained {
	o := explained{
		Key: e.Key.String(), Cached: cached, Why: why, Fenced: e.Fenced, Withheld: e.Withheld, Settles: e.Settles.Milliseconds(),
		Filling: e.Claim != nil, Required: e.Required, Pages: []explainedPage{}, Dropped: e.Dropped, Unstored: e.Unstored,
	}
	if route != nil {
		o.Rule, o.Bypass, o.Scheme = route.Rule+1, route.Bypass, route.Scheme
	}
	if e.Claim != nil {
		o.Filler = e.Claim.PID
	}
	for _, x := range e.Pages {
		m := x.Page.Meta
		page := explainedPage{
			jsonEntry: newJSONEntry(x.Entry), Digest: x.Digest, Header: m.Header, Private: x.Why, Position: m.Position.String(), Expired: x.Expired,
		}
		if !x.GraceEnd.IsZero() && m.Grace > 0 {
			page.GraceEnd = &x.GraceEnd
		}
		o.Pages = append(o.Pages, page)
	}
	return o
}

func (c *explainCmd) print(l *lines, e cache.Explanation, route *proxy.Route, cached bool, why string) error {
	if e.Key != (cache.Key{}) {
		l.item("key", printable(e.Key.String()))
	}
	l.item("cached", why)
	if route != nil {
		rule := "none matches: the general settings hold"
		if route.Rule >= 0 {
			rule = fmt.Sprintf("number %d of the configuration", route.Rule+1)
		}
		l.item("rule", rule+"; policy "+route.Policy)
		if route.Scheme != "" {
			l.item("scheme", "pages are for requests that come over "+route.Scheme+" (--public-scheme); others go past the cache")
		}
		if route.Bypass != "" {
			l.item("past", route.Bypass)
		}
	}
	if e.Fenced != "" {
		l.item("fenced", e.Fenced)
	}
	if e.Withheld {
		l.item("withheld", "a commit that concerns it has an unknown outcome; nothing is stored for it until that is known")
	}
	if e.Settles > 0 {
		l.item("settles", fmt.Sprintf("for %s yet: its source may lag behind the last invalidation (--settle), so what is rendered meanwhile is not stored",
			e.Settles.Round(time.Millisecond)))
	}
	if e.Claim != nil {
		owner := ""
		if e.Claim.PID > 0 {
			owner = fmt.Sprintf(" by process %d", e.Claim.PID)
		}
		l.item("fill", "under way"+owner)
	}
	for _, x := range e.Pages {
		c.printPage(l, x)
	}
	if d := e.Dropped; d != nil {
		l.item("dropped", when(d.At)+" "+selected(*d)+by(*d))
	}
	if u := e.Unstored; u != nil {
		l.item("not stored", when(u.At)+" "+printable(u.Why))
	}
	if e.Required != "" {
		l.item("required", "an answer that names its position is stored only if that contains "+e.Required)
	}
	if !cached {
		l.item("next", c.next(e, route))
	}
	return l.err
}

func (c *explainCmd) printPage(l *lines, x cache.Explained) {
	m := x.Page.Meta
	name, kind := "default", "page"
	if x.Key.Variant != "" {
		name = "variant " + printable(x.Key.Variant)
	}
	if x.Graced {
		kind = "graced page"
	}
	l.item("page", fmt.Sprintf("%s: %s, status %d, %s, stored %s, %s", name, kind, m.Status, unit.Size(x.Page.Size).Short(), when(x.Page.Published), count(x.Hits, "hit")))
	l.item("  file", x.File)
	l.item("  sha256", x.Digest)
	if x.Private {
		l.item("  private", "only cachesrv serves it: "+x.Why)
	}
	if t := m.Header.Get("Content-Type"); t != "" {
		l.item("  type", visible(t))
	}
	if len(m.Tags) > 0 {
		l.item("  tags", printable(m.Tags...))
	}
	if len(x.Twins) > 0 {
		l.item("  twins", strings.Join(x.Twins, " "))
	}
	if len(m.Position) > 0 {
		l.item("  position", m.Position.String())
	}
	if m.Note != "" {
		l.item("  fresh", freshness(m.Note, time.Now()))
	}
	switch {
	case x.Expires.IsZero():
		l.item("  kept", "until it is invalidated")
	case x.Expired:
		l.item("  kept", "until "+when(x.Expires)+"; it is past that")
	default:
		l.item("  kept", "until "+x.Expires.UTC().Format(timeLayout)+" UTC")
	}
	if m.Grace > 0 {
		l.item("  grace", m.Grace.String()+" from then on")
	}
}

// freshness tells how long a proxy's page may be used, which stands in its note. Longer it is kept to be asked about: a 304 renews it.
func freshness(note string, now time.Time) string {
	life, err := httpcache.ParseLife(note)
	switch {
	case err != nil:
		return "unknown: " + err.Error()
	case life.Validate:
		return "the origin is asked before each use (no-cache)"
	case life.Fresh == httpcache.Forever:
		return "until it is invalidated"
	}
	how := ""
	if life.Heuristic {
		how = ", by its Last-Modified, as it does not say"
	}
	if left := life.Left(now); left > 0 {
		return "until " + now.Add(left).UTC().Format(timeLayout) + " UTC" + how
	}
	return "no more: the origin is asked whether it holds" + how
}

// next says what to do about a page that is not there.
func (c *explainCmd) next(e cache.Explanation, route *proxy.Route) string {
	switch {
	case route != nil && strings.Contains(route.Bypass, "not listed"):
		return "list the parameter (--query), or have it removed (--ignore-query), if it makes no other page"
	case route != nil && strings.Contains(route.Bypass, "public-cookies"):
		return "if the cookie means nothing to pages, list it (--public-cookies)"
	case route != nil && route.Bypass != "":
		return "nothing: that is as it should be, or change the rule"
	case e.Fenced != "":
		return "cachesrv fence off " + c.Folder.Flags()
	case e.Unstored != nil && (e.Dropped == nil || e.Unstored.At.After(e.Dropped.At)):
		return "mend what keeps it from being stored; ask for it and look at Cache-Status"
	default:
		return "ask for it, as with curl -i: Cache-Status says what becomes of it"
	}
}
