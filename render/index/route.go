package index

import (
	"net/http"
	"strings"

	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// Caches put a cache in front of handlers: middleware.Cache.Handler. A nil one means none.
type Caches struct {
	// Simple is for /simple/, whose pages have forms: Variant and Vary belong to its middleware.Options.
	Simple func(http.Handler) http.Handler
	// Pages is for the pages for people.
	Pages func(http.Handler) http.Handler
}

const assetsPrefix = "/assets/"

// Handler answers for the site.
func (s *Site) Handler(c Caches) http.Handler {
	through := func(cache func(http.Handler) http.Handler, h http.Handler) http.Handler {
		if cache == nil {
			return h
		}
		return cache(h)
	}
	routes := &router{
		site:   s,
		simple: through(c.Simple, s.plain(s.simple)),
		pages:  through(c.Pages, s.readable(s.page)),
	}
	// A browser that knows a token sends it along with whatever any page makes it send: so nothing is changed on behalf
	// of a page of another site.
	ours := http.NewCrossOriginProtection()
	ours.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sendText(w, http.StatusForbidden, "This request was made by a page of another site: changes are not taken from there.")
	}))
	return s.secured(ours.Handler(s.admitted(routes)))
}

// A router finds the handler of a path. It is written by hand, as http.ServeMux would redirect "//x" and decode what it
// compares; and names written in another way are redirected here, before a cache sees them.
type router struct {
	site          *Site
	simple, pages http.Handler // behind the caches
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := rt.site
	segments := strings.Split(r.URL.Path[1:], "/") // "/project/x/": "project", "x", ""
	alone := len(segments) == 1
	slashed := len(segments) == 2 && segments[1] == ""
	switch first := segments[0]; {
	case first == "simple":
		rt.serveSimple(w, r, segments)
	case first == "project":
		rt.serveProject(w, r, segments)
	case first == "user":
		rt.serveUser(w, r, segments)
	case first == "files":
		if rt.reading(w, r) {
			s.plain(s.file).ServeHTTP(w, r)
		}
	case first == "assets":
		s.o.Assets.ServeHTTP(w, r)
	case first == "legacy" && (alone || slashed):
		if !methods(w, r, http.MethodPost) {
			s.refuse(w, r, nil, fail(http.StatusMethodNotAllowed, "Uploads are sent here with POST, as by: twine upload --repository-url %s/legacy/ dist/*", baseURL(r.Host)))
			return
		}
		s.upload(w, r)
	case first == "search" && (alone || slashed):
		switch {
		case !rt.reading(w, r):
		case slashed:
			redirect(w, r, "/search")
		default:
			s.readable(s.search).ServeHTTP(w, r)
		}
	case first == "" && alone:
		if rt.reading(w, r) {
			rt.pages.ServeHTTP(w, r)
		}
	case first == "robots.txt" && alone:
		if rt.reading(w, r) {
			s.robots(w)
		}
	case first == "favicon.ico" && alone:
		if rt.reading(w, r) {
			w.Header().Set("Location", s.o.Asset("icon.svg"))
			send(w, http.StatusFound, plainText, nil)
		}
	default:
		rt.notFound(w, r)
	}
}

// reading is allowing for what is only read.
func (rt *router) reading(w http.ResponseWriter, r *http.Request) bool {
	return rt.allowing(w, r, http.MethodGet, http.MethodHead)
}

// allowing lets some methods pass and answers 405 to others. Whoever sends an upload to a wrong address is told the right
// one.
func (rt *router) allowing(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	if methods(w, r, allowed...) {
		return true
	}
	message := r.Method + " is not for this address."
	if r.Method == http.MethodPost {
		message += " Uploads go to " + baseURL(r.Host) + "/legacy/"
	}
	rt.site.refuse(w, r, nil, fail(http.StatusMethodNotAllowed, "%s", message))
	return false
}

func (rt *router) notFound(w http.ResponseWriter, r *http.Request) {
	rt.site.readable(func(http.ResponseWriter, *http.Request) error {
		return fail(http.StatusNotFound, "There is nothing at this address.")
	}).ServeHTTP(w, r)
}

