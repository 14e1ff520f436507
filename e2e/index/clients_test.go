//go:build e2e

package index

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/indextest"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// TestPip: what else pip does with an index: dependencies, extras, hashes, yanked and Python-dependent releases, sdists,
// and metadata beside wheels.
func TestPip(t *testing.T) {
	ix := start(t, right, "")
	cupFirst := wheel("cup", "1.0")
	ix.upload(
		cupFirst, wheel("cup", "1.1"), wheel("cup", "2.0rc1"),
		indextest.Wheel(sample.Dist{Name: "cup", Version: "3.0", RequiresPython: ">=99"}),
		indextest.Wheel(sample.Dist{
			Name: "Tea_Set", Version: "1.0", RequiresDist: []string{"cup (>=1.0,<2)", `sugar; extra == "sweet"`},
			Extra: []string{"Provides-Extra: sweet"},
		}),
		wheel("sugar", "0.5"), sdist("spoon", "1.0"),
	)
	pinned := func(t *testing.T, line string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "requirements.txt")
		if err := os.WriteFile(file, []byte(line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	run := func(name string, test func(t *testing.T, ix *index, home string)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			of := *ix
			of.t = t
			test(t, &of, t.TempDir())
		})
	}
	run("dependencies and extras", func(t *testing.T, ix *index, home string) {
		folder := t.TempDir()
		out := ix.succeeds(ix.pip(home, "install", "--target", folder, "tea.set[sweet]"))
		if !strings.Contains(out, "cup-1.1") || !strings.Contains(out, "sugar-0.5") {
			t.Errorf("it has installed:\n%s", out)
		}
		if got := ix.installed(folder, "import cup, sugar, tea_set; print(cup.__version__, sugar.__version__, tea_set.__version__)"); got != "1.1 0.5 1.0" {
			t.Errorf("installed are %s", got)
		}
	})
	run("pre-releases", func(t *testing.T, ix *index, home string) {
		out := ix.succeeds(ix.pip(home, "download", "--no-deps", "--pre", "cup"))
		if !strings.Contains(out, "cup-2.0rc1-py3-none-any.whl") {
			t.Errorf("pip says:\n%s", out)
		}
	})
	run("requires-python", func(t *testing.T, ix *index, home string) {
		ix.fails("3.0 Requires-Python >=99")(ix.pip(home, "download", "--no-deps", "cup==3.0"))
	})
	run("hashes", func(t *testing.T, ix *index, home string) {
		ix.succeeds(ix.pip(home, "download", "--require-hashes", "-r", pinned(t, "cup==1.0 --hash=sha256:"+cupFirst.SHA256())))
		ix.fails("DO NOT MATCH THE HASHES")(ix.pip(home, "download", "--require-hashes", "-r", pinned(t, "cup==1.0 --hash=sha256:"+strings.Repeat("0", 64))))
	})
	run("sdist", func(t *testing.T, ix *index, home string) {
		folder := t.TempDir()
		ix.succeeds(ix.pip(home, "install", "--no-build-isolation", "--target", folder, "spoon"))
		if got := ix.installed(folder, "import spoon; print(spoon.__version__)"); got != "1.0" {
			t.Errorf("installed is %s", got)
		}
	})
	run("yanked", func(t *testing.T, ix *index, home string) {
		ix.upload(wheel("saucer", "1.0"), wheel("saucer", "1.1"))
		ix.cachesrv("index", "yank", "saucer", "1.1", "--reason", "it is cracked")
		out := ix.succeeds(ix.pip(home, "download", "--no-deps", "saucer"))
		if !strings.Contains(out, "saucer-1.0-") {
			t.Errorf("unpinned:\n%s", out)
		}
		out = ix.succeeds(ix.pip(home, "download", "--no-deps", "saucer==1.1"))
		if !strings.Contains(out, "saucer-1.1-") || !strings.Contains(out, "it is cracked") {
			t.Errorf("pinned:\n%s", out)
		}
	})
	run("metadata", func(t *testing.T, ix *index, home string) { metadata(t, ix, home) })
	run("names", func(t *testing.T, ix *index, home string) {
		out := ix.succeeds(ix.pip(home, "index", "versions", "TEA.__set"))
		if !strings.Contains(out, "(1.0)") {
			t.Errorf("pip says:\n%s", out)
		}
	})
}

