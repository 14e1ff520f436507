package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/key"
)

func testTokens(t *testing.T, b *base) {
	c := b.catalog(t)
	ctx := t.Context()
	for _, name := range []string{"", "__token__", "_a", "-a", ".a", "a b", "é", "a/b", strings.Repeat("a", 65), "a\n"} {
		wantError(t, c.AddUser(ctx, name), ErrInvalid)
	}
	must(t, c.AddUser(ctx, "Ada.L-1_x"))
	wantError(t, c.AddUser(ctx, "ada.l-1_X"), ErrExists)
	must(t, c.AddUser(ctx, strings.Repeat("a", 64)))

	tooMany := make([]string, mostProjects+1)
	for i := range tooMany {
		tooMany[i] = fmt.Sprint("p", i)
	}
	for _, tok := range []Token{
		{User: "ada.l-1_x"}, {User: "ada.l-1_x", Scope: "all"},
		{User: "ada.l-1_x", Scope: ScopeUpload, Projects: []string{"a b"}},
		{User: "ada.l-1_x", Scope: ScopeRead, Projects: []string{"tea"}},
		{User: "ada.l-1_x", Scope: ScopeRead, Note: "a\nb"},
		{User: "ada.l-1_x", Scope: ScopeRead, Note: strings.Repeat("x", 201)},
		{User: "ada.l-1_x", Scope: ScopeRead, Expires: time.Now().Add(-time.Second)},
		{User: "ada.l-1_x", Scope: ScopeUpload, Projects: tooMany},
	} {
		_, _, err := c.AddToken(ctx, tok)
		wantError(t, err, ErrInvalid)
	}
	_, _, err := c.AddToken(ctx, Token{User: "eve", Scope: ScopeRead})
	wantError(t, err, ErrNotFound)

	expires := time.Now().Add(time.Hour)
	tok, secret, err := c.AddToken(ctx, Token{User: "ADA.L-1_X", Scope: ScopeUpload, Projects: []string{"Tea_Pot", "b", "tea-pot"}, Note: "CI", Expires: expires})
	must(t, err)
	if !strings.HasPrefix(secret, "cachesrv-") || len(secret) != 52 || strings.Contains(secret, tok.ID) {
		t.Fatalf("%q %+v", secret, tok)
	}
	tok2, secret2, err := c.AddToken(ctx, Token{User: "ada.l-1_x", Scope: ScopeRead})
	must(t, err)
	if tok2.ID == tok.ID || secret2 == secret {
		t.Fatal("two tokens are one")
	}
	if n := count(t, c, "SELECT count(*) FROM index_token WHERE hash LIKE $1 OR note LIKE $1", "%"+secret[9:]+"%"); n != 0 {
		t.Fatal("the secret is in the database")
	}
	for _, user := range []string{"__token__", "ada.l-1_x", "Ada.L-1_X"} {
		who, err := c.Authenticate(ctx, user, secret)
		must(t, err)
		equal(t, "identity", who, Identity{User: "ada.l-1_x", Token: tok.ID, Scope: ScopeUpload, Projects: []string{"b", "tea-pot"}})
	}
	for _, x := range [][2]string{
		{"", secret}, {"eve", secret}, {"__token__", ""}, {"__token__", secret + "x"}, {"__token__", secret[:51]}, {"__token__", strings.ToUpper(secret)},
		{"__token__", tok.ID}, {"__token__", "cachesrv-" + strings.Repeat("\x00", 43)}, {"__token__", "cachesrv-' OR 1=1 --"}, {secret, "__token__"},
	} {
		who, err := c.Authenticate(ctx, x[0], x[1])
		wantError(t, err, ErrUnauthorized)
		equal(t, "identity", who, Identity{})
	}
	list, err := c.Tokens(ctx, "Ada.l-1_x")
	must(t, err)
	equal(t, "tokens", list, []Token{tok, tok2})
	if !list[0].Expires.Equal(expires.Truncate(time.Microsecond)) || list[0].Note != "CI" || !list[1].Expires.IsZero() {
		t.Errorf("%+v", list)
	}
	all, err := c.Tokens(ctx, "")
	must(t, err)
	equal(t, "all tokens", all, list)
	_, err = c.Tokens(ctx, "eve")
	wantError(t, err, ErrNotFound)

	run(t, c, "UPDATE index_token SET expires = $1 WHERE id = $2", time.Now().Add(-time.Second).UnixMicro(), tok.ID)
	_, err = c.Authenticate(ctx, "__token__", secret)
	wantError(t, err, ErrUnauthorized)
	u, err := c.User(ctx, "ada.l-1_x")
	must(t, err)
	equal(t, "tokens that are good", u.Tokens, 1)

	must(t, c.RevokeToken(ctx, tok2.ID))
	_, err = c.Authenticate(ctx, "__token__", secret2)
	wantError(t, err, ErrUnauthorized)
	wantError(t, c.RevokeToken(ctx, tok2.ID), ErrNotFound)
	equal(t, "the serial is of projects only", count(t, c, "SELECT serial FROM index_state"), 0)
}

