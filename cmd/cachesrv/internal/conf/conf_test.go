package conf

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadEveryKey(t *testing.T) {
	no, grace, control := false, unit.Duration(90*time.Second), "max-age=60"
	want := Config{
		Folder:   Folder{Dir: "/srv/site"},
		Database: Database{DB: "postgres://u@h/d"},
		Link:     Link{Live: "/run/live"},
		Store:    Store{Plain: true, MaxBytes: 1 << 30, MaxPages: 12, MinFree: 1 << 20, Memory: 4096, PageMax: 1e6},
		Serve: Serve{Listen: ":80", Hosts: []string{"a.example", "b.example"}, Admin: "unix:/run/a",
			PurgeTokenFile: "/etc/token", PurgeFrom: []string{"192.0.2.0/24", "2001:db8::1"}},
		Uploads: Uploads{UploadMax: 10 << 20},
		Index:   Index{Title: "Tea", Private: true, Upstream: "https://pypi.org", SerialHeader: "off"},
		Proxy: Proxy{Origins: Origins{{"a.example", "http://127.0.0.1:9001"}, {"", "unix:/run/app"}}, TLSCert: "c.pem", TLSKey: "k.pem",
			OriginTimeout: unit.Duration(time.Minute), Policy: "until-invalidated", MaxAge: unit.Duration(time.Hour),
			WhileRevalidate: unit.Duration(time.Second), IfError: unit.Duration(2 * time.Second), Grace: unit.Duration(3 * time.Second),
			Query: []string{"*"}, IgnoreQuery: []string{"utm_*"}, PublicCookies: []string{"_ga*"},
			Validators: "ours", PageHeaders: []string{"X-Frame-Options: DENY", "Content-Security-Policy: default-src 'self', x"}, Settle: unit.Duration(2 * time.Second), ClientDirectives: "on",
			TrustForwarded: []string{"127.0.0.1", "unix"}, PublicScheme: "https"},
		Log: Log{LogLevel: "debug", LogFormat: "json"},
		Rules: []rules.Rule{{Host: "a.example", Path: "/x", Cache: &no, Query: []string{"page"}, IgnoreQuery: []string{"utm_*"},
			Grace: &grace, ClientControl: &control, Policy: "explicit", MaxAge: &grace, WhileRevalidate: &grace, IfError: &grace,
			PublicCookies: []string{"c"}, Validators: "origin", Origin: "https://b.example"}},
	}
	f, err := Read(write(t, `
dir: /srv/site
db: postgres://u@h/d
live: /run/live
plain: true
max-bytes: 1GiB
max-pages: 12
min-free: 1MiB
memory: 4096
page-max: 1MB
listen: ":80"
hosts: [a.example, b.example]
admin: unix:/run/a
purge-token-file: /etc/token
purge-from: [192.0.2.0/24, "2001:db8::1"]
upload-max: 10MiB
title: Tea
private: true
upstream: https://pypi.org
serial-header: off
origins: {A.example.: "http://127.0.0.1:9001", "*": "unix:/run/app"}
tls-cert: c.pem
tls-key: k.pem
origin-timeout: 1m
policy: until-invalidated
max-age: 1h
stale-while-revalidate: 1s
stale-if-error: 2s
grace: 3s
query: ["*"]
ignore-query: [utm_*]
public-cookies: [_ga*]
validators: ours
page-headers: ["X-Frame-Options: DENY", "Content-Security-Policy: default-src 'self', x"]
settle: 2s
client-directives: on
trust-forwarded: [127.0.0.1, unix]
public-scheme: https
log-level: debug
log-format: json
rules:
  - host: a.example
    path: /x
    cache: false
    query: [page]
    ignore-query: [utm_*]
    grace: 1m30s
    client-control: max-age=60
    policy: explicit
    max-age: 90s
    stale-while-revalidate: 90s
    stale-if-error: 90s
    public-cookies: [c]
    validators: origin
    origin: https://b.example
`))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f.Config, want) {
		t.Errorf("read  %+v\nwant %+v", f.Config, want)
	}
	if err := f.Config.Validate(); err != nil {
		t.Error(err)
	}
	for i, s := range Settings() {
		if _, line, ok := f.Lookup(s); !ok || line != i+2 && s.Key != "rules" {
			// The file above lists the settings in their order, so a setting forgotten there is noticed too.
			t.Errorf("%s: line %d, %v; want %d", s.Key, line, ok, i+2)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"dir: a\nlisten: b\nlisten: c\n", ":3: "},
		{"dir: a\nlisen: x\n", `:2: unknown key "lisen": did you mean "listen"?`},
		{"rules:\n  - path: /\n    ignore_query: [a]\n", `:3: unknown key "ignore_query": did you mean "ignore-query"?`},
		{"dir: a\nmax-bytes: lots\n", `:2: "lots" is not a size`},
		{"max-pages: many\n", `:1: "many" is not a whole number`},
		{"max-pages: 1.5\n", `:1: "1.5" is not a whole number`},
		{"plain: yes\n", ":1: it must be true or false"},
		{"plain: [1]\n", ":1: it must be true or false"},
		{"dir: {a: b}\n", ":1: it must be text"},
		{"hosts: a.example\n", ":1: "},
		{"dir: a\n\tlisten: b\n", ":2: "},
		{"rules:\n - path: /\n   grace: soon\n", `:3: "soon" is not a duration`},
		{"rules:\n - path: /\n   grace: 5\n", `:3: "5" is not a duration`},
		{"rules:\n - path: /\n   cache: maybe\n", ":3: "},
		{"- a\n- b\n", ":1: "},
		{"just text\n", ":1: "},
		{"dir: a\n---\ndir: b\n", "2 YAML documents"},
		{"dir: '" + strings.Repeat("x", MaxFile) + "'", "not a configuration file"},
	} {
		path := write(t, tt.text)
		_, err := Read(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("Read(%.40q) = %v, want %s…%s", tt.text, err, path, tt.want)
		}
	}
	if _, err := Read("/nowhere/c.yaml"); err == nil || err.Error() != "/nowhere/c.yaml: no such file or directory" {
		t.Errorf("missing file: %v", err)
	}
	for _, empty := range []string{"", "# nothing\n", "---\n"} {
		if f, err := Read(write(t, empty)); err != nil || !reflect.DeepEqual(f.Config, Config{}) {
			t.Errorf("Read(%q) = %+v, %v", empty, f, err)
		}
	}
}

