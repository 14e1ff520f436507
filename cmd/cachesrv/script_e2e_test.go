//go:build e2e

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cachesrv/cachesrv/e2e/pgtest"
)

// TestScriptPostgres runs the program against PostgreSQL: each script has a server of its own, which it stops and starts:
// postgres stop|kill|start.
func TestScriptPostgres(t *testing.T) {
	p := scripts("script-postgres")
	files, err := filepath.Glob(filepath.Join(p.Dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	servers := map[string]*pgtest.Server{} // by the name of the script's work folder
	for _, file := range files {
		servers["script-"+strings.TrimSuffix(filepath.Base(file), ".txtar")] = pgtest.StartOwn(t)
	}
	serverOf := func(workDir string) (*pgtest.Server, error) {
		server, ok := servers[filepath.Base(workDir)]
		if !ok {
			return nil, fmt.Errorf("no server for %s", workDir)
		}
		return server, nil
	}
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		server, err := serverOf(env.WorkDir)
		if err != nil {
			return err
		}
		dsn, err := server.CreateDatabase(t.Context(), "notes")
		if err != nil {
			return err
		}
		env.Setenv("DSN", dsn)
		env.Setenv("NOWHERE", server.DSN("nowhere"))
		env.Setenv("INTRUDER", strings.Replace(dsn, "://postgres:", "://postgres:not", 1))
		return setup(env)
	}
	p.Cmds["postgres"] = func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: postgres stop|kill|start")
		}
		server, err := serverOf(ts.Getenv("WORK"))
		ts.Check(err)
		switch args[0] {
		case "stop":
			ts.Check(server.Stop())
		case "kill":
			ts.Check(server.Kill())
		case "start":
			ts.Check(server.Start(t.Context()))
		default:
			ts.Fatalf("postgres: unknown %s", args[0])
		}
	}
	testscript.Run(t, p)
}
