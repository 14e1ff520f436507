// Command cachesrv puts a cache in front of a site, serves a package index from it, looks after cache folders, and shows
// what the cache does on a small example site.
// docs/CLI.md describes every command; `cachesrv COMMAND --help` does so in short.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks to stop, the second one kills
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.LookupEnv))
}

// Exit statuses.
const (
	statusOK    = 0
	statusError = 1 // it failed, or check found problems
	statusUsage = 2 // the command line makes no sense
)

// cli is the command line. Flags of the embedded parts are settings: they can stand in the environment and in the
// configuration file too. All others are for one call.
type cli struct {
	Help   helpFlag `short:"h" help:"Show this help."`
	Config string   `placeholder:"FILE" help:"Read settings from this YAML file."`
	conf.Log

	Proxy   proxyCmd   `cmd:"" help:"Put the cache in front of any site."`
	Index   indexCmd   `cmd:"" help:"Serve a package index that pip and twine use, and look after it."`
	User    userCmd    `cmd:"" help:"Users of the package index."`
	Token   tokenCmd   `cmd:"" help:"Their tokens."`
	Purge   purgeCmd   `cmd:"" help:"Drop pages by key, tag, prefix, or all."`
	Ls      lsCmd      `cmd:"" help:"List pages with tags, size, age and hits."`
	Explain explainCmd `cmd:"" help:"Say whether and why a URL is cached or not."`
	Logs    logCmd     `cmd:"" name:"log" help:"Show what was dropped lately, and what was not stored."`
	Check   checkCmd   `cmd:"" help:"Compare pages, twins, claims and inventory."`
	Fence   fenceCmd   `cmd:"" help:"Stop or resume serving from the cache."`
	Example exampleCmd `cmd:"" help:"Serve a small notes site from the cache: a first thing to try."`
	Conf    confCmd    `cmd:"" help:"Check or show the configuration."`
	Version versionCmd `cmd:"" help:"Show version and build."`
}

const description = `cachesrv: a static page cache that is never stale. ` +
	`Every flag with a variable, $CACHESRV_…, can be set in the environment and in the configuration file too; ` +
	`a flag wins over the environment, that over the file, that over the default.`

// A program is one run of the command line: what it talks to, and where its settings came from.
type program struct {
	stdout, stderr io.Writer
	env            func(name string) (string, bool)

	args    []string
	cli     cli
	log     *slog.Logger
	level   slog.LevelVar     // of log
	file    *conf.File        // nil: none was named
	origins map[string]string // key of a setting → where its value comes from, unless it is the default
}

// run is the whole program but for signals. It prints errors and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, env func(string) (string, bool)) int {
	p := &program{stdout: stdout, stderr: stderr, env: env, args: args, origins: map[string]string{}}
	kctx, err := p.parse()
	if err != nil {
		return p.fail(err)
	}
	if err := p.check(p.cli.Log); err != nil {
		return p.fail(err)
	}
	if p.log, err = newLogger(stderr, p.cli.Log, &p.level); err != nil {
		return p.fail(err)
	}
	kctx.BindTo(ctx, (*context.Context)(nil))
	return p.fail(kctx.Run(p))
}

// parse reads the command line, the environment and the configuration file.
func (p *program) parse() (*kong.Context, error) {
	parser, err := newParser(p)
	if err != nil {
		return nil, err
	}
	kctx, err := parser.Parse(p.args)
	if err == nil {
		p.noteFlags(kctx)
	}
	return kctx, err
}

func newParser(p *program) (*kong.Kong, error) {
	return kong.New(&p.cli, kong.Name("cachesrv"), kong.Description(description),
		kong.Writers(p.stdout, p.stderr), kong.NoDefaultHelp(), kong.Bind(p),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}), kong.ValueFormatter(describeFlag))
}

// fail prints an error, one line for each that was joined, and returns the exit status.
func (p *program) fail(err error) int {
	var usage *kong.ParseError
	var source *sourceError
	var status statusCode
	switch {
	case err == nil, errors.Is(err, errHelpShown):
		return statusOK
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &source): // kong puts the flag's name before it, which was not used
		err = source
	case errors.As(err, &usage):
		command := "cachesrv"
		if node := usage.Context.Selected(); node != nil {
			command = node.FullPath()
		}
		fmt.Fprintf(p.stderr, "cachesrv: %v\nSee: %s --help\n", err, command)
		return statusUsage
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(p.stderr, "cachesrv: %s\n", line)
	}
	if errors.As(err, new(usageError)) {
		return statusUsage
	}
	return statusError
}

// A usageError is a command line that makes no sense.
type usageError string

func (e usageError) Error() string { return string(e) }

// A statusCode ends the program with an exit status after everything was printed.
type statusCode int

func (c statusCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// helpFlag prints the help of the command it stands behind.
type helpFlag bool

var errHelpShown = errors.New("help was shown")

func (helpFlag) IgnoreDefault() {}

// BeforeReset runs before anything else is looked at, so that help is shown whatever else is wrong.
func (helpFlag) BeforeReset(kctx *kong.Context) error {
	if err := kctx.PrintUsage(false); err != nil {
		return err
	}
	// A command that may be left out is what the user is about to call: show its flags, too.
	if node := kctx.Selected(); node != nil && node.DefaultCmd != nil {
		byName, err := kong.Trace(kctx.Kong, append(strings.Fields(node.Path()), node.DefaultCmd.Name))
		if err != nil {
			return err
		}
		fmt.Fprintln(kctx.Stdout)
		if err := byName.PrintUsage(false); err != nil {
			return err
		}
	}
	return errHelpShown
}

// newLogger takes settings that were checked. The level can be changed.
func newLogger(w io.Writer, c conf.Log, level *slog.LevelVar) (*slog.Logger, error) {
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, err
	}
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}
