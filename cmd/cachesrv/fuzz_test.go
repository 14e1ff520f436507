package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// FuzzPurge: every argument of purge is either refused, before anything is dropped, or a selection that the store takes
// and that is shown so that it can be given again.
func FuzzPurge(f *testing.F) {
	for _, s := range [][3]string{
		{"https://example.org/a?x=1", "note:1", "example.org/docs"}, {"/a", "two words", "/"}, {"h/../x", "", "h/*"}, {"h/%2e%2e/x", "\xff", "h//"}, {"ftp://h/a", "a\nb", "h/a?b"}, {"h/a#json", strings.Repeat("x", 513), "h"}, {"..", "-", "--all"}, {"h/**", "é", "https://h/a#x"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, page, tag, prefix string) {
		for _, c := range []purgeCmd{{Keys: []string{page}}, {Tag: []string{tag}}, {Prefix: []string{prefix}}} {
			drops, err := c.drops()
			if err != nil {
				continue
			}
			if len(drops) != 1 || drops[0].sel.Empty() || drops[0].sel.All || strings.ContainsAny(drops[0].name, "\n\x1b") {
				t.Fatalf("%+v names %+v", c, drops)
			}
			sel := drops[0].sel
			for _, tag := range sel.Tags {
				if err := cache.CheckTag(tag); err != nil {
					t.Fatalf("%q would fail behind others: %v", c.Tag, err)
				}
			}
			for _, k := range sel.Keys {
				if again, err := key.Parse(drops[0].name); err != nil || again != k || !strings.HasPrefix(k.Path, "/") {
					t.Fatalf("%q is shown as %q, which is %+v, %v", c.Keys, drops[0].name, again, err)
				}
			}
			for _, p := range sel.Prefixes {
				if again, err := key.ParsePrefix(strings.TrimPrefix(drops[0].name, "prefix ")); err != nil || again != p {
					t.Fatalf("%q is shown as %q, which is %+v, %v", c.Prefix, drops[0].name, again, err)
				}
			}
		}
	})
}

// FuzzExpiry: a token ends in the future or never, and never later than it is asked for.
func FuzzExpiry(f *testing.F) {
	for _, s := range []string{"", "90d", "12h", "2027-01-31", "36500d", "36501d", "2562047h", "-1d", "+1d", "0x1d", "9999-12-31", "1h1d", "1ns", "2026-11-19"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 20, 15, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		end, err := expiry(text, now)
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), `"`) {
				t.Fatalf("%q: %v does not name it", text, err)
			}
		case (text == "") != end.IsZero(), text != "" && !end.After(now), end.Year() > 10_000:
			t.Fatalf("%q ends at %v", text, end)
		case end.UnixMicro() <= 0 && !end.IsZero():
			t.Fatalf("%q ends at %v, which a database would not know", text, end)
		}
		if days, ok := strings.CutSuffix(text, "d"); ok && err == nil && end.Sub(now)%(24*time.Hour) != 0 {
			t.Fatalf("%s days end after %v", days, end.Sub(now))
		}
	})
}

// FuzzSettings: of a setting's four places the first that gives one wins: flag, variable, file, default; whatever its
// text is, it comes through unchanged.
func FuzzSettings(f *testing.F) {
	for _, s := range [][3]string{{"a", "b", "c"}, {"", "b", "c"}, {"", "", "c"}, {"", "", ""}, {"a,b", "", ""}, {"", "-x", ""}, {"", "", "${HOME}"}, {"", "--all", "x"}, {"", "'", "\""}, {"", "a=b", ""}, {"", "", "yes"}, {"=", "", ""}} {
		f.Add(s[0], s[1], s[2])
	}
	path := filepath.Join(f.TempDir(), "c.yaml")
	f.Fuzz(func(t *testing.T, flag, variable, file string) {
		for _, text := range []string{flag, variable, file} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c >= 0x7f }) || len(text) > 200 || text != "" && strings.TrimSpace(text) == "" {
				return // no title
			}
		}
		args := []string{"conf", "show"}
		want, from := "Package index", "default"
		if file != "" {
			text := "title: '" + strings.ReplaceAll(file, "'", "''") + "'\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--config="+path)
			want, from = file, "file "+path+":1"
		}
		env := map[string]string{"CACHESRV_TITLE": variable}
		if variable != "" {
			want, from = variable, "environment CACHESRV_TITLE"
		}
		if flag != "" {
			args = append(args, "--title="+flag)
			want, from = flag, "flag --title"
		}
		var stdout, stderr bytes.Buffer
		status := run(context.Background(), args, &stdout, &stderr, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
		if status != 0 {
			t.Fatalf("%q, %q: %d, %s", args, env, status, &stderr)
		}
		shown := filepath.Join(filepath.Dir(path), "shown.yaml")
		if err := os.WriteFile(shown, stdout.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		line := ""
		for l := range strings.SplitSeq(stdout.String(), "\n") {
			if strings.HasPrefix(l, "title: ") {
				line = l
			}
		}
		if !strings.HasSuffix(line, " # "+from) {
			t.Fatalf("%q, %q: %s; want it from %s", args, env, line, from)
		}
		var again bytes.Buffer
		if status := run(context.Background(), []string{"conf", "show", "--config=" + shown}, &again, &stderr, func(string) (string, bool) { return "", false }); status != 0 {
			t.Fatalf("%q: what is shown can't be read: %s", args, &stderr)
		}
		if got, _, _ := strings.Cut(line, " # "+from); !strings.Contains(again.String(), got+" # file") {
			t.Fatalf("%q: %q is shown, and then\n%s", args, got, &again)
		}
		if plain := strings.Trim(want, "abcdefghijklmnopqrstuvwxyz") == ""; plain && !strings.Contains(line, want) {
			t.Fatalf("%q, %q: %s; want %s", args, env, line, want)
		}
	})
}
