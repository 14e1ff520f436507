package index

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	nethtml "golang.org/x/net/html"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// FuzzNegotiate: the form chosen is the one that a second, slow reading of the header chooses; and it does not matter
// how the header is spread over lines.
func FuzzNegotiate(f *testing.F) {
	for _, s := range []string{acceptPip, "text/*;q=0.3;x=\"a,b\", */*;q=0", "", "text/html;q=0", "a/b", "*/*;q=0.0001", "application/*, text/html;q=0.5", typeLatestJSON + ";q=0.4," + typeJSON + ";q=0.6", "text/html;q=1.1", "text/html;Q=0.5;q=1", "TEXT/*;q=1.000"} {
		f.Add(s, "text/html")
	}
	quality := regexp.MustCompile(`^(0(\.[0-9]*)?|1(\.0*)?)$`)
	read := func(lines []string) (form, bool) {
		type opinion struct{ how, q int }
		var of [forms]opinion
		heard := false
		for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
			parts := strings.Split(element, ";")
			name, q, ok := strings.ToLower(strings.Trim(parts[0], " \t")), 1000, true
			for _, p := range parts[1:] {
				key, value, _ := strings.Cut(p, "=")
				if strings.ToLower(strings.Trim(key, " \t")) == "q" {
					value = strings.Trim(value, " \t")
					if ok = quality.MatchString(value); ok {
						decimals := strings.TrimPrefix(value[1:], ".") + "000"
						if q = 1000; value[0] == '0' {
							q, _ = strconv.Atoi(decimals[:3])
						}
						if q == 0 && strings.Trim(decimals, "0") != "" {
							q = 1
						}
					}
					break
				}
			}
			if !ok || !strings.Contains(name, "/") {
				continue
			}
			heard = true
			for fo, types := range [forms][]string{{"text/html", "text/*", "*/*"}, {typeHTML, "application/*", "*/*", typeLatestHTML}, {typeJSON, "application/*", "*/*", typeLatestJSON}} {
				how := [...]int{0, 3, 2, 1, 3}[1+slices.Index(types, name)]
				if how > of[fo].how || how == of[fo].how && how > 0 && q > of[fo].q {
					of[fo] = opinion{how, q}
				}
			}
		}
		if !heard {
			return formText, true
		}
		best := formText
		for fo := range forms {
			if of[fo].q > of[best].q {
				best = fo
			}
		}
		return best, of[best].q > 0
	}
	f.Fuzz(func(t *testing.T, accept, more string) {
		for _, lines := range [][]string{{accept}, {accept, more}, {more, accept}} {
			got, ok := negotiate(lines)
			want, wantOK := read(lines)
			if got != want || ok != wantOK {
				t.Fatalf("%q: form %d, %v; want %d, %v", lines, got, ok, want, wantOK)
			}
			if joined, joinedOK := negotiate([]string{strings.Join(lines, ",")}); joined != got || joinedOK != ok {
				t.Fatalf("%q: form %d, in one line %d", lines, got, joined)
			}
			if v := Variant(&http.Request{Header: http.Header{"Accept": lines}}); v != variants[got] {
				t.Fatalf("variant %q of form %d", v, got)
			}
		}
	})
}

// stranger is a catalog that knows one token, and notes whether anything else was asked of it.
type stranger struct{ asked bool }

var _ index = (*stranger)(nil)

func (s *stranger) Authenticate(_ context.Context, user, secret string) (catalog.Identity, error) {
	if user == "__token__" && secret == "good" {
		return catalog.Identity{User: "alice", Scope: catalog.ScopeRead}, nil
	}
	return catalog.Identity{}, catalog.ErrUnauthorized
}

func (s *stranger) none() error { s.asked = true; return catalog.ErrNotFound }

