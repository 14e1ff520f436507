// Package conf is the configuration of cachesrv: one struct, read from one YAML file, the environment and flags.
//
// Precedence: flag, then environment variable, then file, then default. The fields' tags are the only list of
// settings: `yaml` is the key in the file, `name` the flag if it differs, and the variable is CACHESRV_ and the
// flag's name (Setting.Env).
package conf

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
	"github.com/cachesrv/cachesrv/invalidate/purge"
)

// Config holds every setting. Its parts are the groups that commands take as flags.
type Config struct {
	Folder   `yaml:",inline"`
	Database `yaml:",inline"`
	Link     `yaml:",inline"`
	Store    `yaml:",inline"`
	Serve    `yaml:",inline"`
	Uploads  `yaml:",inline"`
	Index    `yaml:",inline"`
	Proxy    `yaml:",inline"`
	Log      `yaml:",inline"`

	// Rules are matched by host and path; the first match wins. They stand in the file only.
	Rules Rules `yaml:"rules" kong:"-"`
}

// Folder says where the pages are.
type Folder struct {
	Dir string `yaml:"dir" default:"data" placeholder:"DIR" help:"The site's folder; pages lie in DIR/cache."`
}

// Database says where a site keeps what its pages are made from.
type Database struct {
	DB string `yaml:"db" default:"sqlite" placeholder:"DB" help:"The database: sqlite (a file in DIR: index.db, example.db), or a postgres:// URL of a primary."`
}

// Link says where readers find the pages. Whatever may make a folder takes it.
type Link struct {
	Live string `yaml:"live" placeholder:"PATH" help:"Where the link that readers go through lies. The first to open the folder decides. Default: /run/cachesrv/NAME, else $$XDG_RUNTIME_DIR/cachesrv/NAME, else DIR/cache/live."`
}

// Store configures the page store of a server.
type Store struct {
	Plain    bool       `yaml:"plain" help:"Make a new folder one that two bare unlinks (page.tmp, then page) invalidate: no grace, no private pages, one variant per URL."`
	MaxBytes unit.Size  `yaml:"max-bytes" default:"10GiB" placeholder:"SIZE" help:"Bound of the pages on disk."`
	MaxPages unit.Count `yaml:"max-pages" default:"1000000" placeholder:"N" help:"Bound of their number."`
	MinFree  unit.Size  `yaml:"min-free" default:"256MiB" placeholder:"SIZE" help:"Free space of the file system below which pages are evicted."`
	Memory   unit.Size  `yaml:"memory" default:"256MiB" placeholder:"SIZE" help:"Bound of the pages held in memory."`
	PageMax  unit.Size  `yaml:"page-max" default:"64MiB" placeholder:"SIZE" help:"The largest page stored."`
}

// Serve configures a server.
type Serve struct {
	Listen string   `yaml:"listen" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address to serve on, host:port."`
	Hosts  []string `yaml:"hosts" name:"host" placeholder:"NAME" help:"Further host names of the site; others get a 421. The first is the one used in keys. Without any: the loopback names and the listen address."`
	Admin  string   `yaml:"admin" placeholder:"ADDR" help:"Serve /metrics, /healthz, /debug/pprof and POST /invalidate here: unix:/PATH, or a loopback host:port. Default: nowhere."`

	PurgeTokenFile string   `yaml:"purge-token-file" placeholder:"FILE" help:"A file with a token: who sends it (Authorization: Bearer TOKEN) may PURGE, from anywhere. Default: there is none, and this machine may."`
	PurgeFrom      []string `yaml:"purge-from" placeholder:"CIDR" help:"Addresses and networks that may PURGE without the token: those, and not this machine unless it is listed."`
}

// Uploads bounds what a package index takes in.
type Uploads struct {
	UploadMax unit.Size `yaml:"upload-max" default:"100MiB" placeholder:"SIZE" help:"The largest file the index takes."`
}

