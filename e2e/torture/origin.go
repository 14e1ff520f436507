package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// An Origin serves the numbered pages without any cache, for a cache server to stand in front of. Like a database's snapshot,
// what it shows is decided at the beginning of a request, and then it takes its time. It lives in this program, so that no
// fault harms it. It is the Source of a run, and a Committer that commits and invalidates nothing.
type Origin struct {
	Site   Site
	Render time.Duration // longest; the shortest takes no time
	Chunks int           // writes that a body takes, spread over the second half of the render; default 3
	// ForPeers adds what caches of other makes want: a lifetime and an ETag. Ours has neither need.
	ForPeers bool

	versions []atomic.Int64
	server   *http.Server
	address  string
}

// Start serves on a port of its own, until Close.
func (o *Origin) Start() error {
	defaultTo(&o.Chunks, 3)
	o.versions = make([]atomic.Int64, o.Site.Pages)
	for i := range o.versions {
		o.versions[i].Store(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	o.address = l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /s/{page}/page", o.show)
	o.server = &http.Server{Handler: mux, ReadHeaderTimeout: requestTimeout}
	go func() { _ = o.server.Serve(l) }() // until Close
	return nil
}

// Close ends it, and what it is answering.
func (o *Origin) Close() error { return o.server.Close() }

// Address is HOST:PORT.
func (o *Origin) Address() string { return o.address }

func (o *Origin) String() string { return "nothing" }

// Commit gives a page its next version.
func (o *Origin) Commit(_ context.Context, page int) (Commit, error) {
	return Commit{Version: o.versions[page].Add(1)}, nil
}

// Versions returns the newest.
func (o *Origin) Versions(context.Context) ([]int64, error) {
	if o.versions == nil {
		return nil, errors.New("the origin was not started")
	}
	versions := make([]int64, len(o.versions))
	for i := range o.versions {
		versions[i] = o.versions[i].Load()
	}
	return versions, nil
}

// tagHeaders are the names under which origins send tags. Each page has its tag under one of them.
var tagHeaders = []string{"Surrogate-Key", "Cache-Tag", "xkey", "Edge-Cache-Tag"}

func (o *Origin) show(w http.ResponseWriter, r *http.Request) {
	page, err := strconv.Atoi(r.PathValue("page"))
	if err != nil || page < 0 || page >= len(o.versions) {
		http.NotFound(w, r)
		return
	}
	version := o.versions[page].Load()
	total := rand.N(o.Render + 1)
	ctx := r.Context()
	pause(ctx, total/2)
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(o.Site.Size))
	h.Set(tagHeaders[page%len(tagHeaders)], o.Site.Tag(page))
	if o.Site.HasExtra(page) {
		h.Set(ExtraHeader, o.Site.ExtraValue(page, version))
	}
	if o.ForPeers {
		h.Set("Cache-Control", "public, max-age=3600")
		h.Set("ETag", fmt.Sprintf(`"%d-%d"`, page, version))
	}
	body := o.Site.Body(page, version)
	flusher := http.NewResponseController(w)
	for n := range o.Chunks {
		if _, err := w.Write(body[len(body)*n/o.Chunks : len(body)*(n+1)/o.Chunks]); err != nil {
			return // who asked is gone
		}
		if n+1 < o.Chunks {
			_ = flusher.Flush()
			pause(ctx, total/2/time.Duration(o.Chunks))
		}
	}
}
