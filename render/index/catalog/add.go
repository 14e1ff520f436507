package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// An Upload says what a file is to be. Empty fields are not checked against the file.
type Upload struct {
	Filename      string // required
	Kind          dist.Kind
	Name, Version string // in any spelling
	SHA256, MD5   string // hex, in any case
	Blake2b       string
}

// Added says what became of a file.
type Added struct {
	Serial    int64  // of the change, or of the project if nothing changed
	Project   string // normalised
	Version   string // of the release
	File      File
	Unchanged bool // the very file was there already
	New       bool // the project is new
}

// Add puts a file in place and commits it: when it has returned nil, the file can be fetched, and no page is served any
// more that lacks it. A new project belongs to who. A file whose version equals that of a release (1.0, 1.0.0) joins it.
// Errors: ErrInvalid, ErrExists, ErrTooLarge, ErrUnauthorized, ErrForbidden, ErrOutcomeUnknown.
func (c *Catalog) Add(ctx context.Context, who Identity, in *Incoming, u Upload) (Added, error) {
	switch {
	case in.err != nil:
		return Added{}, in.err
	case in.c != c || in.file == nil || in.added:
		return Added{}, refuse(ErrInvalid, "this upload is over already: begin another")
	}
	in.added = true
	c.passed(fault.UploadReceived)
	name, err := in.check(u)
	if err != nil {
		return Added{}, err
	}
	// A first look without the lock: it spares what comes next to files that will not be taken.
	var p plan
	err = c.read(ctx, func(q queryer) (err error) {
		p, err = planUpload(ctx, q, who, name, in.row(name))
		return err
	})
	if err != nil {
		return Added{}, explain(err, "add %s", u.Filename)
	}
	if p.there != nil {
		return p.unchanged(name), nil
	}
	d, err := c.inspect(ctx, in, u.Filename)
	if errors.Is(err, dist.ErrInvalid) {
		return Added{}, refuseFor(ErrInvalid, err)
	} else if err != nil {
		return Added{}, fmt.Errorf("add %s: %w", u.Filename, err)
	}
	added, err := c.commitUpload(ctx, who, in, d)
	return added, explain(err, "add %s", u.Filename)
}

// inspect looks into a file, when fewer than GOMAXPROCS others are being looked into.
func (c *Catalog) inspect(ctx context.Context, in *Incoming, filename string) (*dist.Distribution, error) {
	select {
	case c.inspecting <- struct{}{}:
		defer func() { <-c.inspecting }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other uploads: %w", ctx.Err())
	}
	return dist.Inspect(in.file, in.size, filename, c.o.Limits)
}

// check compares a file with what the upload says of it.
func (in *Incoming) check(u Upload) (dist.Name, error) {
	for _, digest := range []struct{ kind, said, is string }{
		{"SHA-256", u.SHA256, sum(in.sha256)}, {"MD5", u.MD5, sum(in.md5)}, {"BLAKE2b-256", u.Blake2b, sum(in.blake2b)},
	} {
		if said := strings.ToLower(strings.TrimSpace(digest.said)); said != "" && said != digest.is {
			return dist.Name{}, refuse(ErrInvalid, "the file arrived with another %s digest than was announced (%.64q, it is %s): upload it again",
				digest.kind, said, digest.is)
		}
	}
	name, err := dist.ParseFilename(u.Filename)
	if err != nil {
		return dist.Name{}, refuseFor(ErrInvalid, err)
	}
	if u.Kind != "" && u.Kind != name.Kind {
		return dist.Name{}, refuse(ErrInvalid, "%s is named as a file of type %s, and was announced as %.40q", u.Filename, name.Kind, u.Kind)
	}
	if u.Name != "" && dist.Normalize(u.Name) != name.Project {
		return dist.Name{}, refuse(ErrInvalid, "%s is named as a file of project %q, and was announced as one of %.100q", u.Filename, name.Project, u.Name)
	}
	if u.Version != "" {
		version, err := dist.CanonicalVersion(u.Version)
		if err != nil {
			return dist.Name{}, refuseFor(ErrInvalid, err)
		}
		if dist.CompareVersions(version, name.Version) != 0 {
			return dist.Name{}, refuse(ErrInvalid, "%s is named as version %s, and was announced as %s", u.Filename, name.Version, version)
		}
	}
	return name, nil
}

// row is the row of the file as far as it is known before the file is looked into.
func (in *Incoming) row(name dist.Name) File {
	return File{
		Filename: name.Filename, Kind: name.Kind, Python: name.Python,
		Size: in.size, SHA256: sum(in.sha256), MD5: sum(in.md5), Blake2b: sum(in.blake2b),
	}
}

