package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// TestConfSystemd: the units say what the settings do; what can't stand in a unit is refused.
func TestConfSystemd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cachesrv.yaml")
	units := func(text string, more ...string) (string, string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		args := append([]string{"conf", "systemd", "--config", file, "--binary", "/usr/bin/cachesrv"}, more...)
		run(t.Context(), args, &out, &errs, noEnv)
		return out.String(), errs.String()
	}
	const settings = "dir: /var/lib/site\nlisten: :80\nadmin: unix:/run/cachesrv/admin.sock\n"
	out, errs := units(settings)
	for _, line := range []string{
		"# /etc/systemd/system/cachesrv.service", "ExecStart=/usr/bin/cachesrv proxy --config " + file, "Sockets=cachesrv.socket cachesrv-admin.socket",
		"ExecStopPost=/usr/bin/cachesrv fence down --dir /var/lib/site", "StateDirectory=site", "ReadWritePaths=/var/lib/site", "User=cachesrv",
		"# /etc/systemd/system/cachesrv.socket", "ListenStream=80", "FileDescriptorName=site",
		"# /etc/systemd/system/cachesrv-admin.socket", "ListenStream=/run/cachesrv/admin.sock", "FileDescriptorName=admin", "SocketUser=cachesrv",
	} {
		if !strings.Contains("\n"+out, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s%s", line, out, errs)
		}
	}
	out, errs = units("dir: /srv/site\nlisten: localhost:8080\n", "--template", "--unit", "shop", "--server", "index")
	for _, line := range []string{
		"# /etc/systemd/system/shop@.service", "ExecStart=/usr/bin/cachesrv index --config " + file, "Sockets=shop.socket", "Service=shop@1.service",
		"ListenStream=127.0.0.1:8080",
	} {
		if !strings.Contains("\n"+out, "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s%s", line, out, errs)
		}
	}
	if strings.Contains(out, "StateDirectory") || strings.Contains(out, "admin.socket") {
		t.Error(out)
	}
	folder := t.TempDir()
	out, errs = units(settings, "--out", folder)
	if want := filepath.Join(folder, "cachesrv.service") + "\n" + filepath.Join(folder, "cachesrv.socket") + "\n" + filepath.Join(folder, "cachesrv-admin.socket") + "\n"; out != want {
		t.Errorf("%q, %q", out, errs)
	}

	for _, tt := range []struct {
		text string
		more []string
		want string
	}{
		{"dir: data\n", nil, "dir (file " + file + ":1) is data: a unit needs an absolute path"},
		{"dir: /srv/my site\n", nil, `dir is "/srv/my site"`},
		{"dir: /srv/%i\n", nil, `dir is "/srv/%i"`},
		{"dir: /srv\nlisten: www.example.org:80\n", nil, "write an IP address"},
		{settings, []string{"--template"}, "instances can't share it"},
		{settings, []string{"--unit", "a@b"}, "leave / and @ out"},
		{settings, []string{"--user", "a b"}, `user is "a b"`},
		{settings + "live: /run/live\n", nil, "live (file " + file + ":4) lies in /run"},
		{settings + "live: /live\n", nil, "lies in /,"},
		{settings + "live: /srv/my live/site\n", nil, `live is "/srv/my live"`},
		{settings + "tls-cert: cert.pem\ntls-key: /key.pem\n", nil, "tls-cert (file " + file + ":4) is cert.pem: a unit needs an absolute path"},
	} {
		if out, errs := units(tt.text, tt.more...); out != "" || !strings.Contains(errs, tt.want) {
			t.Errorf("%q %q: %s%s", tt.text, tt.more, out, errs)
		}
	}
	var out2, errs2 bytes.Buffer
	if run(t.Context(), []string{"conf", "systemd", "--dir", "/srv"}, &out2, &errs2, noEnv) == statusOK || !strings.Contains(errs2.String(), "--config") {
		t.Error(errs2.String())
	}
}

