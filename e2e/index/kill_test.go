//go:build e2e

package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/e2e/indextest"
	"github.com/cachesrv/cachesrv/e2e/torture"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// points are where an upload, a deletion, or the fill of a page that shows them is killed.
var points = []string{
	fault.UploadReceived, fault.UploadIntended, fault.UploadLinked, fault.UploadCommitted,
	fault.DeleteIntended, fault.DeleteCommitted,
	fault.CommitRecorded, fault.CommitDone, fault.DropClaim, fault.DropPage,
	fault.FillClaimed, fault.FillWrite, fault.PublishRow, fault.PublishLinked,
}

// TestKills: kill -9 at each point of an upload and of a deletion, and at random. After the restart each upload ever
// attempted is there as a whole, or has never happened; and no page is older than the database.
func TestKills(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		k := newKills(t, db)
		for range killsAt {
			for _, point := range points {
				k.kill(fmt.Sprintf("%s:%d", point, 1+k.rand.IntN(3)))
			}
		}
		for range randomKills {
			k.kill("")
		}
		k.verify(true)
		t.Logf("%d kills, %d uploads answered, %d cut off (%d of them whole), %d deletions answered, %d cut off",
			k.count.kills, k.count.uploads, k.count.cutUploads, k.count.whole, k.count.deletions, k.count.cutDeletions)
		if k.count.cutUploads == 0 || k.count.cutDeletions == 0 || k.count.uploads == 0 {
			t.Error("nothing was cut off, which proves nothing")
		}
		ctx := context.WithoutCancel(t.Context())
		if err := k.ix.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// An attempt is a file whose upload was attempted.
type attempt struct {
	indextest.File
	answered bool // 200: it must be there
	listed   bool // it was seen after a restart: it must stay
	deleting bool // its deletion was attempted
	deleted  bool // and answered: it must be gone
	absent   bool // it was seen that it isn't there
	verified bool // all of it was looked at since
}

type kills struct {
	ix   *index
	rand *rand.Rand

	mu    sync.Mutex
	files []*attempt
	next  int

	count struct{ kills, uploads, cutUploads, whole, deletions, cutDeletions int }
}

// projects is how many projects the uploads are spread over.
const projects = 3

// uploaders upload at the same time.
const uploaders = 2

func newKills(t *testing.T, db string) *kills {
	k := &kills{rand: choices(t), ix: prepare(t, breakable, db)}
	k.start("")
	token, err := k.ix.AddToken(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	k.ix.Client = &indextest.Client{Base: k.ix.BaseURL(), Token: token, Host: host}
	return k
}

// start starts the index, to be killed at a point.
func (k *kills) start(point string) {
	k.ix.t.Helper()
	k.ix.Env = nil
	if point != "" {
		k.ix.Env = []string{"CACHESRV_KILL=" + point}
	}
	if err := k.ix.Start(k.ix.t.Context()); err != nil && (point == "" || !errors.Is(err, torture.ErrKilled)) {
		k.ix.t.Fatal(err)
	}
	k.ix.Env = nil // not for commands
	if k.ix.Client != nil {
		k.ix.Client.Base = k.ix.BaseURL()
	}
}

// patience bounds how long an index may work without coming by its point.
const patience = time.Minute

// kill has the index killed while it works, starts it again, and verifies everything.
func (k *kills) kill(point string) {
	t := k.ix.t
	t.Helper()
	if err := k.ix.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.start(point)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	gone := k.ix.Gone()
	var load sync.WaitGroup
	for range uploaders {
		rnd := rand.New(rand.NewPCG(k.rand.Uint64(), k.rand.Uint64()))
		load.Go(func() { k.work(ctx, rnd, gone) })
	}
	if point == "" {
		select {
		case <-time.After(time.Duration(k.rand.IntN(300)) * time.Millisecond):
		case <-gone:
		}
		if err := k.ix.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-gone:
	case <-ctx.Done():
		t.Fatalf("the index did not come by %s within %v", point, patience)
	}
	load.Wait()
	k.count.kills++
	k.start("")
	if left := k.ix.tree("incoming"); len(left) > 0 {
		t.Errorf("after a kill at %q: left in incoming: %q", point, left)
	}
	k.verify(false)
	if t.Failed() {
		t.Fatalf("after a kill at %q", point)
	}
}

// work uploads, reads and deletes until the index is gone.
func (k *kills) work(ctx context.Context, rnd *rand.Rand, gone <-chan struct{}) {
	client := *k.ix.Client
	for {
		select {
		case <-gone:
			return
		case <-ctx.Done():
			return
		default:
		}
		if err := k.change(ctx, rnd, &client); err != nil { // it is being killed
			select {
			case <-gone:
			case <-ctx.Done():
			}
		}
	}
}

// change uploads or deletes a file, between two looks at the pages.
func (k *kills) change(ctx context.Context, rnd *rand.Rand, c *indextest.Client) error {
	a, change := (*attempt)(nil), k.delete
	if rnd.IntN(3) == 0 {
		a = k.toDelete(rnd)
	}
	if a == nil {
		a, change = k.toUpload(rnd), k.upload
	}
	if err := k.look(ctx, c, a.Name); err != nil {
		return err
	}
	if err := change(ctx, c, a); err != nil {
		return err
	}
	return k.look(ctx, c, a.Name)
}

// toUpload is a file that never was.
func (k *kills) toUpload(rnd *rand.Rand) *attempt {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next++
	d := sample.Dist{
		Name: fmt.Sprintf("mug-%d", rnd.IntN(projects)), Version: fmt.Sprintf("1.%d", k.next),
		Description: strings.Repeat("# Text\n\nthat makes a file of some size, and its metadata, too.\n\n", 50),
	}
	a := &attempt{File: indextest.Wheel(d)}
	if rnd.IntN(4) == 0 {
		a.File = indextest.Sdist(d)
	}
	k.files = append(k.files, a)
	return a
}

// toDelete is a file that is there, and that nobody else deletes. It may be nil.
func (k *kills) toDelete(rnd *rand.Rand) *attempt {
	k.mu.Lock()
	defer k.mu.Unlock()
	var there []*attempt
	for _, a := range k.files {
		if (a.answered || a.listed) && !a.deleting {
			there = append(there, a)
		}
	}
	if len(there) == 0 {
		return nil
	}
	a := there[rnd.IntN(len(there))]
	a.deleting, a.verified = true, false
	return a
}

func (k *kills) upload(ctx context.Context, c *indextest.Client, a *attempt) error {
	answer, err := c.Upload(ctx, a.File)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		k.count.cutUploads++
	case answer.Status == 200:
		k.count.uploads++
		a.answered = true
	default:
		k.ix.t.Errorf("uploading %s: %v", a.Filename, answer)
	}
	return err
}

func (k *kills) delete(ctx context.Context, c *indextest.Client, a *attempt) error {
	answer, err := c.Do(ctx, "DELETE", "/project/"+a.Name+"/"+a.Version+"/"+a.Filename, nil)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		k.count.cutDeletions++
	case answer.Status == 200:
		k.count.deletions++
		a.deleted = true
	default:
		k.ix.t.Errorf("deleting %s: %v", a.Filename, answer)
	}
	return err
}