func testRevoked(t *testing.T, b *base) {
	c := b.catalog(t)
	ada := user(t, c, "ada")
	c.passed = func(point string) {
		if point == fault.UploadIntended {
			must(t, c.RevokeToken(t.Context(), ada.Token))
		}
	}
	_, err := tryAdd(t.Context(), c, ada, wheel("tea", "1"))
	wantError(t, err, ErrUnauthorized)
	whole(t, c)
	wantError(t, c.Yank(t.Context(), ada, "tea", "1", ""), ErrUnauthorized)
}

func testExpired(t *testing.T, b *base) {
	c := b.catalog(t)
	ada := user(t, c, "ada")
	c.passed = func(point string) {
		if point == fault.UploadIntended {
			run(t, c, "UPDATE index_token SET expires = 1")
		}
	}
	_, err := tryAdd(t.Context(), c, ada, wheel("tea", "1"))
	wantError(t, err, ErrUnauthorized)
	whole(t, c)
}

func testRights(t *testing.T, b *base) {
	c := b.catalog(t)
	ctx := t.Context()
	owner, maintainer, other := user(t, c, "owner"), user(t, c, "maintainer"), user(t, c, "other")
	limited, elsewhere := user(t, c, "owner", "Tea"), user(t, c, "owner", "coffee")
	reader := owner
	reader.Scope = ScopeRead
	add(t, c, owner, wheel("tea", "1"))
	must(t, c.Grant(ctx, owner, "tea", Role{User: "maintainer"}))
	user(t, c, "new")
	n := 1
	for what, do := range map[string]func(who Identity) error{
		"upload": func(who Identity) error {
			n++
			_, err := tryAdd(ctx, c, who, wheel("tea", strings.Repeat("1", n)))
			return err
		},
		"yank":     func(who Identity) error { return c.Yank(ctx, who, "Tea", "1", strings.Repeat("x", n)) },
		"unyank":   func(who Identity) error { return c.Unyank(ctx, who, "tea", "1") },
		"grant":    func(who Identity) error { return c.Grant(ctx, who, "tea", Role{User: "new"}) },
		"withdraw": func(who Identity) error { return errors.Join(orMissing(c.Withdraw(ctx, who, "tea", "new"))) },
		"delete": func(who Identity) error {
			n++
			x := add(t, c, Operator(""), wheel("tea", "2."+strings.Repeat("1", n)))
			return c.Delete(ctx, who, "tea", x.Version, "")
		},
	} {
		maintains := what == "upload" || what == "yank" || what == "unyank"
		for _, who := range []struct {
			name string
			Identity
			want error
		}{
			{"operator", Operator("root"), nil}, {"owner", owner, nil}, {"token of this project", limited, nil},
			{"maintainer", maintainer, orForbidden(maintains)}, {"other", other, ErrForbidden}, {"token of another project", elsewhere, ErrForbidden},
			{"reader", reader, ErrForbidden}, {"nobody", Identity{}, ErrUnauthorized},
		} {
			before := count(t, c, "SELECT serial FROM index_state")
			err := do(who.Identity)
			if who.want == nil {
				must(t, err)
				continue
			}
			if !errors.Is(err, who.want) {
				t.Errorf("%s by %s: %v", what, who.name, err)
			}
			if after := count(t, c, "SELECT serial FROM index_state"); after != before && what != "delete" {
				t.Errorf("%s by %s: serial %d after %d", what, who.name, after, before)
			}
		}
	}
	for _, who := range []Identity{elsewhere, reader} {
		_, err := tryAdd(ctx, c, who, wheel("water", "1"))
		wantError(t, err, ErrForbidden)
	}
	add(t, c, elsewhere, wheel("Coffee", "1"))
	for _, err := range []error{
		c.Yank(ctx, owner, "nothing", "1", ""), c.Yank(ctx, owner, "tea", "77", ""), c.Yank(ctx, owner, "tea", "x", ""), c.Unyank(ctx, owner, "nothing", "1"),
		c.Delete(ctx, owner, "nothing", "", ""), c.Delete(ctx, owner, "tea", "77", ""), c.Delete(ctx, owner, "tea", "", "tea-77.tar.gz"),
		c.Delete(ctx, owner, "tea", "2", "tea-1-py3-none-any.whl"), c.Delete(ctx, owner, "", "", ""),
		c.Grant(ctx, owner, "nothing", Role{User: "new"}), c.Grant(ctx, owner, "tea", Role{User: "eve"}), c.Withdraw(ctx, owner, "tea", "other"),
	} {
		wantError(t, err, ErrNotFound)
	}
	for _, odd := range []string{"\x00", "\xff", strings.Repeat("x", 1000)} {
		_, err := c.User(ctx, odd)
		wantError(t, err, ErrNotFound)
		_, err = c.Tokens(ctx, odd)
		wantError(t, err, ErrNotFound)
		wantError(t, c.RevokeToken(ctx, odd), ErrNotFound)
		wantError(t, c.Delete(ctx, owner, odd, "", ""), ErrNotFound)
		wantError(t, c.Delete(ctx, owner, "tea", odd, ""), ErrNotFound)
		wantError(t, c.Delete(ctx, owner, "tea", "", odd), ErrNotFound)
		wantError(t, c.Withdraw(ctx, owner, "tea", odd), ErrNotFound)
		wantError(t, c.Yank(ctx, owner, "tea", "1", odd), ErrInvalid)
		_, err = c.Authenticate(ctx, odd, odd)
		wantError(t, err, ErrUnauthorized)
	}
	wantError(t, c.Yank(ctx, owner, "tea", "1", "two\nlines"), ErrInvalid)
	wantError(t, c.Yank(ctx, owner, "tea", "1", strings.Repeat("x", maxReason+1)), ErrInvalid)
	must(t, c.Yank(ctx, owner, "tea", "1", strings.Repeat("x", maxReason)))
	whole(t, c)
}

