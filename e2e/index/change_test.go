//go:build e2e

package index

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// TestYankAndDelete: by the command line or over HTTP, pip sees it at once.
func TestYankAndDelete(t *testing.T) {
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	ways := []struct {
		name                 string
		yank, unyank         func(ix *index, version, reason string)
		deleteFile           func(ix *index, version, file string)
		deleteRelease, erase func(ix *index, version string)
	}{
		{
			"command",
			func(ix *index, version, reason string) {
				ix.cachesrv("index", "yank", "Teapot", version, "--reason", reason)
			},
			func(ix *index, version, _ string) { ix.cachesrv("index", "unyank", "teapot", version) },
			func(ix *index, version, file string) { ix.cachesrv("index", "delete", "teapot", version, file) },
			func(ix *index, version string) { ix.cachesrv("index", "delete", "teapot", version) },
			func(ix *index, _ string) { ix.cachesrv("index", "delete", "teapot", "--all") },
		},
		{
			"http",
			func(ix *index, version, reason string) {
				ix.must(ix.Do(ix.t.Context(), "POST", "/project/teapot/"+version+"/yank", []byte(url.Values{"reason": {reason}}.Encode()), form...))
			},
			func(ix *index, version, _ string) {
				ix.must(ix.Do(ix.t.Context(), "POST", "/project/teapot/"+version+"/unyank", nil))
			},
			func(ix *index, version, file string) {
				ix.must(ix.Do(ix.t.Context(), "DELETE", "/project/teapot/"+version+"/"+file, nil))
			},
			func(ix *index, version string) {
				ix.must(ix.Do(ix.t.Context(), "DELETE", "/project/teapot/"+version+"/", nil))
			},
			func(ix *index, _ string) { ix.must(ix.Do(ix.t.Context(), "DELETE", "/project/teapot/", nil)) },
		},
	}
	onEach(t, func(t *testing.T, db string) {
		for i, way := range ways {
			if !soaking && (i == 0) != (db == "") {
				continue // each way on one database, each database with one way
			}
			t.Run(way.name, func(t *testing.T) {
				if db != "" && i > 0 {
					db = databases[1].open(t) // a fresh one
				}
				ix := start(t, right, db)
				home := t.TempDir()
				ix.upload(wheel("teapot", "1.0"), wheel("teapot", "1.1"), sdist("teapot", "1.1"), wheel("teapot", "1.2"), wheel("cup", "1.0"))
				page := func(path string) string { return string(ix.must(ix.Get(t.Context(), path)).Body) }
				offered := func(want string) {
					t.Helper()
					// With the pages and what pip itself keeps of them as they are.
					if out := ix.succeeds(ix.pip(home, "index", "versions", "teapot")); !strings.Contains(out, "\nteapot ("+want+")\n") {
						t.Fatalf("pip does not offer %s first:\n%s", want, out)
					}
				}
				offered("1.2")
				page("/project/teapot/")

				way.yank(ix, "1.2", `leaks <b>tea</b> & "cups"`)
				offered("1.1")
				for _, form := range []string{indextest.JSON, indextest.HTML, indextest.HTMLv1} {
					e := ix.simple("teapot", form).Find("teapot-1.2-py3-none-any.whl")
					if e == nil || e.Yanked == nil || *e.Yanked != `leaks <b>tea</b> & "cups"` {
						t.Errorf("as %s it is not yanked for its reason: %+v", form, e)
					}
				}
				if body := page("/project/teapot/1.2/"); !strings.Contains(strings.ToLower(body), "yanked") || strings.Contains(body, "<b>tea") {
					t.Errorf("the release's page does not say that it is yanked, or does not escape why")
				}

				way.unyank(ix, "1.2", "")
				offered("1.2")
				if e := ix.simple("teapot", indextest.JSON).Find("teapot-1.2-py3-none-any.whl"); e == nil || e.Yanked != nil {
					t.Errorf("it is still yanked: %+v", e)
				}

				gone := wheel("teapot", "1.2")
				way.deleteFile(ix, "1.2", gone.Filename)
				offered("1.1")
				if a, err := ix.Get(t.Context(), "/files/"+gone.Path()); err != nil || a.Status != 404 {
					t.Errorf("the deleted file: %v, %v", a, err)
				}
				if files := ix.tree("files"); slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, gone.Filename) }) {
					t.Errorf("below files: %q", files)
				}
				if a, err := ix.Upload(t.Context(), gone); err != nil || a.Status != http.StatusBadRequest || !strings.Contains(a.Phrase, "delet") {
					t.Errorf("a deleted file's name, again: %v, %v", a, err)
				}

				way.deleteRelease(ix, "1.1")
				offered("1.0")
				if a, err := ix.Get(t.Context(), "/project/teapot/1.1/"); err != nil || a.Status != 404 {
					t.Errorf("the deleted release: %d, %v", a.Status, err)
				}

				way.erase(ix, "")
				ix.fails("No matching distribution found")(ix.pip(home, "index", "versions", "teapot"))
				if names := ix.names("teapot"); names != nil {
					t.Errorf("the deleted project has %q", names)
				}
				if names := ix.listed(); !slices.Equal(names, []string{"cup"}) {
					t.Errorf("listed are %q", names)
				}
				for _, path := range []string{"/project/teapot/", "/project/teapot/1.0/"} {
					if a, err := ix.Get(t.Context(), path); err != nil || a.Status != 404 {
						t.Errorf("%s: %d, %v", path, a.Status, err)
					}
				}
				if files := ix.tree("files"); len(files) != 2 {
					t.Errorf("below files: %q", files)
				}
				if left := ix.tree("incoming"); len(left) != 0 {
					t.Errorf("incoming: %q", left)
				}
				ix.check(false)
			})
		}
	})
}

