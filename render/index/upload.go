package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/cachesrv/cachesrv/render/index/catalog"
)

// serialHeader carries the serial of the last change to what a page shows.
const serialHeader = "X-PyPI-Last-Serial"

// addTime bounds the work on a file that has arrived: looking into it, and committing.
const addTime = 2 * time.Minute

// upload answers POST /legacy/, the way twine and its kin upload (PyPI's legacy upload API). Who may is checked before a
// byte of the body is read.
func (s *Site) upload(w http.ResponseWriter, r *http.Request) {
	body := newPacedBody(w, r, s.mostUpload())
	added, err := s.receiveUpload(r, body)
	if err != nil {
		if errors.Is(err, errNoCredentials) {
			w.Header().Set("Www-Authenticate", realm)
		}
		s.refuse(w, r, body, err)
		return
	}
	what := "is in place"
	if added.Unchanged {
		what = "was there already"
	}
	w.Header().Set(serialHeader, strconv.FormatInt(added.Serial, 10))
	w.Header().Set("Cache-Control", "no-store")
	sendText(w, http.StatusOK, fmt.Sprintf("%s %s: %s/project/%s/%s/", added.File.Filename, what, baseURL(r.Host), added.Project, added.Version))
}

// mostUpload is the length of the longest upload, in bytes.
func (s *Site) mostUpload() int64 { return s.o.MaxFile + maxFields + maxFraming }

var errNoCredentials = &failure{http.StatusUnauthorized,
	"Uploads need a token: give it as the password, and __token__ as the user (twine upload -u __token__ -p TOKEN)."}

// uploader returns who sends an upload, or any other change.
func (s *Site) uploader(r *http.Request) (catalog.Identity, error) {
	if _, _, ok := r.BasicAuth(); !ok {
		return catalog.Identity{}, errNoCredentials
	}
	who, err := s.identify(r)
	if errors.Is(err, catalog.ErrUnauthorized) {
		return who, fail(http.StatusForbidden, "Invalid or non-existent authentication information: the token is not known, has expired or was revoked, or isn't that user's. The user is __token__, the password the token.")
	}
	if err == nil && who.Scope == catalog.ScopeRead {
		return who, fail(http.StatusForbidden, "This token is for reading only: use one with the scope upload.")
	}
	return who, err
}

func (s *Site) receiveUpload(r *http.Request, body *pacedBody) (catalog.Added, error) {
	who, err := s.uploader(r)
	if err != nil {
		return catalog.Added{}, err
	}
	body.trusted = true
	if r.ContentLength > body.most {
		return catalog.Added{}, s.tooLarge()
	}
	form, err := s.receive(r.Context(), r.Header.Get("Content-Type"), body)
	if form.in != nil {
		defer form.in.Close()
	}
	if err != nil {
		return catalog.Added{}, err
	}
	u, err := form.upload()
	if err != nil {
		return catalog.Added{}, err
	}
	_, _ = io.Copy(io.Discard, body) // what follows the form's end; so that the connection can be used again
	// From here on the file is ours. A client that leaves must not break off a commit.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), addTime)
	defer cancel()
	_ = body.rc.SetWriteDeadline(time.Now().Add(addTime + paceTime))
	return s.catalog.Add(ctx, who, form.in, u)
}
