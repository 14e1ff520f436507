package index_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/cachesrv/cachesrv/render/index"
	"github.com/cachesrv/cachesrv/render/index/catalog"
)

func TestUpload(t *testing.T) {
	s := newSite(t)
	filename, _ := tea.Wheel()
	a := s.upload(tea).want(t, 200, "")
	if want := filename + " is in place: " + s.URL + "/project/tea-house/1.2/\n"; a.body != want || a.Header.Get("X-Pypi-Last-Serial") == "" {
		t.Errorf("%q, want %q; %v", a.body, want, a.Header)
	}
	if a = s.upload(tea).want(t, 200, ""); !strings.Contains(a.body, "was there already") {
		t.Errorf("again: %q", a.body)
	}
	// The order of parts doesn't matter, nor does what else is there.
	d := tea
	d.Version = "1.3"
	filename, content := d.Wheel()
	sum := blake2b.Sum256(content)
	parts := []part{{name: "content", filename: filename, value: string(content)}}
	for name, value := range fields(d, content) {
		parts = append(parts, part{name: name, value: value})
	}
	parts = append(parts, part{name: "blake2_256_digest", value: strings.ToUpper(fmt.Sprintf("%x", sum))},
		part{name: "classifiers", value: "A"}, part{name: "classifiers", value: "B"}, part{name: "gpg_signature", value: "x"}, part{name: "attestations", value: "[]"})
	s.post(formOfParts(parts)).want(t, 200, "")
	// As a user, and with the address that some mistype.
	d.Version = "1.4"
	filename, content = d.Wheel()
	contentType, body := formOf(fields(d, content), filename, content)
	s.do(http.MethodPost, "/legacy", bytes.NewReader(body), "Content-Type", contentType, "Basic", "alice:"+s.token).want(t, 200, "")
	if p, err := s.catalog.Project(t.Context(), "tea-house"); err != nil || len(p.Releases) != 3 {
		t.Errorf("%+v, %v", p, err)
	}
}