// TestUnitReaches: what the settings name can be reached from within the sandbox, and nothing else is opened for it.
func TestUnitReaches(t *testing.T) {
	unit := func(settings conf.Config) string {
		t.Helper()
		u := units{Unit: "cachesrv", Dir: "/var/lib/site", Config: "/etc/cachesrv.yaml", Binary: "/usr/bin/cachesrv"}
		if err := u.place(new(program), settings); err != nil {
			t.Fatal(err)
		}
		files, err := u.files()
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for line := range strings.Lines(files[0].text) {
			for _, name := range []string{"ReadWritePaths=", "RuntimeDirectory=", "ProtectHome=", "PrivateTmp="} {
				if strings.HasPrefix(line, name) {
					found = append(found, strings.TrimSpace(line))
				}
			}
		}
		return strings.Join(found, " ")
	}
	const (
		usual  = "RuntimeDirectory=cachesrv ReadWritePaths=/var/lib/site PrivateTmp=yes ProtectHome=yes"
		home   = "RuntimeDirectory=cachesrv ReadWritePaths=/var/lib/site PrivateTmp=yes ProtectHome=no"
		openly = "RuntimeDirectory=cachesrv ReadWritePaths=/var/lib/site PrivateTmp=no ProtectHome=yes"
	)
	for name, tt := range map[string]struct {
		settings conf.Config
		want     string
	}{
		"nothing":           {conf.Config{}, usual},
		"link in dir":       {conf.Config{Link: conf.Link{Live: "/var/lib/site/live"}}, usual},
		"link by default":   {conf.Config{Link: conf.Link{Live: "/run/cachesrv/site"}}, usual},
		"link elsewhere":    {conf.Config{Link: conf.Link{Live: "/srv/live/site"}}, "RuntimeDirectory=cachesrv ReadWritePaths=/var/lib/site ReadWritePaths=/srv/live PrivateTmp=yes ProtectHome=yes"},
		"link beside dir":   {conf.Config{Link: conf.Link{Live: "/var/lib/site-live/site"}}, "RuntimeDirectory=cachesrv ReadWritePaths=/var/lib/site ReadWritePaths=/var/lib/site-live PrivateTmp=yes ProtectHome=yes"},
		"link below run":    {conf.Config{Link: conf.Link{Live: "/run/site/live"}}, "RuntimeDirectory=cachesrv site ReadWritePaths=/var/lib/site PrivateTmp=yes ProtectHome=yes"},
		"link in tmp":       {conf.Config{Link: conf.Link{Live: "/tmp/site/live"}}, "RuntimeDirectory=cachesrv ReadWritePaths=/var/lib/site ReadWritePaths=/tmp/site PrivateTmp=no ProtectHome=yes"},
		"certificate":       {conf.Config{Proxy: conf.Proxy{TLSCert: "/home/me/cert.pem"}}, home},
		"key":               {conf.Config{Proxy: conf.Proxy{TLSKey: "/root/key.pem"}}, home},
		"token":             {conf.Config{Serve: conf.Serve{PurgeTokenFile: "/home/me/token"}}, home},
		"token not at home": {conf.Config{Serve: conf.Serve{PurgeTokenFile: "/homes/me/token"}}, usual},
		"origin":            {conf.Config{Proxy: conf.Proxy{Origins: conf.Origins{{URL: "http://h"}, {Host: "a", URL: "unix:/run/user/1000/app.sock"}}}}, home},
		"origin in tmp":     {conf.Config{Proxy: conf.Proxy{Origins: conf.Origins{{URL: "unix:/tmp/app.sock"}}}}, openly},
		"origin of a rule":  {conf.Config{Rules: conf.Rules{{Origin: "unix:/var/tmp/app.sock"}}}, openly},
	} {
		if got := unit(tt.settings); got != tt.want {
			t.Errorf("%s: %s\nwant %s", name, got, tt.want)
		}
	}
}
