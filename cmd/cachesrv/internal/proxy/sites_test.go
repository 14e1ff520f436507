package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
)

func here(names ...string) *serve.Listener {
	return &serve.Listener{Ports: []string{"8080"}, Hosts: append(names, "127.0.0.1:8080", "localhost:8080", "[::1]:8080")}
}

// says is a handler that says which one it is.
func says(u use) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "%s %d", u.origin, u.rule) }), nil
}

func ask(h http.Handler, host, target string) (status int, body string) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = host
	h.ServeHTTP(w, r)
	text, _ := io.ReadAll(w.Result().Body)
	return w.Code, strings.TrimSpace(string(text))
}

func config(rules []rules.Rule, origins ...string) conf.Config {
	c := conf.Config{Rules: rules}
	for _, text := range origins {
		var o conf.Origin
		if err := o.UnmarshalText([]byte(text)); err != nil {
			panic(err)
		}
		c.Origins = append(c.Origins, o)
	}
	return c
}

func TestWhoAnswers(t *testing.T) {
	no := false
	list := []rules.Rule{
		{Path: "/account", Cache: &no},
		{Host: "*.example", Path: "/static/**", Origin: "http://files"},
		{Host: "b.example:9999"},
	}
	c := config(list, "http://all", "a.example=http://a", "B.example.=unix:/b", "b.example:8080=http://b2")
	c.Hosts = []string{"c.example"}
	s, err := newSites(c, here("c.example", "c.example:8080"), says)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ host, target, want string }{
		{"127.0.0.1:8080", "/", "http://all -1"},
		{"LOCALHOST:8080", "/", "http://all -1"},
		{"c.example", "/x", "http://all -1"},
		{"c.example", "/static/x", "http://files 1"},
		{"localhost:8080", "/static/x", "http://all -1"},
		{"a.example", "/", "http://a -1"},
		{"A.Example.", "/", "http://a -1"},
		{"a.example:80", "/", "http://a -1"},
		{"a.example:8080", "/", "http://a -1"},
		{"b.example", "/", "unix:/b -1"},
		{"b.example:8080", "/", "http://b2 -1"},
		{"a.example", "/account", "http://a 0"},
		{"b.example", "/account/x", "unix:/b 0"},
		{"b.example", "/%61ccount/x", "unix:/b 0"},
		{"b.example", "/account/a%2fb", "unix:/b 0"},     // no page, but the same origin
		{"b.example", "/static/a%2fb", "http://files 1"}, // and here another
		{"b.example", "/static/" + strings.Repeat("x", 5000), "http://files 1"},
	} {
		if status, got := ask(s, tt.host, tt.target); status != http.StatusOK || got != tt.want {
			t.Errorf("%s%.60s: %d %s, want %s", tt.host, tt.target, status, got, tt.want)
		}
	}
	for host, want := range map[string]struct {
		status int
		text   string
	}{
		"evil.example":      {421, "--host evil.example"},
		"a.example:8081":    {421, "--host a.example:8081"},
		"127.0.0.1":         {421, "--host 127.0.0.1"},
		"evil.example:8080": {421, "--host evil.example:8080"},
		"..":                {400, "host"},
		"a/b":               {400, "host"},
		"":                  {400, "empty"},
	} {
		if status, got := ask(s, host, "/"); status != want.status || !strings.Contains(got, want.text) {
			t.Errorf("%s: %d %s", host, status, got)
		}
	}
}

// TestNamedOriginsOnly: without an origin for every host, there are no hosts but those that have one.
func TestNamedOriginsOnly(t *testing.T) {
	c := config(nil, "a.example=http://a")
	s, err := newSites(c, here(), says)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1:8080", "localhost:8080", "b.example"} {
		if status, got := ask(s, host, "/"); status != http.StatusMisdirectedRequest || !strings.Contains(got, "--origin "+host+"=URL") {
			t.Errorf("%s: %d %s", host, status, got)
		}
	}
	c.Hosts = []string{"A.example", "b.example"}
	if _, err := newSites(c, here("a.example", "b.example"), says); err == nil || !strings.Contains(err.Error(), "--host b.example has no origin") {
		t.Errorf("a host without an origin: %v", err)
	}
}

// TestHandlersAreShared: there is one for an origin and a rule, none for what can't be, and a bound on them.
func TestHandlersAreShared(t *testing.T) {
	made := map[use]int{}
	count := func(u use) (http.Handler, error) {
		made[u]++
		return says(u)
	}
	if _, err := newSites(config([]rules.Rule{{Host: "a.example"}, {Path: "/x"}}, "http://all", "a.example=http://a"), here("b.example"), count); err != nil {
		t.Fatal(err)
	}
	for _, u := range []use{{"http://all", -1}, {"http://all", 1}, {"http://a", -1}, {"http://a", 0}, {"http://a", 1}} {
		if made[u] != 1 {
			t.Errorf("%v: %d handlers", u, made[u])
		}
	}
	if len(made) != 5 {
		t.Errorf("%v", made)
	}
	var origins []string
	for i := range 20 {
		origins = append(origins, fmt.Sprintf("h%d=http://o%d", i, i))
	}
	list := make([]rules.Rule, rules.MaxRules)
	for i := range list {
		list[i].Path = fmt.Sprintf("/%d", i)
	}
	if _, err := newSites(config(list, origins...), here(), says); err == nil || !strings.Contains(err.Error(), "more than 10000") {
		t.Errorf("%d origins with %d rules: %v", len(origins), len(list), err)
	}
	if _, err := newSites(config(nil, "http://a"), here(), func(use) (http.Handler, error) { return nil, io.ErrClosedPipe }); err != io.ErrClosedPipe {
		t.Errorf("a handler that can't be made: %v", err)
	}
}