// Each refusal says what is wrong, in the status line and in the body, and leaves nothing behind.
func TestUploadRefused(t *testing.T) {
	s := newSite(t)
	mallory := s.user("mallory")
	_, reader, err := s.catalog.AddToken(t.Context(), catalog.Token{User: "alice", Scope: catalog.ScopeRead})
	if err != nil {
		t.Fatal(err)
	}
	owned := tea
	owned.Version = "0.1"
	s.add(owned)
	filename, content := tea.Wheel()
	other := tea
	other.Summary = "Other"
	sameName, otherContent := other.Wheel()
	before, err := s.catalog.Overview(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}

	with := func(changes ...string) map[string]string {
		f := fields(tea, content)
		for i := 0; i < len(changes); i += 2 {
			f[changes[i]] = changes[i+1]
		}
		return f
	}
	form := func(f map[string]string, name string, content []byte) func() (string, []byte) {
		return func() (string, []byte) { return formOf(f, name, content) }
	}
	many := func(n int, value string) func() (string, []byte) {
		return func() (string, []byte) {
			parts := make([]part, n)
			for i := range parts {
				parts[i] = part{name: "classifiers", value: value}
			}
			return formOfParts(parts)
		}
	}
	for _, tt := range []struct {
		name   string
		form   func() (string, []byte)
		header []string
		status int
		says   string
	}{
		{"action", form(with(":action", "submit"), filename, content), nil, 400, `:action "submit" is not known`},
		{"no action", form(with(":action", ""), filename, content), nil, 400, "field :action is missing"},
		{"protocol", form(with("protocol_version", "2"), filename, content), nil, 400, `protocol_version "2"`},
		{"no metadata version", form(with("metadata_version", ""), filename, content), nil, 400, "metadata_version is missing"},
		{"no name", form(with("name", ""), filename, content), nil, 400, "name is missing"},
		{"no filetype", form(with("filetype", ""), filename, content), nil, 400, "filetype is missing"},
		{"filetype", form(with("filetype", "bdist_egg"), filename, content), nil, 400, `filetype "bdist_egg"`},
		{"wrong filetype", form(with("filetype", "sdist", "pyversion", "source"), filename, content), nil, 400, "sdist"},
		{"pyversion of an sdist", form(with("filetype", "sdist"), filename, content), nil, 400, "pyversion"},
		{"no pyversion", form(with("pyversion", ""), filename, content), nil, 400, "pyversion is missing"},
		{"no digest", form(with("md5_digest", "", "sha256_digest", ""), filename, content), nil, 400, "at least one digest"},
		{"wrong sha256", form(with("sha256_digest", strings.Repeat("0", 64)), filename, content), nil, 400, "SHA-256"},
		{"wrong md5", form(with("md5_digest", strings.Repeat("0", 32)), filename, content), nil, 400, "MD5"},
		{"malformed digest", form(with("sha256_digest", "x"), filename, content), nil, 400, "SHA-256"},
		{"wrong name", form(with("name", "coffee"), filename, content), nil, 400, "coffee"},
		{"wrong version", form(with("version", "9"), filename, content), nil, 400, "9"},
		{"not a wheel", form(with("sha256_digest", "", "md5_digest", "d41d8cd98f00b204e9800998ecf8427e"), filename, nil), nil, 400, filename},
		{"file name in a folder", form(with(), "../../"+filename, content), nil, 400, "leads to a folder"},
		{"file name of Windows", form(with(), `C:\`+filename, content), nil, 400, "leads to a folder"},
		{"file name is none", form(with(), "tea.exe", content), nil, 400, "tea.exe"},
		{"no file name", func() (string, []byte) {
			return formOfParts([]part{{name: "content", value: string(content), omitName: true}})
		}, nil, 400, "no file name"},
		{"no file", func() (string, []byte) {
			var parts []part
			for name, value := range with() {
				parts = append(parts, part{name: name, value: value})
			}
			return formOfParts(parts)
		}, nil, 400, "no file"},
		{"two files", func() (string, []byte) {
			return formOfParts([]part{{name: "content", filename: filename, value: string(content)}, {name: "content", filename: filename, value: string(content)}})
		}, nil, 400, "two parts named content"},
		{"two names", func() (string, []byte) {
			return formOfParts([]part{{name: "name", value: "a"}, {name: "name", value: "b"}})
		}, nil, 400, "name is there twice"},
		{"bad UTF-8", form(with("name", "\xff"), filename, content), nil, 400, "not UTF-8"},
		{"line ends in a field", form(with(":action", "x\r\nSet-Cookie: evil=1\r\n\r\n"), filename, content), nil, 400, ":action"},
		{"not a form", func() (string, []byte) { return "application/json", []byte("{}") }, nil, 400, "multipart/form-data"},
		{"no boundary", func() (string, []byte) { return "multipart/form-data", []byte("x") }, nil, 400, "multipart/form-data"},
		{"cut off", func() (string, []byte) {
			contentType, body := formOf(with(), filename, content)
			return contentType, body[:len(body)/2]
		}, nil, 400, "can't be read to its end"},
		{"too many fields", many(10_001, "x"), nil, 413, "more than 10000 fields"},
		{"long field", many(1, strings.Repeat("x", 1<<20+1)), nil, 413, "longer than 1 MiB"},
		{"long fields", many(9, strings.Repeat("x", 1<<20)), nil, 413, "longer than 8 MiB together"},
		{"too large", form(with(), filename, bytes.Repeat(content, 1<<20/len(content)+1)), nil, 413, "up to 1 MiB"},
		{"far too large", form(with(), filename, make([]byte, 34<<20)), nil, 413, "up to 1 MiB"},
		{"no token", form(with(), filename, content), []string{"Basic", ""}, 401, "Uploads need a token"},
		{"wrong token", form(with(), filename, content), []string{"Basic", "__token__:cachesrv-wrong"}, 403, "Invalid or non-existent authentication"},
		{"token for reading", form(with(), filename, content), []string{"Basic", "alice:" + reader}, 403, "for reading only"},
		{"project of another", form(with(), filename, content), []string{"Basic", "mallory:" + mallory}, 403, "mallory"},
		{"token of another", form(with(), filename, content), []string{"Basic", "mallory:" + s.token}, 403, "or isn't that user's"},
		{"from a page of another site", form(with(), filename, content), []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			contentType, body := tt.form()
			a := s.post(contentType, body, tt.header...).want(t, tt.status, "")
			if tt.says == "" {
				if a.Header.Get("Cache-Control") != "no-store" || !strings.Contains(a.body, "another site") {
					t.Errorf("%v\n%s", a.Header, a.body)
				}
				return
			}
			phrase := strings.TrimPrefix(a.Status, fmt.Sprintf("%d ", tt.status))
			if !strings.Contains(a.body, tt.says) || !strings.Contains(phrase, tt.says) || len(phrase) > 300 {
				t.Errorf("status line %q, body %q; want %q", a.Status, a.body, tt.says)
			}
			if a.Header.Get("Set-Cookie") != "" || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("headers: %v", a.Header)
			}
			if (a.Header.Get("Www-Authenticate") != "") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate: %q", a.Header.Get("Www-Authenticate"))
			}
		})
	}
	after, err := s.catalog.Overview(t.Context(), 1)
	if err != nil || after.Serial != before.Serial || after.Files != before.Files {
		t.Errorf("%+v became %+v, %v", before, after, err)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "incoming")); err != nil || len(left) > 0 {
		t.Errorf("incoming has %v, %v", left, err)
	}
	s.upload(tea).want(t, 200, "") // nothing above has taken the name
	f := fields(other, otherContent)
	if a := s.post(formOf(f, sameName, otherContent)).want(t, 400, ""); !strings.Contains(a.Status, "File already exists") {
		t.Errorf("other content: %s", a.Status)
	}
	if log := s.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("logged:\n%s", log)
	}
}

// raw sends bytes and returns what comes back until the server closes, or the connection falls silent.
func (s *site) raw(request string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// A client that waits for 100 Continue before it sends is refused at once, without its file.
func TestUploadExpect(t *testing.T) {
	s := newSite(t)
	got := s.raw("POST /legacy/ HTTP/1.1\r\nHost: " + s.Listener.Addr().String() + "\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 401 Uploads need a token") || strings.Contains(got, "100 Continue") {
		t.Errorf("answered %q", got)
	}
	got = s.raw("POST /legacy/ HTTP/1.0\r\nHost: " + s.Listener.Addr().String() + "\r\nContent-Length: 1\r\n\r\nx")
	if !strings.HasPrefix(got, "HTTP/1.0 401 Uploads need a token") {
		t.Errorf("HTTP/1.0: %q", got)
	}
}

// A client that sends all before it listens, as twine does, hears why it was refused.
func TestUploadIsReadToItsEnd(t *testing.T) {
	s := newSite(t, func(o *index.Options) { o.MaxFile = 16 << 20 })
	const length = 48 << 20 // as much as an upload can have here; more than is lingered for, and more than sockets hold
	got := s.raw(fmt.Sprintf("POST /legacy/ HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", s.Listener.Addr(), length, strings.Repeat("x", length)))
	if !strings.HasPrefix(got, "HTTP/1.1 401 Uploads need a token") {
		t.Errorf("answered %.100q", got)
	}
}

// After a good upload the connection goes on.
func TestUploadKeepsTheConnection(t *testing.T) {
	s := newSite(t)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	for _, version := range []string{"1.0", "1.1"} {
		d := tea
		d.Version = version
		filename, content := d.Wheel()
		contentType, body := formOf(fields(d, content), filename, content)
		body = append(body, "an epilogue"...)
		req, _ := http.NewRequest(http.MethodPost, s.URL+"/legacy/", bytes.NewReader(body))
		req.Header.Set("Content-Type", contentType)
		req.SetBasicAuth("__token__", s.token)
		if err := req.Write(conn); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || resp.Close {
			t.Errorf("%s: %s %q", version, resp.Status, text)
		}
	}
}

func TestUploadToWrongAddress(t *testing.T) {
	s := newSite(t)
	filename, content := tea.Wheel()
	contentType, body := formOf(fields(tea, content), filename, content)
	for _, path := range []string{"/", "/simple/", "/simple/tea-house/", "/project/tea-house/", "/search"} {
		a := s.do(http.MethodPost, path, bytes.NewReader(body), "Content-Type", contentType, "Basic", "__token__:"+s.token).want(t, 405, "")
		if !strings.Contains(a.Status, "Uploads go to "+s.URL+"/legacy/") || a.Header.Get("Allow") == "" {
			t.Errorf("%s: %s, Allow: %s", path, a.Status, a.Header.Get("Allow"))
		}
	}
	if a := s.get("/legacy/").want(t, 405, ""); a.Header.Get("Allow") != "POST" || !strings.Contains(a.body, "twine upload") {
		t.Errorf("%q, Allow: %s", a.body, a.Header.Get("Allow"))
	}
	if a := s.do(http.MethodPatch, "/project/tea-house/", nil).want(t, 405, ""); a.Header.Get("Allow") != "GET, HEAD, DELETE" {
		t.Errorf("Allow: %s", a.Header.Get("Allow"))
	}
}

// Changes over HTTP are for those who may, and for no page of another site.
func TestManagement(t *testing.T) {
	s := newSite(t)
	mallory := s.user("mallory")
	s.add(tea)
	for _, tt := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"POST", "/project/tea-house/1.2/yank", nil, 401},
		{"POST", "/project/tea-house/1.2/yank", []string{"Basic", "x:y"}, 403},
		{"POST", "/project/tea-house/1.2/yank", []string{"Basic", "mallory:" + mallory}, 403},
		{"POST", "/project/tea-house/1.2/yank", []string{"Basic", "alice:" + s.token, "Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", "/project/tea-house/1.2/yank", []string{"Basic", "alice:" + s.token, "Origin", "https://evil.example"}, 403},
		{"POST", "/project/tea-house/9/yank", []string{"Basic", "alice:" + s.token}, 404},
		{"POST", "/project/tea-house/1.2/yank", []string{"Basic", "alice:" + s.token, "Content-Type", "text/plain"}, 415},
		{"GET", "/project/tea-house/1.2/yank", []string{"Basic", "alice:" + s.token}, 405},
		{"GET", "/project/tea-house/1.2/tea_house-1.2-py3-none-any.whl", nil, 404},
		{"HEAD", "/project/tea-house/1.2/anything", nil, 404},
		{"POST", "/project/tea-house/1.2/anything", nil, 405},
		{"DELETE", "/project/tea-house/", nil, 401},
		{"DELETE", "/project/tea-house/", []string{"Basic", "mallory:" + mallory}, 403},
		{"DELETE", "/project/tea-house/1.2/nothing-1.whl", []string{"Basic", "alice:" + s.token}, 404},
		{"DELETE", "/project/nothing/", []string{"Basic", "alice:" + s.token}, 404},
		{"DELETE", "/simple/tea-house/", []string{"Basic", "alice:" + s.token}, 405},
	} {
		a := s.do(tt.method, tt.path, nil, tt.header...).want(t, tt.status, "")
		if asked := a.Header.Get("Www-Authenticate") != ""; asked != (tt.status == 401) {
			t.Errorf("%s %s: %d asks for a token: %v", tt.method, tt.path, tt.status, asked)
		}
		if a.Header.Get("Cache-Control") != "no-store" && tt.status != 404 && tt.header == nil {
			t.Errorf("%s %s: %v", tt.method, tt.path, a.Header)
		}
	}
	if p, err := s.catalog.Project(t.Context(), "tea-house"); err != nil || len(p.Releases) != 1 || p.Releases[0].Yanked {
		t.Errorf("%+v, %v", p, err)
	}
	yank := func(reason string) answer {
		return s.do("POST", "/project/tea-house/1.2/yank", strings.NewReader("reason="+url.QueryEscape(reason)),
			"Basic", "alice:"+s.token, "Content-Type", "application/x-www-form-urlencoded")
	}
	for _, reason := range []string{strings.Repeat("x", 501), "a\nb", "\xff"} {
		if a := yank(reason).want(t, 400, ""); a.body != "the reason for a yank is one line of 500 bytes at most\n" {
			t.Errorf("%.20q: %s", reason, a.body)
		}
	}
	yank(strings.Repeat("x", 500)).want(t, 200, "")
}

// twine is the client that matters: what it prints is what people see.
func TestTwine(t *testing.T) {
	twine, err := exec.LookPath("twine")
	if err != nil {
		t.Skip("twine is not installed")
	}
	s := newSite(t)
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(token string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		args = append([]string{"upload", "--disable-progress-bar", "--non-interactive", "--config-file", filepath.Join(dir, "none"),
			"--repository-url", s.URL + "/legacy/", "-u", "__token__", "-p", token}, args...)
		cmd := exec.CommandContext(ctx, twine, args...)
		cmd.Env = append(os.Environ(), "COLUMNS=400", "TERM=dumb", "NO_COLOR=1", "http_proxy=", "HTTP_PROXY=", "HOME="+dir)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	wheel, sdist := write(tea.Wheel()), write(tea.Sdist())
	if out, err := run(s.token, wheel, sdist); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if a := s.get("/simple/tea-house/"); !strings.Contains(a.body, "tea_house-1.2.tar.gz") || !strings.Contains(a.body, "tea_house-1.2-py3-none-any.whl") {
		t.Errorf("%s", a.body)
	}
	if out, err := run("cachesrv-wrong", wheel); err == nil || !strings.Contains(out, "403 Forbidden") || !strings.Contains(out, "Invalid or non-existent authentication information") {
		t.Errorf("wrong token: %v\n%s", err, out)
	}
	other := tea
	other.Summary = "Other"
	write(other.Wheel())
	if out, err := run(s.token, wheel); err == nil || !strings.Contains(out, "File already exists") {
		t.Errorf("other content: %v\n%s", err, out)
	}
	if out, err := run(s.token, "--skip-existing", wheel); err != nil || !strings.Contains(out, "Skipping") {
		t.Errorf("--skip-existing: %v\n%s", err, out)
	}
}
