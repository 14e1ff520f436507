package index_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/cachesrv/cachesrv/render/index"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/sample"
	"github.com/cachesrv/cachesrv/static/assets"
)

// checkHTML says what is wrong with a page: for browsers, for keyboards, for screen readers, for our own policy. It
// returns the links of the page that lead to the site.
func checkHTML(page string) (problems, links []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	checkNesting(page, bad)
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		bad("%v", err)
		return problems, nil
	}
	ids, labels, headings := map[string]bool{}, map[string]bool{}, 0
	var targets, controls []string
	title, lang, main := "", "", 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				bad("%s has the attribute %s", n.Data, a.Key)
			}
		}
		if id, ok := attr["id"]; ok {
			if ids[id] || id == "" {
				bad("id %q is there twice, or empty", id)
			}
			ids[id] = true
		}
		if ref, ok := attr["aria-labelledby"]; ok {
			targets = append(targets, ref)
		}
		switch n.Data {
		case "html":
			lang = attr["lang"]
		case "title":
			title = n.FirstChild.Data
		case "main":
			main++
		case "h1":
			headings++
		case "label":
			labels[attr["for"]] = true
		case "input", "select", "textarea":
			controls = append(controls, attr["id"])
		case "img":
			if _, ok := attr["alt"]; !ok {
				bad("an image has no alt")
			}
		case "script":
			if attr["src"] == "" {
				bad("a script stands in the page")
			}
			links = append(links, attr["src"])
		case "style":
			bad("a style sheet stands in the page")
		case "link":
			links = append(links, attr["href"])
		case "a":
			href := attr["href"]
			switch {
			case strings.HasPrefix(href, "#"):
				targets = append(targets, href[1:])
			case strings.HasPrefix(href, "/"):
				links = append(links, href)
			case strings.HasPrefix(href, "https://"), strings.HasPrefix(href, "http://"):
				if !strings.Contains(attr["rel"], "noopener") {
					bad("the link to %s has no rel=noopener", href)
				}
			case href != "" && !strings.HasPrefix(href, "mailto:"):
				bad("the link %q leads nowhere", href)
			}
			if strings.TrimSpace(text(n)) == "" {
				bad("the link to %s has no text", href)
			}
		}
	}
	for _, id := range targets {
		if !ids[id] {
			bad("there is no id %q to lead to", id)
		}
	}
	for _, id := range controls {
		if !labels[id] {
			bad("the control %q has no label", id)
		}
	}
	if headings != 1 || main != 1 || lang == "" || strings.TrimSpace(title) == "" {
		bad("%d h1, %d main, lang %q, title %q", headings, main, lang, title)
	}
	return problems, links
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
		if d.Type == html.ElementNode && d.Data == "img" {
			b.WriteString("image")
		}
	}
	return b.String()
}

// checkNesting reads tags one by one: what is opened is closed, in order.
func checkNesting(page string, bad func(string, ...any)) {
	void := map[string]bool{"meta": true, "link": true, "img": true, "input": true, "br": true, "hr": true, "wbr": true, "col": true}
	var open []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			if len(open) > 0 {
				bad("left open: %v", open)
			}
			return
		case html.StartTagToken, html.EndTagToken:
			name, _ := z.TagName()
			switch tag := string(name); {
			case void[tag]:
			case kind == html.StartTagToken:
				open = append(open, tag)
			case len(open) == 0 || open[len(open)-1] != tag:
				bad("</%s> closes %v", tag, open)
				return
			default:
				open = open[:len(open)-1]
			}
		}
	}
}

