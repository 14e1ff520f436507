package peers

import (
	"fmt"
	"net"
	"path/filepath"
)

// Varnish runs Varnish before an origin (HOST:PORT), with PURGE as its manual has it.
func Varnish(dir, address, origin string) (Server, error) {
	path, err := find("varnishd", "varnish")
	if err != nil {
		return Server{}, err
	}
	host, port, err := net.SplitHostPort(origin)
	if err != nil {
		return Server{}, err
	}
	vcl, err := write(dir, "default.vcl", fmt.Sprintf(`vcl 4.1;
backend default { .host = "%s"; .port = "%s"; }
sub vcl_recv {
  if (req.method == "PURGE") { return (purge); }
}
sub vcl_backend_response { set beresp.ttl = 1h; set beresp.grace = 0s; set beresp.keep = 0s; }
sub vcl_deliver {
  if (obj.hits > 0) { set resp.http.Cache-Status = "varnish; hit"; } else { set resp.http.Cache-Status = "varnish; fwd=miss"; }
}
`, host, port))
	return Server{
		Name: "Varnish", Path: path, Address: address,
		Args: []string{"-F", "-a", address, "-f", vcl, "-n", filepath.Join(dir, "varnish"), "-s", "malloc,256m", "-j", "none"},
	}, err
}
