package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/render/index/dist"
)

// A Listing is the list of projects, in the order of their normalised names.
type Listing struct {
	Serial   int64 // of the last change to anything
	Projects []Listed
}

// Listed is a project as lists show it.
type Listed struct {
	Name   string // as its owner writes it
	Normal string
	Serial int64
}

// A Project and all that its pages show, but for metadata.
type Project struct {
	Name     string // as its owner writes it
	Normal   string
	Serial   int64 // of the last change
	Created  time.Time
	Roles    []Role    // owners first, then by user
	Releases []Release // newest version first (dist.CompareVersions)
}

// A Role is what a user may do with a project.
type Role struct {
	User  string
	Owner bool // else a maintainer, who uploads and yanks, but doesn't delete or grant
}

// A Release of a project.
type Release struct {
	Version      string // canonical
	Created      time.Time
	Yanked       bool
	YankedReason string
	Files        []File // wheels first, then by name
}

// A File of a release.
type File struct {
	Filename       string
	Kind           dist.Kind
	Python         string // "source", or the wheel's tag
	Size           int64
	SHA256         string // digests in lower-case hex
	MD5            string
	Blake2b        string // 256 bits
	Uploaded       time.Time
	Uploader       string
	RequiresPython string
	MetadataSHA256 string // of FILE.metadata; empty: there is none (sdists)
}

// Latest is the release people are shown: the newest final one that isn't yanked; without one the newest pre-release
// that isn't yanked, else the newest of all. nil when there is none.
func (p *Project) Latest() *Release {
	var pre *Release
	for i := range p.Releases {
		switch r := &p.Releases[i]; {
		case r.Yanked:
		case !dist.Prerelease(r.Version):
			return r
		case pre == nil:
			pre = r
		}
	}
	if pre == nil && len(p.Releases) > 0 {
		pre = &p.Releases[0]
	}
	return pre
}

// release finds a release by its version, however that is written. nil when there is none.
func (p *Project) release(version string) *Release {
	for i := range p.Releases {
		if p.Releases[i].Version == version {
			return &p.Releases[i]
		}
	}
	canonical, err := dist.CanonicalVersion(version)
	if err != nil {
		return nil
	}
	for i := range p.Releases {
		if dist.CompareVersions(p.Releases[i].Version, canonical) == 0 {
			return &p.Releases[i]
		}
	}
	return nil
}

// read runs f on one snapshot, within readTimeout.
func (c *Catalog) read(ctx context.Context, f func(queryer) error) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return c.db.read(ctx, f)
}

