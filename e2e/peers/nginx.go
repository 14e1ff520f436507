package peers

import (
	"crypto/md5" //nolint:gosec // it names nginx's files
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// Nginx runs nginx with what an http block has in it: text, which must listen on the address.
func Nginx(dir, address, text string) (Server, error) {
	path, err := find("nginx", "nginx-light")
	if err != nil {
		return Server{}, err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // else its workers can't enter folders of root's
	}
	conf, err := write(dir, "nginx.conf", fmt.Sprintf(`%[1]s
daemon off; worker_processes 2; pid %[2]s/pid; error_log stderr error;
events { }
http {
  access_log off; keepalive_requests 1000000; sendfile on; tcp_nopush on;
  client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/t; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
%[3]s
}
`, user, dir, text))
	return Server{Name: "nginx", Path: path, Args: []string{"-p", dir, "-c", conf}, Address: address}, err
}

// NginxCache runs nginx's own cache (proxy_cache) before an origin (HOST:PORT). With lock, one request at a time fills a page.
func NginxCache(dir, address, origin string, lock bool) (Server, error) {
	locks := map[bool]string{false: "off", true: "on"}[lock]
	s, err := Nginx(dir, address, fmt.Sprintf(`
  proxy_cache_path %[1]s keys_zone=pages:16m max_size=1g inactive=1h use_temp_path=off;
  map $upstream_cache_status $told { default "nginx; fwd=bypass"; HIT "nginx; hit"; MISS "nginx; fwd=miss"; }
  upstream origin { server %[2]s; keepalive 64; keepalive_requests 1000000; }
  server {
    listen %[3]s;
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_cache pages; proxy_cache_key $request_uri; proxy_cache_valid 200 1h; proxy_cache_lock %[4]s;
      add_header Cache-Status $told;
    }
  }`, nginxPages(dir), origin, address, locks))
	s.Name = "nginx proxy_cache, lock " + locks
	return s, err
}

func nginxPages(dir string) string { return filepath.Join(dir, "pages") }

// NginxCacheFile returns the file in which NginxCache keeps the page of a request target.
func NginxCacheFile(dir, target string) string {
	sum := md5.Sum([]byte(target))
	return filepath.Join(nginxPages(dir), hex.EncodeToString(sum[:]))
}
