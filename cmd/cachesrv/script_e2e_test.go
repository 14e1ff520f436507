//go:build e2e

package main

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cachesrv/cachesrv/e2e/pgtest"
)

// TestScriptPostgres runs the program against a PostgreSQL of its own, which the scripts stop and start:
// postgres stop|kill|start.
func TestScriptPostgres(t *testing.T) {
	server := pgtest.StartOwn(t)
	p := scripts("script-postgres")
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
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