// look has the pages of a project made, so that there are some to drop.
func (k *kills) look(ctx context.Context, c *indextest.Client, project string) error {
	for _, path := range []string{"/simple/" + project + "/", "/project/" + project + "/", "/simple/"} {
		if _, err := c.Get(ctx, path, "Accept", indextest.JSON); err != nil {
			return err
		}
	}
	return nil
}

// verify compares what is served, from the cache and past it, with the files and with every attempt; what was verified
// before, and not touched since, not in all detail, unless everything is to be.
func (k *kills) verify(everything bool) {
	t := k.ix.t
	t.Helper()
	pages := map[string]*indextest.Page{} // of each project; nil: unknown
	for n := range projects {
		name := fmt.Sprintf("mug-%d", n)
		pages[name] = k.agreed(name)
	}
	list := k.agreed("")
	var below []string // what must be in files
	for _, a := range k.files {
		page := pages[a.Name]
		entry := page.Find(a.Filename)
		switch {
		case entry == nil && (a.answered || a.listed) && !a.deleting:
			t.Errorf("%s was there, and is not listed any more", a.Filename)
		case entry != nil && a.deleted:
			t.Errorf("%s was deleted, and is listed", a.Filename)
		case entry != nil && a.absent:
			t.Errorf("%s was not there, and is listed", a.Filename)
		}
		if entry == nil {
			if !a.verified || everything {
				k.never(a)
			}
			a.verified = true
			continue
		}
		if !a.listed && !a.answered {
			k.count.whole++
		}
		a.listed, a.deleting = true, false // it may be deleted again
		if !a.verified || everything {
			k.whole(a, entry)
		}
		a.verified = true
		if below = append(below, a.Path()); a.Kind == "bdist_wheel" {
			below = append(below, a.Path()+".metadata")
		}
	}
	slices.Sort(below)
	if files := k.ix.tree("files"); !slices.Equal(files, below) {
		t.Errorf("in files are %q, and should be %q", files, below)
	}
	for name, page := range pages {
		listed := slices.ContainsFunc(list.Projects, func(l indextest.Listed) bool { return l.Name == name && page != nil && l.Serial == page.Serial })
		if listed != (page != nil) {
			t.Errorf("of %s, /simple/ says %+v, its page %+v", name, list.Projects, page)
		}
	}
	k.ix.check(true)
	k.again()
}

