//go:build e2e

package attack

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/cachesrv/cachesrv/e2e/indextest"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// uploader returns a client with a token for the index.
func (p *server) uploader() *indextest.Client {
	p.t.Helper()
	run := func(args ...string) string {
		out, err := exec.Command(p.bin, append(args, "--dir", p.dir)...).Output()
		if err != nil {
			p.t.Fatalf("%q: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	run("user", "add", "mallory")
	return &indextest.Client{Base: "http://" + p.addr, Token: run("token", "add", "--user", "mallory")}
}

// TestSearchIsNeverStored: whatever is searched for, and however.
func TestSearchIsNeverStored(t *testing.T) {
	p := start(t, index)
	p.get("/")
	for i := range 100 {
		for _, target := range []string{fmt.Sprintf("/search?q=a%d", i), fmt.Sprintf("/search?q=a&page=%d", i), "/search", "/search?q=", fmt.Sprintf("/search?x%d", i)} {
			res, _ := p.get(target)
			if s := res.Header.Get("Cache-Status"); strings.Contains(s, "stored") || strings.Contains(s, "hit") || res.StatusCode >= 500 {
				t.Fatalf("%s: %d, Cache-Status %q", target, res.StatusCode, s)
			}
		}
	}
	for _, q := range []string{"%", "_", "'", `"`, "\\", "%00", strings.Repeat("x", 4000), "a' OR '1'='1", "\xff\xfe", strings.Repeat("a ", 1000)} {
		if res, body := p.get("/search?q=" + url.QueryEscape(q)); res.StatusCode >= 500 {
			t.Errorf("searching for %.40q: %d %.200q", q, res.StatusCode, body)
		}
	}
	if keys := p.stored(); len(keys) != 1 {
		t.Errorf("stored: %.500q", keys)
	}
}

// TestAttack20_Forms: whatever Accept says, a URL has three forms and not one more; ?format= shares them.
func TestAttack20_Forms(t *testing.T) {
	p := start(t, index)
	for i := range 200 {
		p.get("/simple/", fmt.Sprintf("Accept: text/x%d, application/vnd.pypi.simple.v1+json;q=0.%d, */*;q=0.1", i, i))
		p.get(fmt.Sprintf("/simple/?format=text/x%d", i))
	}
	for _, accept := range []string{"*/*", "text/*", "text/html", indextest.HTMLv1, indextest.JSON, "application/vnd.pypi.simple.latest+json", "", ",;=", "text/html;q=0", "a", strings.Repeat("text/html,", 500)} {
		p.get("/simple/", "Accept: "+accept)
		p.get("/simple/?format=" + url.QueryEscape(accept))
	}
	if keys := p.stored(); len(keys) > 3 {
		t.Errorf("stored: %.500q", keys)
	}
}

// TestAttack20_UnknownProjects: the 404s of ever new projects are pages; their number stays within the bound.
func TestAttack20_UnknownProjects(t *testing.T) {
	const bound = 200
	p := start(t, index, "--max-pages", strconv.Itoa(bound))
	var asking sync.WaitGroup
	const clients = 4
	for n := range clients {
		asking.Go(func() {
			c := &indextest.Client{Base: "http://" + p.addr}
			for i := n; i < unknownProjects; i += clients {
				a, err := c.Get(context.Background(), fmt.Sprintf("/simple/unknown-%d/", i))
				if err != nil || a.Status != 404 {
					t.Errorf("%v, %v", a, err)
					return
				}
			}
		})
	}
	asking.Wait()
	left := 0
	await(t, func() string {
		if left = len(p.stored()); left > bound {
			return fmt.Sprintf("%d pages of a bound of %d", left, bound)
		}
		return ""
	})
	if left < bound/2 {
		t.Errorf("%d pages are left; there is room for %d", left, bound)
	}
	if res, _ := p.get("/simple/unknown-again/"); !strings.Contains(res.Header.Get("Cache-Status"), "stored") {
		t.Errorf("the 404s are not stored (%q), which proves nothing", res.Header.Get("Cache-Status"))
	}
	for _, name := range []string{strings.Repeat("x", 101), "-x", "x-", "a..b%20c", "%C3%A9", "..."} {
		res, _ := p.get("/simple/" + name + "/")
		if res.StatusCode != 404 && res.StatusCode != 301 && res.StatusCode != 400 || strings.Contains(res.Header.Get("Cache-Status"), "stored") {
			t.Errorf("the name %.50q: %d, %q", name, res.StatusCode, res.Header.Get("Cache-Status"))
		}
	}
}

// TestFiles (attacks 1, 11): nothing but files that were uploaded can be had below /files/.
func TestFiles(t *testing.T) {
	p := start(t, index)
	c := p.uploader()
	file := indextest.Wheel(sample.Dist{Name: "tea", Version: "1.0"})
	if a, err := c.Upload(t.Context(), file); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	secret := filepath.Join(p.dir, "secret-1.0-py3-none-any.whl")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := strings.Repeat("ab", 32)
	linked := filepath.Join(p.dir, "files", sum[:2], sum[2:4], sum[4:])
	if err := os.MkdirAll(linked, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"up-1.0-py3-none-any.whl": "../../../../secret-1.0-py3-none-any.whl", "abs-1.0-py3-none-any.whl": secret} {
		if err := os.Symlink(target, filepath.Join(linked, name)); err != nil {
			t.Fatal(err)
		}
	}
	below := "/files/" + sum[:2] + "/" + sum[2:4] + "/" + sum[4:] + "/"
	good := "/files/" + file.Path()
	for _, target := range []string{
		"/files/", "/files", "/files/index.db", "/files/../index.db", "/files/%2e%2e/index.db", "/files/..%2findex.db", "/files/..%5cindex.db",
		"/files/../../../../../etc/passwd", "/files//etc/passwd", "/files/%2fetc%2fpasswd", filepath.Dir(good), filepath.Dir(good) + "/",
		good + "/", good + "/..", good + ".sig", good + "%00", good + ".metadata.metadata", "/files/./" + file.Path(), "/files//" + file.Path(),
		below + "up-1.0-py3-none-any.whl", below + "abs-1.0-py3-none-any.whl", below, strings.ToUpper(good),
	} {
		res, body := p.get(target)
		planted := strings.HasPrefix(target, below) // whoever could do that is no client
		if res.StatusCode == 200 || strings.Contains(body, "secret") || strings.Contains(body, "root:") || res.StatusCode >= 500 && !planted {
			t.Errorf("%s: %d %.100q", target, res.StatusCode, body)
		}
		if cc := res.Header.Get("Cache-Control"); strings.Contains(cc, "immutable") {
			t.Errorf("%s: %d with Cache-Control %q", target, res.StatusCode, cc)
		}
	}
	res, body := p.get(good)
	if res.StatusCode != 200 || body != string(file.Content) || res.Header.Get("Content-Type") != "application/octet-stream" ||
		res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the file itself: %d %v", res.StatusCode, res.Header)
	}
	for _, h := range []string{"Range: bytes=-", "Range: bytes=9-1", "Range: bytes=99999999999999999999-", "Range: bytes=" + strings.TrimSuffix(strings.Repeat("0-1,", 100), ","), "If-Range: x", "If-Match: ,,,"} {
		res, body := p.get(good, h)
		if res.StatusCode >= 500 || len(body) > len(file.Content)+200*(1+strings.Count(h, ",")) { // a part's head is so long at most
			t.Errorf("%.50q: %d, %d bytes of %d", h, res.StatusCode, len(body), len(file.Content))
		}
	}
	if res, body := p.get(good, "Range: bytes=-5"); res.StatusCode != 206 || body != string(file.Content[len(file.Content)-5:]) {
		t.Errorf("a suffix range: %d %q", res.StatusCode, body)
	}
}

// evil is put everywhere; none of it may come out as more than text.
const evil = `<script>alert("evil")</script><img src=x onerror=evil()>"'><svg/onload=evil()>`

// TestXSS: names, summaries, descriptions, links and reasons are text, or harmless HTML.
func TestXSS(t *testing.T) {
	p := start(t, index)
	c := p.uploader()
	d := sample.Dist{
		Name: "tea", Version: "1.0", Summary: evil,
		Description: "# T <script>evil()</script>\n\n" + evil + "\n\n[a](javascript:evil()) [b](JaVaScRiPt:evil()) [c](data:text/html;base64,ZXZpbA==) " +
			"![d](javascript:evil())\n\n<a href=\"&#106;avascript:evil()\" onclick=evil()>x</a>\n\n<iframe src=//evil.example></iframe>" +
			"<style>*{display:none}</style><form action=//evil.example><input></form><base href=//evil.example>" +
			"<meta http-equiv=refresh content=0;url=//evil.example><object data=//evil.example></object>\n\n<div style=\"position:fixed\" id=main class=evil>x</div>\n\n" +
			"<math><mtext></mtext><style><img src=x onerror=evil()></style></math>\n\n```js\n</code></pre><script>evil()</script>\n```\n",
		Extra: []string{
			"Author: " + evil, "Author-email: " + evil, "Maintainer: " + evil, "License: " + evil, "Keywords: " + evil + ",b", "Platform: " + evil,
			"Home-page: javascript:evil()", "Download-URL: data:text/html,evil", "Project-URL: <img src=x onerror=evil()>, javascript:evil()",
			"Project-URL: Docs, https://example.org/\"onmouseover=\"evil()", "Classifier: " + evil, "Provides-Extra: evil",
		},
		RequiresDist: []string{`x>=1; extra == "evil"`}, RequiresPython: ">=3,<9",
	}
	if a, err := c.Upload(t.Context(), indextest.Wheel(d)); err != nil || a.Status != 200 {
		// Some of it may be refused, and is left out then.
		t.Logf("without links and classifiers: %v, %v", a, err)
		d.Extra = slices.DeleteFunc(d.Extra, func(line string) bool {
			return strings.HasPrefix(line, "Classifier") || strings.Contains(line, "URL") || strings.HasPrefix(line, "Home")
		})
		if a, err := c.Upload(t.Context(), indextest.Wheel(d)); err != nil || a.Status != 200 {
			t.Fatal(a, err)
		}
	}
	reason := []byte(url.Values{"reason": {evil}}.Encode())
	if a, err := c.Do(t.Context(), "POST", "/project/tea/1.0/yank", reason, "Content-Type", "application/x-www-form-urlencoded"); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	for _, target := range []string{
		"/", "/simple/", "/simple/tea/", "/project/tea/", "/project/tea/1.0/", "/user/mallory/", "/search?q=tea", "/search?q=" + url.QueryEscape(evil),
		"/project/" + url.PathEscape(evil) + "/", "/simple/" + url.PathEscape(evil) + "/", "/user/" + url.PathEscape(evil) + "/", "/" + url.PathEscape(evil),
		"/project/tea/" + url.PathEscape(evil) + "/",
	} {
		res, body := p.get(target)
		if res.StatusCode >= 500 {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: Content-Security-Policy %q, X-Content-Type-Options %q", target, csp, res.Header.Get("X-Content-Type-Options"))
		}
		if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			harmless(t, target, body)
		}
	}
}

// harmless requires that a page runs nothing but our own scripts, and leads nowhere by itself.
func harmless(t *testing.T, target, body string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attributes := map[string]string{}
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
			value := strings.ToLower(strings.TrimSpace(a.Val))
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:text") || a.Key == "srcdoc" {
				t.Errorf("%s: <%s %s=%q>", target, n.Data, a.Key, a.Val)
			}
		}
		switch n.Data {
		case "script":
			if src := attributes["src"]; !strings.HasPrefix(src, "/assets/") || n.FirstChild != nil {
				t.Errorf("%s: <script> %q", target, src)
			}
		case "link":
			if href := attributes["href"]; !strings.HasPrefix(href, "/assets/") && (attributes["rel"] != "canonical" || !strings.HasPrefix(href, "/project/")) {
				t.Errorf("%s: <link> %q", target, href)
			}
		case "form":
			if action := attributes["action"]; !strings.HasPrefix(action, "/") || strings.HasPrefix(action, "//") {
				t.Errorf("%s: a form for %q", target, action)
			}
		case "iframe", "object", "embed", "base", "style", "svg", "math", "frame", "applet":
			t.Errorf("%s: <%s>", target, n.Data)
		case "meta":
			if attributes["http-equiv"] != "" {
				t.Errorf("%s: <meta http-equiv=%s>", target, attributes["http-equiv"])
			}
		}
	}
}