// Projects lists all projects.
func (c *Catalog) Projects(ctx context.Context) (l *Listing, err error) {
	l = new(Listing)
	err = c.read(ctx, func(q queryer) (err error) {
		if err := get(ctx, q, "SELECT serial FROM index_state", nil, &l.Serial); err != nil {
			return err
		}
		l.Projects, err = list(ctx, q, func(r row) (p Listed, err error) {
			err = r.Scan(&p.Name, &p.Normal, &p.Serial)
			return p, err
		}, "SELECT name, normal, serial FROM index_project ORDER BY normal")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the projects: %w", err)
	}
	return l, nil
}

// Project returns a project by its normalised name, or ErrNotFound.
func (c *Catalog) Project(ctx context.Context, normal string) (p *Project, err error) {
	err = c.read(ctx, func(q queryer) (err error) {
		p, err = readProject(ctx, q, normal)
		return err
	})
	return p, err
}

// ProjectRelease is Project with the metadata of one release; version "" means the latest, and may be written in any
// way that means the same. The Metadata are nil when the project has no release. ErrNotFound when project or release is
// unknown.
func (c *Catalog) ProjectRelease(ctx context.Context, normal, version string) (p *Project, r *Release, m *dist.Metadata, err error) {
	err = c.read(ctx, func(q queryer) error {
		if p, err = readProject(ctx, q, normal); err != nil {
			return err
		}
		if version == "" {
			if r = p.Latest(); r == nil {
				return nil
			}
		} else if r = p.release(version); r == nil {
			return refuse(ErrNotFound, "project %q has no release %q", normal, version)
		}
		var text string
		if err := get(ctx, q, "SELECT metadata FROM index_release WHERE project = $1 AND version = $2", a(normal, r.Version), &text); err != nil {
			return err
		}
		m = new(dist.Metadata)
		return json.Unmarshal([]byte(text), m)
	})
	if err != nil {
		return nil, nil, nil, explain(err, "read the release %q of %q", version, normal)
	}
	return p, r, m, nil
}

// explain wraps errors, but for refusals, which explain themselves.
func explain(err error, format string, args ...any) error {
	if _, ok := errors.AsType[*refusal](err); ok || err == nil {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

func readProject(ctx context.Context, q queryer, normal string) (*Project, error) {
	p := &Project{Normal: normal}
	if !isLine(normal, maxName) {
		return nil, refuse(ErrNotFound, "there is no project %.100q", normal)
	}
	var created int64
	err := get(ctx, q, "SELECT name, serial, created FROM index_project WHERE normal = $1", a(normal), &p.Name, &p.Serial, &created)
	if errors.Is(err, errNoRow) {
		return nil, refuse(ErrNotFound, "there is no project %q", normal)
	}
	if err == nil {
		p.Created = at(created)
		p.Roles, err = readRoles(ctx, q, normal)
	}
	if err == nil {
		p.Releases, err = readReleases(ctx, q, normal)
	}
	if err != nil {
		return nil, fmt.Errorf("read the project %q: %w", normal, err)
	}
	return p, nil
}

func readRoles(ctx context.Context, q queryer, normal string) ([]Role, error) {
	return list(ctx, q, func(r row) (role Role, err error) {
		var owner int64
		err = r.Scan(&role.User, &owner)
		role.Owner = owner != 0
		return role, err
	}, "SELECT user_name, owner FROM index_role WHERE project = $1 ORDER BY owner DESC, user_name", normal)
}

const fileColumns = "filename, kind, python, size, sha256, md5, blake2b, uploaded, uploader, requires_python, metadata_sha256"

func scanFile(r row, more ...any) (f File, err error) {
	var uploaded int64
	err = r.Scan(append([]any{&f.Filename, &f.Kind, &f.Python, &f.Size, &f.SHA256, &f.MD5, &f.Blake2b, &uploaded, &f.Uploader,
		&f.RequiresPython, &f.MetadataSHA256}, more...)...)
	f.Uploaded = at(uploaded)
	return f, err
}

func readReleases(ctx context.Context, q queryer, normal string) ([]Release, error) {
	releases, err := list(ctx, q, func(r row) (rel Release, err error) {
		var created, yanked int64
		err = r.Scan(&rel.Version, &created, &yanked, &rel.YankedReason)
		rel.Created, rel.Yanked = at(created), yanked != 0
		return rel, err
	}, "SELECT version, created, yanked, yanked_reason FROM index_release WHERE project = $1", normal)
	if err != nil {
		return nil, err
	}
	sortReleases(releases)
	of := make(map[string]*Release, len(releases))
	for i := range releases {
		of[releases[i].Version] = &releases[i]
	}
	// A wheel's kind sorts before an sdist's.
	_, err = list(ctx, q, func(r row) (struct{}, error) {
		var version string
		f, err := scanFile(r, &version)
		if err != nil {
			return struct{}{}, err
		}
		rel := of[version]
		if rel == nil {
			return struct{}{}, fmt.Errorf("file %q belongs to release %q, which there is not", f.Filename, version)
		}
		rel.Files = append(rel.Files, f)
		return struct{}{}, nil
	}, "SELECT "+fileColumns+", version FROM index_file WHERE project = $1 ORDER BY kind, filename", normal)
	return releases, err
}

func sortReleases(releases []Release) {
	slices.SortFunc(releases, func(a, b Release) int {
		return cmp.Or(dist.CompareVersions(b.Version, a.Version), strings.Compare(a.Version, b.Version))
	})
}

// at reads a time of the database.
func at(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// An Overview is what the start page shows.
type Overview struct {
	Serial                    int64
	Projects, Releases, Files int64
	Bytes                     int64
	Updated                   []Update // newest releases first
	New                       []Update // newest projects first
}

// An Update is a project in a list of news.
type Update struct {
	Name, Normal, Version, Summary string // Version: of the release; empty for a project without any
	At                             time.Time
}

func scanUpdate(r row) (u Update, err error) {
	var micros int64
	err = r.Scan(&u.Name, &u.Normal, &u.Version, &u.Summary, &micros)
	u.At = at(micros)
	return u, err
}

// Overview has at most limit (1 to 1,000) updates of each kind. At is when the release or the project was made.
func (c *Catalog) Overview(ctx context.Context, limit int) (o *Overview, err error) {
	o = new(Overview)
	limit = min(max(limit, 1), mostListed)
	err = c.read(ctx, func(q queryer) (err error) {
		err = get(ctx, q, "SELECT serial, projects, releases, files, bytes FROM index_state", nil,
			&o.Serial, &o.Projects, &o.Releases, &o.Files, &o.Bytes)
		if err != nil {
			return err
		}
		o.Updated, err = list(ctx, q, scanUpdate, `SELECT p.name, p.normal, r.version, r.summary, r.created
			FROM index_release r JOIN index_project p ON p.normal = r.project
			ORDER BY r.added DESC LIMIT $1`, int64(limit))
		if err != nil {
			return err
		}
		o.New, err = list(ctx, q, scanUpdate, `SELECT name, normal, version, summary, created
			FROM index_project ORDER BY added DESC LIMIT $1`, int64(limit))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the overview: %w", err)
	}
	return o, nil
}

// mostListed bounds the results of one call of Overview or Search.
const mostListed = 1000

// A User and the projects with a role of theirs.
type User struct {
	Name     string
	Created  time.Time
	Tokens   int      // that are not revoked or expired
	Projects []Update // by normalised name; At is when the latest release was made
}

const userColumns = `SELECT name, created,
	(SELECT count(*) FROM index_token t WHERE t.user_name = u.name AND (t.expires = 0 OR t.expires > $1)) FROM index_user u`

func scanUser(r row) (u User, err error) {
	var created, tokens int64
	err = r.Scan(&u.Name, &created, &tokens)
	u.Created, u.Tokens = at(created), int(tokens)
	return u, err
}

// User returns a user by name, in upper or lower case, or ErrNotFound.
func (c *Catalog) User(ctx context.Context, name string) (*User, error) {
	name = strings.ToLower(name)
	var u User
	if !isLine(name, maxName) {
		return nil, refuse(ErrNotFound, "there is no user %.100q", name)
	}
	err := c.read(ctx, func(q queryer) error {
		users, err := list(ctx, q, scanUser, userColumns+" WHERE name = $2", time.Now().UnixMicro(), name)
		if err != nil {
			return err
		}
		if len(users) == 0 {
			return refuse(ErrNotFound, "there is no user %q", name)
		}
		u = users[0]
		u.Projects, err = list(ctx, q, scanUpdate, `SELECT p.name, p.normal, p.version, p.summary, p.updated
			FROM index_role r JOIN index_project p ON p.normal = r.project
			WHERE r.user_name = $1 ORDER BY p.normal`, name)
		return err
	})
	if err != nil {
		return nil, explain(err, "read the user %q", name)
	}
	return &u, nil
}

// Users lists all users by name, without their Projects.
func (c *Catalog) Users(ctx context.Context) ([]User, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	users, err := list(ctx, c.db, scanUser, userColumns+" ORDER BY name", time.Now().UnixMicro())
	return users, explain(err, "list the users")
}
