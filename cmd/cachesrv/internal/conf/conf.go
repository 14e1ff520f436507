// Package conf is the configuration of cachesrv: one struct, read from one YAML file, the environment and flags.
//
// Precedence: flag, then environment variable, then file, then default. The fields' tags are the only list of
// settings: `yaml` is the key in the file, `name` the flag if it differs, and the variable is CACHESRV_ and the
// flag's name (Setting.Env).
package conf

import (
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

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
)

// Config holds every setting. Its parts are the groups that commands take as flags.
type Config struct {
	Folder `yaml:",inline"`
	Store  `yaml:",inline"`
	Serve  `yaml:",inline"`
	Log    `yaml:",inline"`

	// Rules are matched by host and path; the first match wins. They stand in the file only.
	Rules []rules.Rule `yaml:"rules" kong:"-"`
}

// Folder says where the pages are.
type Folder struct {
	Dir string `yaml:"dir" default:"data" placeholder:"DIR" help:"The site's folder; pages lie in DIR/cache."`
}

// Store configures the page store of a server.
type Store struct {
	Live     string     `yaml:"live" placeholder:"PATH" help:"Where the link that readers go through lies. The first to open the folder decides. Default: /run/cachesrv/NAME, else $$XDG_RUNTIME_DIR/cachesrv/NAME, else DIR/cache/live."`
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
	DB     string   `yaml:"db" default:"sqlite" placeholder:"DB" help:"The database: sqlite (DIR/example.db), or a postgres:// URL of a primary."`
	Admin  string   `yaml:"admin" placeholder:"ADDR" help:"Serve /metrics, /healthz and /debug/pprof here: unix:/PATH, or a loopback host:port. Default: nowhere."`
}

// Log configures what is logged to standard error.
type Log struct {
	LogLevel  string `yaml:"log-level" default:"info" placeholder:"LEVEL" help:"What is logged: debug, info, warn or error."`
	LogFormat string `yaml:"log-format" default:"text" placeholder:"FORMAT" help:"How: text or json."`
}

// Validate checks every setting and returns all that is wrong, one error per setting, each naming its key.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, &SettingError{Key: key, Err: fmt.Errorf(format, args...)})
	}
	if c.Dir == "" {
		bad("dir", "it is empty")
	}
	if c.Live != "" && !filepath.IsAbs(c.Live) {
		bad("live", "%q is not an absolute path; every process of the folder must find it", c.Live)
	}
	for _, bound := range []struct {
		key   string
		value int64
	}{
		{"max-bytes", int64(c.MaxBytes)}, {"max-pages", int64(c.MaxPages)}, {"min-free", int64(c.MinFree)},
		{"memory", int64(c.Memory)}, {"page-max", int64(c.PageMax)},
	} {
		if bound.value <= 0 {
			bad(bound.key, "it must be above 0")
		}
	}
	if err := checkListen(c.Listen); err != nil {
		bad("listen", "%w", err)
	}
	for _, h := range c.Hosts {
		if _, err := key.Host(h); err != nil {
			bad("hosts", "%w", err)
		}
	}
	if err := checkDB(c.DB); err != nil {
		bad("db", "%w", err)
	}
	if err := CheckAdmin(c.Admin); err != nil {
		bad("admin", "%w", err)
	}
	if err := c.Log.Check(); err != nil {
		errs = append(errs, err)
	}
	if _, err := rules.Compile(c.Rules); err != nil {
		bad("rules", "%w", err)
	}
	return errors.Join(errs...)
}

// Check is Validate for this part alone, which every command has. (Under that name the flag parser would call it, and
// not know where a wrong value comes from.)
func (l Log) Check() error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, l.LogLevel) {
		return &SettingError{"log-level", fmt.Errorf("%q is not debug, info, warn or error", l.LogLevel)}
	}
	if !slices.Contains([]string{"text", "json"}, l.LogFormat) {
		return &SettingError{"log-format", fmt.Errorf("%q is not text or json", l.LogFormat)}
	}
	return nil
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
		return strings.Join(list, ",")
	}
	return fmt.Sprint(v.Interface())
}