// Every page, and whatever it leads to.
func TestPagesAreGoodHTML(t *testing.T) {
	for name, change := range map[string]func(*index.Options){
		"plain": func(*index.Options) {},
		"upstream": func(o *index.Options) {
			o.Upstream, _ = url.Parse("https://pypi.example")
			o.Title = `Tea & "Friends" <b>`
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, change)
			seen := map[string]bool{}
			check := func(path string, status int) {
				t.Helper()
				if path, _, _ = strings.Cut(path, "#"); seen[path] {
					return
				}
				todo := []string{path}
				for len(todo) > 0 {
					at := todo[0]
					if todo = todo[1:]; seen[at] {
						continue
					}
					seen[at] = true
					a := s.get(at).want(t, status, "")
					if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || strings.HasPrefix(at, "/simple/") {
						continue
					}
					problems, links := checkHTML(a.body)
					for _, p := range problems {
						t.Errorf("%s: %s", at, p)
					}
					status = 200
					for _, l := range links {
						l, _, _ = strings.Cut(l, "#")
						todo = append(todo, l)
					}
				}
			}
			check("/", 200) // empty
			if a := s.get("/"); !strings.Contains(a.body, "twine upload --repository-url "+s.URL+"/legacy/ -u __token__ dist/*") {
				t.Errorf("an empty index doesn't say how to upload:\n%s", a.body)
			}
			check("/user/alice/", 200)
			check("/nothing", 404)
			check("/project/nothing/", 404)
			clear(seen)
			for _, version := range []string{"1.0", "1.1", "2.0b1", "2.0", "2.1rc1", "1!0.5+local.1"} {
				d := tea
				d.Version = version
				s.add(d)
			}
			s.add(tea, true)
			if err := s.catalog.Yank(t.Context(), catalog.Operator("alice"), "tea-house", "1.1", "too hot"); err != nil {
				t.Fatal(err)
			}
			for i := range 45 {
				s.add(sample.Dist{Name: fmt.Sprintf("cup-%d", i), Version: "1"})
			}
			s.add(sample.Dist{Name: "pre", Version: "1.0a1", Extra: []string{"Description-Content-Type: text/x-rst", "", "Title", "====="}})
			for _, path := range []string{"/", "/search", "/search?q=cup", "/search?q=%3Cb%3E", "/project/tea-house/", "/project/tea-house/1.1/", "/project/pre/", "/user/alice/"} {
				check(path, 200)
			}
			check("/search?q=cup&page=99", 404)
			check("/search?page=0&q=cup", 400)
			if !seen["/search?q=cup&page=3"] || !seen["/project/tea-house/1!0.5+local.1/"] || !seen[assets.URL("style.css")] {
				t.Errorf("links were not followed: %v", seen)
			}
			s.get("/project/tea-house/1!0.5+local.1/").want(t, 200, "hit") // it is a page under the address we write
		})
	}
	if problems, _ := checkHTML("<p><b>x</p></b><img><a href=x></a>"); len(problems) < 5 {
		t.Errorf("the check finds only %q", problems)
	}
}

