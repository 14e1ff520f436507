// Package index is a package index that pip, uv and twine use: the simple repository API, uploads, files, and pages for
// people. It stands between HTTP and a catalog, and knows nothing of how pages are kept: each page declares what it
// depends on, and whoever mounts the site puts a cache in front of it.
//
// Everything about a request that pages must not depend on is decided outside of the cache: security headers, who may
// read a private index, addresses written in another way than ours (redirects), forms that can't be had (406), and
// whatever is no page (files, search, uploads). What is left are pages, the same for everybody.
package index

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// Options configure a site. Catalog, Files and Asset are required; the zero value of every other field means its
// default.
type Options struct {
	Catalog *catalog.Catalog
	// Files is the folder of the files: Dir/files of the catalog.
	Files string
	// Title heads the pages for people. Default "Package index".
	Title string
	// Private asks for a token on every read, too. Default false.
	Private bool
	// Upstream is the index that unknown projects of /simple/ are looked for on, as https://pypi.org: installers are
	// redirected there. Default: none.
	Upstream *url.URL
	// OmitSerial leaves out the X-PyPI-Last-Serial header of the simple API's pages, which mirrors need, and another
	// server can't send. Default false.
	OmitSerial bool
	// Asset returns the URL of an asset: assets.URL.
	Asset func(name string) string
	// Assets answers /assets/. Default: nothing is there.
	Assets http.Handler
	// MaxFile is the largest file that may be uploaded, in bytes; the catalog's. Default 100 MiB.
	MaxFile int64
	// Logger receives what operators should know. Default slog.Default().
	Logger *slog.Logger
}

const defaultMaxFile = 100 << 20

// A Site is a package index. It is safe for concurrent use.
type Site struct {
	o       Options
	catalog index
	files   *os.Root
	pages   map[string]*template.Template
	readmes *readmes
	log     *slog.Logger
}

// index is what the site asks of a catalog. Tests have one that fails.
type index interface {
	Projects(ctx context.Context) (*catalog.Listing, error)
	Project(ctx context.Context, normal string) (*catalog.Project, error)
	ProjectRelease(ctx context.Context, normal, version string) (*catalog.Project, *catalog.Release, *dist.Metadata, error)
	Overview(ctx context.Context, limit int) (*catalog.Overview, error)
	Search(ctx context.Context, query string, limit, offset int) (*catalog.Found, error)
	User(ctx context.Context, name string) (*catalog.User, error)

	Authenticate(ctx context.Context, user, secret string) (catalog.Identity, error)
	Receive(ctx context.Context) (*catalog.Incoming, error)
	Add(ctx context.Context, who catalog.Identity, in *catalog.Incoming, u catalog.Upload) (catalog.Added, error)
	Yank(ctx context.Context, who catalog.Identity, project, version, reason string) error
	Unyank(ctx context.Context, who catalog.Identity, project, version string) error
	Delete(ctx context.Context, who catalog.Identity, project, version, filename string) error
}

var _ index = (*catalog.Catalog)(nil)

// New returns the site, or what is wrong with its options. It holds the folder of files open until Close.
func New(o Options) (*Site, error) {
	switch {
	case o.Catalog == nil:
		return nil, errors.New("index: Options.Catalog is nil: open one with catalog.OpenSQLite or catalog.OpenPostgres")
	case o.Files == "":
		return nil, errors.New("index: Options.Files is empty: name the catalog's folder of files")
	case o.Asset == nil:
		return nil, errors.New("index: Options.Asset is nil: use assets.URL")
	case o.MaxFile < 0:
		return nil, fmt.Errorf("index: Options.MaxFile is %d: it is a number of bytes", o.MaxFile)
	case o.Upstream != nil && (o.Upstream.Scheme != "http" && o.Upstream.Scheme != "https" || o.Upstream.Host == ""):
		return nil, fmt.Errorf("index: Options.Upstream is %q: it must be a URL like https://pypi.org", o.Upstream.Redacted())
	}
	if o.Title == "" {
		o.Title = "Package index"
	}
	if o.MaxFile == 0 {
		o.MaxFile = defaultMaxFile
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Assets == nil {
		o.Assets = http.NotFoundHandler()
	}
	if o.Upstream != nil {
		u := *o.Upstream
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""
		u.User, u.RawQuery, u.Fragment = nil, "", ""
		o.Upstream = &u
	}
	pages, err := parsePages(o)
	if err != nil {
		return nil, err
	}
	files, err := os.OpenRoot(o.Files)
	if err != nil {
		return nil, fmt.Errorf("index: the folder of files: %w", err)
	}
	return &Site{o: o, catalog: o.Catalog, files: files, pages: pages, readmes: newReadmes(), log: o.Logger}, nil
}

// Close lets go of the folder of files.
func (s *Site) Close() error { return s.files.Close() }
