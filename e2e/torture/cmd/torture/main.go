// Command torture loads a target with readers and committers that race, and reports every broken promise. It ends with 0
// if there was none, with 1 if there was, and with 2 if the run could not be held. See package torture.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/cachesrv/cachesrv/e2e/pgtest"
	"github.com/cachesrv/cachesrv/e2e/torture"
)

type options struct {
	App       string `required:"" type:"existingfile" help:"The program to torture: go build ./e2e/torture/app, with -tags cachesrv_fault for controls and kills at points."`
	DB        string `help:"Its database: postgres://…, or a file for SQLite, or \"postgres\" for a server of its own. Default: a file in the folder."`
	Dir       string `help:"Folder for cache and database. Default: a new one, removed if the run passed."`
	Means     string `default:"key" enum:"key,tag,prefix,each,rm" help:"How commits invalidate: ${enum} (each: the first three; rm: two bare unlinks in a plain folder)."`
	Fault     string `default:"none" enum:"none,random,points" help:"Kills: ${enum}."`
	Kills     int    `help:"Kills of the fault. Default: until the duration ends (random), one at each point (points)."`
	Control   string `help:"Build the target wrong, in this way of cache/fault."`
	Instances int    `default:"1" help:"Instances of the program, on one folder and one database."`
	JSON      bool   `help:"Report in JSON."`

	Seed       uint64        `help:"Of all choices. Default: chosen and printed."`
	Duration   time.Duration `default:"30s" help:"Of the load."`
	Reads      int64         `help:"End the load sooner, when so many reads were answered."`
	Pages      int           `default:"64" help:"Pages."`
	Size       int           `default:"15000" help:"Bytes of a page."`
	Render     time.Duration `default:"20ms" help:"Longest render."`
	Readers    int           `default:"32" help:"Readers."`
	Committers int           `default:"4" help:"Committers."`
	Rate       float64       `default:"200" help:"Commits per second, of all committers."`
	Pause      time.Duration `default:"4ms" help:"Mean pause of a reader between two requests."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("Load a cache and count every broken promise."))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	switch err := run(ctx, o, os.Stdout, os.Stderr); {
	case errors.Is(err, torture.ErrFailed):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func run(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "torture-"); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				err = os.RemoveAll(o.Dir)
			} else {
				fmt.Fprintln(stderr, "the folder is kept:", o.Dir)
			}
		}()
	}
	if o.DB == "postgres" {
		server, startErr := pgtest.StartServer(ctx, "")
		if startErr != nil {
			return startErr
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		if o.DB, err = server.CreateDatabase(ctx, "torture"); err != nil {
			return err
		}
	}
	load := torture.Load{
		Seed: o.Seed, Duration: o.Duration, Reads: o.Reads, Pages: o.Pages, Size: o.Size, Readers: o.Readers, Committers: o.Committers,
		Rate: o.Rate, Pause: o.Pause,
	}
	setup := torture.Setup{
		App: o.App, DB: o.DB, Dir: o.Dir, Means: o.Means, Control: o.Control, Instances: o.Instances, Render: o.Render, Load: load, Log: stderr,
	}
	c := setup.Config()
	c.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	switch o.Fault {
	case "random":
		c.Fault = torture.KillAtRandom{Kills: o.Kills}
	case "points":
		app, ok := c.Target.(*torture.Application)
		if !ok {
			return errors.New("--fault points needs --instances 1")
		}
		c.Fault = &torture.KillAtPoints{Application: app, Points: torture.PointsOf(o.Means), Kills: o.Kills}
	}
	r, err := torture.Run(ctx, c)
	if err != nil {
		return errors.Join(err, c.Target.Kill())
	}
	if err := c.Target.Stop(ctx); err != nil {
		return err
	}
	if o.JSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		_, err = r.WriteTo(stdout)
	}
	if err != nil {
		return err
	}
	return r.Verdict()
}
