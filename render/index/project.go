package index

import (
	"errors"
	"net/http"
	"net/mail"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/render"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// project answers /project/NAME/ and, with a version, /project/NAME/VERSION/.
func (s *Site) project(w http.ResponseWriter, r *http.Request, name, version string) error {
	ctx := r.Context()
	render.Tags(ctx, catalog.ProjectTag(name)) // the 404s, too
	p, release, meta, err := s.catalog.ProjectRelease(ctx, name, version)
	switch {
	case errors.Is(err, catalog.ErrNotFound) && version != "":
		return fail(http.StatusNotFound, "There is no release %s of a project %s here.", version, name)
	case errors.Is(err, catalog.ErrNotFound):
		return fail(http.StatusNotFound, "There is no project %s here.", name)
	case err != nil:
		return err
	case version != "" && release.Version != version: // 1.0.0 is 1.0, if that is how the release is written
		render.NoStore(ctx, "redirect")
		redirect(w, r, place{project: name, version: release.Version}.page())
		return nil
	}
	v := view{Title: p.Name}
	page := s.projectPage(p, release, meta)
	if release != nil && version != "" {
		v.Title += " " + release.Version
		if page.Current {
			v.Canonical = "/project/" + p.Normal + "/"
		}
	}
	v.Content = page
	return s.show(w, r, http.StatusOK, "project", v)
}

// A projectPage is what the page of a project, or of one of its releases, shows.
type projectPage struct {
	*catalog.Project
	Release *catalog.Release // nil: the project has none
	Meta    *dist.Metadata
	Current bool             // Release is the one people should use
	Latest  *catalog.Release // that one, if Release isn't it
	Newer   bool             // Latest is newer than Release; else it is the one that is final, or not yanked

	Requirement string // what to install: the name, with the version if it takes one to get this release
	Description description
	Prerelease  bool
	Links       []dist.Link
	Author      []person
	Maintainer  []person
	License     string
	Topics      []topic
	Needs       []need
	Files       []shownFile
	History     []shownRelease
}

// A person has written something; either part may be missing.
type person struct{ Name, Mail string }

// A topic is a group of classifiers.
type topic struct {
	Name   string
	Values []string
}

// A need is what a release requires, always or with an extra.
type need struct {
	Extra        string
	Requirements []string
}

type shownFile struct {
	catalog.File
	URL  string
	What string // "Wheel" or "Source"
}

type shownRelease struct {
	*catalog.Release
	Shown, Current, IsPrerelease bool
}

// A releaseLine is one in the list of a project's releases.
type releaseLine struct {
	shownRelease
	Normal string // of the project
}

func (s *Site) projectPage(p *catalog.Project, release *catalog.Release, meta *dist.Metadata) *projectPage {
	page := &projectPage{Project: p, Release: release, Meta: meta, Requirement: p.Name}
	if release == nil {
		return page
	}
	if meta == nil {
		page.Meta = &dist.Metadata{}
		meta = page.Meta
	}
	latest := p.Latest()
	page.Current = latest != nil && latest.Version == release.Version
	page.Prerelease = dist.Prerelease(release.Version)
	if !page.Current && latest != nil {
		page.Latest = latest
		page.Newer = dist.CompareVersions(latest.Version, release.Version) > 0
	}
	if !page.Current || page.Prerelease || release.Yanked {
		page.Requirement += "==" + release.Version
	}
	page.Description = s.readmes.render(meta.Description, meta.DescriptionContentType)
	page.Links = links(meta)
	page.Author, page.Maintainer = people(meta.Author, meta.AuthorEmail), people(meta.Maintainer, meta.MaintainerEmail)
	page.License = license(meta)
	page.Topics = topics(meta.Classifiers)
	page.Needs = needs(meta.RequiresDist)
	for _, f := range release.Files {
		what := "Wheel"
		if f.Kind == dist.Sdist {
			what = "Source"
		}
		page.Files = append(page.Files, shownFile{f, fileURL(f), what})
	}
	for i := range p.Releases {
		r := &p.Releases[i]
		page.History = append(page.History, shownRelease{
			Release: r, Shown: r.Version == release.Version,
			Current: latest != nil && r.Version == latest.Version, IsPrerelease: dist.Prerelease(r.Version),
		})
	}
	return page
}

// FirstReleases and MoreReleases part a long history.
func (p *projectPage) FirstReleases() []shownRelease { return p.History[:min(len(p.History), 12)] }
func (p *projectPage) MoreReleases() []shownRelease  { return p.History[min(len(p.History), 12):] }

// links are the links of a release that lead to sites, each address once. The metadata are untrusted: "javascript:" is a
// URL, too.
func links(meta *dist.Metadata) []dist.Link {
	all := slices.Clone(meta.ProjectURLs)
	all = append(all, dist.Link{Label: "Homepage", URL: meta.HomePage}, dist.Link{Label: "Download", URL: meta.DownloadURL})
	var kept []dist.Link
	for _, l := range all {
		known := slices.ContainsFunc(kept, func(k dist.Link) bool { return k.URL == l.URL })
		if known || !isWebURL(l.URL) {
			continue
		}
		if strings.TrimSpace(l.Label) == "" {
			l.Label = l.URL
		}
		kept = append(kept, l)
	}
	return kept
}

// people reads the two fields that metadata have for people: names, and addresses with or without names.
func people(names, addresses string) []person {
	var all []person
	if addresses = strings.TrimSpace(addresses); addresses != "" && addresses != "UNKNOWN" {
		list, err := mail.ParseAddressList(addresses)
		if err != nil {
			all = append(all, person{Name: addresses}) // for people to read, and no link
		}
		for _, a := range list {
			all = append(all, person{a.Name, a.Address})
		}
	}
	if names = strings.TrimSpace(names); names != "" && names != "UNKNOWN" {
		if len(all) == 1 && all[0].Name == "" {
			all[0].Name = names
		} else if !slices.ContainsFunc(all, func(p person) bool { return p.Name == names }) {
			all = append([]person{{Name: names}}, all...)
		}
	}
	return all
}

// license is a release's license in a few words: old metadata have its whole text in the field.
func license(meta *dist.Metadata) string {
	if meta.LicenseExpression != "" {
		return meta.LicenseExpression
	}
	if l := strings.TrimSpace(meta.License); l != "" && l != "UNKNOWN" && len(l) <= 100 && !strings.Contains(l, "\n") {
		return l
	}
	for _, c := range meta.Classifiers {
		if l, ok := strings.CutPrefix(c, "License :: "); ok {
			if i := strings.LastIndex(l, ":: "); i >= 0 {
				l = l[i+len(":: "):]
			}
			return l
		}
	}
	return ""
}

// topics groups classifiers by what comes before their first "::".
func topics(classifiers []string) []topic {
	var all []topic
	for _, c := range classifiers {
		name, value, ok := strings.Cut(c, " :: ")
		if !ok {
			name, value = "Other", c
		}
		i := slices.IndexFunc(all, func(t topic) bool { return t.Name == name })
		if i < 0 {
			i = len(all)
			all = append(all, topic{Name: name})
		}
		all[i].Values = append(all[i].Values, value)
	}
	return all
}

// needs groups requirements by the extra that asks for them.
func needs(requirements []string) []need {
	var all []need
	for _, requirement := range requirements {
		what, marker := cutMarker(requirement)
		extra, marker := cutExtra(marker)
		if marker != "" {
			what += " ; " + marker
		}
		i := slices.IndexFunc(all, func(n need) bool { return n.Extra == extra })
		if i < 0 {
			i = len(all)
			all = append(all, need{Extra: extra})
		}
		all[i].Requirements = append(all[i].Requirements, what)
	}
	slices.SortStableFunc(all, func(a, b need) int { return strings.Compare(a.Extra, b.Extra) })
	return all
}