func valid() Config {
	return Config{
		Folder:   Folder{Dir: "data"},
		Database: Database{DB: "sqlite"},
		Store:    Store{MaxBytes: 1, MaxPages: 1, MinFree: 1, Memory: 1, PageMax: 1},
		Serve:    Serve{Listen: "127.0.0.1:0"},
		Uploads:  Uploads{UploadMax: 1},
		Index:    Index{Title: "T", SerialHeader: "on"},
		Proxy:    Proxy{OriginTimeout: 1, Policy: "explicit", Validators: "origin", ClientDirectives: "off"},
		Log:      Log{LogLevel: "info", LogFormat: "text"},
	}
}

func TestValidate(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		wrong func(c *Config)
		want  string
	}{
		{"dir", func(c *Config) { c.Dir = "" }, "dir: it is empty"},
		{"live", func(c *Config) { c.Live = "run" }, "absolute"},
		{"size", func(c *Config) { c.MinFree = 0 }, "min-free: it must be above 0"},
		{"listen", func(c *Config) { c.Listen = "8080" }, "listen: \"8080\" is not host:port"},
		{"port", func(c *Config) { c.Listen = "h:99999" }, "up to 65535"},
		{"host", func(c *Config) { c.Hosts = []string{"a/b"} }, "hosts: "},
		{"db", func(c *Config) { c.DB = "mysql://x" }, "db: neither sqlite nor"},
		{"dsn", func(c *Config) { c.DB = "postgres://u:p%w@h/d" }, "db: not a URL"},
		{"admin", func(c *Config) { c.Admin = "0.0.0.0:9" }, "not a loopback address"},
		{"admin name", func(c *Config) { c.Admin = "example.org:9" }, "not a loopback address"},
		{"admin any", func(c *Config) { c.Admin = ":9" }, "not a loopback address"},
		{"admin path", func(c *Config) { c.Admin = "unix:x" }, "absolute"},
		{"upload", func(c *Config) { c.UploadMax = 0 }, "upload-max: it must be above 0"},
		{"title", func(c *Config) { c.Title = " " }, "title: "},
		{"title line", func(c *Config) { c.Title = "a\nb" }, "one line"},
		{"serial", func(c *Config) { c.SerialHeader = "yes" }, "serial-header: \"yes\" is not on or off"},
		{"upstream", func(c *Config) { c.Upstream = "ftp://h" }, "upstream: \"ftp://h\" is not a URL like"},
		{"upstream host", func(c *Config) { c.Upstream = "https://" }, "is not a URL like"},
		{"upstream user", func(c *Config) { c.Upstream = "https://u:p@h" }, "upstream: it has a user"},
		{"upstream bad", func(c *Config) { c.Upstream = "https://u:p@h%zz" }, "upstream: not a URL; write"},
		{"upstream query", func(c *Config) { c.Upstream = "https://h/?" }, "has a query or fragment"},
		{"upstream fragment", func(c *Config) { c.Upstream = "https://h/#" }, "has a query or fragment"},
		{"upstream simple", func(c *Config) { c.Upstream = "https://h/simple/" }, "leave the /simple out"},
		{"origin", func(c *Config) { c.Origins = Origins{{"", "ftp://h"}} }, `origins: origin "ftp://h": write it like`},
		{"origin host", func(c *Config) { c.Origins = Origins{{"a/b", "http://h"}} }, `origins: host "a/b"`},
		{"origin twice", func(c *Config) { c.Origins = Origins{{"a", "http://h"}, {"a", "http://i"}} }, "origins: two origins for a: a host has one"},
		{"origins", func(c *Config) { c.Origins = make(Origins, MaxOrigins+1) }, "at most 100"},
		{"certificate", func(c *Config) { c.TLSCert = "c.pem" }, "tls-cert: a certificate and its key belong together"},
		{"key", func(c *Config) { c.TLSKey = "k.pem" }, "tls-cert: a certificate and its key belong together"},
		{"timeout", func(c *Config) { c.OriginTimeout = 0 }, "origin-timeout: it must be above 0s"},
		{"policy", func(c *Config) { c.Policy = "" }, `policy: "" is not explicit or until-invalidated`},
		{"max-age", func(c *Config) { c.MaxAge = -1 }, "max-age: -1ns is negative"},
		{"swr", func(c *Config) { c.WhileRevalidate = -1 }, "stale-while-revalidate: -1ns is negative"},
		{"sie", func(c *Config) { c.IfError = -1 }, "stale-if-error: -1ns is negative"},
		{"grace", func(c *Config) { c.Grace = -1 }, "grace: -1ns is negative"},
		{"query", func(c *Config) { c.Query = []string{"a*"} }, "query: query lists parameters by their names"},
		{"cookies", func(c *Config) { c.PublicCookies = []string{""} }, "public-cookies: a cookie's name is empty"},
		{"validators", func(c *Config) { c.Validators = "mine" }, `validators: "mine" is not origin or ours`},
		{"page header", func(c *Config) { c.PageHeaders = []string{"X-A"} }, `page-headers: "X-A": write NAME: VALUE`},
		{"page header's value", func(c *Config) { c.PageHeaders = []string{"X-A: b\nc"} }, `page-headers: `},
		{"page header twice", func(c *Config) { c.PageHeaders = []string{"X-A: b", "x-a: c"} }, `page-headers: X-A is there twice`},
		{"page header of one answer", func(c *Config) { c.PageHeaders = []string{"etag: \"x\""} }, `page-headers: Etag: it is no header that every page can have`},
		{"page header of the content", func(c *Config) { c.PageHeaders = []string{"content-type: x"} }, `page-headers: Content-Type: `},
		{"rule's validators", func(c *Config) { c.Rules = []rules.Rule{{Path: "/", Validators: "x"}} }, `rules: rule 1: validators "x" is not origin or ours`},
		{"directives", func(c *Config) { c.ClientDirectives = "yes" }, `client-directives: "yes" is not on or off`},
		{"rule's origin", func(c *Config) { c.Rules = []rules.Rule{{Path: "/"}, {Path: "/", Origin: "x"}} }, `rules: rule 2: origin "x"`},
		{"settle", func(c *Config) { c.Settle = unit.Duration(2 * time.Hour) }, "settle: 2h0m0s is more than 1h0m0s"},
		{"negative settle", func(c *Config) { c.Settle = -1 }, "settle: -1ns is negative"},
		{"purge from", func(c *Config) { c.PurgeFrom = []string{"192.0.2.1", "10.0.0.1/8"} }, `purge-from: "10.0.0.1/8": the network of that size is 10.0.0.0/8`},
		{"purge from all", func(c *Config) { c.PurgeFrom = []string{"0.0.0.0/0"} }, "purge-from"},
		{"trust", func(c *Config) { c.TrustForwarded = []string{"unix", "nginx"} }, `trust-forwarded: "nginx": not an address`},
		{"scheme", func(c *Config) { c.PublicScheme = "ftp" }, `public-scheme: "ftp" is not http or https`},
		{"level", func(c *Config) { c.LogLevel = "loud" }, "log-level"},
		{"format", func(c *Config) { c.LogFormat = "xml" }, "log-format"},
		{"rules", func(c *Config) { c.Rules = []rules.Rule{{}} }, "rules: rule 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := valid()
			tt.wrong(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	for given, want := range map[string]string{"https://pypi.org/": "https://pypi.org", "http://[::1]:80/a//": "http://[::1]:80/a"} {
		if u, err := (Index{Upstream: given}).UpstreamURL(); err != nil || u.String() != want {
			t.Errorf("upstream %s: %v, %v", given, u, err)
		}
	}
	c := valid()
	c.DB = "postgres://u:secret%w@h/d"
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows the password: %v", err)
	}
	for _, admin := range []string{"127.0.0.1:9", "[::1]:9", "localhost:9", "127.8.8.8:0", "unix:/run/x"} {
		if err := CheckAdmin(admin); err != nil {
			t.Errorf("%s: %v", admin, err)
		}
	}
}

func TestShowReadsBack(t *testing.T) {
	c, grace, no := valid(), unit.Duration(time.Minute), false
	c.Hosts = []string{"a.example", "b.example"}
	c.PurgeFrom = []string{"192.0.2.1", "2001:db8::/32"}
	c.TrustForwarded, c.PublicScheme = []string{"127.0.0.1"}, "https"
	c.PageHeaders = []string{"Content-Security-Policy: default-src 'self', https:"}
	c.Query, c.IgnoreQuery, c.PublicCookies = []string{"q"}, []string{"utm_*", "x"}, []string{"_ga"}
	c.Origins = Origins{{"b.example:8080", "http://127.0.0.1:1"}, {"", "unix:/run/a: b#c"}, {"a.example", "https://a"}}
	c.DB = "postgres://user:s3cret@h/d"
	c.Rules = []rules.Rule{{Path: "/a#b: c", Cache: &no, Grace: &grace}, {Host: "*.x.example"}, {Path: "/q", Query: []string{}}}
	text, err := Show(c, func(key string) string { return "from " + key })
	if err != nil {
		t.Fatal(err)
	}
	f, err := Read(write(t, text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	c.DB = "postgres://user:xxxxx@h/d"
	if !reflect.DeepEqual(f.Config, c) {
		t.Errorf("read back %+v\nwant %+v\nfrom:\n%s", f.Config, c, text)
	}
	for _, s := range Settings() {
		if !strings.Contains(text, "# from "+s.Key+"\n") {
			t.Errorf("no origin of %s in:\n%s", s.Key, text)
		}
	}
}
