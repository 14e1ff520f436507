package index_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render/index"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/sample"
	"github.com/cachesrv/cachesrv/static/assets"
)

// A site is a whole package index: the catalog on SQLite, the store, the middleware as the program mounts it, and a
// server on loopback.
type site struct {
	*httptest.Server
	t       testing.TB
	catalog *catalog.Catalog
	store   *cache.Store
	dir     string
	log     *logBuffer
	token   string // of alice, for uploads
	client  *http.Client
}

// newSite starts an index that has a user alice.
func newSite(t testing.TB, change ...func(*index.Options)) *site {
	t.Helper()
	ctx := t.Context()
	s := &site{t: t, dir: t.TempDir(), log: new(logBuffer)}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	var err error
	s.store, err = cache.Open(ctx, cache.Options{Dir: s.dir, Live: filepath.Join(s.dir, "live"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	open := func(mode string) *sql.DB {
		dsn := url.URL{Scheme: "file", Path: filepath.Join(s.dir, "index.db"),
			RawQuery: "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=" + mode}
		db, err := sql.Open("sqlite", dsn.String())
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	const maxFile = 1 << 20
	s.catalog, err = catalog.OpenSQLite(ctx, open("immediate"), open("deferred"), catalog.Options{Store: s.store, Dir: s.dir, MaxFile: maxFile, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.catalog.Close() })
	s.token = s.user("alice")

	o := index.Options{
		Catalog: s.catalog, Files: filepath.Join(s.dir, "files"), Asset: assets.URL, Assets: assets.Handler(), MaxFile: maxFile, Logger: log,
	}
	for _, f := range change {
		f(&o)
	}
	site, err := index.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = site.Close() })

	s.Server = httptest.NewUnstartedServer(nil)
	host := s.Listener.Addr().String()
	pages := middleware.Options{Store: s.store, Hosts: []string{host}, Logger: log}
	if o.Private {
		pages.Authorize = index.Authorize
	}
	simple := pages
	simple.Variant, simple.Vary = index.Variant, index.Vary()
	cached := func(o middleware.Options) func(http.Handler) http.Handler {
		c, err := middleware.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return c.Handler
	}
	s.Config.Handler = site.Handler(index.Caches{Simple: cached(simple), Pages: cached(pages)})
	s.Config.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	s.Start()
	t.Cleanup(s.Close)
	s.client = s.Client()
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client.Transport.(*http.Transport).DisableCompression = true
	return s
}

// user adds a user with a token for uploads.
func (s *site) user(name string) (token string) {
	s.t.Helper()
	if err := s.catalog.AddUser(s.t.Context(), name); err != nil {
		s.t.Fatal(err)
	}
	_, token, err := s.catalog.AddToken(s.t.Context(), catalog.Token{User: name, Scope: catalog.ScopeUpload})
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// add puts a sample distribution in place, past HTTP.
func (s *site) add(d sample.Dist, sdist ...bool) catalog.Added {
	s.t.Helper()
	name, content := d.Wheel()
	if len(sdist) > 0 {
		name, content = d.Sdist()
	}
	return s.addFile(name, content)
}

func (s *site) addFile(name string, content []byte) catalog.Added {
	s.t.Helper()
	ctx := context.Background()
	in, err := s.catalog.Receive(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Write(content); err != nil {
		s.t.Fatal(err)
	}
	added, err := s.catalog.Add(ctx, catalog.Operator("alice"), in, catalog.Upload{Filename: name})
	if err != nil {
		s.t.Fatal(err)
	}
	return added
}

type answer struct {
	*http.Response
	body string
}

func (a answer) cacheStatus() string { return a.Header.Get("Cache-Status") }

func (a answer) want(t testing.TB, status int, cacheStatus string) answer {
	t.Helper()
	if a.StatusCode != status || cacheStatus != "" && !strings.HasPrefix(a.cacheStatus(), "cachesrv; "+cacheStatus) {
		t.Errorf("%s %s: answered %s, %q; want %d, %q; body %.200q",
			a.Request.Method, a.Request.URL, a.Status, a.cacheStatus(), status, cacheStatus, a.body)
	}
	return a
}

// do sends a request. Headers are pairs of name and value. A path is sent as it is written.
func (s *site) do(method, path string, body io.Reader, header ...string) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.URL, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.URL.Opaque = path
	if strings.HasPrefix(path, "//") {
		r.URL.Opaque = s.URL + path // or it would be taken for a host
	}
	if p, query, ok := strings.Cut(path, "?"); ok {
		r.URL.Opaque, r.URL.RawQuery = p, query
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if user, secret, ok := strings.Cut(r.Header.Get("Basic"), ":"); ok {
		r.Header.Del("Basic")
		r.SetBasicAuth(user, secret)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
	}
	return answer{resp, string(content)}
}

func (s *site) get(path string, header ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, path, nil, header...)
}

// A part of a form.
type part struct {
	name, value string
	filename    string
	omitName    bool // of the file
}

// fields are those of a good upload of a wheel, in the order twine has them.
func fields(d sample.Dist, content []byte) map[string]string {
	m, sum := md5.Sum(content), sha256.Sum256(content)
	return map[string]string{
		":action": "file_upload", "protocol_version": "1", "metadata_version": "2.1", "name": d.Name, "version": d.Version,
		"filetype": "bdist_wheel", "pyversion": "py3", "md5_digest": hex.EncodeToString(m[:]), "sha256_digest": hex.EncodeToString(sum[:]),
		"summary": d.Summary,
	}
}

// formOf writes a form: fields by name, then the file.
func formOf(fields map[string]string, filename string, content []byte) (contentType string, body []byte) {
	var parts []part
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		parts = append(parts, part{name: name, value: fields[name]})
	}
	return formOfParts(append(parts, part{name: "content", value: string(content), filename: filename}))
}

func formOfParts(parts []part) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		disposition := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.name == "content" && !p.omitName {
			disposition += `; filename="` + strings.ReplaceAll(strings.ReplaceAll(p.filename, `\`, `\\`), `"`, `\"`) + `"`
		}
		out, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {disposition}})
		if err == nil {
			_, err = io.WriteString(out, p.value)
		}
		if err != nil {
			panic(err) // a Buffer doesn't fail
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

// post sends a form to /legacy/ as alice.
func (s *site) post(contentType string, body []byte, header ...string) answer {
	s.t.Helper()
	header = append([]string{"Content-Type", contentType, "Basic", "__token__:" + s.token}, header...)
	return s.do(http.MethodPost, "/legacy/", bytes.NewReader(body), header...)
}

// upload uploads a sample wheel over HTTP.
func (s *site) upload(d sample.Dist) answer {
	s.t.Helper()
	filename, content := d.Wheel()
	return s.post(formOf(fields(d, content), filename, content))
}

// logBuffer collects what is logged.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tea is a sample distribution with about everything.
var tea = sample.Dist{
	Name: "Tea.House", Version: "1.2", Summary: "Steeps leaves & counts minutes",
	Description:    "# Tea house\n\nSome *leaves*, and [a link](https://example.com/).\n\n| Leaf | Minutes |\n| --- | ---: |\n| green | 2 |\n\n- [x] boil\n- [ ] wait\n",
	RequiresPython: ">=3.8,<4", RequiresDist: []string{"kettle>=1", `cup>=2; extra == "porcelain"`},
	Extra: []string{
		"Author-Email: Ada <ada@example.com>", "License: MIT", "Provides-Extra: porcelain", "Keywords: tea,leaves",
		"Project-URL: Docs, https://example.com/docs?a=1&b=2", "Project-URL: Trap, javascript:alert(1)",
		"Classifier: Programming Language :: Python :: 3", "Classifier: Topic :: Software Development",
	},
}
