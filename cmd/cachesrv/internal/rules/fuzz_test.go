package rules

import (
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache/key"
)

// FuzzMatch: a rule matches what its pattern says, by a second, slow reading of it.
func FuzzMatch(f *testing.F) {
	for _, s := range [][4]string{
		{"*.example.org", "/static/**", "www.example.org:80", "/static/a/b"}, {"h", "/a", "h:8080", "/ab"}, {"h:8080", "/a/", "h", "/a"}, {"", "/n/*/raw", "h", "/n/1/raw"}, {"", "/n/*/raw", "h", "/n/1/2/raw"}, {"", "/a***b", "h", "/a/b"},
		{"H.", "", "h", "/"}, {"", "/a%2A", "h", "/ax"}, {"[::1]", "/", "[::1]:80", "/x"}, {"*", "/(a|b)+", "h", "/(a|b)+"}, {"*:80", "", "h:80", "/"}, {"", "/" + strings.Repeat("*a", 20), "h", "/" + strings.Repeat("a", 40)},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, ruleHost, rulePath, host, path string) {
		set, err := Compile([]Rule{{Host: ruleHost, Path: rulePath}})
		if err != nil {
			return
		}
		host, err = key.Host(host)
		if err != nil {
			return
		}
		if path, err = key.Path(path); err != nil || strings.Count(ruleHost+rulePath, "*") > 6 || len(path) > 100 {
			return
		}
		want := true
		if ruleHost != "" {
			pattern := strings.TrimSuffix(strings.ToLower(ruleHost), ".")
			subject := host
			if !hasPort(pattern) {
				if i := strings.LastIndex(subject, ":"); hasPort(subject) {
					subject = subject[:i]
				}
			}
			want = matches(pattern, subject)
		}
		if rulePath != "" {
			pattern, err := key.Path(rulePath)
			if err != nil {
				t.Fatalf("compiled with the path %q: %v", rulePath, err)
			}
			if strings.Contains(pattern, "*") {
				want = want && matches(pattern, path)
			} else {
				pattern = strings.TrimRight(pattern, "/")
				want = want && (path == pattern || strings.HasPrefix(path, pattern+"/"))
			}
		}
		if got := set.Match(host, path) == 0; got != want {
			t.Fatalf("host %q path %q matches %q %q: %v", ruleHost, rulePath, host, path, got)
		}
	})
}

func hasPort(host string) bool { return strings.LastIndex(host, ":") > strings.LastIndex(host, "]") }

// matches is a glob as one would write it first.
func matches(pattern, s string) bool {
	switch {
	case strings.HasPrefix(pattern, "**"):
		for i := range len(s) + 1 {
			if matches(pattern[2:], s[i:]) {
				return true
			}
		}
		return false
	case strings.HasPrefix(pattern, "*"):
		for i := range len(s) + 1 {
			if matches(pattern[1:], s[i:]) {
				return true
			}
			if i < len(s) && s[i] == '/' {
				return false
			}
		}
		return false
	case pattern == "" || s == "":
		return pattern == s
	}
	return pattern[0] == s[0] && matches(pattern[1:], s[1:])
}