func TestProjectPage(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	s.add(tea, true)
	a := s.get("/project/tea-house/").want(t, 200, "")
	for _, want := range []string{
		"pip install --index-url " + s.URL + "/simple/ Tea.House</code>", "Steeps leaves &amp; counts minutes", `<h2 id="readme-tea-house">Tea house</h2>`,
		`<a href="https://example.com/" rel="nofollow noopener">a link</a>`, "☑ boil", `<a href="https://example.com/docs?a=1&amp;b=2" rel="nofollow noopener">Docs</a>`,
		"&gt;=3.8,&lt;4", "<code>kettle&gt;=1</code>", "With the extra <code>porcelain</code>", "<code>cup&gt;=2</code>", `<a href="mailto:ada@example.com">Ada</a>`,
		"tea_house-1.2-py3-none-any.whl", "tea_house-1.2.tar.gz", "SHA-256", "BLAKE2b-256", `<a href="/user/alice/">alice</a>`, "Software Development", "MIT",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(a.body, "javascript:") {
		t.Error("a link runs a script")
	}
	newer := tea
	newer.Version = "2.0"
	s.add(newer)
	if a := s.get("/project/tea-house/1.2/"); !strings.Contains(a.body, `There is a newer version: <a href="/project/tea-house/">Tea.House 2.0</a>`) || !strings.Contains(a.body, "Tea.House==1.2</code>") {
		t.Errorf("old release:\n%s", a.body)
	}
	if a := s.get("/project/tea-house/2.0/"); strings.Contains(a.body, "newer version") || !strings.Contains(a.body, `<link rel="canonical" href="/project/tea-house/">`) {
		t.Errorf("newest release:\n%s", a.body)
	}
	pre := tea
	pre.Version = "3.0rc1"
	s.add(pre)
	if a := s.get("/project/tea-house/3.0rc1/"); !strings.Contains(a.body, "The version to use is") || !strings.Contains(a.body, "Tea.House==3.0rc1</code>") || !strings.Contains(a.body, "Pre-release") {
		t.Errorf("pre-release:\n%s", a.body)
	}
	if err := s.catalog.Yank(t.Context(), catalog.Operator("alice"), "tea-house", "1.2", "burnt <tongue>"); err != nil {
		t.Fatal(err)
	}
	if a := s.get("/project/tea-house/1.2/"); !strings.Contains(a.body, "This release was yanked.") || !strings.Contains(a.body, "Reason: burnt &lt;tongue&gt;") {
		t.Errorf("yanked release:\n%s", a.body)
	}
	for _, release := range []string{"1.2", "2.0", "3.0rc1"} {
		if err := s.catalog.Delete(t.Context(), catalog.Operator("alice"), "tea-house", release, ""); err != nil {
			t.Fatal(err)
		}
	}
	if a := s.get("/project/tea-house/"); a.StatusCode != 200 && a.StatusCode != 404 {
		t.Errorf("without releases: %s", a.Status)
	} else if problems, _ := checkHTML(a.body); len(problems) > 0 {
		t.Errorf("without releases: %q", problems)
	}
}

// Search is never kept, and its words are only words.
func TestSearch(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	for _, path := range []string{"/search?q=tea", "/search", "/search?q=", "/search?q=%25", "/search?q='%3B--", "/search?q=tea&page=1"} {
		for range 2 {
			a := s.get(path).want(t, 200, "")
			if strings.Contains(a.cacheStatus(), "stored") || strings.Contains(a.cacheStatus(), "hit") {
				t.Errorf("%s: %s", path, a.cacheStatus())
			}
			if found := strings.Contains(a.body, "/project/tea-house/"); found != strings.Contains(path, "tea") {
				t.Errorf("%s: found %v", path, found)
			}
		}
	}
	for path, want := range map[string]int{
		"/search?q=" + strings.Repeat("x", 201): 400, "/search?q=%ff": 400, "/search?q=a%00b": 400, "/search?q=a&page=x": 400, "/search?q=a&page=99999999999": 400, "/search?q=%zz": 400,
	} {
		s.get(path).want(t, want, "")
	}
	if a := s.get(`/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E`).want(t, 200, ""); strings.Contains(a.body, "<script>alert") {
		t.Error("a query runs")
	}
}

// Whatever people upload is text on our pages.
func TestMetadataAreText(t *testing.T) {
	s := newSite(t)
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'`
	for i, d := range []sample.Dist{
		{Name: "evil", Version: "1", Summary: evil, Description: evil + "\n\n[x](javascript:alert(1))\n\n<a href='&#106;avascript:alert(1)'>y</a>", Extra: []string{
			"Author: " + evil, "Author-Email: " + evil, "Keywords: " + evil, "License: " + evil, "Project-URL: " + evil + ", https://example.com/" + evil,
			"Project-URL: x, javascript:alert(1)", "Home-page: https://example.com/" + evil, "Maintainer: " + evil, "Classifier: A :: " + evil,
		}},
		{Name: "evil2", Version: "1", Extra: []string{"Home-page: javascript:alert(1)", "Description-Content-Type: text/plain", "", evil}},
	} {
		name, content := d.Wheel()
		a := s.post(formOf(fields(d, content), name, content))
		if a.StatusCode != 200 {
			t.Logf("metadata %d are refused: %s", i, a.Status) // that is safe, too
			continue
		}
		for _, path := range []string{"/", "/project/" + d.Name + "/", "/simple/" + d.Name + "/", "/simple/", "/user/alice/", "/search?q=evil"} {
			a := s.get(path).want(t, 200, "")
			doc, err := html.Parse(strings.NewReader(a.body))
			if err != nil {
				t.Fatal(err)
			}
			for n := range doc.Descendants() {
				for _, at := range n.Attr {
					if strings.HasPrefix(at.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(at.Val)), "javascript:") {
						t.Errorf("%s: %s %s=%q", path, n.Data, at.Key, at.Val)
					}
				}
				if n.Type == html.ElementNode && n.Data == "script" && n.FirstChild != nil {
					t.Errorf("%s: a script: %s", path, n.FirstChild.Data)
				}
			}
			if h := a.Header.Get("Content-Security-Policy"); !strings.Contains(h, "default-src 'none'") || strings.Contains(h, "unsafe") {
				t.Errorf("%s: policy %q", path, h)
			}
		}
	}
}

