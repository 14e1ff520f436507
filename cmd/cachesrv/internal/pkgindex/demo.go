package pkgindex

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/demo"
)

// prepareDemo fills an index with the sample projects, once, and returns a token that is good for them. The token is
// kept in DIR/demo-token, for the user alone, which also says that the projects are all there: what is deleted later
// does not come back. An index of one's own is no place for them: ErrNotEmpty.
func prepareDemo(ctx context.Context, cat *catalog.Catalog, dir string, log *slog.Logger) (string, error) {
	path := filepath.Join(dir, "demo-token")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the demo's token: %w", err)
	}
	_, unknown := cat.User(ctx, demo.User)
	if errors.Is(unknown, catalog.ErrNotFound) { // else they may be half loaded
		if err := empty(ctx, cat); err != nil {
			return "", fmt.Errorf("%s: %w: name another folder with --dir, or leave --demo out", dir, err)
		}
	}
	if err != nil || errors.Is(unknown, catalog.ErrNotFound) {
		began := time.Now()
		n, err := demo.Load(ctx, cat)
		if err != nil {
			return "", fmt.Errorf("the demo's projects: %w", err)
		}
		log.Info("loaded the demo's projects", "files", n, "took", time.Since(began).Round(time.Millisecond))
	} else if unknown != nil {
		return "", unknown
	}
	token := strings.TrimSpace(string(text))
	if token != "" {
		who, err := cat.Authenticate(ctx, demo.User, token)
		if err == nil && who.Scope == catalog.ScopeUpload {
			return token, nil
		}
		if err != nil && !errors.Is(err, catalog.ErrUnauthorized) {
			return "", err
		}
	}
	_, token, err = cat.AddToken(ctx, catalog.Token{User: demo.User, Scope: catalog.ScopeUpload, Note: "made by --demo"})
	if err != nil {
		return "", fmt.Errorf("the demo's token: %w", err)
	}
	return token, writeSecret(path, token+"\n")
}

// ErrNotEmpty says that an index is somebody's: no sample projects are mixed in.
var ErrNotEmpty = errors.New("--demo is for a new index, and this one has projects or users already")

func empty(ctx context.Context, cat *catalog.Catalog) error {
	users, err := cat.Users(ctx)
	if err != nil {
		return err
	}
	all, err := cat.Overview(ctx, 1)
	if err != nil {
		return err
	}
	if len(users) > 0 || all.Projects > 0 {
		return ErrNotEmpty
	}
	return nil
}

// writeSecret replaces a file that only this user may read: a file beside it, fsync, rename, fsync of the folder.
func writeSecret(path, text string) error {
	dir := filepath.Dir(path)
	if err := renameio.WriteFile(path, []byte(text), 0o600, renameio.WithTempDir(dir), renameio.IgnoreUmask()); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func greetDemo(w io.Writer, base string, c conf.Config, token string) error {
	_, err := fmt.Fprintf(w, `The sample projects belong to the user %[1]s, whose token is kept in %[2]s. Try:
  pip install --index-url %[3]s/simple/ %[4]s
  twine upload --repository-url %[5]s/legacy/ -u __token__ -p %[6]s dist/*

`, demo.User, filepath.Join(c.Dir, "demo-token"), withCredentials(base, c.Private, token), demo.Suggested, base, token)
	return err
}
