package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// serialHeader tells the serial of what a page shows, and of an upload.
const serialHeader = "X-Pypi-Last-Serial"

// indexPages are those of an index: each project's on the simple API in its three forms, and the one for people; and
// the list of projects in its forms, several times, as it changes most. A project's page at version 1+n shows n
// releases, so that a 404 is version 1; the list at version 1+n has the serial n.
type indexPages struct {
	projects, lists int
	serial          bool // the answers carry serialHeader

	known sync.Map // fact → int64: what was once seen of a version
}

// A fact is something that the same versions of different pages must tell alike.
type fact struct {
	what    string
	project int
	version int64
}

// Forms of a page.
const (
	asJSON = iota
	asHTML
	asHTMLv1
	forPeople
	forms

	listForms = forPeople
)

// aboutAll stands for the list of projects, where else a project's number does.
const aboutAll = -1

func (p *indexPages) Len() int { return p.projects*forms + p.lists }

// about returns what a page is about, and its form.
func (p *indexPages) about(page int) (project, form int) {
	if list := page - p.projects*forms; list >= 0 {
		return aboutAll, list % listForms
	}
	return page / forms, page % forms
}

var formTypes = [forms]string{indextest.JSON, indextest.HTML, indextest.HTMLv1, indextest.HTML}

func (p *indexPages) Request(page int) (host, path, accept string) {
	project, form := p.about(page)
	accept = formTypes[form]
	switch {
	case project == aboutAll:
		path = "/simple/"
	case form == forPeople:
		path, accept = "/project/"+indexProject(project)+"/", ""
	default:
		path = "/simple/" + indexProject(project) + "/"
	}
	return indexHost, path, accept
}

func (p *indexPages) Good(page, status int) bool {
	project, _ := p.about(page)
	return status == http.StatusOK || status == http.StatusNotFound && project != aboutAll
}

func (p *indexPages) Size(int) int { return 0 }

func (p *indexPages) Read(page, status int, body []byte) (int64, error) {
	project, form := p.about(page)
	var n int64
	var err error
	switch {
	case status == http.StatusNotFound:
		if len(body) == 0 {
			err = errors.New("an empty 404")
		}
	case project == aboutAll:
		n, err = p.readList(form, body)
	case form == forPeople:
		n, err = p.readForPeople(project, body)
	default:
		n, err = p.readSimple(project, form, body)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %v", ErrTorn, err)
	}
	return 1 + n, nil
}

// readList returns the list's serial.
func (p *indexPages) readList(form int, body []byte) (int64, error) {
	list, err := indextest.Parse(formTypes[form], body)
	if err != nil {
		return 0, err
	}
	newest := int64(0)
	for i, l := range list.Projects {
		newest = max(newest, l.Serial)
		if i > 0 && l.Name <= list.Projects[i-1].Name {
			return 0, fmt.Errorf("%s stands behind %s", l.Name, list.Projects[i-1].Name)
		}
	}
	if form == asJSON && newest != list.Serial {
		return 0, fmt.Errorf("its serial is %d, the newest in it %d", list.Serial, newest)
	}
	if err := p.agree(fact{"projects", aboutAll, list.Serial}, int64(len(list.Projects))); err != nil {
		return 0, err
	}
	return list.Serial, nil
}

// readSimple returns the number of releases: all from the first on, each with its file and nothing else.
func (p *indexPages) readSimple(project, form int, body []byte) (int64, error) {
	shown, err := indextest.Parse(formTypes[form], body)
	if err != nil {
		return 0, err
	}
	n := int64(len(shown.Files))
	for i := range n {
		want := p.file(project, i+1)
		entry := shown.Find(want.filename)
		switch {
		case entry == nil:
			return 0, fmt.Errorf("%d files, but not %s", n, want.filename)
		case entry.SHA256 != want.sha256 || entry.URL != "/files/"+want.path:
			return 0, fmt.Errorf("%s has digest %s and lies at %s", entry.Filename, entry.SHA256, entry.URL)
		}
		if version := fmt.Sprintf("1.%d", i+1); form == asJSON && !slices.Contains(shown.Versions, version) {
			return 0, fmt.Errorf("%s is there, but no version %s", entry.Filename, version)
		}
	}
	if form == asJSON && (int64(len(shown.Versions)) != n || shown.Name != indexProject(project)) {
		return 0, fmt.Errorf("%d files of %d versions, named %q", n, len(shown.Versions), shown.Name)
	}
	return n, p.agree(fact{"serial", project, n}, shown.Serial)
}