// TestRoles: a change by somebody else needs a role, and a token that was revoked is refused at once.
func TestRoles(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		ix := start(t, right, db)
		ix.upload(wheel("teapot", "1.0"))
		bob := *ix.Client
		var err error
		if bob.Token, err = ix.AddToken(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		try := func(what string, c *indextest.Client, version string, want int) {
			t.Helper()
			if a, err := c.Upload(t.Context(), wheel("teapot", version)); err != nil || a.Status != want {
				t.Errorf("%s: %v, %v; want %d", what, a, err, want)
			}
		}
		try("without a role", &bob, "1.1", 403)
		ix.cachesrv("index", "role", "add", "teapot", "bob")
		try("with a role", &bob, "1.1", 200)
		if a, err := bob.Do(t.Context(), "DELETE", "/project/teapot/1.1/", nil); err != nil || a.Status != 403 {
			t.Errorf("a maintainer deletes: %v, %v", a, err)
		}
		if a := ix.must(ix.Get(t.Context(), "/user/bob/")); !strings.Contains(string(a.Body), "/project/teapot/") {
			t.Error("the user's page does not show the project")
		}
		ix.cachesrv("index", "role", "remove", "teapot", "bob")
		try("with a role that was taken", &bob, "1.2", 403)
		if a := ix.must(ix.Get(t.Context(), "/user/bob/")); strings.Contains(string(a.Body), "/project/teapot/") {
			t.Error("the user's page still shows the project")
		}

		limited := *ix.Client
		limited.Token = strings.TrimSpace(ix.cachesrv("token", "add", "--user", "ada", "--project", "Cup"))
		try("a token for another project", &limited, "1.2", 403)
		if a, err := limited.Upload(t.Context(), wheel("cup", "1.0")); err != nil || a.Status != 200 {
			t.Errorf("a token for the project: %v, %v", a, err)
		}
		reader := *ix.Client
		reader.Token = strings.TrimSpace(ix.cachesrv("token", "add", "--user", "ada", "--scope", "read"))
		try("a token for reading", &reader, "1.2", 403)

		revoked := *ix.Client
		revoked.Token = strings.TrimSpace(ix.cachesrv("token", "add", "--user", "ada", "--note", "to be revoked"))
		try("a second token", &revoked, "1.2", 200)
		ix.cachesrv("token", "revoke", tokenID(t, ix, "to be revoked"))
		try("a revoked token", &revoked, "1.3", 403)
		try("the first token", ix.Client, "1.3", 200)
	})
}

// tokenID finds a token by its note.
func tokenID(t *testing.T, ix *index, note string) string {
	t.Helper()
	for line := range strings.Lines(ix.cachesrv("token", "list")) {
		if strings.Contains(line, note) {
			return strings.Fields(line)[0]
		}
	}
	t.Fatalf("no token %q in:\n%s", note, ix.cachesrv("token", "list"))
	return ""
}
