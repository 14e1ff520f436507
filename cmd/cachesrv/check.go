package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

type checkCmd struct {
	conf.Folder

	Repair bool `help:"Drop what is wrong. Pages are rendered again when asked for."`
	JSON   bool `name:"json" help:"One JSON object."`
}

func (checkCmd) Help() string {
	return `Exit status 1 if there are problems that were not repaired. It may run while servers have the folder open.

    cachesrv check
    cachesrv check --repair --json`
}

func (c *checkCmd) Run(ctx context.Context, p *program) error {
	return p.withFolder(ctx, c.Dir, func(store *cache.Store) error {
		r, err := store.Check(ctx, cache.CheckOptions{Repair: c.Repair})
		if err != nil {
			return fmt.Errorf("check %s: %w", store.Dir(), err)
		}
		left := 0
		for _, problem := range r.Problems {
			if !problem.Repaired {
				left++
			}
		}
		print := c.printText
		if c.JSON {
			print = c.printJSON
		}
		if err := print(p, store.Dir(), r, left); err != nil {
			return err
		}
		if left > 0 {
			return statusCode(statusError)
		}
		return nil
	})
}

func (c *checkCmd) printJSON(p *program, _ string, r cache.Report, _ int) error {
	if r.Problems == nil {
		r.Problems = []cache.Problem{} // a list in JSON, too
	}
	return json.NewEncoder(p.stdout).Encode(r)
}

func (c *checkCmd) printText(p *program, dir string, r cache.Report, left int) error {
	for _, problem := range r.Problems {
		kind := "left over"
		if problem.Broken {
			kind = "BROKEN"
		}
		if problem.Repaired {
			kind += ", repaired"
		}
		fmt.Fprintf(p.stdout, "%s: %s (%s)\n", problem.File, problem.What, kind)
	}
	_, err := fmt.Fprintf(p.stdout, "%s: %s, %s, %s, %s: %s\n", dir, count(r.Pages, "page"), count(r.Graced, "graced page"),
		count(r.Twins, "twin"), count(r.Claims, "fill"), c.verdict(len(r.Problems), left))
	return err
}

func (c *checkCmd) verdict(found, left int) string {
	problems := count(int64(found), "problem")
	switch {
	case found == 0:
		return "no problems"
	case left == 0:
		return problems + ", all repaired"
	case c.Repair:
		return fmt.Sprintf("%s, %d left that can't be repaired here", problems, left)
	default:
		return problems + "; drop them with: cachesrv check --repair " + c.Flags()
	}
}

// count writes a number with its unit, in the plural that takes an "s".
func count(n int64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}