// TestInjection: nothing that is sent gets lines of its own into an answer's head.
func TestInjection(t *testing.T) {
	p := start(t, index)
	c := p.uploader()
	file := indextest.Wheel(sample.Dist{Name: "tea", Version: "1.0"})
	crlf := "x\r\nX-Evil: 1\r\n\r\n<script>"
	form := file.Form()
	forms := map[string]indextest.Form{
		"name": form.With("name", crlf), "version": form.With("version", crlf), "filetype": form.With("filetype", crlf),
		"action": form.With(":action", crlf), "protocol": form.With("protocol_version", crlf), "sha256": form.With("sha256_digest", crlf),
		"high bytes": form.With("name", "\xff\xfe\u2028é"), "letters": form.With("name", "té"), "letters in the version": form.With("version", "1.é"), "nul": form.With("name", "a\x00b"), "long": form.With("name", strings.Repeat("n", 100_000)),
	}
	named := form
	named.Filename = "te\tä\u202e-1.0-py3-none-any.whl"
	forms["filename"] = named
	for name, f := range forms {
		contentType, body := f.Encode()
		raw := fmt.Sprintf("POST /legacy/ HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			p.addr, base64.StdEncoding.EncodeToString([]byte("__token__:"+c.Token)), contentType, len(body), body)
		answer := p.exchange(raw)
		head, _, ok := strings.Cut(answer, "\r\n\r\n")
		status, _, _ := strings.Cut(head, "\r\n")
		if !ok || !strings.HasPrefix(status, "HTTP/1.1 400 ") || strings.Contains(head, "\nX-Evil") || len(status) > 400 {
			t.Errorf("%s: the answer begins with %.500q", name, answer)
		}
		for _, b := range []byte(status) {
			if b < ' ' || b > '~' {
				t.Errorf("%s: byte %#x in the status line %q", name, b, status)
				break
			}
		}
	}
	for _, target := range []string{"/simple/a%0d%0aX-Evil:1/", "/project/Tea%0d%0aX-Evil:1/", "/simple/A%0aB", "//evil.example/..", "/simple//evil.example", `/simple/\evil.example`, "//evil.example/simple/Tea"} {
		answer := p.exchange(p.request("GET", target))
		head, _, _ := strings.Cut(answer, "\r\n\r\n")
		if strings.Contains(head, "\nX-Evil") || strings.Contains(head, "\nLocation: //") || strings.Contains(head, "\nLocation: http") {
			t.Errorf("%s: %q", target, head)
		}
	}
	if keys := p.stored(); len(keys) != 0 {
		t.Errorf("stored: %.500q", keys)
	}
}

// exchange sends bytes, and returns all that comes.
func (p *server) exchange(raw string) string {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte(raw)); err != nil {
		p.t.Logf("write: %v", err)
	}
	var b bytes.Buffer
	_, _ = b.ReadFrom(conn)
	return b.String()
}

