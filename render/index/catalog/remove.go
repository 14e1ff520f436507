package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"os"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// maxReason bounds the reason for a yank, in bytes.
const maxReason = 500

// Yank marks a release so that installers choose it only where it is pinned (PEP 592). The reason is one line of 500
// bytes at most, or empty. Yanking what is yanked changes the reason. ErrNotFound, ErrForbidden, ErrInvalid.
func (c *Catalog) Yank(ctx context.Context, who Identity, project, version, reason string) error {
	if !isLine(reason, maxReason) {
		return refuse(ErrInvalid, "the reason for a yank is one line of %d bytes at most", maxReason)
	}
	return c.yank(ctx, who, project, version, true, reason)
}

// Unyank takes Yank back.
func (c *Catalog) Unyank(ctx context.Context, who Identity, project, version string) error {
	return c.yank(ctx, who, project, version, false, "")
}

func (c *Catalog) yank(ctx context.Context, who Identity, project, version string, yanked bool, reason string) error {
	normal, action := dist.Normalize(project), "unyank release"
	if yanked {
		action = "yank release"
	}
	_, err := c.write(ctx, who, func(ctx context.Context, ch *change) error {
		r, err := ch.findRelease(ctx, who, toYank, normal, version)
		if err != nil {
			return err
		}
		if r.Yanked == yanked && r.YankedReason == reason {
			return errUnchanged
		}
		if err := ch.touch(ctx, normal); err != nil {
			return err
		}
		_, err = ch.exec(ctx, "UPDATE index_release SET yanked = $1, yanked_reason = $2 WHERE project = $3 AND version = $4",
			number(yanked), reason, normal, r.Version)
		if err != nil {
			return err
		}
		return ch.journal(ctx, normal, r.Version, "", action)
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return explain(err, "%s %s of %q", action, version, normal)
}

// findRelease looks for a release, in whatever spelling, that who may do something with.
func (ch *change) findRelease(ctx context.Context, who Identity, what right, normal, version string) (*Release, error) {
	if err := ch.haveProject(ctx, normal); err != nil {
		return nil, err
	}
	if err := who.may(ctx, ch, what, normal); err != nil {
		return nil, err
	}
	releases, err := readReleases(ctx, ch, normal)
	if err != nil {
		return nil, err
	}
	r := (&Project{Releases: releases}).release(version)
	if r == nil {
		return nil, refuse(ErrNotFound, "project %q has no release %.100q", normal, version)
	}
	return r, nil
}

// Delete removes a project (version and filename empty), a release (filename empty) or a file (of whatever release, if
// version is empty). Names of deleted files can't be used again. A release without files stays; ErrNotFound,
// ErrForbidden. When it has returned nil, the files can no longer be fetched, unless the log says otherwise: then they
// are removed as soon as they can be.
func (c *Catalog) Delete(ctx context.Context, who Identity, project, version, filename string) error {
	normal := dist.Normalize(project)
	var intents []intent
	_, err := c.write(ctx, who, func(ctx context.Context, ch *change) error {
		if err := ch.haveProject(ctx, normal); err != nil {
			return err
		}
		if err := who.may(ctx, ch, toDelete, normal); err != nil {
			return err
		}
		if err := ch.touch(ctx, normal); err != nil {
			return err
		}
		releases, err := readReleases(ctx, ch, normal)
		if err != nil {
			return err
		}
		d := deletion{normal: normal, whole: version == "" && filename == ""}
		if err := d.choose(releases, version, filename); err != nil {
			return err
		}
		if err := c.intendDeletion(d.files, &intents); err != nil {
			return err
		}
		c.passed(fault.DeleteIntended)
		return d.apply(ctx, ch)
	})
	switch {
	case err == nil:
		c.passed(fault.DeleteCommitted)
		c.settleSoon(ctx, intents)
		return nil
	case !errors.Is(err, ErrOutcomeUnknown): // rolled back, or so it seems; whatever it is, the row decides
		c.settleSoon(ctx, intents)
	}
	return explain(err, "delete from %q", normal)
}

// A deletion is what goes.
type deletion struct {
	normal   string
	whole    bool      // the project
	releases []Release // whole ones
	files    []File    // of those, too
	version  string    // of a single file's release
}

func (d *deletion) choose(releases []Release, version, filename string) error {
	if !d.whole && version != "" {
		r := (&Project{Releases: releases}).release(version)
		if r == nil {
			return refuse(ErrNotFound, "project %q has no release %.100q", d.normal, version)
		}
		releases = []Release{*r}
	}
	if filename == "" {
		d.releases = releases
		for _, r := range releases {
			d.files = append(d.files, r.Files...)
		}
		return nil
	}
	for _, r := range releases {
		for _, f := range r.Files {
			if f.Filename == filename {
				d.files, d.version = []File{f}, r.Version
				return nil
			}
		}
	}
	return refuse(ErrNotFound, "project %q has no file %.200q", d.normal, filename)
}

// intendDeletion makes an intent for each file, called by the holder of the lock: nobody can settle it before the
// transaction is over.
func (c *Catalog) intendDeletion(files []File, intents *[]intent) error {
	for _, f := range files {
		it, err := newIntent(rand.Text()[:10], place{f.Blake2b, f.Filename})
		if err != nil {
			return err
		}
		*intents = append(*intents, it)
		file, err := c.root.OpenFile(it.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			return err
		}
	}
	return c.syncFolder(incomingDir)
}

// apply deletes rows.
func (d *deletion) apply(ctx context.Context, ch *change) error {
	for _, f := range d.files {
		if _, err := ch.exec(ctx, "DELETE FROM index_file WHERE filename = $1", f.Filename); err != nil {
			return err
		}
		if _, err := ch.exec(ctx, "INSERT INTO index_gone (filename, project, serial) VALUES ($1, $2, $3) ON CONFLICT (filename) DO NOTHING",
			f.Filename, d.normal, ch.serial); err != nil {
			return err
		}
		ch.newFiles--
		ch.newBytes -= f.Size
	}
	for _, r := range d.releases {
		if _, err := ch.exec(ctx, "DELETE FROM index_release WHERE project = $1 AND version = $2", d.normal, r.Version); err != nil {
			return err
		}
		ch.newReleases--
	}
	switch {
	case d.whole:
		for _, statement := range []string{"DELETE FROM index_project WHERE normal = $1", "DELETE FROM index_role WHERE project = $1"} {
			if _, err := ch.exec(ctx, statement, d.normal); err != nil {
				return err
			}
		}
		ch.newProjects--
		return ch.journal(ctx, d.normal, "", "", "remove project")
	case len(d.releases) > 0:
		return ch.journal(ctx, d.normal, d.releases[0].Version, "", "remove release")
	}
	for _, f := range d.files {
		if err := ch.journal(ctx, d.normal, d.version, f.Filename, "remove file "+f.Filename); err != nil {
			return err
		}
	}
	return nil
}
