//go:build e2e

package index

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/indextest"
	"github.com/cachesrv/cachesrv/e2e/walk"
)

// TestWalkThrough runs README.md's walk-through against what `make run` starts.
func TestWalkThrough(t *testing.T) {
	t.Parallel()
	ix := prepare(t, right, "", "--demo")
	if err := ix.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	bin, err := python()
	if err != nil {
		t.Fatal(err)
	}
	// The lines expect to be in a clone where `make run` has built the program and made ./data.
	if err := errors.Join(os.Mkdir(filepath.Join(ix.dir, "bin"), 0o755), os.Symlink(ix.Path, filepath.Join(ix.dir, "bin", "cachesrv"))); err != nil {
		t.Fatal(err)
	}
	walk.Walk{
		Name: "walk-through", Readme: "../../README.md", Dir: ix.dir, Env: append(environment(ix.dir), "PATH="+bin+":/usr/local/bin:/usr/bin:/bin"),
		Adapt: strings.NewReplacer("127.0.0.1:8080", strings.TrimPrefix(ix.BaseURL(), "http://"), "/tmp/", ix.dir+"/tmp-"),
	}.Run(t)
}

// demoBound is how long `make run` may take from the start of the built program to its first page, with a new folder.
const demoBound = 10 * time.Second

// TestDemo: the sample projects are there within moments, once; and can be installed as the start says.
func TestDemo(t *testing.T) {
	ix := prepare(t, right, "", "--demo")
	began := time.Now()
	if err := ix.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(ix.BaseURL() + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	took := time.Since(began)
	t.Logf("from the start to the first page: %v", took)
	if resp.StatusCode != http.StatusOK || took > demoBound {
		t.Errorf("status %d after %v", resp.StatusCode, took)
	}

	token := func() string {
		t.Helper()
		content, err := os.ReadFile(ix.data("demo-token"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(content))
	}
	ix.Client = &indextest.Client{Base: ix.BaseURL(), Token: token()}
	names := ix.listed()
	if len(names) < 30 {
		t.Errorf("it has only %q", names)
	}
	folder := t.TempDir()
	ix.succeeds(ix.pip(t.TempDir(), append([]string{"install", "--target", folder}, names...)...)) // all of them, with what they need
	ix.upload(wheel("my-own", "1.0"))

	if err := ix.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := token()
	if err := ix.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ix.Client.Base = ix.BaseURL()
	if again := ix.listed(); len(again) != len(names)+1 || token() != first {
		t.Errorf("after another start it has %q, and the token is the same: %v", again, token() == first)
	}
	ix.upload(wheel("my-own", "1.1"))
}
