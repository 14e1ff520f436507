package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
)

func TestMatch(t *testing.T) {
	no, yes := false, true
	list := []Rule{
		{Path: "/account", Cache: &no},
		{Host: "*.example.org", Path: "/static/**"},
		{Host: "admin.example.org:8443", Cache: &no},
		{Path: "/notes/*/raw", Cache: &yes},
		{Path: "/caf%C3%A9"},
	}
	set, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host, path string
		want       int
	}{
		{"example.org", "/", -1},
		{"example.org", "/account", 0},
		{"example.org", "/account/", 0},
		{"example.org", "/account/x.css", 0},
		{"example.org", "/accounts", -1},
		{"www.example.org", "/static/a/b.css", 1},
		{"www.example.org:8080", "/static/a", 1},
		{"example.org", "/static/a", -1},
		{"www.example.org", "/account", 0},
		{"admin.example.org:8443", "/x", 2},
		{"admin.example.org", "/x", -1},
		{"h", "/notes/1/raw", 3},
		{"h", "/notes/1/2/raw", -1},
		{"h", "/notes/1/raw/x", -1},
		{"[::1]:80", "/caf%C3%A9/x", 4},
	} {
		if got := set.Match(tt.host, tt.path); got != tt.want {
			t.Errorf("Match(%q, %q) = %d, want %d", tt.host, tt.path, got, tt.want)
		}
	}
}

func TestFirstMatchWins(t *testing.T) {
	set, err := Compile([]Rule{{Path: "/a/b"}, {Path: "/a"}, {Path: "/"}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/a/b/c": 0, "/a/c": 1, "/c": 2} {
		if got := set.Match("h", path); got != want {
			t.Errorf("Match(%q) = %d, want %d", path, got, want)
		}
	}
	if got := new(Set).Match("h", "/"); got != -1 {
		t.Errorf("the zero Set matches: %d", got)
	}
}

func TestCompileRefuses(t *testing.T) {
	negative, header := unit.Duration(-time.Second), "no-cache\r\nX: y"
	for _, tt := range []struct {
		rule Rule
		want string
	}{
		{Rule{}, "neither host nor path"},
		{Rule{Path: "a"}, `begin with "/"`},
		{Rule{Path: "/a/../b"}, `".." segment`},
		{Rule{Host: "a b"}, "not a host name"},
		{Rule{Path: "/", Grace: &negative}, "negative"},
		{Rule{Path: "/", ClientControl: &header}, "control character"},
		{Rule{Path: "/", Query: []string{""}}, "empty"},
		{Rule{Path: "/", IgnoreQuery: []string{"a", ""}}, "empty"},
		{Rule{Path: "/", Query: []string{"a*"}}, "by their names"},
		{Rule{Path: "/", Policy: "implicit"}, `policy "implicit" is not explicit or until-invalidated`},
		{Rule{Path: "/", MaxAge: &negative}, "max-age -1s is negative"},
		{Rule{Path: "/", WhileRevalidate: &negative}, "stale-while-revalidate -1s is negative"},
		{Rule{Path: "/", IfError: &negative}, "stale-if-error -1s is negative"},
		{Rule{Path: "/", PublicCookies: []string{""}}, "a cookie's name is empty"},
		{Rule{Path: "/", Query: []string{"*"}, IgnoreQuery: []string{"*"}}, `"*" is in query and`},
		{Rule{Path: "/", Query: []string{"q", "utm_id"}, IgnoreQuery: []string{"x", "utm_*"}}, `"utm_id" is in query and, as "utm_*"`},
		{Rule{Path: "/", Query: []string{"q"}, IgnoreQuery: []string{"q"}}, `"q" is in query and`},
	} {
		_, err := Compile([]Rule{{Path: "/ok"}, tt.rule})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "rule 2") {
			t.Errorf("Compile(%+v) = %v, want %q of rule 2", tt.rule, err, tt.want)
		}
	}
	if _, err := Compile(make([]Rule, MaxRules+1)); err == nil {
		t.Error("no bound on the number of rules")
	}
}

// TestForProxies: each field that only proxies know is told from those that all sites know.
func TestForProxies(t *testing.T) {
	d, control, yes := unit.Duration(0), "", true
	if got := (Rule{Host: "h", Path: "/", Cache: &yes, Query: []string{"q"}, IgnoreQuery: []string{"*"}, Grace: &d, ClientControl: &control}).ForProxies(); got != "" {
		t.Errorf("%s is for all sites", got)
	}
	for want, r := range map[string]Rule{
		"policy": {Policy: Explicit}, "max-age": {MaxAge: &d}, "stale-while-revalidate": {WhileRevalidate: &d}, "stale-if-error": {IfError: &d},
		"public-cookies": {PublicCookies: []string{"a"}}, "origin": {Origin: "http://h"}, `query: ["*"]`: {Query: []string{"*"}},
	} {
		if got := r.ForProxies(); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
		r.Path = "/"
		if _, err := Compile([]Rule{r}); err != nil {
			t.Error(err)
		}
	}
}

func TestMatchesHost(t *testing.T) {
	set, err := Compile([]Rule{{Path: "/a"}, {Host: "*.example.org", Path: "/"}, {Host: "a.example.org:8080"}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][3]bool{
		"h": {true, false, false}, "a.example.org": {true, true, false}, "a.example.org:8080": {true, true, true},
	} {
		for i, w := range want {
			if got := set.MatchesHost(i, host); got != w {
				t.Errorf("MatchesHost(%d, %s) = %v", i, host, got)
			}
		}
	}
}
