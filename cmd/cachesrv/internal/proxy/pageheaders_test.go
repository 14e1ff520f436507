package proxy

import (
	"testing"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
)

// TestOwnValidators: a rule decides for its paths, the general setting for the others; page headers are those of all.
func TestOwnValidators(t *testing.T) {
	c := conf.Config{Rules: conf.Rules{{Path: "/a", Validators: rules.Ours}, {Path: "/b", Validators: rules.OfOrigin}, {Path: "/c"}}}
	c.PageHeaders = []string{"x-frame-options:DENY"}
	for general, want := range map[string][4]bool{rules.OfOrigin: {false, true, false, false}, rules.Ours: {true, true, false, true}} {
		c.Validators = general
		for i, own := range want {
			o := proxyOptions(c, i-1)
			if o.OwnValidators != own {
				t.Errorf("validators %s, rule %d: %v", general, i, o.OwnValidators)
			}
			if v := o.PageHeaders["X-Frame-Options"]; len(o.PageHeaders) != 1 || len(v) != 1 || v[0] != "DENY" {
				t.Errorf("rule %d: page headers %v", i, o.PageHeaders)
			}
		}
	}
}