var shownFile = regexp.MustCompile(`torture_([0-9]+)-1\.([0-9]+)-py3-none-any\.whl`)

// readForPeople returns the newest release on a project's page for people.
func (p *indexPages) readForPeople(project int, body []byte) (n int64, err error) {
	for _, m := range shownFile.FindAllSubmatch(body, -1) {
		if of, err := strconv.Atoi(string(m[1])); err != nil || of != project {
			return 0, fmt.Errorf("it shows %s", m[0])
		}
		version, err := strconv.ParseInt(string(m[2]), 10, 64)
		if err != nil {
			return 0, err
		}
		n = max(n, version)
	}
	if n == 0 || !bytes.HasSuffix(bytes.TrimSpace(body), []byte("</html>")) {
		return 0, fmt.Errorf("it shows version %d, and ends with %.100q", n, body[max(0, len(body)-100):])
	}
	if want := p.file(project, n); !bytes.Contains(body, []byte(want.sha256)) {
		return 0, fmt.Errorf("it shows %s without its digest %s", want.filename, want.sha256)
	}
	return n, nil
}

func (p *indexPages) Check(page int, version int64, status int, h http.Header) error {
	project, form := p.about(page)
	unknown := project != aboutAll && version == 1
	if unknown != (status == http.StatusNotFound) {
		return fmt.Errorf("%w: status %d with version %d", ErrTorn, status, version)
	}
	if unknown {
		return nil
	}
	want := formTypes[form]
	if want == indextest.HTML {
		want += "; charset=utf-8"
	}
	if got := h.Get("Content-Type"); got != want {
		return fmt.Errorf("%w: Content-Type %q instead of %q", ErrTorn, got, want)
	}
	if form == forPeople {
		return nil
	}
	serial := ""
	switch {
	case p.serial && project == aboutAll:
		serial = fmt.Sprint(version - 1)
	case p.serial:
		if known, ok := p.known.Load(fact{"serial", project, version - 1}); ok {
			serial = fmt.Sprint(known)
		}
	}
	if got := h.Get(serialHeader); got != serial {
		return fmt.Errorf("%w: version %d has serial %q, but %s says %q", ErrTorn, version, serial, serialHeader, got)
	}
	return nil
}

// Key is that of pages for people, and without the serial's header of HTML: of other pages other servers don't know the
// headers.
func (p *indexPages) Key(page int) (key.Key, bool) {
	project, form := p.about(page)
	host, path, _ := p.Request(page)
	people := project != aboutAll && form == forPeople
	return key.Key{Host: host, Path: path}, people || form == asHTML && !p.serial
}

// agree remembers a fact, or compares it with what was seen before.
func (p *indexPages) agree(f fact, value int64) error {
	if old, seen := p.known.LoadOrStore(f, value); seen && old.(int64) != value {
		return fmt.Errorf("its %s is %d, and was %d when another page showed the same", f.what, value, old)
	}
	return nil
}

// shownAs is what pages tell of a file.
type shownAs struct{ filename, path, sha256 string }

// file returns what must be shown of the n-th version of a project.
func (p *indexPages) file(project int, n int64) shownAs {
	f := fact{"file", project, n}
	if known, ok := p.known.Load(f); ok {
		return known.(shownAs)
	}
	file := tortured(project, n)
	shown := shownAs{file.Filename, file.Path(), file.SHA256()}
	p.known.Store(f, shown)
	return shown
}

// indexSource asks the index's database, at rest.
type indexSource struct {
	database Database
	pages    *indexPages
}

// Versions counts the releases of each project.
func (s indexSource) Versions(ctx context.Context) (versions []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	db, err := s.database.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var last int64
	if err := db.QueryRowContext(ctx, `SELECT serial FROM index_state`).Scan(&last); err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, `SELECT project, count(*) FROM index_release GROUP BY project`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	releases := map[string]int64{}
	for rows.Next() {
		var project string
		var n int64
		if err := rows.Scan(&project, &n); err != nil {
			return nil, err
		}
		releases[project] = n
	}
	versions = make([]int64, s.pages.Len())
	for page := range versions {
		project, _ := s.pages.about(page)
		if versions[page] = 1 + last; project != aboutAll {
			versions[page] = 1 + releases[indexProject(project)]
		}
	}
	return versions, rows.Err()
}
