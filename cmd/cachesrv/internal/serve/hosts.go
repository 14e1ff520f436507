package serve

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/cachesrv/cachesrv/cache/key"
)

// siteHosts lists the names the site answers to; the first is the one in keys. A name given without a port is good
// with the listener's too, as that is how it is reached without a proxy in front. here is a name that leads to the
// listener from this machine. Without an address, as on a Unix socket, the loopback names have no port.
func siteHosts(addr *net.TCPAddr, names []string) (hosts []string, here string) {
	add := func(name string) {
		if host, err := key.Host(name); err == nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for _, name := range names {
		add(name)
	}
	if addr == nil {
		for _, name := range []string{"localhost", "127.0.0.1", "[::1]"} {
			add(name)
		}
		return hosts, "localhost"
	}
	port := strconv.Itoa(addr.Port)
	for _, name := range names {
		add(name + ":" + port) // no host name, and not added, if it has a port already
	}
	here = "127.0.0.1:" + port
	if !addr.IP.IsUnspecified() {
		here = addr.String()
	}
	for _, name := range []string{here, "127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port} {
		add(name)
	}
	return hosts, here
}

// Headers are those that OnlyHosts puts on every answer: who serves the site's pages in its place sends them too.
func Headers() http.Header { return http.Header{"X-Content-Type-Options": {"nosniff"}} }

// OnlyHosts refuses requests for other sites: a page that names its own host must not be made to name another.
func OnlyHosts(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		maps.Copy(w.Header(), Headers())
		host, err := key.Host(r.Host)
		if err != nil {
			NoHost(w, err)
			return
		}
		if !slices.Contains(hosts, host) {
			NotHere(w, host, "--host "+host)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// NoHost answers a request whose Host is no host name: err is what key.Host says of it.
func NoHost(w http.ResponseWriter, err error) {
	http.Error(w, "cachesrv: "+err.Error(), http.StatusBadRequest)
}

// NotHere answers a request for a host that is no name of the site's, and says with which flag it would be one.
func NotHere(w http.ResponseWriter, host, flag string) {
	http.Error(w, fmt.Sprintf("cachesrv: this site is not %s: if it should be, start it with %s", host, flag),
		http.StatusMisdirectedRequest)
}
