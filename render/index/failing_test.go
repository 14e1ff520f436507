package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// failing is a catalog whose every call fails.
type failing struct {
	index
	err error
}

func (f failing) Projects(context.Context) (*catalog.Listing, error)               { return nil, f.err }
func (f failing) Project(context.Context, string) (*catalog.Project, error)        { return nil, f.err }
func (f failing) Overview(context.Context, int) (*catalog.Overview, error)         { return nil, f.err }
func (f failing) User(context.Context, string) (*catalog.User, error)              { return nil, f.err }
func (f failing) Search(context.Context, string, int, int) (*catalog.Found, error) { return nil, f.err }
func (f failing) ProjectRelease(context.Context, string, string) (*catalog.Project, *catalog.Release, *dist.Metadata, error) {
	return nil, nil, nil, f.err
}
func (f failing) Authenticate(context.Context, string, string) (catalog.Identity, error) {
	return catalog.Identity{}, f.err
}

func failingSite(t *testing.T, err error, log *strings.Builder, private bool) http.Handler {
	t.Helper()
	s, e := New(Options{
		Catalog: new(catalog.Catalog), Files: t.TempDir(), Asset: func(name string) string { return "/assets/" + name },
		Logger: slog.New(slog.NewTextHandler(log, nil)), Private: private,
	})
	if e != nil {
		t.Fatal(e)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.catalog = failing{err: err}
	return s.Handler(Caches{})
}

// What goes wrong here is logged, and the client learns no more of it than that.
func TestFailingCatalog(t *testing.T) {
	paths := []string{"/", "/simple/", "/simple/x/", "/project/x/", "/project/x/1.0/", "/user/x/", "/search?q=x"}
	for _, private := range []bool{false, true} {
		for _, path := range paths {
			var log strings.Builder
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", path, nil)
			r.SetBasicAuth("__token__", "x")
			failingSite(t, errors.New("disk secret"), &log, private).ServeHTTP(w, r)
			if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "secret") || !strings.Contains(log.String(), "disk secret") ||
				w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Security-Policy") == "" {
				t.Errorf("%s: %d %v\n%s\nlog %s", path, w.Code, w.Header(), w.Body, log.String())
			}
		}
	}
	// That the client has gone is no trouble of ours.
	var log strings.Builder
	failingSite(t, context.Canceled, &log, false).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/simple/", nil))
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

// Too many searches at once are no trouble of ours, either.
func TestBusySearch(t *testing.T) {
	var log strings.Builder
	w := httptest.NewRecorder()
	failingSite(t, fmt.Errorf("search: %w", catalog.ErrBusy), &log, false).ServeHTTP(w, httptest.NewRequest("GET", "/search?q=x", nil))
	if h := w.Header(); w.Code != http.StatusServiceUnavailable || h.Get("Retry-After") != "1" || h.Get("Cache-Control") != "no-store" ||
		!strings.Contains(w.Body.String(), "Too many searches") || log.Len() > 0 {
		t.Errorf("%d %v\n%s\nlog %s", w.Code, w.Header(), w.Body, log.String())
	}
}

func TestExplain(t *testing.T) {
	for err, want := range map[error]int{
		catalog.ErrNotFound: 404, catalog.ErrInvalid: 400, catalog.ErrExists: 400, catalog.ErrTooLarge: 413, catalog.ErrUnauthorized: 403,
		catalog.ErrForbidden: 403, dist.ErrInvalid: 400, catalog.ErrOutcomeUnknown: 503, errors.New("x"): 503, fail(418, "x"): 418,
	} {
		f, ours := explain(fmt.Errorf("add: %w", err))
		if f.status != want || ours != (want == 503) {
			t.Errorf("%v: %d, ours %v", err, f.status, ours)
		}
	}
	if f, _ := explain(fmt.Errorf("%w: %w", catalog.ErrOutcomeUnknown, errors.New("secret"))); !strings.Contains(f.message, "may have been made") || strings.Contains(f.message, "secret") {
		t.Errorf("%q", f.message)
	}
}