func (s *stranger) Projects(context.Context) (*catalog.Listing, error)        { return nil, s.none() }
func (s *stranger) Project(context.Context, string) (*catalog.Project, error) { return nil, s.none() }
func (s *stranger) Overview(context.Context, int) (*catalog.Overview, error)  { return nil, s.none() }
func (s *stranger) User(context.Context, string) (*catalog.User, error)       { return nil, s.none() }
func (s *stranger) Search(context.Context, string, int, int) (*catalog.Found, error) {
	return nil, s.none()
}
func (s *stranger) ProjectRelease(context.Context, string, string) (*catalog.Project, *catalog.Release, *dist.Metadata, error) {
	return nil, nil, nil, s.none()
}
func (s *stranger) Receive(context.Context) (*catalog.Incoming, error) { return nil, s.none() }
func (s *stranger) Add(context.Context, catalog.Identity, *catalog.Incoming, catalog.Upload) (catalog.Added, error) {
	return catalog.Added{}, s.none()
}
func (s *stranger) Yank(context.Context, catalog.Identity, string, string, string) error {
	return s.none()
}
func (s *stranger) Unyank(context.Context, catalog.Identity, string, string) error { return s.none() }
func (s *stranger) Delete(context.Context, catalog.Identity, string, string, string) error {
	return s.none()
}

