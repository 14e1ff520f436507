package middleware

import (
	"io"
	"maps"
	"net/http"

	"github.com/labstack/echo/v4"
)

// Handler puts the cache in front of a net/http handler. Handlers declare what their pages depend on with package
// render and the request's context.
func (c *Cache) Handler(next http.Handler) http.Handler {
	run := func(w http.ResponseWriter, r *http.Request) error {
		next.ServeHTTP(w, r)
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = c.serve(w, r, run) })
}

// Echo puts the cache in front of the handlers of an Echo application, or of a group:
//
//	e.Use(pages.Echo())
//
// Mount it with Use, not Pre, as the first of what reads the database (see Order above). While a page is filled the
// context's request and response are those of the fill; everything else in it stays. An error that the handler returns
// is answered by Echo's own error handler, through the fill: a 404 with tags is a page. It is returned too, for
// whatever logs errors further out; error handlers find the response committed.
func (c *Cache) Echo() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ec echo.Context) error {
			return c.serve(echoWriter{ec.Response()}, ec.Request(), func(w http.ResponseWriter, r *http.Request) error {
				if _, ours := w.(echoWriter); ours {
					return next(ec) // past the cache: as if we were not there
				}
				return fillEcho(ec, next, w, r)
			})
		}
	}
}

// fillEcho runs an Echo handler that answers into w the request r, instead of the context's own.
func fillEcho(ec echo.Context, next echo.HandlerFunc, w http.ResponseWriter, r *http.Request) error {
	request, response := ec.Request(), ec.Response()
	if request.URL.RawQuery != r.URL.RawQuery {
		// The context parses the query once, perhaps long before us, and has no other way to forget it.
		query := ec.QueryParams()
		outer := maps.Clone(query)
		clear(query)
		maps.Copy(query, r.URL.Query())
		defer func() {
			clear(query)
			maps.Copy(query, outer)
		}()
	}
	inner := echo.NewResponse(w, ec.Echo())
	inner.Status = http.StatusOK // as Echo's own begin
	ec.SetRequest(r)
	ec.SetResponse(inner)
	defer func() {
		ec.SetRequest(request)
		ec.SetResponse(response)
	}()
	err := next(ec)
	if err != nil {
		ec.Error(err)
	}
	return err
}

// echoWriter lets large bodies through to net/http's sendfile, and keeps Echo's account of the response.
type echoWriter struct{ *echo.Response }

// ReadFrom implements io.ReaderFrom.
func (w echoWriter) ReadFrom(src io.Reader) (int64, error) {
	if !w.Committed {
		w.WriteHeader(w.Status)
	}
	n, err := io.Copy(w.Writer, src)
	w.Size += n
	_, _ = w.Write(nil) // runs the functions registered with Response.After
	return n, err
}