// TestArchives: bombs, tricks and lies in archives are refused, with a small memory, and leave nothing.
func TestArchives(t *testing.T) {
	p := start(t, index)
	c := p.uploader()
	for name, content := range map[string][]byte{
		"huge metadata":      wheelOf(entry{"tea-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tea\nVersion: 1.0\n\n" + strings.Repeat("x", 2<<20)}),
		"many entries":       wheelOf(many(110_000)...),
		"bomb":               wheelOf(entry{"tea.bin", strings.Repeat("\x00", 80<<20)}),
		"up":                 wheelOf(entry{"../tea.py", ""}),
		"up inside":          wheelOf(entry{"a/../../tea.py", ""}),
		"absolute":           wheelOf(entry{"/tea.py", ""}),
		"backslash":          wheelOf(entry{`..\tea.py`, ""}),
		"drive":              wheelOf(entry{"C:/tea.py", ""}),
		"nul":                wheelOf(entry{"tea.py\x00.txt", ""}),
		"control":            wheelOf(entry{"tea\n.py", ""}),
		"twice":              wheelOf(entry{"tea.py", "a"}, entry{"tea.py", "b"}),
		"twice but for case": wheelOf(entry{"tea.py", "a"}, entry{"TEA.py", "b"}),
		"file and folder":    wheelOf(entry{"tea", "a"}, entry{"tea/b.py", "b"}),
		"two infos":          wheelOf(entry{"cup-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: cup\nVersion: 1.0\n"}),
		"no utf-8":           wheelOf(entry{"tea-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tea\nVersion: 1.0\nSummary: \xff\n"}),
		"nul in metadata":    wheelOf(entry{"tea-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tea\nVersion: 1.0\nSummary: a\x00b\n"}),
		"direct dependency":  wheelOf(entry{"tea-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tea\nVersion: 1.0\nRequires-Dist: x @ https://evil.example/x.whl\n"}),
		"symlink":            symlinked(),
		"before it":          append([]byte("#!/bin/sh\n"), wheelOf(entry{"tea.py", ""})...),
		"cut":                wheelOf(entry{"tea.py", ""})[:300],
		"empty":              {},
	} {
		f := indextest.File{Name: "tea", Version: "1.0", Kind: "bdist_wheel", Filename: "tea-1.0-py3-none-any.whl", Content: content}
		a, err := c.Upload(t.Context(), f)
		if err != nil || a.Status != 400 || !strings.Contains(a.Phrase, "tea") {
			t.Errorf("%s: %v, %v", name, a, err)
		}
		t.Logf("%s: %s", name, a.Phrase)
	}
	for _, folder := range []string{"files", "incoming"} {
		_ = filepath.WalkDir(filepath.Join(p.dir, folder), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && d.Name() != "index-id" {
				t.Errorf("left: %s", path)
			}
			return nil
		})
	}
	var list struct{ Projects []any }
	if _, body := p.get("/simple/", "Accept: "+indextest.JSON); json.Unmarshal([]byte(body), &list) != nil || len(list.Projects) != 0 {
		t.Errorf("/simple/ lists %.200s", body)
	}
	// What was made here is good but for the attack.
	f := indextest.File{Name: "tea", Version: "1.0", Kind: "bdist_wheel", Filename: "tea-1.0-py3-none-any.whl", Content: wheelOf(entry{"tea.py", ""})}
	if a, err := c.Upload(t.Context(), f); err != nil || a.Status != 200 {
		t.Errorf("a good one: %v, %v", a, err)
	}
}

