package purge

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
)

// TestCounts: each request is counted once, by what it names and what became of it.
func TestCounts(t *testing.T) {
	far := func(r *http.Request) *http.Request { r.RemoteAddr = "192.0.2.1:9"; return r }
	some := cache.Dropped{Pages: 1}
	for _, tt := range []struct {
		r       *http.Request
		dropped cache.Dropped
		err     error
		want    string
	}{
		{local(newPurge("/")), some, nil, "url dropped"},
		{local(newPurge("/")), cache.Dropped{}, nil, "url nothing"},
		{local(newPurge("/")), cache.Dropped{Claims: 1}, nil, "url dropped"},
		{local(newPurge("/")), cache.Dropped{Retired: true}, nil, "url dropped"},
		{local(newPurge("/unlisted")), some, nil, "url nothing"},
		{local(newPurge("/", "Cache-Tag: a")), some, nil, "tags dropped"},
		{local(newPurge("/", "Cache-Tag: a")), cache.Dropped{}, errors.New("disk"), "tags failed"},
		{local(newPurge("/")), cache.Dropped{}, cache.ErrClosed, "url refused"},
		{local(newPurge("/../a")), some, nil, "unread refused"},
		{far(newPurge("/")), some, nil, "unread forbidden"},
		{post(`{"all":true}`), some, nil, "api dropped"},
		{post(`{"all":true,"dry_run":true}`), some, nil, "api dry_run"},
		{post(`{"all":true,"dry_run":true}`), some, errors.New("disk"), "api refused"},
		{post(`{}`), some, nil, "api refused"},
		{post(`{"all":true}`, "Origin: null"), some, nil, "api forbidden"},
	} {
		counts := new(Counts)
		store, quiet := &fakeStore{dropped: tt.dropped, err: tt.err}, slog.New(slog.DiscardHandler)
		api, err := NewAPI(APIOptions{Store: store, Counts: counts, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		h := newHandler(t, store)
		h.o.Counts = counts
		ask(h.Wrap(api), tt.r)
		got := map[string]int64{}
		for c := range counts.All() {
			if c.N > 0 {
				got[fmt.Sprint(c.Kind, " ", c.Outcome)] = c.N
			}
		}
		if !maps.Equal(got, map[string]int64{tt.want: 1}) {
			t.Errorf("%s %s: %v, want %s", tt.r.Method, tt.r.URL, got, tt.want)
		}
	}
}
