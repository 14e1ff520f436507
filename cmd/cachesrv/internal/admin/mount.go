package admin

import "net/http"

// Mount adds a handler, at a path of its own, to what the admin listener serves (Handler). It is reached under loopback names
// only, like the others. Who may use it beyond that, it decides itself.
func Mount(listener http.Handler, path string, h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", listener)
	mux.Handle(path, loopbackNames(h))
	return mux
}
