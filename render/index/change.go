package index

import (
	"context"
	"fmt"
	"mime"
	"net/http"

	"github.com/cachesrv/cachesrv/render/index/catalog"
)

// A place is what a path below /project/ names.
type place struct {
	project string // normalised
	version string // canonical; empty: the project
	last    string // what follows the version: a file name, "yank" or "unyank"
}

func (at place) String() string {
	switch {
	case at.last != "":
		return at.last
	case at.version != "":
		return at.project + " " + at.version
	}
	return at.project
}

// page is the path of the project's or release's page. The characters of canonical versions need no escaping.
func (at place) page() string {
	if at.version == "" {
		return "/project/" + at.project + "/"
	}
	return "/project/" + at.project + "/" + at.version + "/"
}

// maxYankForm bounds the form of a yank, in bytes. The catalog bounds the reason in it.
const maxYankForm = 64 << 10

// yank answers POST /project/NAME/VERSION/yank, with the form field reason.
func (s *Site) yank(at place) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		who, err := s.changer(w, r)
		if err != nil {
			return err
		}
		reason, err := yankReason(w, r)
		if err != nil {
			return err
		}
		if err := s.catalog.Yank(context.WithoutCancel(r.Context()), who, at.project, at.version, reason); err != nil {
			return err
		}
		return done(w, "%s %s is yanked.", at.project, at.version)
	}
}

func yankReason(w http.ResponseWriter, r *http.Request) (string, error) {
	if t := r.Header.Get("Content-Type"); t != "" {
		if mediaType, _, err := mime.ParseMediaType(t); err != nil || mediaType != "application/x-www-form-urlencoded" {
			return "", fail(http.StatusUnsupportedMediaType, "Send the reason as a form: curl -d reason='…'")
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxYankForm)
	if err := r.ParseForm(); err != nil {
		return "", fail(http.StatusBadRequest, "The form can't be read: %v", err)
	}
	return r.PostForm.Get("reason"), nil
}

// unyank answers POST /project/NAME/VERSION/unyank.
func (s *Site) unyank(at place) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		who, err := s.changer(w, r)
		if err != nil {
			return err
		}
		if err := s.catalog.Unyank(context.WithoutCancel(r.Context()), who, at.project, at.version); err != nil {
			return err
		}
		return done(w, "%s %s is not yanked any more.", at.project, at.version)
	}
}

// remove answers DELETE of a project, a release or a file.
func (s *Site) remove(at place) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		who, err := s.changer(w, r)
		if err != nil {
			return err
		}
		if err := s.catalog.Delete(context.WithoutCancel(r.Context()), who, at.project, at.version, at.last); err != nil {
			return err
		}
		return done(w, "%s is deleted.", at)
	}
}

// changer is uploader, for answers that net/http writes.
func (s *Site) changer(w http.ResponseWriter, r *http.Request) (who catalog.Identity, err error) {
	who, err = s.uploader(r)
	if err == errNoCredentials {
		w.Header().Set("Www-Authenticate", realm)
	}
	return who, err
}

func done(w http.ResponseWriter, format string, args ...any) error {
	w.Header().Set("Cache-Control", "no-store")
	sendText(w, http.StatusOK, fmt.Sprintf(format, args...))
	return nil
}