// serveSimple answers /simple/ and /simple/NAME/.
func (rt *router) serveSimple(w http.ResponseWriter, r *http.Request, segments []string) {
	if !rt.reading(w, r) {
		return
	}
	switch {
	case len(segments) == 1:
		redirect(w, r, "/simple/")
		return
	case len(segments) > 3 || len(segments) == 3 && segments[2] != "":
		sendText(w, http.StatusNotFound, "There is nothing at this address. Projects are at /simple/NAME/.")
		return
	case segments[1] == "" && len(segments) == 2: // the list
	case !dist.ValidName(segments[1]):
		sendText(w, http.StatusNotFound, "No project can have this name.")
		return
	case len(segments) == 2 || dist.Normalize(segments[1]) != segments[1]:
		redirect(w, r, "/simple/"+dist.Normalize(segments[1])+"/")
		return
	}
	// What can't be had is refused here: behind the cache the answer would depend on whether there is a page.
	r, err := withFormat(r)
	if err == nil {
		if _, ok := negotiate(r.Header["Accept"]); ok {
			rt.simple.ServeHTTP(w, r)
			return
		}
	}
	w.Header().Set("Vary", "Accept")
	sendText(w, http.StatusNotAcceptable, "Choose one of these, in the header Accept or the parameter format: "+typeJSON+", "+typeHTML+", "+typeText)
}

// serveProject answers what is below /project/: pages of projects and releases, and changes to them.
func (rt *router) serveProject(w http.ResponseWriter, r *http.Request, segments []string) {
	slash := segments[len(segments)-1] == ""
	if slash {
		segments = segments[:len(segments)-1]
	}
	if len(segments) < 2 || len(segments) > 4 || !dist.ValidName(segments[1]) {
		rt.notFound(w, r)
		return
	}
	at := place{project: dist.Normalize(segments[1])}
	if len(segments) > 2 {
		version, err := dist.CanonicalVersion(segments[2])
		if err != nil {
			rt.notFound(w, r)
			return
		}
		at.version = version
	}
	if len(segments) == 4 {
		at.last = segments[3]
		rt.serveInRelease(w, r, at, slash)
		return
	}
	if r.Method == http.MethodDelete {
		rt.site.plain(rt.site.remove(at)).ServeHTTP(w, r)
		return
	}
	if !rt.allowing(w, r, http.MethodGet, http.MethodHead, http.MethodDelete) {
		return
	}
	if r.URL.Path != at.page() {
		redirect(w, r, at.page())
		return
	}
	rt.pages.ServeHTTP(w, r)
}

// serveInRelease answers /project/NAME/VERSION/ with yank, unyank, or the name of a file to delete.
func (rt *router) serveInRelease(w http.ResponseWriter, r *http.Request, at place, slash bool) {
	s := rt.site
	switch {
	case slash:
		rt.notFound(w, r)
	case at.last == "yank":
		if rt.allowing(w, r, http.MethodPost) {
			s.plain(s.yank(at)).ServeHTTP(w, r)
		}
	case at.last == "unyank":
		if rt.allowing(w, r, http.MethodPost) {
			s.plain(s.unyank(at)).ServeHTTP(w, r)
		}
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		rt.notFound(w, r) // files are read elsewhere
	case rt.allowing(w, r, http.MethodDelete):
		s.plain(s.remove(at)).ServeHTTP(w, r)
	}
}

// serveUser answers /user/NAME/.
func (rt *router) serveUser(w http.ResponseWriter, r *http.Request, segments []string) {
	if !rt.reading(w, r) {
		return
	}
	// Only those who can be users have pages, and pages that say there is none.
	if len(segments) < 2 || len(segments) > 3 || len(segments) == 3 && segments[2] != "" || !catalog.ValidUser(segments[1]) {
		rt.notFound(w, r)
		return
	}
	if user := strings.ToLower(segments[1]); len(segments) == 2 || user != segments[1] {
		redirect(w, r, "/user/"+user+"/")
		return
	}
	rt.pages.ServeHTTP(w, r)
}

func (s *Site) robots(w http.ResponseWriter) {
	body := "User-agent: *\nDisallow: /search\nDisallow: /simple/\nDisallow: /files/\n"
	if s.o.Private {
		body = "User-agent: *\nDisallow: /\n"
	}
	send(w, http.StatusOK, plainText, []byte(body))
}