// agreed returns a page on which its forms agree, from the cache and past it.
func (k *kills) agreed(project string) *indextest.Page {
	t := k.ix.t
	t.Helper()
	path := "/simple/"
	if project != "" {
		path += project + "/"
	}
	paths := []string{path}
	if project != "" {
		paths = append(paths, "/project/"+project+"/")
	}
	paths = append(paths, "/user/ada/", "/")
	var page *indextest.Page
	for _, form := range []string{indextest.HTMLv1, indextest.HTML, indextest.JSON} {
		for _, path := range paths {
			if strings.HasPrefix(path, "/simple/") || form == indextest.HTML {
				kept, err := k.ix.Get(t.Context(), path, "Accept", form)
				fresh, err2 := k.ix.Get(t.Context(), path, "Accept", form, "Cookie", "past=the-cache")
				if err != nil || err2 != nil || kept.Status != fresh.Status || string(kept.Body) != string(fresh.Body) {
					t.Errorf("%s as %s: the cache (%s) has\n%s\nand the database %v\n%s\n(%v, %v)", path, form,
						kept.Header.Get("Cache-Status"), kept.Body, fresh, fresh.Body, err, err2)
				}
			}
		}
		p, _, err := k.ix.Simple(t.Context(), project, form)
		if err != nil {
			t.Fatal(err)
		}
		if page == nil {
			page = p
			continue
		}
		names := func(p *indextest.Page) (names []string) {
			for _, f := range p.Files {
				names = append(names, f.Filename+" "+f.SHA256+" "+f.URL)
			}
			for _, l := range p.Projects {
				names = append(names, l.Name)
			}
			return append(names, fmt.Sprint(p.Serial))
		}
		if p == nil || !slices.Equal(names(p), names(page)) {
			t.Errorf("%s: as %s it shows %+v, else %+v", path, form, p, page)
		}
		page = p
	}
	return page
}

// whole requires that everything about a listed file is there.
func (k *kills) whole(a *attempt, entry *indextest.Entry) {
	t := k.ix.t
	t.Helper()
	if entry.SHA256 != a.SHA256() || entry.URL != "/files/"+a.Path() {
		t.Errorf("%s is listed with digest %s, at %s", a.Filename, entry.SHA256, entry.URL)
	}
	got, err := k.ix.Get(t.Context(), entry.URL)
	if err != nil || got.Status != 200 || string(got.Body) != string(a.Content) {
		t.Errorf("%s is listed, and its file is %d bytes, status %d, %v", a.Filename, len(got.Body), got.Status, err)
	}
	if a.Kind == "bdist_wheel" {
		got, err := k.ix.Get(t.Context(), entry.URL+".metadata")
		sum := sha256.Sum256(got.Body)
		if err != nil || got.Status != 200 || entry.Metadata != "sha256="+hex.EncodeToString(sum[:]) || !strings.Contains(string(got.Body), "\nVersion: "+a.Version+"\n") {
			t.Errorf("%s is listed with metadata %s, and they are %v, %v", a.Filename, entry.Metadata, got, err)
		}
	}
	release, err := k.ix.Get(t.Context(), "/project/"+a.Name+"/"+a.Version+"/")
	if err != nil || release.Status != 200 || !strings.Contains(string(release.Body), a.Filename) {
		t.Errorf("%s is listed, but its release's page is %d, %v", a.Filename, release.Status, err)
	}
}

// never requires that nothing of a file is there.
func (k *kills) never(a *attempt) {
	t := k.ix.t
	t.Helper()
	for _, suffix := range []string{"", ".metadata"} {
		if got, err := k.ix.Get(t.Context(), "/files/"+a.Path()+suffix); err != nil || got.Status != 404 {
			t.Errorf("%s is not listed, and its file%s is %v, %v", a.Filename, suffix, got, err)
		}
	}
	release, err := k.ix.Get(t.Context(), "/project/"+a.Name+"/"+a.Version+"/")
	if err != nil || strings.Contains(string(release.Body), a.Filename) {
		t.Errorf("%s is not listed, but on its release's page: %d, %v", a.Filename, release.Status, err)
	}
}

// again uploads what never happened, or was deleted, once more: the first must succeed, the other must not.
func (k *kills) again() {
	t := k.ix.t
	t.Helper()
	for _, a := range k.files {
		if a.absent || k.isListed(a) {
			continue
		}
		answer, err := k.ix.Upload(t.Context(), a.File)
		switch deleted := a.deleting || a.deleted; {
		case err != nil:
			t.Errorf("%s, again: %v", a.Filename, err)
		case deleted && answer.Status == 400:
			a.absent = true
		case !deleted && answer.Status == 200:
			a.listed, a.verified = true, false
			if !k.isListed(a) {
				t.Errorf("%s, uploaded again, is not listed", a.Filename)
			}
		default:
			t.Errorf("%s, again (deleted: %v): %v", a.Filename, deleted, answer)
		}
	}
}

func (k *kills) isListed(a *attempt) bool {
	k.ix.t.Helper()
	return k.ix.simple(a.Name, indextest.JSON).Find(a.Filename) != nil
}

// TestLeftovers: what an upload that died has left in incoming, and strangers there, keep nobody from anything.
func TestLeftovers(t *testing.T) {
	ix := prepare(t, right, "")
	if err := os.MkdirAll(ix.data("incoming"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"0123456789abcdef.part", "stranger", ".hidden"} {
		if err := os.WriteFile(filepath.Join(ix.data("incoming"), name), []byte("half a wheel"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := ix.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := ix.tree("incoming")
	if slices.Contains(left, "0123456789abcdef.part") {
		t.Errorf("in incoming: %q", left)
	}
}