// A plan is what an upload means for the rows that are there.
type plan struct {
	there      *File  // the very file
	serial     int64  // of the project
	version    string // of the release, which the file may write differently
	newProject bool
	newRelease bool
	first      bool // of the release's files
}

func (p plan) unchanged(name dist.Name) Added {
	return Added{Serial: p.serial, Project: name.Project, Version: p.version, File: *p.there, Unchanged: true}
}

// planUpload decides whether a file is taken, and what as.
func planUpload(ctx context.Context, q queryer, who Identity, name dist.Name, f File) (p plan, err error) {
	err = get(ctx, q, "SELECT serial FROM index_project WHERE normal = $1", a(name.Project), &p.serial)
	switch {
	case err == nil:
		err = who.may(ctx, q, toUpload, name.Project)
	case errors.Is(err, errNoRow):
		p.newProject = true
		err = who.mayCreate(name.Project)
	}
	if err != nil {
		return p, err
	}
	if p.there, p.version, err = readFile(ctx, q, name.Filename); err != nil {
		return p, err
	}
	if p.there != nil {
		if p.there.Blake2b != f.Blake2b {
			return p, refuse(ErrExists, "File already exists (%q, with other content: blake2_256 %s, and yours has %s). Upload a new version",
				name.Filename, p.there.Blake2b, f.Blake2b)
		}
		return p, nil
	}
	var gone string
	err = get(ctx, q, "SELECT filename FROM index_gone WHERE filename = $1", a(name.Filename), &gone)
	if err == nil {
		return p, refuse(ErrExists, "This filename has already been used by a file that was deleted (%q). Use a different version", name.Filename)
	} else if !errors.Is(err, errNoRow) {
		return p, err
	}
	p.version, p.newRelease, p.first = name.Version, true, true
	versions, err := list(ctx, q, scanString, "SELECT version FROM index_release WHERE project = $1", name.Project)
	if err != nil {
		return p, err
	}
	for _, v := range versions {
		if dist.CompareVersions(v, name.Version) == 0 {
			p.version, p.newRelease = v, false
		}
	}
	if p.newRelease {
		return p, nil
	}
	kinds, err := list(ctx, q, scanString, "SELECT kind FROM index_file WHERE project = $1 AND version = $2", name.Project, p.version)
	p.first = len(kinds) == 0
	if err == nil && name.Kind == dist.Sdist && !who.operator && slices.Contains(kinds, string(dist.Sdist)) {
		err = refuse(ErrInvalid, "Only one sdist may be uploaded per release, and %s %s has one", name.Project, p.version)
	}
	return p, err
}

// readFile returns nil when there is none of the name.
func readFile(ctx context.Context, q queryer, filename string) (*File, string, error) {
	var version string
	files, err := list(ctx, q, func(r row) (File, error) { return scanFile(r, &version) },
		"SELECT "+fileColumns+", version FROM index_file WHERE filename = $1", filename)
	if err != nil || len(files) == 0 {
		return nil, "", err
	}
	return &files[0], version, nil
}

// commitUpload does steps 2 to 6 of Incoming, and 7 but for the intent, which Close removes.
func (c *Catalog) commitUpload(ctx context.Context, who Identity, in *Incoming, d *dist.Distribution) (added Added, err error) {
	f := in.row(d.Name)
	f.RequiresPython = d.Metadata.RequiresPython
	f.Uploader = who.User
	metadata := ""
	if d.Kind == dist.Wheel {
		meta, err := c.writeMetadata(d.Raw)
		if meta != nil {
			defer meta.close()
		}
		if err != nil {
			return Added{}, err
		}
		metadata = meta.name
		digest := sha256.Sum256(d.Raw)
		f.MetadataSHA256 = hex.EncodeToString(digest[:])
	}
	it, err := in.intend(place{f.Blake2b, f.Filename})
	if err != nil {
		return Added{}, err
	}
	c.passed(fault.UploadIntended)

	var p plan
	added.Serial, err = c.write(ctx, who, func(ctx context.Context, ch *change) (err error) {
		if p, err = planUpload(ctx, ch, who, d.Name, f); err != nil {
			return err
		}
		if p.there != nil {
			return errUnchanged
		}
		f.Uploaded = at(ch.at)
		if err := ch.insert(ctx, who, p, d, f); err != nil {
			return err
		}
		in.keep = true // from here on the intent is needed until it is settled
		if err := c.put(it, metadata, f.Size, int64(len(d.Raw))); err != nil {
			return err
		}
		c.passed(fault.UploadLinked)
		return nil
	})
	switch {
	case err == nil:
		c.passed(fault.UploadCommitted)
		in.keep = false // Close removes it
		added.Project, added.Version, added.File, added.New = d.Project, p.version, f, p.newProject
		return added, nil
	case errors.Is(err, errUnchanged):
		return p.unchanged(d.Name), nil
	case !in.keep || errors.Is(err, ErrOutcomeUnknown): // nothing was put; or it is settled when that can be known
		return Added{}, err
	}
	c.settleSoon(ctx, []intent{it})
	return Added{}, err
}

