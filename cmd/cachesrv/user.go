package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/render/index/catalog"
)

type userCmd struct {
	Add  userAddCmd  `cmd:"" help:"Make a user of the package index."`
	List userListCmd `cmd:"" help:"List the users."`
}

type userAddCmd struct {
	newIndexFolder

	Name string `arg:"" help:"Small letters, digits and . _ -, at most 64."`
}

func (userAddCmd) Help() string {
	return `A user has no password, but tokens. The index is made if there is none in DIR.

    cachesrv user add ada
    cachesrv token add --user ada`
}

func (c *userAddCmd) Run(ctx context.Context, p *program) error {
	return p.withNewIndex(ctx, c.newIndexFolder, conf.Uploads{}, func(cat *catalog.Catalog) error {
		if err := cat.AddUser(ctx, c.Name); err != nil {
			return fmt.Errorf("user %s: %w", printable(c.Name), err)
		}
		_, err := fmt.Fprintf(p.stdout, "%s: added; next: cachesrv token add --user %s %s\n", c.Name, c.Name, c.flags())
		return err
	})
}

type userListCmd struct {
	indexFolder

	JSON bool `name:"json" help:"One JSON object per line."`
}

func (c *userListCmd) Run(ctx context.Context, p *program) error {
	return p.withIndex(ctx, c.indexFolder, func(cat *catalog.Catalog) error {
		users, err := cat.Users(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			out := json.NewEncoder(p.stdout)
			for _, u := range users {
				err := out.Encode(struct {
					Name    string    `json:"name"`
					Created time.Time `json:"created"`
					Tokens  int       `json:"tokens"` // that are valid
				}{u.Name, u.Created, u.Tokens})
				if err != nil {
					return err
				}
			}
			return nil
		}
		if len(users) == 0 {
			_, err := fmt.Fprintf(p.stdout, "no users: make one with: cachesrv user add NAME %s\n", c.flags())
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tCREATED\tTOKENS")
		for _, u := range users {
			fmt.Fprintf(w, "%s\t%s\t%d\n", u.Name, day(u.Created), u.Tokens)
		}
		return w.Flush()
	})
}

// day writes a date for people.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
