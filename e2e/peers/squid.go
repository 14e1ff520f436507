package peers

import (
	"fmt"
	"net"
)

// Squid runs Squid before an origin (HOST:PORT), with PURGE as its manual has it. It says hit or miss in X-Cache.
//
// Squid 5.7 answers a request for a part that it doesn't grant (as If-Range doesn't hold) with the status 200 and a body of the
// whole's length, which begins with that part: torn.
func Squid(dir, address, origin string) (Server, error) {
	path, err := find("squid", "squid")
	if err != nil {
		return Server{}, err
	}
	host, port, err := net.SplitHostPort(origin)
	if err != nil {
		return Server{}, err
	}
	conf, err := write(dir, "squid.conf", fmt.Sprintf(`
http_port %[1]s accel defaultsite=torture.test vhost
cache_peer %[2]s parent %[3]s 0 no-query originserver no-digest name=origin
acl purge method PURGE
http_access allow all
cache_mem 256 MB
maximum_object_size_in_memory 1 MB
refresh_pattern . 60 100%% 60
access_log none
cache_log stdio:/dev/null
pid_filename none
netdb_filename none
cache_store_log none
shutdown_lifetime 1 second
max_filedescriptors 4096
visible_hostname squid
`, address, host, port))
	return Server{Name: "Squid", Path: path, Args: []string{"-N", "-f", conf}, Address: address}, err
}
