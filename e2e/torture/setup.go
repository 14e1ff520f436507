package torture

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// A Setup is the usual case of a Config: our test program (app/) on one of its databases, with its cache in a folder.
type Setup struct {
	App       string        // path of the built program
	DB        string        // postgres://… or the path of an SQLite database; default: a file in Dir
	Dir       string        // of the cache, and of the SQLite database
	Means     string        // key, tag, prefix, rm, or each for the first three in turn
	Control   string        // of cache/fault; empty: built right
	Instances int           // of the program, on one folder and one database; default 1
	Render    time.Duration // longest; default 20 ms
	Chunks    int           // writes that a body takes; default 3
	Load      Load
	Log       io.Writer // of the program; default: discarded
}

// Config returns the run's.
func (s Setup) Config() Config {
	defaultTo(&s.Render, 20*time.Millisecond)
	defaultTo(&s.Chunks, 3)
	s.Load = s.Load.withDefaults()
	name := "Echo on PostgreSQL"
	defaultTo(&s.DB, filepath.Join(s.Dir, "pages.db"))
	database := Database{s.DB}
	if !database.IsPostgres() {
		name = "net/http on SQLite"
	}
	bare := s.Means == "rm"
	var env []string
	if s.Control != "" {
		env = append(env, "CACHESRV_CONTROL="+s.Control)
	}
	site := Site{Host: "torture.test", Pages: s.Load.Pages, Size: s.Load.Size, Extra: !bare}
	folder := &Folder{Dir: s.Dir, Live: filepath.Join(s.Dir, "live")}
	instance := func() *Application {
		return &Application{Name: name, Path: s.App, Log: s.Log, Env: env, Args: []string{
			"--db", s.DB, "--dir", folder.Dir, "--live", folder.Live, "--host", site.Host,
			fmt.Sprintf("--pages=%d", site.Pages), fmt.Sprintf("--size=%d", site.Size), fmt.Sprintf("--render=%s", s.Render),
			fmt.Sprintf("--chunks=%d", s.Chunks), fmt.Sprintf("--extra=%t", site.Extra), fmt.Sprintf("--plain=%t", bare),
		}}
	}
	// target is what one instance and several have in common.
	var target interface {
		Target
		By(means string) Committer
	} = instance()
	if s.Instances > 1 {
		several := &Instances{}
		for range s.Instances {
			several.Applications = append(several.Applications, instance())
		}
		target = several
	}
	c := Config{
		Load: s.Load, Target: target, Source: database, Site: site, Folder: folder, Control: s.Control, Commit: target.By(s.Means),
	}
	switch {
	case s.Means == "each":
		c.Commit = each{target.By("key"), target.By("tag"), target.By("prefix")}
	case bare:
		c.Commit = &Unlink{Plain: target.By("nothing"), Folder: folder, Site: site, Every: 20}
	}
	return c
}

// PointsOf returns the points (cache/fault) at which an application can be killed when commits invalidate by these means.
func PointsOf(means string) []string {
	points := []string{fault.FillClaimed, fault.FillWrite, fault.PublishRow, fault.PublishLinked}
	if means == "rm" {
		return points
	}
	return append(points, fault.CommitDone, fault.CommitRecorded, fault.DropClaim, fault.DropPage)
}

// each has a page's number decide by which committer it is committed.
type each []Committer

func (e each) String() string {
	names := make([]string, len(e))
	for i, c := range e {
		names[i] = c.String()
	}
	return strings.Join(names, ", ")
}

func (e each) Commit(ctx context.Context, page int) (Commit, error) {
	return e[page%len(e)].Commit(ctx, page)
}
