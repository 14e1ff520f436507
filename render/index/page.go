package index

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/render"
	"github.com/cachesrv/cachesrv/render/index/catalog"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pageNames are the pages for people. Each is a template of that name, within layout.html.
var pageNames = []string{"start", "project", "user", "search", "message"}

// parsePages parses the templates.
func parsePages(o Options) (map[string]*template.Template, error) {
	functions := template.FuncMap{
		"asset":   o.Asset,
		"size":    size,
		"count":   count,
		"segment": escapeSegment,
		"when":    when,
		"command": func(base, text string) command { return command{base, text} },
		"release": func(p *projectPage, r shownRelease) releaseLine { return releaseLine{r, p.Normal} },
		"trusted": func(d description) template.HTML { return template.HTML(d.HTML) },
	}
	pages := make(map[string]*template.Template)
	for _, name := range pageNames {
		t, err := template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		pages[name] = t
	}
	return pages, nil
}

// A command is one to copy. Base is the site's URL in it.
type command struct{ Base, Text string }

// A view is what a page shows.
type view struct {
	Site      string // its title
	Private   bool
	Upstream  string // URL; empty: none
	Base      string // URL of the site, as far as we know it
	Title     string // of the page; empty: the site's
	Query     string // in the search field
	Canonical string // path, if the page has another one
	Content   any
}

// show renders a page. It is the same for everybody who gets it from the cache: it has no time of day, no name but the
// site's own.
func (s *Site) show(w http.ResponseWriter, r *http.Request, status int, page string, v view) error {
	v.Site, v.Private, v.Base = s.o.Title, s.o.Private, baseURL(r.Host)
	if s.o.Upstream != nil {
		v.Upstream = s.o.Upstream.String()
	}
	var b bytes.Buffer
	if err := s.pages[page].Execute(&b, v); err != nil {
		return err
	}
	send(w, status, contentTypes[formText], b.Bytes())
	return nil
}

// baseURL is the site's URL by one of its names. Pages don't know whether they are read through TLS: the copy script
// puts right in the browser what is a guess here. A name with a port is our own listener's, which speaks no TLS; so is,
// most likely, one of this machine.
func baseURL(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return "http://" + host
	}
	name := strings.Trim(host, "[]")
	if addr, err := netip.ParseAddr(name); name == "localhost" || err == nil && addr.IsLoopback() {
		return "http://" + host
	}
	return "https://" + host
}

// readable makes an http.Handler whose failures are pages, too.
func (s *Site) readable(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		f := s.settle(r, err)
		if f.status != http.StatusNotFound {
			w.Header().Set("Cache-Control", "no-store")
		}
		v := view{Title: http.StatusText(f.status), Content: f.message}
		if err := s.show(w, r, f.status, "message", v); err != nil {
			s.log.Error("an error page can't be rendered", "path", r.URL.Path, "err", err)
			sendText(w, f.status, f.message)
		}
	})
}

// page answers the pages that are kept, inside the cache.
func (s *Site) page(w http.ResponseWriter, r *http.Request) error {
	segments := strings.Split(r.URL.Path[1:], "/") // as the router left them
	switch segments[0] {
	case "project":
		version := ""
		if len(segments) > 3 {
			version = segments[2]
		}
		return s.project(w, r, segments[1], version)
	case "user":
		return s.user(w, r, segments[1])
	}
	return s.start(w, r)
}

// Bounds of lists.
const (
	startUpdates  = 10   // on the start page, of each kind
	searchResults = 20   // on a page of results
	maxQuery      = 200  // bytes of a query
	maxPage       = 5000 // pages of results
)

func (s *Site) start(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	render.Tags(ctx, catalog.AllProjects)
	o, err := s.catalog.Overview(ctx, startUpdates)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "start", view{Content: o})
}

func (s *Site) user(w http.ResponseWriter, r *http.Request, name string) error {
	ctx := r.Context()
	render.Tags(ctx, catalog.UserTag(name))
	u, err := s.catalog.User(ctx, name)
	if errors.Is(err, catalog.ErrNotFound) {
		return fail(http.StatusNotFound, "There is no user %s.", name)
	} else if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "user", view{Title: name, Content: u})
}

// results are what a search found, and where its other pages are.
type results struct {
	Query              string
	Total, First, Last int // of the results on this page, from 1
	Results            []catalog.Update
	Page, Pages        int
	Previous, Next     int // page numbers; 0: none
}

// search answers /search. There are as many queries as anybody likes to think of, so they make no pages; a query's words
// are compared in the database each time.
func (s *Site) search(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	render.NoStore(ctx, "search")
	if err := r.ParseForm(); err != nil {
		return fail(http.StatusBadRequest, "The query can't be read: %v", err)
	}
	query := strings.Join(strings.Fields(r.Form.Get("q")), " ")
	if len(query) > maxQuery || !utf8.ValidString(query) || strings.ContainsFunc(query, unicode.IsControl) {
		return fail(http.StatusBadRequest, "A query is text of at most %d bytes.", maxQuery)
	}
	page := 1
	if p := r.Form.Get("page"); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > maxPage {
			return fail(http.StatusBadRequest, "Pages are numbered from 1 to %d.", maxPage)
		}
		page = n
	}
	out := results{Query: query, Page: page}
	if query == "" {
		return s.show(w, r, http.StatusOK, "search", view{Title: "Search", Content: out})
	}
	found, err := s.catalog.Search(ctx, query, searchResults, (page-1)*searchResults)
	if errors.Is(err, catalog.ErrBusy) {
		w.Header().Set("Retry-After", "1") // seconds
		return fail(http.StatusServiceUnavailable, "Too many searches are under way at the moment. Try again in a second or two.")
	}
	if err != nil {
		return err
	}
	out.Total, out.Results = found.Total, found.Results
	out.Pages = min((found.Total+searchResults-1)/searchResults, maxPage)
	if len(found.Results) == 0 && found.Total > 0 {
		return fail(http.StatusNotFound, "There are only %d pages of results.", out.Pages)
	}
	out.First, out.Last = (page-1)*searchResults+1, (page-1)*searchResults+len(found.Results)
	if page > 1 {
		out.Previous = page - 1
	}
	if page < out.Pages {
		out.Next = page + 1
	}
	return s.show(w, r, http.StatusOK, "search", view{Title: "Search: " + query, Query: query, Content: out})
}

// size writes a number of bytes for people: "1.2 MiB".
func size(n int64) string {
	if n < 1024 {
		return count(n, "byte", "bytes")
	}
	value, unit := float64(n)/1024, 0
	for units := len("KMGTPE"); value >= 1024 && unit < units-1; unit++ {
		value /= 1024
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0") + " " + string("KMGTPE"[unit]) + "iB"
}

// count writes a number, an int or int64, with the noun it counts: "1 file", "12,345 files".
func count(n any, one, many string) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if digits == "1" {
		many = one
	}
	return strings.TrimRight(digits+" "+many, " ")
}

// when shows a time as pages do: the date, in UTC. It doesn't depend on the clock ("2 days ago"), as pages are kept.
func when(t time.Time) template.HTML {
	t = t.UTC()
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format("Jan 2, 2006") + `</time>`)
}
