package catalog

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/render/index/dist"
)

// A Scope says what a token is good for.
type Scope string

const (
	ScopeUpload Scope = "upload" // upload, yank, delete within the user's roles; and read
	ScopeRead   Scope = "read"   // read a private index
)

// An Identity is who is asking. The zero Identity may nothing.
type Identity struct {
	User     string
	Token    string // its id
	Scope    Scope
	Projects []string // normalised names the token is limited to; empty: all of the user's
	operator bool
}

// Operator is whoever runs commands on the machine: it may everything.
func Operator(user string) Identity {
	return Identity{User: strings.ToLower(user), operator: true}
}

// A Token is what a program shows in place of its user.
type Token struct {
	ID       string // public; in lists and to revoke it
	User     string
	Scope    Scope
	Projects []string
	Note     string
	Created  time.Time
	Expires  time.Time // zero: never
}

// Bounds of what users are given.
const (
	maxName      = 256 // bytes of what may be a name; PostgreSQL answers some bytes with an error
	mostProjects = 100 // of a token
	mostNote     = 200 // bytes of a token's note
)

const (
	tokenUser   = "__token__" // the user name that goes with a token
	tokenPrefix = "cachesrv-" // by which a lost one is recognised
)

var userName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// ValidUser reports whether a user may have the name, whose upper case becomes lower.
func ValidUser(name string) bool { return userName.MatchString(strings.ToLower(name)) }

// Authenticate checks Basic credentials: user "__token__", or the name of the token's user, and the token. It asks the
// database each time, so that a revoked token is refused at once. ErrUnauthorized.
//
// The token is found by the digest of all of it. How long that takes tells nothing of use: what the index compares is
// the digest, which nobody can steer towards one that is there.
func (c *Catalog) Authenticate(ctx context.Context, user, secret string) (Identity, error) {
	unknown := func() (Identity, error) {
		return Identity{}, refuse(ErrUnauthorized, "the token is not valid: give the user name %s (or the token's user) and a token as the password", tokenUser)
	}
	key, ok := strings.CutPrefix(secret, tokenPrefix)
	if !ok || len(key) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return unknown()
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	tokens, err := list(ctx, c.db, scanToken, "SELECT "+tokenColumns+" FROM index_token WHERE hash = $1", digestOf(secret))
	if err != nil {
		return Identity{}, fmt.Errorf("look for a token: %w", err)
	}
	if len(tokens) == 0 || user != tokenUser && strings.ToLower(user) != tokens[0].User {
		return unknown()
	}
	t := tokens[0]
	if !t.Expires.IsZero() && !time.Now().Before(t.Expires) {
		return Identity{}, refuse(ErrUnauthorized, "the token expired on %s: ask for a new one", t.Expires.Format(time.DateOnly))
	}
	return Identity{User: t.User, Token: t.ID, Scope: t.Scope, Projects: t.Projects}, nil
}

const secretBytes = 32

func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

const tokenColumns = "id, user_name, scope, projects, note, created, expires"

func scanToken(r row) (t Token, err error) {
	var projects string
	var created, expires int64
	err = r.Scan(&t.ID, &t.User, &t.Scope, &projects, &t.Note, &created, &expires)
	t.Projects = strings.Fields(projects)
	t.Created = at(created)
	if expires != 0 {
		t.Expires = at(expires)
	}
	return t, err
}