// metadata: pip takes a wheel's metadata from beside it (PEP 658), and checks their digest. Before 23.2 pip knows of
// them from HTML only, and takes names literally; so it is given that, by a proxy that also notes what is asked for.
func metadata(t *testing.T, ix *index, home string) {
	target, err := url.Parse(ix.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = target.Host
		r.Out.Header.Set("Accept", "text/html")
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.In.URL.Path)
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httptest.Server{Listener: l, Config: &http.Server{Handler: forward}}
	proxy.Start()
	defer proxy.Close()
	out := ix.succeeds(ix.pip(home, "install", "--dry-run", "-v", "--ignore-installed", "--index-url", proxy.URL+"/simple/", "Tea_Set"))
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"tea_set-1.0-py3-none-any.whl.metadata", "cup-1.1-py3-none-any.whl.metadata"} {
		if !slices.ContainsFunc(asked, func(path string) bool { return strings.HasSuffix(path, name) }) {
			t.Errorf("pip has not asked for %s, but for %q:\n%s", name, asked, out)
		}
	}

	for _, form := range []string{indextest.JSON, indextest.HTML, indextest.HTMLv1} {
		entry := ix.simple("tea-set", form).Find("tea_set-1.0-py3-none-any.whl")
		if entry == nil {
			t.Fatalf("as %s: no such file", form)
		}
		a := ix.must(ix.Get(t.Context(), entry.URL+".metadata"))
		sum := sha256.Sum256(a.Body)
		if want := "sha256=" + hex.EncodeToString(sum[:]); entry.Metadata != want || !strings.Contains(string(a.Body), "Name: Tea_Set\n") {
			t.Errorf("as %s: the metadata beside it have digest %s, the page says %s: %s", form, want, entry.Metadata, a.Body)
		}
	}
}

// TestPrivate: who has a token reads, who has none or a wrong one does not, though the pages are cached.
func TestPrivate(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		ix := start(t, right, db, "--private")
		ix.SendToken = true
		ix.upload(wheel("teapot", "1.0"), wheel("teapot", "1.1"))
		reader := strings.TrimSpace(ix.cachesrv("token", "add", "--user", "ada", "--scope", "read", "--note", "for reading"))
		address := func(user, token string) string {
			return strings.Replace(ix.BaseURL(), "http://", "http://"+user+":"+token+"@", 1) + "/simple/"
		}
		home := t.TempDir()
		download := func(url string, more ...string) (string, error) {
			return ix.pip(home, append([]string{"download", "--no-deps", "--index-url", url, "-d", t.TempDir(), "teapot"}, more...)...)
		}
		for range 2 { // the second time from the cache
			if out := ix.succeeds(download(address("__token__", reader))); !strings.Contains(out, "teapot-1.1") {
				t.Errorf("a reader's pip says:\n%s", out)
			}
		}
		ix.succeeds(download(address("ada", ix.Token)))
		for _, url := range []string{address("__token__", "cachesrv-wrong"), ix.BaseURL() + "/simple/"} { // pip's cache is full
			ix.fails("401 Client Error")(download(url, "-vv"))
		}

		netrc := t.TempDir()
		if err := os.WriteFile(filepath.Join(netrc, ".netrc"), []byte("machine 127.0.0.1\nlogin __token__\npassword "+reader+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		ix.succeeds(ix.pip(netrc, "download", "--no-deps", "teapot"))

		// Two tokens share a page; without one there is none.
		other := *ix.Client
		other.Token = reader
		ix.must(ix.Get(t.Context(), "/simple/teapot/"))
		if a := ix.must(other.Get(t.Context(), "/simple/teapot/")); !a.Hit() {
			t.Errorf("the second reader's page: %s", a.Header.Get("Cache-Status"))
		}
		ix.cachesrv("token", "revoke", tokenID(t, ix, "for reading"))
		anonymous := *ix.Client
		anonymous.SendToken = false
		file := wheel("teapot", "1.0").Path()
		for _, path := range []string{"/", "/simple/", "/simple/teapot/", "/project/teapot/", "/user/ada/", "/search?q=tea", "/files/" + file, "/files/" + file + ".metadata"} {
			for who, c := range map[string]*indextest.Client{"nobody": &anonymous, "a revoked token": &other} {
				a, err := c.Get(t.Context(), path)
				if err != nil || a.Status != 401 || !strings.HasPrefix(a.Header.Get("Www-Authenticate"), "Basic ") || strings.Contains(string(a.Body), "teapot-1") {
					t.Errorf("%s asks for %s: %v, %v", who, path, a, err)
				}
			}
		}
		// A new release, at once.
		ix.succeeds(ix.twine(nil, wheel("teapot", "1.2")))
		if out := ix.succeeds(download(address("__token__", ix.Token))); !strings.Contains(out, "teapot-1.2") {
			t.Errorf("pip says:\n%s", out)
		}
	})
}