// An extra is the metadata's file in incoming.
type extra struct {
	c    *Catalog
	name string
	file *os.File
}

// writeMetadata does step 2 for metadata. Close what it returns, if anything, whatever the error.
func (c *Catalog) writeMetadata(raw []byte) (*extra, error) {
	_, name, f, err := c.newIncoming(metaSuffix)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(raw); err == nil {
		err = f.Sync()
	}
	return &extra{c, name, f}, err
}

func (e *extra) close() {
	if err := errors.Join(e.c.remove(e.name), e.file.Close()); err != nil {
		e.c.log.Warn("an upload leaves a file behind; it will be removed", "file", e.name, "err", err)
	}
}

// intend does step 3.
func (in *Incoming) intend(p place) (intent, error) {
	it, err := newIntent(in.random, p)
	if err == nil {
		err = in.c.root.Rename(in.name, it.name)
	}
	if err != nil {
		return it, err
	}
	in.name = it.name
	if err := in.file.Sync(); err != nil {
		return it, err
	}
	return it, in.c.syncFolder(incomingDir)
}

// put does step 5.
func (c *Catalog) put(it intent, metadata string, size, metadataSize int64) error {
	if err := c.makeFolders(it.place); err != nil {
		return err
	}
	if metadata != "" {
		if err := c.link(metadata, it.path()+metadataSuffix, metadataSize); err != nil {
			return err
		}
	}
	if err := c.link(it.name, it.path(), size); err != nil {
		return err
	}
	return c.syncFolders(it.place)
}

// insert writes the rows of a file, of its release and of its project, as far as they are new.
func (ch *change) insert(ctx context.Context, who Identity, p plan, d *dist.Distribution, f File) error {
	if p.newProject {
		if err := ch.createProject(ctx, d.Project, d.Metadata.Name); err != nil {
			return err
		}
	}
	if err := ch.touch(ctx, d.Project); err != nil {
		return err
	}
	if p.first {
		if err := ch.release(ctx, p, d); err != nil {
			return err
		}
	}
	_, err := ch.exec(ctx, `INSERT INTO index_file (`+fileColumns+`, project, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		f.Filename, string(f.Kind), f.Python, f.Size, f.SHA256, f.MD5, f.Blake2b, f.Uploaded.UnixMicro(), f.Uploader,
		f.RequiresPython, f.MetadataSHA256, d.Project, p.version)
	if err != nil {
		return err
	}
	ch.newFiles++
	ch.newBytes += f.Size
	return ch.journal(ctx, d.Project, p.version, f.Filename, "add "+f.Python+" file "+f.Filename)
}

// release makes a release of its first file's metadata, or gives it these if all its files had gone.
func (ch *change) release(ctx context.Context, p plan, d *dist.Distribution) error {
	metadata, err := json.Marshal(d.Metadata)
	if err != nil {
		return err
	}
	m := d.Metadata
	text := searchText(d.Project, m.Name, m.Summary, m.Keywords)
	if !p.newRelease {
		_, err = ch.exec(ctx, "UPDATE index_release SET summary = $1, search_text = $2, metadata = $3 WHERE project = $4 AND version = $5",
			m.Summary, text, string(metadata), d.Project, p.version)
		return err
	}
	_, err = ch.exec(ctx, `INSERT INTO index_release (project, version, added, created, yanked, yanked_reason, summary, search_text, metadata)
		VALUES ($1, $2, $3, $4, 0, '', $5, $6, $7)`, d.Project, p.version, ch.serial, ch.at, m.Summary, text, string(metadata))
	if err != nil {
		return err
	}
	ch.newReleases++
	return ch.journal(ctx, d.Project, p.version, "", "new release")
}

// createProject makes a project of who's, if that is a user: an operator need not be one.
func (ch *change) createProject(ctx context.Context, normal, name string) error {
	_, err := ch.exec(ctx, `INSERT INTO index_project (normal, name, serial, added, created, version, summary, search_text, updated)
		VALUES ($1, $2, $3, $3, $4, '', '', '', $4)`, normal, name, ch.serial, ch.at)
	if err != nil {
		return err
	}
	ch.newProjects++
	if err := ch.journal(ctx, normal, "", "", "create"); err != nil {
		return err
	}
	if err := haveUser(ctx, ch, ch.who); errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	return ch.grant(ctx, normal, Role{User: ch.who, Owner: true})
}
