package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

type tokenCmd struct {
	Add    tokenAddCmd    `cmd:"" help:"Make a token and print it: this once."`
	List   tokenListCmd   `cmd:"" help:"List the tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"Make a token worthless, at once."`
}

type tokenAddCmd struct {
	indexFolder

	User    string   `required:"" placeholder:"NAME" help:"Whose token it is."`
	Project []string `sep:"none" placeholder:"P" help:"Let it change this project only; it reads all of a private index, as every token. May be repeated; the project need not be there yet."`
	Scope   string   `default:"upload" enum:"upload,read" placeholder:"SCOPE" help:"What it is good for: upload, or only to read a private index. Default: upload."`
	Expires string   `placeholder:"WHEN" help:"When it ends: 90d, 12h, or a date like 2027-01-31 (at its end, UTC). Default: never."`
	Note    string   `placeholder:"TEXT" help:"What it is for, to know it by later."`
}

func (tokenAddCmd) Help() string {
	return `The token alone goes to standard output, and how to use it to standard error. The index keeps only a digest: a token ` +
		`that is lost is revoked, and another one made.

    cachesrv token add --user ada
    cachesrv token add --user ada --project oolong --expires 90d --note "CI of oolong"
    cachesrv token add --user ada --scope read`
}

func (c *tokenAddCmd) Run(ctx context.Context, p *program) error {
	t := catalog.Token{User: c.User, Scope: catalog.Scope(c.Scope), Note: c.Note}
	for _, name := range c.Project {
		if !dist.ValidName(name) {
			return usageError(fmt.Sprintf("--project %q: a project can't have that name", name))
		}
		t.Projects = append(t.Projects, dist.Normalize(name))
	}
	var err error
	if t.Expires, err = expiry(c.Expires, time.Now()); err != nil {
		return usageError("--expires " + err.Error())
	}
	return p.withIndex(ctx, c.indexFolder, func(cat *catalog.Catalog) error {
		secret := ""
		err := c.needUser(ctx, cat, c.User)
		if err == nil {
			t, secret, err = cat.AddToken(ctx, t)
		}
		if err != nil {
			return fmt.Errorf("token for %s: %w", printable(c.User), err)
		}
		if _, err := fmt.Fprintln(p.stdout, secret); err != nil {
			return err
		}
		use := "use: twine upload --repository-url http://HOST/legacy/ -u __token__ -p TOKEN dist/*"
		if t.Scope == catalog.ScopeRead {
			use = "use: pip install --index-url http://__token__:TOKEN@HOST/simple/ PROJECT"
		}
		_, err = fmt.Fprintf(p.stderr, "token %s of %s (%s); it is shown this once\n%s\nend it with: cachesrv token revoke %s %s\n",
			t.ID, t.User, describeToken(t), use, t.ID, c.flags())
		return err
	})
}

// describeToken says what a token is good for, and how long.
func describeToken(t catalog.Token) string {
	text := string(t.Scope)
	if len(t.Projects) > 0 {
		text += " of " + strings.Join(t.Projects, ", ")
	}
	if t.Expires.IsZero() {
		return text + "; never expires"
	}
	return text + "; expires " + t.Expires.UTC().Format("2006-01-02 15:04 MST")
}

// maxDays bounds a token's life that is given in days: about a century.
const maxDays = 36_500

// expiry reads when a token ends: a number of days, a duration, a date; "" is never, the zero time.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var end time.Time
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > maxDays {
			return end, fmt.Errorf("%q: write a number of days up to %d, like 90d", text, maxDays)
		}
		end = now.Add(time.Duration(n) * 24 * time.Hour)
	} else if d, err := time.ParseDuration(text); err == nil {
		end = now.Add(d)
	} else if date, err := time.Parse(time.DateOnly, text); err == nil {
		end = date.AddDate(0, 0, 1)
	} else {
		return end, fmt.Errorf("%q: write 90d, 12h, or a date like 2027-01-31", text)
	}
	if !end.After(now) {
		return end, fmt.Errorf("%q: it is over already", text)
	}
	return end, nil
}

type tokenListCmd struct {
	indexFolder

	User string `placeholder:"NAME" help:"Only those of this user."`
	JSON bool   `name:"json" help:"One JSON object per line."`
}

// A line of token list --json.
type jsonToken struct {
	ID       string        `json:"id"`
	User     string        `json:"user"`
	Scope    catalog.Scope `json:"scope"`
	Projects []string      `json:"projects"` // empty: all of the user's
	Note     string        `json:"note"`
	Created  time.Time     `json:"created"`
	Expires  *time.Time    `json:"expires,omitempty"`
}

func (c *tokenListCmd) Run(ctx context.Context, p *program) error {
	return p.withIndex(ctx, c.indexFolder, func(cat *catalog.Catalog) error {
		tokens, err := cat.Tokens(ctx, c.User)
		if err != nil {
			return err
		}
		if c.JSON {
			return c.printJSON(p, tokens)
		}
		if len(tokens) == 0 {
			_, err := fmt.Fprintf(p.stdout, "no tokens: make one with: cachesrv token add --user NAME %s\n", c.flags())
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tUSER\tSCOPE\tCREATED\tEXPIRES\tPROJECTS\tNOTE")
		for _, t := range tokens {
			expires, projects := "never", "all"
			if !t.Expires.IsZero() {
				expires = t.Expires.UTC().Format("2006-01-02 15:04")
			}
			if len(t.Projects) > 0 {
				projects = strings.Join(t.Projects, ",")
			}
			note := t.Note
			if note != "" {
				note = printable(note)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.User, t.Scope, day(t.Created), expires, projects, note)
		}
		return w.Flush()
	})
}

func (c *tokenListCmd) printJSON(p *program, tokens []catalog.Token) error {
	out := json.NewEncoder(p.stdout)
	for _, t := range tokens {
		line := jsonToken{ID: t.ID, User: t.User, Scope: t.Scope, Projects: t.Projects, Note: t.Note, Created: t.Created}
		if line.Projects == nil {
			line.Projects = []string{} // a list in JSON, too
		}
		if !t.Expires.IsZero() {
			line.Expires = &t.Expires
		}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

type tokenRevokeCmd struct {
	indexFolder

	ID string `arg:"" name:"id" help:"As token list shows it; not the token itself."`
}

func (c *tokenRevokeCmd) Run(ctx context.Context, p *program) error {
	id := printable(c.ID)
	return p.changeIndex(ctx, c.indexFolder, "token "+id, id+": revoked", func(cat *catalog.Catalog) error {
		return cat.RevokeToken(ctx, c.ID)
	})
}