// FuzzSite sends any request to a private index and to an open one. Without a token the private one's catalog is asked
// nothing but who this is, and no token for reading changes anything; redirects stay on the site and end.
func FuzzSite(f *testing.F) {
	const basic = "Authorization: Basic "
	for _, s := range []string{
		"GET /simple/ HTTP/1.1\r\nHost: h\r\n", "GET /simple/A_b HTTP/1.1\r\nHost: h\r\nAccept: x/y\r\n", "GET /simple//evil.example/ HTTP/1.1\r\nHost: h\r\n", "GET //evil.example/simple/x HTTP/1.1\r\nHost: h\r\n",
		"GET /project/A.b/1.0-RC1?//x HTTP/1.1\r\nHost: h\r\n" + basic + "X190b2tlbl9fOmdvb2Q=\r\n", "GET /user/ALICE HTTP/1.1\r\nHost: h\r\n" + basic + "X190b2tlbl9fOmdvb2Q=\r\n", "POST /legacy/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n",
		"DELETE /project/a/ HTTP/1.1\r\nHost: h\r\n" + basic + "X190b2tlbl9fOmdvb2Q=\r\n", "POST /project/a/1.0/yank HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n", "GET /assets/../simple/ HTTP/1.1\r\nHost: h\r\n", "GET /assets/%2e%2e/simple/ HTTP/1.1\r\nHost: h\r\n",
		"OPTIONS /simple/ HTTP/1.1\r\nHost: h\r\n", "PURGE / HTTP/1.1\r\nHost: h\r\n", "GET /simple/?format=application/vnd.pypi.simple.v1+json HTTP/1.1\r\nHost: h\r\n" + basic + "X190b2tlbl9fOmdvb2Q=\r\n", "GET http://h HTTP/1.1\r\nHost: h\r\n",
		"HEAD /search/?q=x HTTP/1.1\r\nHost: h\r\n", "GET /files/01/23/../x HTTP/1.1\r\nHost: h\r\n", "GET /project/a/1.0/../../x HTTP/1.1\r\nHost: h\r\n", "GET /simple/a/?format=%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: h\r\n", "* /x HTTP/1.0\r\n",
		"get /simple/ HTTP/1.1\r\nHost: h\r\n", "GET /simple/ HTTP/1.1\r\nHost: h\r\nauthorization: basic X190b2tlbl9fOmdvb2Q\r\n", "GET / HTTP/1.1\r\nHost: h\r\n" + basic + "Og==\r\n", "GET * HTTP/1.1\r\nHost: h\r\n",
	} {
		f.Add(s)
	}
	var known stranger
	site := func(private bool) http.Handler {
		s, err := New(Options{Catalog: new(catalog.Catalog), Files: f.TempDir(), Asset: func(name string) string { return "/assets/" + name }, Logger: slog.New(slog.DiscardHandler), Private: private})
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { _ = s.Close() })
		s.catalog = &known
		return s.Handler(Caches{})
	}
	private, open := site(true), site(false)
	f.Fuzz(func(t *testing.T, head string) {
		if strings.Contains(strings.ToLower(head), "expect") {
			return // who waits for our go-ahead has a test of its own
		}
		parse := func(head string) *http.Request {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head + "\r\n")))
			if err != nil {
				return nil
			}
			if r.URL.Path == "" && r.URL.Opaque != "" || r.Method == http.MethodConnect || r.RequestURI == "*" {
				return nil // answered by net/http, or by whoever names the hosts
			}
			return r
		}
		r := parse(head)
		if r == nil {
			return
		}
		_, secret, _ := r.BasicAuth()
		known.asked = false
		w := httptest.NewRecorder()
		private.ServeHTTP(w, r)
		if secret != "good" && known.asked {
			t.Fatalf("%q: answered with %d to a stranger", head, w.Code)
		}
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if secret != "good" && reads && w.Code < 400 && !strings.HasPrefix(r.URL.Path, assetsPrefix) {
			t.Fatalf("%q: %d for a stranger", head, w.Code)
		}
		if !reads && known.asked {
			t.Fatalf("%q: a token for reading came as far as the catalog", head)
		}
		if w.Code >= 500 {
			t.Fatalf("%q: %d", head, w.Code)
		}
		if r = parse(head); r == nil || !reads {
			return
		}
		for hops := 0; ; hops++ {
			w = httptest.NewRecorder()
			open.ServeHTTP(w, r)
			to := w.Header().Get("Location")
			if to == "" || w.Code < 300 || w.Code > 399 {
				break
			}
			if to[0] != '/' || strings.HasPrefix(to, "//") || strings.HasPrefix(to, `/\`) || strings.ContainsAny(to, "\r\n") || hops > 2 {
				t.Fatalf("%q: redirected to %q after %d others", head, to, hops)
			}
			if r = parse("GET " + to + " HTTP/1.1\r\nHost: h\r\n"); r == nil {
				break // a query as strange as the one that came
			}
		}
	})
}

// FuzzForm: what is received of an upload is what the form says, by net/http's own reading: the fields that count, each
// with one value, and the file, byte by byte, under a plain name.
func FuzzForm(f *testing.F) {
	part := func(disposition, value string) string {
		return "--B\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + value + "\r\n"
	}
	for _, s := range []string{
		part(`name=":action"`, "file_upload") + part(`name="content"; filename="a-1.tar.gz"`, "x\r\n--Bx") + part("name=name", "a") + "--B--\r\n", part(`name="name"`, "a") + part(`name="name"`, "b") + "--B--", part(`name="name"`, "a"),
		part(`name="content"; filename="../a"`, "x") + "--B--", part(`name="content"; filename="a"`, "x") + part(`name="content"; filename="b"`, "y") + "--B--", part(`name="content"; filename*=UTF-8''%2e%2e%2fa`, "x") + "--B--",
		"--B\r\nContent-Disposition: form-data; name=version\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41\r\n--B--", part(`name="version"`, "\xff") + "--B--", part(`name="content"; filename="a\b"`, "") + "--B--", "--B--", "", "--B\r\n\r\n\r\n--B--",
		part(`name="classifiers"`, "\xff\x00") + part(`name="name"`, "a") + part(`name="name"`, "a") + "--B--\r\nepilogue",
	} {
		f.Add("multipart/form-data; boundary=B", []byte(s))
	}
	f.Add(`multipart/form-data; boundary="a b"`, []byte("--a b--"))
	f.Add("text/plain; boundary=B", []byte("--B--"))
	dir := f.TempDir()
	s := &Site{o: Options{MaxFile: 1 << 16}, catalog: fuzzCatalog(f, dir)}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		form, err := s.receive(t.Context(), contentType, bytes.NewReader(body))
		if form.in != nil {
			defer form.in.Close()
		}
		if err != nil {
			if _, known := errors.AsType[*failure](err); !known {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		_, parameters, err := mime.ParseMediaType(contentType)
		if err != nil {
			t.Fatal(err)
		}
		fields, files := map[string]string{}, 0
		for parts := multipart.NewReader(bytes.NewReader(body), parameters["boundary"]); ; {
			part, err := parts.NextRawPart()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%q: taken, though %v", body, err)
			}
			value, err := io.ReadAll(part)
			if err != nil {
				t.Fatalf("%q: taken, though %v", body, err)
			}
			name := part.FormName()
			if name != "content" {
				if uploadFields[name] {
					if old, again := fields[name]; again && old != string(value) {
						t.Fatalf("%q: %s is both %q and %q", body, name, old, value)
					}
					fields[name] = string(value)
				}
				continue
			}
			files++
			paths, err := filepath.Glob(filepath.Join(dir, "incoming", "*.part"))
			if err != nil || len(paths) != 1 {
				t.Fatalf("incoming has %q, %v", paths, err)
			}
			if got, err := os.ReadFile(paths[0]); err != nil || !bytes.Equal(got, value) || form.in.Size() != int64(len(value)) {
				t.Fatalf("%q: received %q, %v; sent %q", body, got, err, value)
			}
		}
		if !maps.Equal(fields, form.fields) || files > 1 || (files == 1) != (form.in != nil) || strings.ContainsAny(form.filename, "/\\\x00") {
			t.Fatalf("%q: received %q, %d files; want %q", body, form.fields, files, fields)
		}
		if u, err := form.upload(); err == nil && (form.fields[":action"] != "file_upload" || u.Filename == "" || u.SHA256+u.MD5+u.Blake2b == "" || files != 1) {
			t.Fatalf("%q is an upload of %+v", body, u)
		}
	})
}

func fuzzCatalog(f *testing.F, dir string) *catalog.Catalog {
	f.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := cache.Open(f.Context(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live"), Logger: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	open := func(mode string) *sql.DB {
		db, err := sql.Open("sqlite", "file:"+dir+"/index.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock="+mode)
		if err != nil {
			f.Fatal(err)
		}
		return db
	}
	c, err := catalog.OpenSQLite(f.Context(), open("immediate"), open("deferred"), catalog.Options{Store: store, Dir: dir, MaxFile: 1 << 16, Logger: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() })
	return c
}

// FuzzWritten: text in pages comes out of a parser as it went in; and where a file is fetched is where it lies.
func FuzzWritten(f *testing.F) {
	for _, s := range []string{"a", "<a href=\"x\">'&", "\u2028\x7f\x01", "tea-1!2.0+l.1.tar.gz", "\xff", "</script>", "&lt;", "é", "\\u0000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(appendJSON(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && utf8Runs(back) != utf8Runs(s) {
			t.Fatalf("%q becomes %q in JSON, %v", s, back, err)
		}
		if !strings.ContainsAny(s, "\x00\r") { // a browser's parser changes these
			doc, err := nethtml.ParseFragment(bytes.NewReader(append(appendAttribute([]byte("<a"), "x", s), ">t</a>"...)), nil)
			if err != nil || len(doc) != 1 {
				t.Fatalf("%q: %d nodes, %v", s, len(doc), err)
			}
			var a *nethtml.Node
			for n := range doc[0].Descendants() {
				if n.Data == "a" {
					a = n
				}
			}
			if a == nil || len(a.Attr) != 1 || a.Attr[0].Key != "x" || a.Attr[0].Val != s || a.FirstChild.Data != "t" {
				t.Fatalf("%q becomes %+v in HTML", s, a)
			}
		}
		if decoded, err := url.PathUnescape(escapeSegment(s)); err != nil || decoded != s || strings.ContainsAny(escapeSegment(s), "/?#<\"") {
			t.Fatalf("%q is escaped as %q", s, escapeSegment(s))
		}
		if _, err := dist.ParseFilename(s); err == nil {
			file := catalog.File{Blake2b: strings.Repeat("0a", 32), Filename: s}
			u, err := url.Parse(fileURL(file))
			if err != nil {
				t.Fatal(err)
			}
			if path, ok := catalog.FilePath(strings.TrimPrefix(u.Path, "/files/")); !ok || path != file.Path() {
				t.Fatalf("%q is fetched at %q and lies at %q", s, u, file.Path())
			}
		}
	})
}

// utf8Runs makes one replacement character of each run of them: JSON writes one for each byte.
func utf8Runs(s string) string {
	return regexp.MustCompile("\ufffd+").ReplaceAllString(strings.ToValidUTF8(s, "\ufffd"), "\ufffd")
}