// TestCutUploads: a client that goes away in the middle of an upload leaves nothing.
func TestCutUploads(t *testing.T) {
	p := start(t, index)
	c := p.uploader()
	contentType, body := indextest.Wheel(sample.Dist{Name: "tea", Version: "1.0", Description: strings.Repeat("tea ", 10_000)}).Form().Encode()
	for n := range 20 {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /legacy/ HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			p.addr, base64.StdEncoding.EncodeToString([]byte("__token__:"+c.Token)), contentType, len(body), body[:len(body)*n/20])
		conn.Close()
	}
	await(t, func() string {
		left, err := os.ReadDir(filepath.Join(p.dir, "incoming"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) > 0 {
			return fmt.Sprintf("in incoming: %q", left)
		}
		return ""
	})
	if res, body := p.get("/simple/tea/"); res.StatusCode != 404 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// await waits until nothing is wrong.
func await(t *testing.T, wrong func() string) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-again.C {
		what := wrong()
		if what == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

type entry struct{ name, content string }

// wheelOf is a wheel of tea 1.0 with these entries, and a METADATA, WHEEL and RECORD that fit if they are not among them.
func wheelOf(entries ...entry) []byte {
	const info = "tea-1.0.dist-info/"
	for _, e := range []entry{{info + "METADATA", "Metadata-Version: 2.1\nName: tea\nVersion: 1.0\n"}, {info + "WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}} {
		if !slices.ContainsFunc(entries, func(given entry) bool { return given.name == e.name }) {
			entries = append(entries, e)
		}
	}
	var record strings.Builder
	for _, e := range entries {
		sum := sha256.Sum256([]byte(e.content))
		fmt.Fprintf(&record, "\"%s\",sha256=%s,%d\n", e.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(e.content))
	}
	entries = append(entries, entry{info + "RECORD", record.String() + info + "RECORD,,\n"})
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.CreateHeader(&zip.FileHeader{Name: e.name, Method: zip.Deflate})
		if err == nil {
			_, err = f.Write([]byte(e.content))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func many(n int) []entry {
	entries := make([]entry, n)
	for i := range entries {
		entries[i].name = fmt.Sprintf("tea/%d.py", i)
	}
	return entries
}

// symlinked is a wheel whose module is a link.
func symlinked() []byte {
	old, err := zip.NewReader(bytes.NewReader(wheelOf(entry{"tea.py", "/etc/passwd"})), int64(len(wheelOf(entry{"tea.py", "/etc/passwd"}))))
	if err != nil {
		panic(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range old.File {
		if f.Name == "tea.py" {
			f.SetMode(os.ModeSymlink | 0o777)
		}
		if err := w.Copy(f); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// TestCrossOrigin: a page elsewhere can't have a browser change anything, though that knows the credentials.
func TestCrossOrigin(t *testing.T) {
	p := start(t, index)
	c := p.uploader()
	file := indextest.Wheel(sample.Dist{Name: "tea", Version: "1.0"})
	if a, err := c.Upload(t.Context(), file); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	for _, origin := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}, {"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}} {
		for _, change := range [][2]string{{"POST", "/project/tea/1.0/yank"}, {"POST", "/project/tea/1.0/unyank"}, {"DELETE", "/project/tea/"}, {"POST", "/legacy/"}, {"PURGE", "/simple/tea/"}} {
			a, err := c.Do(t.Context(), change[0], change[1], []byte("reason=evil"), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, origin...)...)
			if err != nil || a.Status != 403 {
				t.Errorf("%s from %q: %v, %v", change, origin, a, err)
			}
		}
	}
	if page, _, err := c.Simple(t.Context(), "tea", indextest.JSON); err != nil || page.Find(file.Filename) == nil || page.Find(file.Filename).Yanked != nil {
		t.Errorf("afterwards: %+v, %v", page, err)
	}
	// Without a token nothing changes either, from wherever.
	nobody := indextest.Client{Base: c.Base}
	for _, change := range [][2]string{{"POST", "/project/tea/1.0/yank"}, {"DELETE", "/project/tea/"}, {"DELETE", "/project/tea/1.0/"}, {"POST", "/legacy/"}, {"PUT", "/project/tea/"}} {
		if a, err := nobody.Do(t.Context(), change[0], change[1], nil); err != nil || a.Status != 401 && a.Status != 405 {
			t.Errorf("%s without a token: %v, %v", change, a, err)
		}
	}
}

// TestAttack09_Folders: a page, and pages below it, are all cached.
func TestAttack09_Folders(t *testing.T) {
	p := start(t, index)
	c := p.uploader()
	if a, err := c.Upload(t.Context(), indextest.Wheel(sample.Dist{Name: "tea", Version: "1.0"})); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	targets := []string{"/", "/simple/", "/simple/tea/", "/project/tea/", "/project/tea/1.0/", "/user/mallory/"}
	for _, want := range []string{"stored", "hit"} {
		for _, target := range targets {
			if res, _ := p.get(target); res.StatusCode != 200 || !strings.Contains(res.Header.Get("Cache-Status"), want) {
				t.Errorf("%s: %d, Cache-Status %q, not %s", target, res.StatusCode, res.Header.Get("Cache-Status"), want)
			}
		}
	}
	if keys := p.stored(); len(keys) != len(targets) {
		t.Errorf("stored: %q", keys)
	}
}

// TestAttack22To24_Answers: no answer of the index sets a cookie or varies on what is not in its key; and what says that
// it is not to be kept, isn't.
func TestAttack22To24_Answers(t *testing.T) {
	p := start(t, index)
	f := indextest.Wheel(sample.Dist{Name: "tea", Version: "1.0"})
	if a, err := p.uploader().Upload(t.Context(), f); err != nil || a.Status != 200 {
		t.Fatalf("upload: %v, %v", a, err)
	}
	kept := 0
	for _, target := range []string{
		"/", "/simple/", "/simple/tea/", "/simple/none/", "/simple/Tea/", "/simple/tea", "/project/tea/", "/project/tea/1.0/", "/project/tea/2.0/",
		"/project/none/", "/user/nobody/", "/search?q=tea", "/search", "/robots.txt", "/favicon.ico", "/nothing", "/legacy/", "/simple/?format=x", "/files/x",
	} {
		for _, accept := range []string{"text/html", indextest.JSON, "image/png", "*/*;q=0"} {
			for range 2 {
				res, _ := p.get(target, "Accept: "+accept)
				if c := res.Header["Set-Cookie"]; c != nil {
					t.Errorf("%s sets %q", target, c)
				}
				for name := range strings.SplitSeq(res.Header.Get("Vary"), ",") {
					if name = strings.TrimSpace(name); name != "" && name != "Accept" && name != "Accept-Encoding" {
						t.Errorf("%s varies on %s", target, name)
					}
				}
				policy, status := res.Header.Get("Cache-Control"), res.Header.Get("Cache-Status")
				stored := strings.Contains(status, "stored") || strings.Contains(status, "hit")
				if policy == "" || stored && policy != "no-cache" {
					t.Errorf("%s as %s: Cache-Control %q, Cache-Status %q", target, accept, policy, status)
				}
				if stored {
					kept++
				}
			}
		}
	}
	if kept == 0 {
		t.Error("nothing was stored at all")
	}
}