// Index configures a package index.
type Index struct {
	Title        string `yaml:"title" default:"Package index" placeholder:"TEXT" help:"What the index calls itself."`
	Private      bool   `yaml:"private" help:"Show nothing without a token: reading, too, asks for one."`
	Upstream     string `yaml:"upstream" placeholder:"URL" help:"Another index, like https://pypi.org: who asks for a project that is not here is sent there. Default: nowhere."`
	SerialHeader string `yaml:"serial-header" default:"on" placeholder:"on|off" help:"Send X-PyPI-Last-Serial, which mirrors look at. Off, other servers can serve the pages from their files."`
}

// Log configures what is logged to standard error.
type Log struct {
	LogLevel  string `yaml:"log-level" default:"info" placeholder:"LEVEL" help:"What is logged: debug, info, warn or error."`
	LogFormat string `yaml:"log-format" default:"text" placeholder:"FORMAT" help:"How: text or json."`
}

// Rules are those of a server.
type Rules []rules.Rule

// Validate checks every setting and returns all that is wrong, one error per setting, each naming its key.
func (c Config) Validate() error {
	return Check(c.Folder, c.Database, c.Link, c.Store, c.Serve, c.Uploads, c.Index, c.Proxy, c.Log, c.Rules)
}

// A Part is a group of settings.
type Part interface{ check(bad complaint) }

type complaint func(key, format string, args ...any)

// Check is Validate for some parts: those that a command has.
func Check(parts ...Part) error {
	var errs []error
	for _, p := range parts {
		p.check(func(key, format string, args ...any) {
			errs = append(errs, &SettingError{Key: key, Err: fmt.Errorf(format, args...)})
		})
	}
	return errors.Join(errs...)
}

func (f Folder) check(bad complaint) {
	if f.Dir == "" {
		bad("dir", "it is empty")
	}
}

func (d Database) check(bad complaint) {
	if err := checkDB(d.DB); err != nil {
		bad("db", "%w", err)
	}
}

func (l Link) check(bad complaint) {
	if l.Live != "" && !filepath.IsAbs(l.Live) {
		bad("live", "%q is not an absolute path; every process of the folder must find it", l.Live)
	}
}

func (s Store) check(bad complaint) {
	for _, bound := range []struct {
		key   string
		value int64
	}{
		{"max-bytes", int64(s.MaxBytes)}, {"max-pages", int64(s.MaxPages)}, {"min-free", int64(s.MinFree)},
		{"memory", int64(s.Memory)}, {"page-max", int64(s.PageMax)},
	} {
		if bound.value <= 0 {
			bad(bound.key, "it must be above 0")
		}
	}
}

func (s Serve) check(bad complaint) {
	if err := checkListen(s.Listen); err != nil {
		bad("listen", "%w", err)
	}
	for _, h := range s.Hosts {
		if _, err := key.Host(h); err != nil {
			bad("hosts", "%w", err)
		}
	}
	if err := CheckAdmin(s.Admin); err != nil {
		bad("admin", "%w", err)
	}
	if _, err := purge.ParseFrom(s.PurgeFrom); err != nil {
		bad("purge-from", "%w", err)
	}
}

func (u Uploads) check(bad complaint) {
	if u.UploadMax <= 0 {
		bad("upload-max", "it must be above 0")
	}
}

// maxTitle bounds the index's title, in bytes.
const maxTitle = 200

func (i Index) check(bad complaint) {
	if strings.TrimSpace(i.Title) == "" || len(i.Title) > maxTitle || strings.ContainsFunc(i.Title, unicode.IsControl) {
		bad("title", "%.200q: it must be one line of at most %d bytes, and not empty", i.Title, maxTitle)
	}
	if _, err := i.UpstreamURL(); err != nil {
		bad("upstream", "%w", err)
	}
	if i.SerialHeader != "on" && i.SerialHeader != "off" {
		bad("serial-header", "%q is not on or off", i.SerialHeader)
	}
}

func (l Log) check(bad complaint) {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, l.LogLevel) {
		bad("log-level", "%q is not debug, info, warn or error", l.LogLevel)
	}
	if !slices.Contains([]string{"text", "json"}, l.LogFormat) {
		bad("log-format", "%q is not text or json", l.LogFormat)
	}
}