// TestRealTools: what setuptools builds is accepted, and installed.
func TestRealTools(t *testing.T) {
	ix := start(t, right, "")
	src := t.TempDir()
	for name, content := range map[string]string{
		"setup.py": `from setuptools import setup
setup(name="Real.Tools", version="1.0.post1", py_modules=["real_tools"], description="Built by setuptools",
      long_description=open("README.md", encoding="utf-8").read(), long_description_content_type="text/markdown",
      python_requires=">=3.6", install_requires=["teapot"], extras_require={"all": ["cup>1"]},
      project_urls={"Source": "https://example.org/source"}, classifiers=["Programming Language :: Python :: 3"],
      author="Ada Lovelace", author_email="ada@example.org", license="MIT", keywords="tea, tools", url="https://example.org/")
`,
		"real_tools.py": "__version__ = '1.0.post1'\n",
		"README.md":     "# Tools for tea\n\nWith a café, and 茶.\n",
	} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("/usr/bin/python3", "setup.py", "-q", "sdist", "bdist_wheel")
	build.Dir = src
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("setup.py: %v\n%s", err, out)
	}
	built, err := filepath.Glob(filepath.Join(src, "dist", "*"))
	if err != nil || len(built) != 2 {
		t.Fatalf("built: %q, %v", built, err)
	}
	ix.upload(wheel("teapot", "1.0"))
	args := append([]string{"upload", "--disable-progress-bar", "--repository-url", ix.BaseURL() + "/legacy/", "-u", "ada", "-p", ix.Token}, built...)
	ix.succeeds(ix.client(t.TempDir(), nil, "/usr/bin/twine", args...))
	if names := ix.names("real-tools"); len(names) != 2 {
		t.Errorf("the project has %q", names)
	}
	folder := t.TempDir()
	ix.succeeds(ix.pip(t.TempDir(), "install", "--target", folder, "real_tools"))
	if got := ix.installed(folder, "import real_tools, teapot; print(real_tools.__version__)"); got != "1.0.post1" {
		t.Errorf("installed is %s", got)
	}
	a := ix.must(ix.Get(t.Context(), "/project/real-tools/"))
	for _, want := range []string{"1.0.post1", "Tools for tea", "café, and 茶", "Ada Lovelace", "https://example.org/source", "Built by setuptools", "&gt;=3.6"} {
		if !strings.Contains(string(a.Body), want) {
			t.Errorf("the project's page does not show %q", want)
		}
	}
}

// TestUpstream: pip finds on another index what is not here, and what is here only here, from its first upload on.
func TestUpstream(t *testing.T) {
	other := start(t, right, "")
	other.upload(wheel("teapot", "9.9"), wheel("cup", "1.0"))
	ix := start(t, right, "", "--upstream", other.BaseURL())
	home := t.TempDir()
	for range 2 {
		out := ix.succeeds(ix.pip(home, "download", "--no-deps", "Teapot", "cup"))
		if !strings.Contains(out, "teapot-9.9-") || !strings.Contains(out, "cup-1.0-") {
			t.Errorf("from upstream:\n%s", out)
		}
	}
	a, err := ix.Get(t.Context(), "/simple/teapot/")
	if err != nil || a.Status != http.StatusFound || a.Header.Get("Location") != other.BaseURL()+"/simple/teapot/" || strings.Contains(a.Header.Get("Cache-Status"), "stored") {
		t.Errorf("the redirect: %d to %q, %q, %v", a.Status, a.Header.Get("Location"), a.Header.Get("Cache-Status"), err)
	}
	ix.succeeds(ix.twine(nil, wheel("teapot", "1.0")))
	if out := ix.succeeds(ix.pip(home, "download", "--no-deps", "teapot")); !strings.Contains(out, "teapot-1.0-") {
		t.Errorf("though it is here:\n%s", out)
	}
	ix.fails("from versions: 1.0)")(ix.pip(home, "download", "--no-deps", "teapot==9.9"))
}
