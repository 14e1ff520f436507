package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/load"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// cmdMake makes distributions: make DIR NAME VERSION wheel|sdist [TEXT]. With another TEXT the file is another one.
func cmdMake(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 5 {
		ts.Fatalf("usage: make DIR NAME VERSION wheel|sdist [TEXT]")
	}
	d := sample.Dist{Name: args[1], Version: args[2], Summary: "A sample"}
	if len(args) == 5 {
		d.Summary = args[4]
	}
	dist := d.Wheel
	if args[3] == "sdist" {
		dist = d.Sdist
	}
	name, content := dist()
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(os.WriteFile(filepath.Join(dir, name), content, 0o644))
}

// cmdGet sets a variable to what a file holds, without spaces around it: get NAME FILE.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get NAME FILE")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// cmdUpload uploads a file as twine does and prints the answer's status and body: upload ADDRESS TOKEN FILE.
func cmdUpload(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: upload ADDRESS TOKEN FILE")
	}
	contentType, body, err := uploadForm(filepath.Base(args[2]), []byte(ts.ReadFile(args[2])))
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+args[0]+"/legacy/", strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", contentType)
	req.SetBasicAuth("__token__", args[1])
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write([]byte(res.Status + "\n" + string(text) + "\n"))
	ts.Check(err)
}

// uploadForm makes the form that twine sends for a distribution.
func uploadForm(name string, content []byte) (contentType, body string, err error) {
	sum := sha256.Sum256(content)
	project, rest, _ := strings.Cut(name, "-")
	version, _, _ := strings.Cut(strings.TrimSuffix(rest, ".tar.gz"), "-")
	fields := [][2]string{
		{":action", "file_upload"}, {"protocol_version", "1"}, {"metadata_version", "2.1"}, {"name", project}, {"version", version},
		{"sha256_digest", hex.EncodeToString(sum[:])}, {"filetype", "sdist"}, {"pyversion", "source"},
	}
	if strings.HasSuffix(name, ".whl") {
		fields[6][1], fields[7][1] = "bdist_wheel", "py3"
	}
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for _, f := range fields {
		err = errors.Join(err, form.WriteField(f[0], f[1]))
	}
	part, fileErr := form.CreateFormFile("content", name)
	if err = errors.Join(err, fileErr); err != nil {
		return "", "", err
	}
	_, err = part.Write(content)
	err = errors.Join(err, form.Close())
	return form.FormDataContentType(), b.String(), err
}

// TestImportStops: Ctrl-C ends an import between two files, and the message says how to go on.
func TestImportStops(t *testing.T) {
	name, content := sample.Dist{Name: "tea", Version: "1.0"}.Wheel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := load.Find(folder)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	p := &program{stdout: &out, stderr: &errs}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = (&importCmd{From: folder}).load(ctx, p, nil, found)
	if status := p.fail(err); status != statusError || errs.String() != "cachesrv: stopped after 0 of 1 files: run it again to go on\n" {
		t.Errorf("status %d, %q", status, errs.String())
	}
	if !strings.Contains(out.String(), ": added 0 files, 0 B, 0 projects new; 0 unchanged, 0 skipped, 0 failed; ") {
		t.Errorf("%q", out.String())
	}
}

// TestCommandsWarn: a command whose change is committed, but can't be applied to the pages, says so on standard error.
func TestCommandsWarn(t *testing.T) {
	var errs bytes.Buffer
	log, err := newLogger(&errs, conf.Log{LogLevel: "info", LogFormat: "text"}, new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	p := &program{stderr: &errs, log: log}
	err = p.withStore(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "live"), func(store *cache.Store) error {
		return p.withCatalog(t.Context(), store, conf.Database{DB: "sqlite"}, conf.Uploads{}, func(cat *catalog.Catalog) error {
			return errors.Join(store.Close(), cat.AddUser(t.Context(), "ada"))
		})
	})
	if err != nil || !strings.Contains(errs.String(), "is committed; the cache is still to drop") {
		t.Errorf("%v; %s", err, errs.String())
	}
}
