package torture

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/cachesrv/cachesrv/e2e/indextest"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// An IndexSetup is the case of a Config whose target is our package index, `cachesrv index`: uploads are the commits,
// and its pages are read in all their forms.
type IndexSetup struct {
	Program   string // path of the built cachesrv
	DB        string // postgres://…; default: SQLite
	Dir       string // of files, cache and SQLite database
	Control   string // of cache/fault; empty: built right
	Instances int    // of the program, on one folder and one database; default 1
	// NoSerial leaves the serial's header out. Then HTML pages are such that other servers read them, and so do some
	// readers; with it they read pages for people only.
	NoSerial bool
	Load     Load      // Pages follows from Projects, and Size means nothing. Default rate: 50 commits per second
	Projects int       // default 12
	Log      io.Writer // of the program; default: discarded
}

// indexHost is what readers of an index send as Host: with a name that no port is part of, pages outlive a restart.
const indexHost = "index.test"

// indexUser is who uploads.
const indexUser = "torture"

// Start starts the index, and returns the Config of a run.
func (s IndexSetup) Start(ctx context.Context) (Config, error) {
	defaultTo(&s.Projects, 12)
	defaultTo(&s.Load.Rate, 50)
	pages := &indexPages{projects: s.Projects, lists: s.Projects, serial: !s.NoSerial}
	s.Load.Pages = pages.Len()
	s.Load = s.Load.withDefaults()
	folder := &Folder{Dir: s.Dir, Live: filepath.Join(s.Dir, "live")}
	args := []string{"--host", indexHost, "--live", folder.Live}
	if s.NoSerial {
		args = append(args, "--serial-header", "off")
	}
	several := &Instances{}
	for range max(1, s.Instances) {
		a := NewIndex(s.Program, s.Dir, s.DB, args...)
		a.Log = s.Log
		if s.Control != "" {
			a.Env = []string{"CACHESRV_CONTROL=" + s.Control}
		}
		several.Applications = append(several.Applications, a)
	}
	database := Database{cmp.Or(s.DB, filepath.Join(s.Dir, "index.db"))}
	var target Target = several
	if len(several.Applications) == 1 {
		target = several.Applications[0]
	}
	if err := target.Start(ctx); err != nil {
		return Config{}, err
	}
	token, err := several.Applications[0].AddToken(ctx, indexUser)
	if err != nil {
		return Config{}, errors.Join(err, target.Kill())
	}
	return Config{
		Load: s.Load, Target: target, Pages: pages, Source: indexSource{database, pages}, Folder: folder,
		Commit: newUploads(target, pages, token), Control: s.Control,
	}, nil
}

// NewIndex returns a `cachesrv index`, the program at path, on a port of its own choice. The database "" is SQLite.
func NewIndex(path, dir, db string, args ...string) *Application {
	name := "index on SQLite"
	if db != "" {
		name = "index on PostgreSQL"
		args = append(args, "--db", db)
	}
	return &Application{
		Name: name, Path: path, Announced: announcedURL,
		Args: append([]string{"index", "--listen", "127.0.0.1:0", "--dir", dir}, args...),
	}
}

var urlInLine = regexp.MustCompile(`http://(127\.0\.0\.1:[0-9]+)/`)

// announcedURL finds the first URL of this machine's.
func announcedURL(line string) (address string, ok bool) {
	if m := urlInLine.FindStringSubmatch(line); m != nil {
		return m[1], true
	}
	return "", false
}

// Command runs another command of an index's program on the index's folder and database, and returns what it writes to
// standard output. Standard error is in the error.
func (a *Application) Command(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for i, arg := range a.Args {
		if arg == "--dir" || arg == "--db" {
			args = append(args, a.Args[i:i+2]...)
		}
	}
	c := exec.CommandContext(ctx, a.Path, args...)
	c.Env = append(os.Environ(), a.Env...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return string(out), fmt.Errorf("cachesrv %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out), nil
}

// AddToken adds a user, and a token of theirs to upload with.
func (a *Application) AddToken(ctx context.Context, user string) (string, error) {
	if _, err := a.Command(ctx, "user", "add", user); err != nil {
		return "", err
	}
	token, err := a.Command(ctx, "token", "add", "--user", user)
	return strings.TrimSpace(token), err
}

// tortured is the n-th version of a project, from 1.
func tortured(project int, n int64) indextest.File {
	return indextest.Wheel(sample.Dist{
		Name: indexProject(project), Version: fmt.Sprintf("1.%d", n), Summary: fmt.Sprintf("version %d of project %d", n, project),
		Description: "# Tortured\n\n" + strings.Repeat("It is a *long* story. ", 50),
	})
}

func indexProject(project int) string { return fmt.Sprintf("torture-%02d", project) }

// uploads commits by uploading each project's next version.
type uploads struct {
	target Target
	pages  *indexPages
	token  string
	next   []nextUpload
}

type nextUpload struct {
	sync.Mutex
	n int64 // uploaded so far
}

func newUploads(target Target, pages *indexPages, token string) *uploads {
	return &uploads{target, pages, token, make([]nextUpload, pages.projects)}
}

func (u *uploads) String() string { return "upload" }

// Commit uploads the next version of the project that the page is about, or the list begins with. What failed is
// uploaded again the next time.
func (u *uploads) Commit(ctx context.Context, page int) (Commit, error) {
	project, _ := u.pages.about(page)
	if project < 0 {
		project = page % u.pages.projects
	}
	next := &u.next[project]
	next.Lock()
	defer next.Unlock()
	client := indextest.Client{Base: u.target.BaseURL(), Host: indexHost, Token: u.token}
	file := tortured(project, next.n+1)
	answer, err := client.Upload(ctx, file)
	if err != nil {
		return Commit{}, fmt.Errorf("uploading %s: %w", file.Filename, err)
	}
	serial, err := strconv.ParseInt(answer.Header.Get(serialHeader), 10, 64)
	if answer.Status != 200 || err != nil {
		return Commit{}, fmt.Errorf("uploading %s: %v, %s %q", file.Filename, answer, serialHeader, answer.Header.Get(serialHeader))
	}
	next.n++
	var c Commit
	for changed := range u.pages.Len() {
		version := 1 + next.n
		switch about, _ := u.pages.about(changed); about {
		case project:
		case aboutAll:
			version = 1 + serial
		default:
			continue
		}
		if changed == page {
			c.Version = version
		} else {
			c.Also = append(c.Also, Shown{changed, version})
		}
	}
	return c, nil
}
