package main

import (
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

func TestFreshness(t *testing.T) {
	now := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	for want, life := range map[string]httpcache.Life{
		"until it is invalidated":                                                                 {Fresh: httpcache.Forever},
		"the origin is asked before each use (no-cache)":                                          {Born: now, Fresh: time.Hour, Validate: true},
		"until 2027-03-01 12:40:00 UTC":                                                           {Born: now.Add(-20 * time.Minute), Fresh: time.Hour},
		"until 2027-03-01 12:40:00 UTC, by its Last-Modified, as it does not say":                 {Born: now.Add(-20 * time.Minute), Fresh: time.Hour, Heuristic: true},
		"no more: the origin is asked whether it holds":                                           {Born: now.Add(-time.Hour), Fresh: time.Hour},
		"no more: the origin is asked whether it holds, by its Last-Modified, as it does not say": {Born: now.Add(-2 * time.Hour), Fresh: time.Hour, Heuristic: true},
	} {
		if got := freshness(life.Note(), now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := freshness("no note of ours", now); !strings.HasPrefix(got, "unknown: ") {
		t.Errorf("%q", got)
	}
}
