package example

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
	"github.com/cachesrv/cachesrv/invalidate"
	"github.com/cachesrv/cachesrv/render"
)

// Bounds of what a visitor sends, in bytes.
const (
	maxText = 10_000
	maxForm = 64 << 10 // three bytes for each of the text, and some
)

// A site renders and changes the notes.
type site struct {
	book  notebook
	base  string // URL without the final slash
	delay time.Duration
	log   *slog.Logger
}

// handler puts the site together. From the outside in: changes asked for by other sites are refused, the cache answers
// what it can, the site the rest.
func (s *site) handler(ways *serve.Ways) http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = s.showError
	e.Use(echoed(ways))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		e.Add(method, "/", s.list)
		e.Add(method, "/notes/:id", s.note)
	}
	e.POST("/notes", s.add)
	e.POST("/notes/:id", s.edit) // for forms, which know no PUT
	e.PUT("/notes/:id", s.edit)
	return http.NewCrossOriginProtection().Handler(e)
}

// echoed is the ways' caches as a middleware of Echo.
func echoed(ways *serve.Ways) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		handlers := make([]echo.HandlerFunc, len(ways.Caches))
		for i, c := range ways.Caches {
			handlers[i] = c.Echo()(next)
		}
		return func(c echo.Context) error { return handlers[ways.Of(c.Request())](c) }
	}
}

func (s *site) list(c echo.Context) error {
	ctx := c.Request().Context()
	render.Tags(ctx, allNotes)
	notes, err := s.book.List(ctx)
	if err != nil {
		return err
	}
	if err := s.linger(ctx); err != nil {
		return err
	}
	return s.show(c, http.StatusOK, "list.html", view{Title: "Notes", Notes: notes})
}

func (s *site) note(c echo.Context) error {
	id, err := noteID(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	render.Tags(ctx, tagOf(id)) // the 404 too: it is dropped when the note is added
	note, err := s.book.Get(ctx, id)
	if err != nil && !errors.Is(err, errNoNote) {
		return err
	}
	if err := s.linger(ctx); err != nil {
		return err
	}
	if errors.Is(err, errNoNote) {
		return s.show(c, http.StatusNotFound, "message.html", view{Title: "No such note", Message: "There is no note " + c.Param("id") + "."})
	}
	return s.show(c, http.StatusOK, "note.html", view{Title: "Note " + c.Param("id"), Note: note})
}

func (s *site) add(c echo.Context) error {
	text, err := noteText(c)
	if err != nil {
		return err
	}
	n, err := s.book.Add(c.Request().Context(), text)
	if err != nil {
		return err
	}
	return changed(c, http.StatusCreated, n)
}

func (s *site) edit(c echo.Context) error {
	id, err := noteID(c)
	if err != nil {
		return err
	}
	text, err := noteText(c)
	if err != nil {
		return err
	}
	n, err := s.book.Edit(c.Request().Context(), id, text)
	if err != nil {
		return err
	}
	return changed(c, http.StatusOK, n)
}

// changed leads a browser to the note, and tells a program where it is.
func changed(c echo.Context, status int, n Note) error {
	path := "/notes/" + strconv.FormatInt(n.ID, 10)
	if c.Request().Method == http.MethodPost && strings.Contains(c.Request().Header.Get("Accept"), "text/html") {
		return c.Redirect(http.StatusSeeOther, path)
	}
	c.Response().Header().Set("Location", path)
	return c.String(status, fmt.Sprintf("%s revision %d\n", path, n.Revision))
}

// noteID reads the id in the one way it is written, so that a note has one URL.
func noteID(c echo.Context) (int64, error) {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != c.Param("id") {
		return 0, echo.NewHTTPError(http.StatusNotFound, "A note's address ends in its number.")
	}
	return id, nil
}

func noteText(c echo.Context) (string, error) {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return "", echo.NewHTTPError(http.StatusBadRequest, "The form can't be read.")
	}
	text := strings.TrimSpace(strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n"))
	switch {
	case text == "":
		return "", echo.NewHTTPError(http.StatusBadRequest, "Send the note's text in the form field \"text\".")
	case len(text) > maxText:
		return "", echo.NewHTTPError(http.StatusRequestEntityTooLarge, fmt.Sprintf("A note has at most %d bytes.", maxText))
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return "", echo.NewHTTPError(http.StatusBadRequest, "A note is text in UTF-8.")
	}
	return text, nil
}

// linger makes a render take longer, after its snapshot: where that hurts most.
func (s *site) linger(ctx context.Context) error {
	if s.delay <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(s.delay)):
		return nil
	}
}

//go:embed pages/*
var pageFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"firstLine": firstLine,
	"style":     style,
}).ParseFS(pageFiles, "pages/*.html"))

// A view is what the pages show.
type view struct {
	Title    string
	Message  string
	Notes    []Note
	Note     Note
	Base     string // URL of the site
	Path     string // of this page
	Rendered time.Time
}

func (s *site) show(c echo.Context, status int, page string, v view) error {
	v.Base, v.Path, v.Rendered = s.base, c.Request().URL.EscapedPath(), time.Now().UTC()
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, page, v); err != nil {
		return err
	}
	return c.HTMLBlob(status, b.Bytes())
}

// showError answers what a handler could not. What the visitor did wrong is told; what went wrong here is logged.
func (s *site) showError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	status, message := http.StatusServiceUnavailable, "The database can't be reached at the moment. Try again in a while."
	var known *echo.HTTPError
	switch {
	case errors.As(err, &known):
		status, message = known.Code, fmt.Sprint(known.Message)
	case errors.Is(err, errNoNote):
		status, message = http.StatusNotFound, "There is no such note."
	case errors.Is(err, invalidate.ErrCommitUnknown):
		message = "The connection to the database was lost: your change may have been saved, or not. Look before you try again."
	case errors.Is(err, context.Canceled): // the visitor has gone
	default:
		s.log.Error("answering with an error", "method", c.Request().Method, "path", c.Request().URL.Path, "err", err)
	}
	if err := s.show(c, status, "message.html", view{Title: http.StatusText(status), Message: message}); err != nil {
		s.log.Debug("the answer could not be sent", "err", err)
	}
}

// firstLine is what the list shows of a note.
func firstLine(text string) string {
	const most = 80 // characters
	line, _, more := strings.Cut(text, "\n")
	if runes := []rune(line); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	if more {
		return line + " …"
	}
	return line
}

func style() (template.CSS, error) {
	css, err := pageFiles.ReadFile("pages/style.css")
	return template.CSS(css), err
}