func orMissing(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func orForbidden(may bool) error {
	if may {
		return nil
	}
	return ErrForbidden
}

func testRoles(t *testing.T, b *base) {
	c := b.catalog(t)
	ctx := t.Context()
	ada, bob := user(t, c, "ada"), user(t, c, "bob")
	add(t, c, ada, wheel("tea", "1"))
	roles := func(want ...Role) {
		t.Helper()
		p, err := c.Project(ctx, "tea")
		must(t, err)
		equal(t, "roles", p.Roles, want)
	}
	wantError(t, c.Withdraw(ctx, ada, "tea", "ada"), ErrForbidden)
	wantError(t, c.Withdraw(ctx, Operator(""), "tea", "ada"), ErrForbidden)
	wantError(t, c.Grant(ctx, ada, "tea", Role{User: "ada"}), ErrForbidden)
	roles(Role{"ada", true})
	must(t, c.Grant(ctx, ada, "Tea", Role{"BOB", true}))
	roles(Role{"ada", true}, Role{"bob", true})
	must(t, c.Grant(ctx, bob, "tea", Role{User: "ada"}))
	roles(Role{"bob", true}, Role{"ada", false})
	wantError(t, c.Grant(ctx, ada, "tea", Role{"ada", true}), ErrForbidden)
	must(t, c.Withdraw(ctx, ada, "tea", "ada"))
	roles(Role{"bob", true})
	_, err := tryAdd(ctx, c, ada, wheel("tea", "2"))
	wantError(t, err, ErrForbidden)
	whole(t, c)

	add(t, c, Operator("nobody"), wheel("milk", "1"))
	must(t, c.Grant(ctx, Operator(""), "milk", Role{User: "ada"})) // there was no owner to begin with
	must(t, c.Withdraw(ctx, Operator(""), "milk", "ada"))
	add(t, c, Operator("ada"), wheel("sugar", "1"))
	p, err := c.Project(ctx, "sugar")
	must(t, err)
	equal(t, "an operator who is a user", p.Roles, []Role{{"ada", true}})
}

func testDrops(t *testing.T, b *base) {
	c := b.catalog(t)
	ctx := t.Context()
	ada := user(t, c, "ada")
	user(t, c, "bob")
	project, other := ProjectTag("tea"), ProjectTag("other")
	a, b2, eve := UserTag("ada"), UserTag("bob"), UserTag("eve")
	tags := []string{AllProjects, project, other, a, b2, eve}
	w := wheel("tea", "1")
	change := func(dropped []string, f func()) { t.Helper(); drops(t, c, tags, dropped, f) }

	change([]string{AllProjects, project, a}, func() { add(t, c, ada, w) })
	change([]string{AllProjects, project, a}, func() { add(t, c, ada, sdist("tea", "1")) })
	change(nil, func() { _, _ = tryAdd(ctx, c, ada, wheel("tea", "1", summary("else"))) })
	change([]string{AllProjects, project, a, b2}, func() { must(t, c.Grant(ctx, ada, "tea", Role{User: "bob"})) })
	change(nil, func() { must(t, c.Grant(ctx, ada, "tea", Role{User: "bob"})) })
	change([]string{AllProjects, project, a, b2}, func() { must(t, c.Yank(ctx, ada, "tea", "1", "bad")) })
	change(nil, func() { must(t, c.Yank(ctx, ada, "tea", "1", "bad")) })
	change([]string{AllProjects, project, a, b2}, func() { must(t, c.Yank(ctx, ada, "tea", "1", "worse")) })
	change([]string{AllProjects, project, a, b2}, func() { must(t, c.Unyank(ctx, ada, "tea", "1")) })
	change([]string{AllProjects, project, a, b2}, func() { must(t, c.Withdraw(ctx, ada, "tea", "bob")) })
	change([]string{AllProjects, project, a}, func() { must(t, c.Delete(ctx, ada, "tea", "1", w.name)) })
	change(nil, func() { _ = c.Delete(ctx, ada, "tea", "1", w.name) })
	change([]string{AllProjects, project, a}, func() { must(t, c.Delete(ctx, ada, "tea", "", "")) })
	change([]string{eve}, func() { must(t, c.AddUser(ctx, "eve")) })
	change(nil, func() { _ = c.AddUser(ctx, "eve") })
	var tok Token
	change([]string{eve}, func() { tok, _, _ = c.AddToken(ctx, Token{User: "eve", Scope: ScopeRead}) })
	change([]string{eve}, func() { must(t, c.RevokeToken(ctx, tok.ID)) })

	// A page that is being rendered when a change commits is not stored either.
	for _, changes := range []bool{true, false} {
		k, err := key.Parse("example.org/late")
		must(t, err)
		f, err := c.o.Store.Claim(ctx, k)
		must(t, err)
		if changes {
			add(t, c, ada, wheel("tea", "5"))
		}
		hit, err := f.Publish(ctx, cache.Meta{Tags: []string{project}})
		if changes {
			wantError(t, err, cache.ErrInvalidated)
		} else {
			must(t, err)
			must(t, hit.Close())
		}
		must(t, f.Close())
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.AddUser(cancelled, "late"); err == nil {
		t.Error("a change of a context that has ended")
	}
}
