//go:build e2e

package front

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/cachesrv/cachesrv/e2e/program"
)

// hostile is what an http block may have set for all its servers: each of these would change answers, or keep what is gone.
const hostile = `
  gzip on; gzip_types *; gzip_vary on; gzip_min_length 1; gzip_http_version 1.0; gzip_static always; gunzip on;
  open_file_cache max=1000 inactive=1h; open_file_cache_valid 1h; open_file_cache_min_uses 1; open_file_cache_errors on; disable_symlinks on;
  etag off; if_modified_since exact; max_ranges 0; expires 1h; add_header X-Outer outer always; add_header Cache-Control public always;
  charset koi8-r; charset_types *; override_charset on; ssi on; ssi_types *; ssi_last_modified on;
  sub_filter change CHANGED; sub_filter_once off; sub_filter_types *; addition_types *; add_before_body /before; add_after_body /after;
  default_type application/x-outer; types { application/x-page page gz br zst; } userid on; mirror /mirrored; chunked_transfer_encoding off;
  proxy_cache_path %[1]s/cache keys_zone=outer:1m; proxy_cache outer; proxy_cache_valid any 1h; proxy_ignore_headers Cache-Control Set-Cookie;
  proxy_intercept_errors on; recursive_error_pages on; error_page 404 410 /outer.html; proxy_hide_header ETag; proxy_set_header X-Outer outer;
  proxy_pass_request_headers off; proxy_pass_request_body off; proxy_redirect / /outer/; proxy_cookie_path / /outer;
  sendfile on; aio threads; directio 512; output_buffers 1 4k; client_max_body_size 1k; index outer.html; autoindex on; merge_slashes on;
  absolute_redirect off; log_not_found on;
`

func startNginx(s *site) { startNginxIn(s, "sendfile on;") }

func startHostile(s *site) { startNginxIn(s, fmt.Sprintf(hostile, s.top)) }

// startNginxIn starts nginx with more in its http block.
func startNginxIn(s *site, http string) {
	s.t.Helper()
	conf, user := filepath.Join(s.top, "nginx.conf"), ""
	if os.Getuid() == 0 {
		user = "user " + s.user() + ";"
	}
	write(s, conf, fmt.Sprintf(`%[1]s
daemon off; worker_processes 2; pid %[2]s/pid; error_log stderr warn;
events { }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/t; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
  %[3]s
  server { listen %[4]s; return 200 "$cachesrv_page"; }
%[5]s
}
`, user, s.top, http, s.probe, s.conf("--address", s.outer)))
	program.Launch(s.t, s.outer, s.log, exec.Command(installed(s.t, "nginx"), "-p", s.top, "-c", conf))
}

// user is whom nginx's workers and Caddy run as. Only with a folder made for that they are another one.
func (s *site) user() string {
	if s.other != "" {
		return s.other
	}
	return "root"
}

func startCaddy(s *site) {
	s.t.Helper()
	dir := filepath.Join(s.top, "caddy")
	if err := os.Mkdir(dir, 0o777); err != nil {
		s.t.Fatal(err)
	}
	conf := filepath.Join(s.top, "Caddyfile")
	// The probe is the same site again, that says what it would look for instead of looking.
	const looks = "route @probe_plain {"
	probe := s.conf("--address", s.probe, "--name", "probe")
	if strings.Count(probe, looks) != 1 {
		s.t.Fatalf("no %q in\n%s", looks, probe)
	}
	probe = strings.Replace(probe, looks, "respond * \"/{probe_page}\"\n"+looks, 1)
	write(s, conf, "{\nadmin off\nauto_https off\nstorage file_system "+dir+"\nlog {\nlevel ERROR\n}\n}\n"+s.conf("--address", s.outer)+probe)
	command := exec.Command(installed(s.t, "caddy"), "run", "--config", conf, "--adapter", "caddyfile")
	command.Env = append(os.Environ(), "HOME="+dir)
	s.as(command, dir)
	program.Launch(s.t, s.outer, s.log, command)
}

// as has a command run as the site's other user, who gets a folder.
func (s *site) as(command *exec.Cmd, dir string) {
	if s.other == "" {
		return
	}
	who, err := user.Lookup(s.other)
	if err != nil {
		s.t.Fatal(err)
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		s.t.Fatal(err)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func write(s *site, path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}