func TestOptions(t *testing.T) {
	good := Options{Catalog: new(catalog.Catalog), Files: t.TempDir(), Asset: func(string) string { return "" }}
	for name, change := range map[string]func(*Options){
		"Catalog": func(o *Options) { o.Catalog = nil }, "Files": func(o *Options) { o.Files = "" }, "Asset": func(o *Options) { o.Asset = nil },
		"MaxFile": func(o *Options) { o.MaxFile = -1 }, "folder": func(o *Options) { o.Files += "/none" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestBaseURL(t *testing.T) {
	for host, want := range map[string]string{
		"pypi.example.org": "https://pypi.example.org", "127.0.0.1:8080": "http://127.0.0.1:8080", "pypi.example.org:8080": "http://pypi.example.org:8080",
		"localhost": "http://localhost", "127.0.0.1": "http://127.0.0.1", "[::1]": "http://[::1]", "[::1]:80": "http://[::1]:80", "10.0.0.1": "https://10.0.0.1",
	} {
		if got := baseURL(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 1023: "1,023 bytes", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 20: "1 MiB", 100 << 20: "100 MiB", 5 << 30: "5 GiB", 1<<63 - 1: "8 EiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestNeeds(t *testing.T) {
	got := fmt.Sprint(needs([]string{
		"a>=1", `b ; extra == "x"`, `c ; python_version < "3.9" and extra == 'x'`, `d; python_version < "3.9"`, `e ; extra == "x" and os_name == "nt"`, `f;extra=="`,
	}))
	want := `[{ [a>=1 d ; python_version < "3.9" f ; extra=="]} {x [b c ; python_version < "3.9" e ; os_name == "nt"]}]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// What can't be taken apart stays whole.
	for requirement, want := range map[string]string{
		`a; python_version<"3" or extra == "x"`:                     `[{ [a ; python_version<"3" or extra == "x"]}]`,
		`a; (python_version<"3" or os_name=='nt') and extra == "x"`: `[{x [a ; (python_version<"3" or os_name=='nt')]}]`,
		`a; python_version<"3" or os_name=='nt' and extra == "x"`:   `[{ [a ; python_version<"3" or os_name=='nt' and extra == "x"]}]`,
		`a; (python_version<"3" and extra == "x")`:                  `[{ [a ; (python_version<"3" and extra == "x")]}]`,
		`a; (extra == "x")`: `[{x [a]}]`,
		`a; os_name == " or " and"x" != platform_machine and extra=='x'`: `[{x [a ; os_name == " or " and "x" != platform_machine]}]`,
		`a; extra == "x" and extra == "y"`:                               `[{ [a ; extra == "x" and extra == "y"]}]`,
		`a; extra != "x"`:                                                `[{ [a ; extra != "x"]}]`,
		`a; os_name == "extra" and platform == "and"`:                    `[{ [a ; os_name == "extra" and platform == "and"]}]`,
		`u @ https://h/a;b ; extra == "k"`:                               `[{k [u @ https://h/a;b]}]`,
		`u@https://h/a;b`:                                                `[{ [u@https://h/a;b]}]`,
		`a; python_version<"3" and extra == "x" or`:                      `[{ [a ; python_version<"3" and extra == "x" or]}]`,
		`a; extra == "" and os_name == "`:                                `[{ [a ; extra == "" and os_name == "]}]`,
	} {
		if got := fmt.Sprint(needs([]string{requirement})); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", requirement, got, want)
		}
	}
}

// However a marker is written, it is shown whole or loses exactly an extra.
func FuzzCutExtra(f *testing.F) {
	for _, marker := range []string{`extra == "x"`, `(a<"3" or b) and extra=='x'`, `a and"b"`, `)and(`, "\x00 and \x00"} {
		f.Add(marker)
	}
	f.Fuzz(func(t *testing.T, marker string) {
		extra, rest := cutExtra(marker)
		if extra == "" && rest != marker || extra != "" && (len(rest) >= len(marker) || !strings.Contains(marker, extra)) {
			t.Errorf("%q became %q and %q", marker, extra, rest)
		}
	})
}

func TestLinksAndPeople(t *testing.T) {
	meta := &dist.Metadata{
		ProjectURLs: []dist.Link{{Label: "Docs", URL: "https://a.example/"}, {Label: "X", URL: "javascript:alert(1)"}, {Label: " ", URL: "http://b.example"}, {Label: "Y", URL: "//evil.example"}, {Label: "Z", URL: "https://u:p@c.example"}},
		HomePage:    "https://a.example/", DownloadURL: "ftp://d.example/",
		License: "UNKNOWN", Classifiers: []string{"License :: OSI Approved :: MIT License"},
	}
	if got := fmt.Sprint(links(meta)); got != "[{Docs https://a.example/} {http://b.example http://b.example}]" {
		t.Error(got)
	}
	if got := license(meta); got != "MIT License" {
		t.Error(got)
	}
	for in, want := range map[[2]string]string{
		{"Ada", "ada@example.com"}:                   "[{Ada ada@example.com}]",
		{"", "Ada <ada@example.com>, b@example.com"}: "[{Ada ada@example.com} { b@example.com}]",
		{"Ada", "Ada <ada@example.com>"}:             "[{Ada ada@example.com}]",
		{"Ada, Bob", "not an address"}:               "[{Ada, Bob } {not an address }]",
		{"", "Foo, Bar <a@b.example>"}:               "[{Foo, Bar <a@b.example> }]",
		{"Ada", "UNKNOWN"}:                           "[{Ada }]",
		{"UNKNOWN", ""}:                              "[]",
	} {
		if got := fmt.Sprint(people(in[0], in[1])); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// A yanked release is installed only by its version, also when there is none to use instead.
func TestRequirementOfYanked(t *testing.T) {
	p := &catalog.Project{Name: "Tea", Normal: "tea", Releases: []catalog.Release{{Version: "1.0", Yanked: true}}}
	page := (&Site{readmes: newReadmes()}).projectPage(p, &p.Releases[0], nil)
	if !page.Current || page.Requirement != "Tea==1.0" {
		t.Errorf("current %v: install %s", page.Current, page.Requirement)
	}
}

// A licence is a few words: old metadata have all of its text in the field.
func TestLicense(t *testing.T) {
	classifiers := []string{"Topic :: X", "License :: OSI Approved :: MIT License"}
	for text, want := range map[string]string{
		"BSD": "BSD", " BSD\n": "BSD", "": "MIT License", "UNKNOWN": "MIT License", "BSD\nCopyright Ada": "MIT License",
		strings.Repeat("x", 100): strings.Repeat("x", 100), strings.Repeat("x", 101): "MIT License",
	} {
		if got := license(&dist.Metadata{License: text, Classifiers: classifiers}); got != want {
			t.Errorf("%.20q: %.20q, want %.20q", text, got, want)
		}
	}
}

// leaving is a catalog whose client leaves in the middle of each change.
type leaving struct {
	index
	leave  context.CancelFunc
	broken error // what the change sees of that
}

func (l *leaving) Authenticate(context.Context, string, string) (catalog.Identity, error) {
	return catalog.Identity{User: "ada", Scope: catalog.ScopeUpload}, nil
}

func (l *leaving) change(ctx context.Context) error {
	l.leave()
	l.broken = ctx.Err()
	return nil
}

func (l *leaving) Yank(ctx context.Context, _ catalog.Identity, _, _, _ string) error {
	return l.change(ctx)
}
func (l *leaving) Unyank(ctx context.Context, _ catalog.Identity, _, _ string) error {
	return l.change(ctx)
}
func (l *leaving) Delete(ctx context.Context, _ catalog.Identity, _, _, _ string) error {
	return l.change(ctx)
}

// A client that leaves doesn't break off a change: nobody would know what became of it.
func TestChangesOutliveTheClient(t *testing.T) {
	for _, change := range [][2]string{{"POST", "/project/x/1/yank"}, {"POST", "/project/x/1/unyank"}, {"DELETE", "/project/x/1/"}} {
		s, err := New(Options{Catalog: new(catalog.Catalog), Files: t.TempDir(), Asset: func(name string) string { return name }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		l := &leaving{leave: cancel, broken: errors.New("not asked")}
		s.catalog = l
		r := httptest.NewRequestWithContext(ctx, change[0], change[1], nil)
		r.SetBasicAuth("ada", "x")
		w := httptest.NewRecorder()
		s.Handler(Caches{}).ServeHTTP(w, r)
		if w.Code != http.StatusOK || l.broken != nil || ctx.Err() == nil {
			t.Errorf("%v: %d, the change sees %v", change, w.Code, l.broken)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