// AddUser makes a user. Upper case becomes lower. ErrInvalid, ErrExists.
func (c *Catalog) AddUser(ctx context.Context, name string) error {
	name = strings.ToLower(name)
	if !ValidUser(name) {
		return refuse(ErrInvalid, "the user name %.80q is not 1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit", name)
	}
	err := c.transact(ctx, func(ctx context.Context, tx transaction) error {
		if err := hold(ctx, tx); err != nil {
			return err
		}
		n, err := tx.exec(ctx, "INSERT INTO index_user (name, created) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, time.Now().UnixMicro())
		if err == nil && n == 0 {
			err = refuse(ErrExists, "there is a user %q already", name)
		}
		if err != nil {
			return err
		}
		return tx.tags(ctx, UserTag(name)) // pages that say there is none
	})
	return explain(err, "add the user %q", name)
}

// AddToken makes a token for Token.User with its Scope, Projects, Note and Expires. The secret ("cachesrv-…", 256 random
// bits) is shown this once; the database has its SHA-256. ErrInvalid; ErrNotFound if there is no such user.
func (c *Catalog) AddToken(ctx context.Context, t Token) (Token, string, error) {
	t.User = strings.ToLower(t.User)
	t.Created = at(time.Now().UnixMicro())
	var expires int64
	if !t.Expires.IsZero() {
		expires = t.Expires.UnixMicro()
		t.Expires = at(expires)
	}
	projects := make([]string, 0, len(t.Projects))
	for _, p := range t.Projects {
		if !dist.ValidName(p) {
			return Token{}, "", refuse(ErrInvalid, "a token can't be limited to %.80q: that is not a project's name", p)
		}
		projects = append(projects, dist.Normalize(p))
	}
	slices.Sort(projects)
	t.Projects = slices.Compact(projects)
	switch {
	case t.Scope != ScopeUpload && t.Scope != ScopeRead:
		return Token{}, "", refuse(ErrInvalid, "a token's scope is %q or %q, not %.80q", ScopeUpload, ScopeRead, t.Scope)
	case t.Scope == ScopeRead && len(t.Projects) > 0:
		return Token{}, "", refuse(ErrInvalid, "a read token reads the whole index: leave the projects out")
	case len(t.Projects) > mostProjects:
		return Token{}, "", refuse(ErrInvalid, "a token can be limited to %d projects at most, not %d", mostProjects, len(t.Projects))
	case !isLine(t.Note, mostNote):
		return Token{}, "", refuse(ErrInvalid, "a token's note is one line of %d bytes at most", mostNote)
	case expires != 0 && !t.Expires.After(t.Created):
		return Token{}, "", refuse(ErrInvalid, "the token would be expired from the start (%s)", t.Expires.Format(time.RFC3339))
	}
	key := make([]byte, secretBytes)
	_, _ = rand.Read(key) // it never fails
	secret := tokenPrefix + base64.RawURLEncoding.EncodeToString(key)
	t.ID = strings.ToLower(rand.Text()[:12])
	err := c.transact(ctx, func(ctx context.Context, tx transaction) error {
		if err := hold(ctx, tx); err != nil {
			return err
		}
		if err := haveUser(ctx, tx, t.User); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `INSERT INTO index_token (id, hash, user_name, scope, projects, note, created, expires)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, t.ID, digestOf(secret), t.User, string(t.Scope), strings.Join(t.Projects, " "),
			t.Note, t.Created.UnixMicro(), expires)
		if err != nil {
			return err
		}
		return tx.tags(ctx, UserTag(t.User))
	})
	if err != nil {
		return Token{}, "", explain(err, "add a token for %q", t.User)
	}
	return t, secret, nil
}

// isLine reports whether people may have written the text: valid, not too long, and without control characters.
func isLine(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

func haveUser(ctx context.Context, q queryer, name string) error {
	var found string
	err := errNoRow
	if isLine(name, maxName) {
		err = get(ctx, q, "SELECT name FROM index_user WHERE name = $1", a(name), &found)
	}
	if errors.Is(err, errNoRow) {
		err = refuse(ErrNotFound, "there is no user %.100q", name)
	}
	return err
}

// Tokens lists a user's tokens, of all users for "", by user and age. Expired ones are among them, revoked ones aren't.
// ErrNotFound if there is no such user.
func (c *Catalog) Tokens(ctx context.Context, user string) (tokens []Token, err error) {
	user = strings.ToLower(user)
	err = c.read(ctx, func(q queryer) error {
		if user != "" {
			if err := haveUser(ctx, q, user); err != nil {
				return err
			}
		}
		tokens, err = list(ctx, q, scanToken, "SELECT "+tokenColumns+` FROM index_token
			WHERE user_name = $1 OR $1 = '' ORDER BY user_name, created, id`, user)
		return err
	})
	return tokens, explain(err, "list the tokens of %q", user)
}

// RevokeToken ends a token. When it has returned, no request that begins, and no change that isn't committed, can use
// it. ErrNotFound.
func (c *Catalog) RevokeToken(ctx context.Context, id string) error {
	err := c.transact(ctx, func(ctx context.Context, tx transaction) error {
		if err := hold(ctx, tx); err != nil { // behind changes that have looked for the token
			return err
		}
		var user string
		err := errNoRow
		if isLine(id, maxName) {
			err = get(ctx, tx, "DELETE FROM index_token WHERE id = $1 RETURNING user_name", a(id), &user)
		}
		if errors.Is(err, errNoRow) {
			err = refuse(ErrNotFound, "there is no token %.80q", id)
		}
		if err != nil {
			return err
		}
		return tx.tags(ctx, UserTag(user))
	})
	return explain(err, "revoke the token %q", id)
}

// stillValid looks again for the token of who began this: an upload takes long enough to be overtaken.
func (ch *change) stillValid(ctx context.Context, who Identity) error {
	if who.Token == "" {
		return nil
	}
	var id string
	err := get(ctx, ch, "SELECT id FROM index_token WHERE id = $1 AND (expires = 0 OR expires > $2)", a(who.Token, ch.at), &id)
	if errors.Is(err, errNoRow) {
		err = refuse(ErrUnauthorized, "the token was revoked or has expired meanwhile")
	}
	return err
}
