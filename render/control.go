package render

import "net/http"

// Ahead is a control of the tests (fault.ClaimAfterRead): it runs a handler now, before any claim, and returns one
// that only repeats the answer and the declarations.
func Ahead(r *http.Request, h Func) Func {
	ctx, declarations := withDeclarations(r.Context())
	m := &memory{header: make(http.Header)}
	err := h(m, r.WithContext(ctx))
	said := declarations.end()
	return func(w http.ResponseWriter, r *http.Request) error {
		declare(r.Context(), func(d *declared) { *d = said })
		setHeader(w.Header(), m.header)
		if m.status != 0 {
			w.WriteHeader(m.status)
			_, _ = w.Write(m.body)
		}
		return err
	}
}

// memory is the http.ResponseWriter of Ahead.
type memory struct {
	header http.Header
	status int
	body   []byte
}

func (m *memory) Header() http.Header { return m.header }

func (m *memory) WriteHeader(status int) {
	if m.status == 0 {
		m.status = status
	}
}

func (m *memory) Write(p []byte) (int, error) {
	m.WriteHeader(http.StatusOK)
	m.body = append(m.body, p...)
	return len(p), nil
}