func (r Rules) check(bad complaint) {
	if _, err := rules.Compile(r); err != nil {
		bad("rules", "%w", err)
	}
	for i, rule := range r {
		if rule.Origin == "" {
			continue
		}
		if err := CheckOrigin(rule.Origin); err != nil {
			bad("rules", "rule %d: %w", i+1, err)
		}
	}
}

// A SettingError says which setting is wrong.
type SettingError struct {
	Key string // as in the file
	Err error
}

func (e *SettingError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *SettingError) Unwrap() error { return e.Err }

func checkListen(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port, like 127.0.0.1:8080", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: the port is not a number up to 65535", addr)
	}
	return nil
}

// UpstreamURL returns the other index's URL, without a slash at its end; nil when there is none.
func (i Index) UpstreamURL() (*url.URL, error) {
	if i.Upstream == "" {
		return nil, nil
	}
	u, err := url.Parse(i.Upstream)
	switch {
	case err != nil: // its text repeats the URL, password included
		return nil, errors.New("not a URL; write it like https://pypi.org")
	case u.User != nil:
		return nil, errors.New("it has a user or password, which everybody would be sent: leave that out")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("%.200q is not a URL like https://pypi.org", i.Upstream)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(i.Upstream, "#"):
		return nil, fmt.Errorf("%.200q has a query or fragment: leave that out", i.Upstream)
	}
	if _, err := key.Host(u.Host); err != nil {
		return nil, err
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	if strings.HasSuffix(u.Path, "/simple") {
		return nil, fmt.Errorf("%.200q: leave the /simple out; it is added to what clients are sent to", i.Upstream)
	}
	return u, nil
}

func checkDB(db string) error {
	if db == "sqlite" {
		return nil
	}
	if !strings.HasPrefix(db, "postgres://") && !strings.HasPrefix(db, "postgresql://") {
		return errors.New("neither sqlite nor a URL postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	if _, err := url.Parse(db); err != nil {
		// url.Error repeats the whole URL, password included.
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return fmt.Errorf("not a URL: %w; write special characters of a password as %%XX", err)
	}
	return nil
}

// CheckAdmin checks an admin address: "" (none), unix:/PATH, or a loopback host:port. The admin listener asks nobody
// who they are, so no other host may reach it.
func CheckAdmin(addr string) error {
	if addr == "" {
		return nil
	}
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("%q: the socket's path must be absolute, like unix:/run/cachesrv/admin.sock", addr)
		}
		return nil
	}
	if err := checkListen(addr); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(addr)
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not a loopback address: whoever reaches the admin listener reads profiles and metrics"+
			" without a password; use 127.0.0.1:PORT, [::1]:PORT or unix:/PATH", addr)
	}
	return nil
}

// A Setting is one key of the configuration.
type Setting struct {
	Key  string // in the file
	Flag string // on the command line, without "--"; empty: in the file only
	Env  string // the environment variable; empty: in the file only

	index []int // of the field in Config
}

// Settings lists what Config holds, in the order of its fields.
func Settings() []Setting {
	var list []Setting
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" {
			continue // a group
		}
		s := Setting{Key: key, index: f.Index}
		if f.Tag.Get("kong") != "-" {
			s.Flag = key
			if name := f.Tag.Get("name"); name != "" {
				s.Flag = name
			}
			s.Env = EnvName(s.Flag)
		}
		list = append(list, s)
	}
	return list
}

// EnvName returns the environment variable of a flag.
func EnvName(flag string) string {
	return "CACHESRV_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func (s Setting) isList() bool {
	return reflect.TypeFor[Config]().FieldByIndex(s.index).Type.Kind() == reflect.Slice
}

// text returns a setting's value as one would write it on the command line.
func (s Setting) text(c *Config) string {
	v := reflect.ValueOf(c).Elem().FieldByIndex(s.index)
	if list, ok := v.Interface().([]string); ok {
		sep := reflect.TypeFor[Config]().FieldByIndex(s.index).Tag.Get("sep")
		return strings.Join(list, cmp.Or(sep, ","))
	}
	return fmt.Sprint(v.Interface())
}
