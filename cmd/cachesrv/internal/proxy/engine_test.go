package proxy

import (
	"reflect"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// TestProxyOptions: every setting reaches the cache, and what a rule says stands in its place.
func TestProxyOptions(t *testing.T) {
	second, zero, none, control, no := unit.Duration(time.Second), unit.Duration(0), []string{}, "max-age=60", false
	all := []string{"*"}
	general := conf.Proxy{Policy: rules.Explicit, MaxAge: unit.Duration(time.Hour), WhileRevalidate: unit.Duration(time.Minute),
		IfError: unit.Duration(2 * time.Minute), Grace: unit.Duration(3 * time.Minute), Query: []string{"q"}, IgnoreQuery: []string{"utm_*"},
		PublicCookies: []string{"_ga"}, ClientDirectives: "on"}
	generally := middleware.ProxyOptions{
		Policy: httpcache.Policy{MaxAge: time.Hour, WhileRevalidate: time.Minute, IfError: 2 * time.Minute}, Grace: 3 * time.Minute,
		Query: []string{"q"}, IgnoreQuery: []string{"utm_*"}, PublicCookies: []string{"_ga"}, ClientDirectives: true,
	}
	for _, tt := range []struct {
		name string
		base conf.Proxy
		rule *rules.Rule
		want middleware.ProxyOptions
	}{
		{"defaults", conf.Proxy{Policy: rules.Explicit, ClientDirectives: "off", Query: none}, nil, middleware.ProxyOptions{Query: all}},
		{"until invalidated", conf.Proxy{Policy: rules.UntilInvalidated}, nil, middleware.ProxyOptions{Policy: httpcache.Policy{UntilInvalidated: true}, Query: none}},
		{"general", general, nil, generally},
		{"a rule that says nothing", general, &rules.Rule{Path: "/"}, generally},
		{"a rule that says all", general, &rules.Rule{Path: "/", Policy: rules.UntilInvalidated, MaxAge: &second, WhileRevalidate: &second, IfError: &zero,
			Grace: &zero, Query: none, IgnoreQuery: []string{"x"}, PublicCookies: none, ClientControl: &control},
			middleware.ProxyOptions{Policy: httpcache.Policy{UntilInvalidated: true, MaxAge: time.Second, WhileRevalidate: time.Second},
				Query: none, IgnoreQuery: []string{"x"}, PublicCookies: none, ClientControl: control, ClientDirectives: true}},
		{"another policy", conf.Proxy{Policy: rules.Explicit}, &rules.Rule{Path: "/", Policy: rules.UntilInvalidated},
			middleware.ProxyOptions{Policy: httpcache.Policy{UntilInvalidated: true}, Query: none}},
		{"no query", conf.Proxy{Policy: rules.Explicit}, &rules.Rule{Path: "/", Query: none}, middleware.ProxyOptions{Query: none}},
	} {
		c, index := conf.Config{Proxy: tt.base}, -1
		if tt.rule != nil {
			c.Rules, index = conf.Rules{{Path: "/other"}, *tt.rule}, 1
		}
		got := proxyOptions(c, index)
		if got.Skipper != nil {
			t.Errorf("%s: nothing is cached", tt.name)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n%+v, want\n%+v", tt.name, got, tt.want)
		}
	}
	got := proxyOptions(conf.Config{Rules: conf.Rules{{Path: "/", Cache: &no}}}, 0)
	if got.Skipper == nil || !got.Skipper(nil) {
		t.Error("cache: false is not heard")
	}
}
