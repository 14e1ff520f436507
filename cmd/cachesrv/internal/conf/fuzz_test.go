package conf

import (
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
)

// FuzzRead: any file is either refused, with its name in front, or read as what it shows when it is valid: Show of what
// was read is read as the same.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"dir: /srv\nmax-bytes: 1.5GiB\nhosts: [a.example]\nrules:\n  - path: /x\n    grace: 1m30s\n    query: [page]\n", "title: 'yes'\n", "title: 0123\n", "title: \"a: b # c\"\n",
		"title: null\n", "title: ~\n", "title: |\n  x\n", "title: 2026-11-20\n", "db: postgres://u:p@h/d\n", "listen: ':80'\n", "&a dir: *a\n", "<<: {dir: x}\n", "dir: !!binary aGk=\n",
		"dir: &x y\nlive: *x\n", "? dir\n: x\n", "{dir: x}\n", "dir: a\ndir: b\n", "upstream: https://h/a%2fb\n", "rules: [{host: '*.x', path: /a**}]\n", "title: '-'\n", "title: ' x'\n", "title: \"\u2028\"\n",
	} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "c.yaml")
	read := func(t *testing.T, text []byte) (*File, error) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return Read(path)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := read(t, text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), path+":") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		c := file.Config
		if c.Validate() != nil {
			return
		}
		checkShown(t, c, func(text []byte) (*File, error) { return read(t, text) })
	})
}

// FuzzShow is the same of texts that no file may hold.
func FuzzShow(f *testing.F) {
	for _, s := range []string{"x", "a: b", "yes", "0x10", "1e3", "- a", "# x", "'", "\"", "*a", "&a", "{}", "[a]", "a,b", " a", "a ", "é\u00a0", "null", "~", ".inf", "=", "<<", "!!x", "%a", "@a", "`", "|", ">", "?", "1_000", "12:30:45", "\u2028", "\ufeff"} {
		f.Add(s, s, "/"+s, int64(1<<20))
	}
	path := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, title, dir, rule string, size int64) {
		c := valid()
		c.Title, c.Dir, c.Live, c.MaxBytes, c.Memory = title, dir, "/"+dir, unit.Size(size), unit.Size(size)
		grace := unit.Duration(size)
		c.Rules = []rules.Rule{{Path: rule, Query: []string{title}, Grace: &grace, ClientControl: &title}, {Host: rule, IgnoreQuery: []string{dir, title}}}
		if c.Rules.compiles() != nil {
			c.Rules = nil
		}
		if !utf8.ValidString(dir+" "+title+" "+rule) || c.Validate() != nil { // YAML is UTF-8
			return
		}
		checkShown(t, c, func(text []byte) (*File, error) {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			return Read(path)
		})
	})
}

func (r Rules) compiles() error { _, err := rules.Compile(r); return err }

// checkShown checks that a valid configuration is shown as it is, but for a password.
func checkShown(t *testing.T, c Config, read func([]byte) (*File, error)) {
	t.Helper()
	shown, err := Show(c, func(string) string { return "somewhere" })
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	again, err := read([]byte(shown))
	if err != nil {
		t.Fatalf("%+v is shown as\n%s\nwhich can't be read: %v", c, shown, err)
	}
	if u, err := url.Parse(c.DB); err == nil && u.User != nil {
		c.DB = u.Redacted()
		if password, ok := u.User.Password(); ok && len(password) > 3 && !strings.Contains("xxxxx", password) && strings.Contains(again.Config.DB, ":"+password+"@") {
			t.Fatalf("the password is shown: %s", again.Config.DB)
		}
	}
	withoutEmpty(&c)
	withoutEmpty(&again.Config)
	if !reflect.DeepEqual(again.Config, c) {
		t.Fatalf("%+v is shown as\n%s\nand read as %+v", c, shown, again.Config)
	}
}

// withoutEmpty makes nil of empty lists, where that means the same. (In a rule it does not: nil is what holds in general.)
func withoutEmpty(c *Config) {
	for _, list := range []*[]string{&c.Hosts, &c.PurgeFrom, &c.Query, &c.IgnoreQuery, &c.PublicCookies, &c.PageHeaders, &c.TrustForwarded} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	if len(c.Rules) == 0 {
		c.Rules = nil
	}
	if len(c.Origins) == 0 {
		c.Origins = nil
	}
}
