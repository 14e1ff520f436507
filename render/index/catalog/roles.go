package catalog

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/render/index/dist"
)

// What an identity may want to do with a project.
type right string

const (
	toUpload right = "upload to"
	toYank   right = "yank releases of"
	toDelete right = "delete from"
	toGrant  right = "change the roles of"
)

// may checks that who may do something with a project that is there.
func (who Identity) may(ctx context.Context, q queryer, what right, project string) error {
	if who.operator {
		return nil
	}
	if err := who.mayWith(what, project); err != nil {
		return err
	}
	var owner int64
	err := get(ctx, q, "SELECT owner FROM index_role WHERE project = $1 AND user_name = $2", a(project, who.User), &owner)
	switch {
	case errors.Is(err, errNoRow):
		return refuse(ErrForbidden, "The user %q isn't allowed to %s project %q: ask an owner of it for a role", who.User, what, project)
	case err != nil:
		return err
	case owner == 0 && (what == toDelete || what == toGrant):
		return refuse(ErrForbidden, "The user %q isn't allowed to %s project %q: only its owners are", who.User, what, project)
	}
	return nil
}

// mayCreate checks that who may make a project.
func (who Identity) mayCreate(project string) error {
	if who.operator {
		return nil
	}
	return who.mayWith(toUpload, project)
}

// mayWith checks what doesn't depend on roles.
func (who Identity) mayWith(what right, project string) error {
	switch {
	case who.User == "":
		return refuse(ErrUnauthorized, "a token is needed to %s project %q", what, project)
	case who.Scope != ScopeUpload:
		return refuse(ErrForbidden, "the token's scope is %q: it isn't allowed to %s project %q", who.Scope, what, project)
	case len(who.Projects) > 0 && !slices.Contains(who.Projects, project):
		return refuse(ErrForbidden, "the token is limited to other projects: it isn't allowed to %s project %q", what, project)
	}
	return nil
}

// Grant gives a user a role, or another one. Owners grant. ErrNotFound, ErrForbidden, also when it would take away the
// last owner.
func (c *Catalog) Grant(ctx context.Context, who Identity, project string, r Role) error {
	return c.changeRole(ctx, who, project, strings.ToLower(r.User), toGrant, func(ctx context.Context, ch *change, normal string, had *Role) error {
		r.User = strings.ToLower(r.User)
		if err := haveUser(ctx, ch, r.User); err != nil {
			return err
		}
		if had != nil && *had == r {
			return errUnchanged
		}
		return ch.grant(ctx, normal, r)
	})
}

// Withdraw takes a user's role. Owners withdraw; everybody may withdraw their own. ErrNotFound, ErrForbidden; the last
// owner stays.
func (c *Catalog) Withdraw(ctx context.Context, who Identity, project, user string) error {
	user = strings.ToLower(user)
	want := toGrant
	if user == who.User {
		want = toUpload // any role will do
	}
	return c.changeRole(ctx, who, project, user, want, func(ctx context.Context, ch *change, normal string, had *Role) error {
		if had == nil {
			return refuse(ErrNotFound, "user %q has no role in project %q", user, normal)
		}
		if _, err := ch.exec(ctx, "DELETE FROM index_role WHERE project = $1 AND user_name = $2", normal, user); err != nil {
			return err
		}
		return ch.journal(ctx, normal, "", "", "remove "+had.title()+" "+user)
	})
}

// changeRole runs f with the role that a user has, if any, and sees that an owner is left.
func (c *Catalog) changeRole(ctx context.Context, who Identity, project, user string, want right, f func(context.Context, *change, string, *Role) error) error {
	normal := dist.Normalize(project)
	_, err := c.write(ctx, who, func(ctx context.Context, ch *change) error {
		if err := ch.haveProject(ctx, normal); err != nil {
			return err
		}
		if err := who.may(ctx, ch, want, normal); err != nil {
			return err
		}
		if err := ch.touch(ctx, normal); err != nil {
			return err
		}
		before, err := readRoles(ctx, ch, normal)
		if err != nil {
			return err
		}
		var had *Role
		if i := slices.IndexFunc(before, func(r Role) bool { return r.User == user }); i >= 0 {
			had = &before[i]
		}
		if err := f(ctx, ch, normal, had); err != nil {
			return err
		}
		after, err := readRoles(ctx, ch, normal)
		if err == nil && owners(before) > 0 && owners(after) == 0 {
			err = refuse(ErrForbidden, "user %q is the last owner of project %q: make somebody else one first", user, normal)
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return explain(err, "change the roles of %q", normal)
}

func owners(roles []Role) (n int) {
	for _, r := range roles {
		if r.Owner {
			n++
		}
	}
	return n
}

func (r Role) title() string {
	if r.Owner {
		return "Owner"
	}
	return "Maintainer"
}

func (ch *change) grant(ctx context.Context, normal string, r Role) error {
	_, err := ch.exec(ctx, `INSERT INTO index_role (project, user_name, owner) VALUES ($1, $2, $3)
		ON CONFLICT (project, user_name) DO UPDATE SET owner = excluded.owner`, normal, r.User, number(r.Owner))
	if err != nil {
		return err
	}
	return ch.journal(ctx, normal, "", "", "add "+r.title()+" "+r.User)
}

func (ch *change) haveProject(ctx context.Context, normal string) error {
	var found string
	err := errNoRow
	if isLine(normal, maxName) {
		err = get(ctx, ch, "SELECT normal FROM index_project WHERE normal = $1", a(normal), &found)
	}
	if errors.Is(err, errNoRow) {
		err = refuse(ErrNotFound, "there is no project %.100q", normal)
	}
	return err
}