// Addresses that are no addresses of ours.
func TestAttackedPaths(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	s.get("/simple/tea-house/").want(t, 200, "fwd=uri-miss; stored")
	for path, want := range map[string]int{
		"/simple/../simple/tea-house/": 400, "/%2e%2e/x": 400, "/simple/..%2ftea-house/": 404, "/simple/tea-house/..%2f..%2f": 404,
		"/simple/tea-house/%00": 400, "/simple%2ftea-house/": 404, "/simple%5ctea-house/": 404, `/simple\tea-house/`: 404,
		"//simple/tea-house/": 404, "//evil.example/": 404, "//evil.example": 404, "///": 404, "/simple//": 404, "/simple//tea-house/": 404, "/./simple/": 400,
		"/simple/tea-house/#x": 400, "/simple/tea-house/?x=#y": 400, "/project/tea-house%0d%0aX-Evil:1": 404, "/project/%0d%0aLocation:x": 404,
		"/SIMPLE/tea-house/": 404, "/simple/" + strings.Repeat("a", 300) + "/": 404, "/" + strings.Repeat("a/", 100): 404, "/" + strings.Repeat("a", 5000): 404,
		"/simple/tea-house.tmp/": 301, "/simple/tea-house/index.html": 404, "/simple/tea-house.gz": 301, "/assets/../index.db": 400, "/assets/..%2findex.db": 404,
		"/assets/style.css": 404, "/assets/": 404, "/user/../x": 400, "/user/a%2fb/": 404, "/robots.txt": 200, "/favicon.ico": 302, "/robots.txt/x": 404,
		"/search/": 301, "/search//": 404, "/search/x": 404, "/user//": 404, "/project//": 404, "/files//": 404, "/robots.txt/": 404, "/favicon.ico//": 404,
	} {
		a := s.get(path)
		if strings.Contains(path, "#") { // net/url would cut it off
			raw := s.raw("GET " + path + " HTTP/1.1\r\nHost: " + s.Listener.Addr().String() + "\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(raw, fmt.Sprintf("HTTP/1.1 %d ", want)) {
				t.Errorf("%s: %.60q", path, raw)
			}
			continue
		}
		if a.StatusCode != want {
			t.Errorf("%.60s: %s, want %d\n%.200s", path, a.Status, want, a.body)
		}
		if l := a.Header.Get("Location"); strings.HasPrefix(l, "//") || strings.Contains(l, "evil") || a.Header.Get("X-Evil") != "" {
			t.Errorf("%s leads to %q; %v", path, l, a.Header)
		}
	}
	// HTTP/1.0 has pages, too; and a target in absolute form is the same page.
	host := s.Listener.Addr().String()
	if got := s.raw("GET /simple/tea-house/ HTTP/1.0\r\nHost: " + host + "\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.0 200 OK\r\n") || !strings.Contains(got, "cachesrv; hit") {
		t.Errorf("HTTP/1.0: %.300q", got)
	}
	for target, start := range map[string]string{"http://" + host: "cachesrv; fwd=uri-miss; stored", "http://" + host + "?x=1": "cachesrv; fwd=bypass"} {
		if got := s.raw("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, start) {
			t.Errorf("%s: %.300q", target, got)
		}
	}
	s.get("/").want(t, 200, "hit")
	if got := s.raw("GET http://" + host + "/simple/tea-house/?format=text/html HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "cachesrv; hit") {
		t.Errorf("absolute form: %.300q", got)
	}
}

// No answer leaves it to caches how long they keep it; and what an answer says itself, stands.
func TestEveryAnswerSaysHowLong(t *testing.T) {
	for _, private := range []bool{false, true} {
		s := newSite(t, func(o *index.Options) { o.Private = private })
		s.add(tea)
		want := "no-cache"
		if private {
			want = "private, no-cache"
		}
		for _, path := range []string{
			"/", "/simple/", "/simple/tea-house/", "/simple/tea-house/?other=1", "/project/tea-house/?x=1", "/project/nothing/?x=1", "/project/tea-house/", "/nothing",
			"/simple/-/", "/simple/nothing/", "/search?q=tea", "/search?q=tea&page=9", "/simple/Tea.House/", "/project/tea-house/1.2.0/", "/files/x", "/robots.txt", "/favicon.ico",
		} {
			for range 2 {
				a := s.get(path, "Basic", "alice:"+s.token)
				if got := a.Header["Cache-Control"]; len(got) != 1 || got[0] != want || a.StatusCode >= 500 {
					t.Errorf("private %v, %s: %s, %q", private, path, a.Status, got)
				}
				if c := a.cacheStatus(); private && !strings.Contains(path, "?") && (path == "/" || path == "/simple/tea-house/") && !strings.Contains(c, "stored") && !strings.Contains(c, "hit") {
					t.Errorf("%s is no page any more: %s", path, c)
				}
			}
		}
		if csp := s.get("/robots.txt").Header.Get("Content-Security-Policy"); strings.Contains(csp, "data:") {
			t.Error(csp)
		}
	}
}

// Unsafe requests of other sites' pages do nothing, and nothing is done for methods we don't know.
func TestMethods(t *testing.T) {
	s := newSite(t)
	s.add(tea)
	for _, method := range []string{"PUT", "PATCH", "OPTIONS", "TRACE", "PURGE", "X"} {
		for _, path := range []string{"/", "/simple/", "/simple/tea-house/", "/project/tea-house/", "/search", "/legacy/", "/user/alice/"} {
			a := s.do(method, path, bytes.NewReader(nil)).want(t, http.StatusMethodNotAllowed, "")
			if a.Header.Get("Allow") == "" {
				t.Errorf("%s %s: no Allow", method, path)
			}
		}
	}
}
