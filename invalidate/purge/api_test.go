package purge

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cache/position"
)

func newAPI(t *testing.T, s Store) *API {
	t.Helper()
	a, err := NewAPI(APIOptions{Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// post makes a request of this machine; headers replace those it has, and are removed if empty.
func post(body string, headers ...string) *http.Request {
	r := local(httptest.NewRequest("POST", Path, strings.NewReader(body)))
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	return r
}

func TestAPI(t *testing.T) {
	parse := func(text string) cache.Key {
		k, err := key.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	for _, tt := range []struct {
		body string
		want cache.Selection
	}{
		{`{"keys":["https://Example.org:443/%61?b=1&a=2","/b","h/c#json","h/C%2A"]}`,
			cache.Selection{Keys: []cache.Key{parse("example.org/a?b=1&a=2"), parse("/b"), parse("h/c#json"), parse("h/C%2A")}}},
		{`{"prefixes":["example.org/docs/","/"]}`, cache.Selection{Prefixes: []key.Prefix{{Host: "example.org", Path: "/docs"}, {}}}},
		{`{"hosts":["Example.org."],"prefixes":["/x"]}`, cache.Selection{Prefixes: []key.Prefix{{Path: "/x"}, {Host: "example.org"}}}},
		{`{"tags":["note:1","a,b"],"soft":true}`, cache.Selection{Tags: []string{"note:1", "a,b"}, Soft: true}},
		{`{"all":true,"keys":null,"tags":[]}`, cache.Selection{All: true}},
		{" {\"tags\":[\"\\u00e9\"],\n\"cause\":\"release é\"}\n", cache.Selection{Tags: []string{"é"}, Cause: "release é"}},
		{`{"tags":["a"],"dry_run":true,"all":false}`, cache.Selection{Tags: []string{"a"}, DryRun: true}},
		{`{"tags":["a"],"position":"main=1.1@0/200; b=2@5:5:"}`, cache.Selection{Tags: []string{"a"}, Position: vector(t, "b=2@5:5:;main=1.1@0/200")}},
	} {
		store := &fakeStore{dropped: cache.Dropped{Pages: 2, Graced: 1}}
		status, body := ask(newAPI(t, store), post(tt.body))
		if status != 200 || !strings.Contains(body, `"dropped":3,"graced":1,`) {
			t.Errorf("%s: %d %s", tt.body, status, body)
		}
		if tt.want.Cause == "" {
			tt.want.Cause = "POST /invalidate"
		}
		if len(store.calls) != 1 || !reflect.DeepEqual(store.calls[0], tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.body, store.calls, tt.want)
		}
	}
}

func vector(t *testing.T, text string) position.Vector {
	t.Helper()
	v, err := position.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAPIRefuses(t *testing.T) {
	list := func(n int, text string) string { return "[" + strings.Repeat(text+",", n-1) + text + "]" }
	for _, tt := range []struct {
		r      *http.Request
		status int
		want   string
	}{
		{post(``), 400, "not JSON"},
		{post(`{"tags":["a"]`), 400, "not JSON"},
		{post(`{"tags":["a"],}`), 400, "not JSON"},
		{post(`{"tags":["a"]}{}`), 400, "not JSON"},
		{post(`["a"]`), 400, "JSON object"},
		{post(`null`), 400, "JSON object"},
		{post(`{}`), 400, "it names nothing"},
		{post(`{"tags":null}`), 400, "it names nothing"},
		{post(`{"all":false}`), 400, "it names nothing"},
		{post(`{"all":true,"tags":["a"]}`), 400, "give either"},
		{post(`{"tag":["a"],"all":true}`), 400, `\"tag\" is unknown`},
		{post(`{"Tags":["a"],"all":true}`), 400, `\"Tags\" is unknown`},
		{post(`{"tags":["a"],"tags":["b"]}`), 400, "twice"},
		{post(`{"tags":"a"}`), 400, "field tags"},
		{post(`{"tags":[1]}`), 400, "field tags"},
		{post(`{"all":"true"}`), 400, "field all"},
		{post(`{"tags":["a",null]}`), 400, "tags[1]"},
		{post(`{"tags":["two words"]}`), 400, "tags[0]"},
		{post(`{"tags":["\ud800"]}`), 400, "U+FFFD"},
		{post("{\"tags\":[\"\xff\"]}"), 400, "UTF-8"},
		{post(`{"keys":["example.org"]}`), 400, "keys[0]"},
		{post(`{"keys":["h/a","h/../b"]}`), 400, "keys[1]"},
		{post(`{"keys":["h/%2e%2e/b"]}`), 400, "keys[0]"},
		{post(`{"keys":["h/a%2fb"]}`), 400, "keys[0]"},
		{post(`{"keys":["h/a*"]}`), 400, "patterns"},
		{post(`{"keys":["h/a*#json"]}`), 400, "patterns"},
		{post(`{"keys":["h/a?x=*"]}`), 400, "patterns"},
		{post(`{"keys":["ftp://h/a"]}`), 400, "keys[0]"},
		{post(`{"keys":[""]}`), 400, "keys[0]"},
		{post(`{"prefixes":["h/a/*"]}`), 400, "patterns"},
		{post(`{"prefixes":["h/a/*/"]}`), 400, "patterns"},
		{post(`{"prefixes":["h/a?x=1"]}`), 400, "prefixes[0]"},
		{post(`{"hosts":["h/a"]}`), 400, "hosts[0]"},
		{post(`{"hosts":[""]}`), 400, "hosts[0]"},
		{post(`{"hosts":[".."]}`), 400, "hosts[0]"},
		{post(`{"all":true,"cause":"a\nb"}`), 400, "cause"},
		{post(`{"all":true,"position":"main"}`), 400, "position"},
		{post(`{"all":true,"position":" "}`), 400, "position: it is empty"},
		{post(`{"all":true,"cause":"` + strings.Repeat("x", maxCause+1) + `"}`), 400, "cause"},
		{post(`{"tags":` + list(MaxTags+1, `"a"`) + `}`), 400, "at most"},
		{post(`{"keys":` + list(maxNames, `"/a"`) + `,"hosts":["h"]}`), 400, "at most"},
		{post(`{"cause":"` + strings.Repeat("x", maxBody) + `"}`), 413, "1 MiB"},
		{post(strings.Repeat(`[`, 100_000)), 400, "not JSON"},

		{post(`{"all":true}`, "Content-Type: "), 415, "application/json"},
		{post(`{"all":true}`, "Content-Type: text/plain"), 415, "application/json"},
		{post(`{"all":true}`, "Content-Type: application/x-www-form-urlencoded"), 415, "application/json"},
		{post(`{"all":true}`, "Content-Type: text/plain; application/json"), 415, "application/json"},
		{post(`{"all":true}`, "Content-Type: application/json; charset=utf-16"), 415, "application/json"},
		{post(`{"all":true}`, "Content-Encoding: gzip"), 415, "compressed"},
		{post(`{"all":true}`, "Origin: null"), 403, "Origin"},
		{post(`{"all":true}`, "X-Forwarded-For: 10.0.0.1"), 403, "X-Forwarded-For"},
		{post(`{"all":true}`, "Idempotency-Key: a b"), 400, "Idempotency-Key"},
		{post(`{"all":true}`, "Idempotency-Key: "+strings.Repeat("k", maxKey+1)), 400, "Idempotency-Key"},
		{post(`{"all":true}`, `Idempotency-Key: ""`), 400, "Idempotency-Key"},
		{local(httptest.NewRequest("GET", Path, nil)), 405, "send POST"},
		{httptest.NewRequest("POST", Path, nil), 403, "forbidden"}, // from 192.0.2.1
	} {
		store := &fakeStore{}
		status, body := ask(newAPI(t, store), tt.r)
		if status != tt.status || !strings.Contains(body, tt.want) || store.count() != 0 || !json.Valid([]byte(body)) || strings.Contains(body, `\n`) {
			t.Errorf("%d %s, want %d %s; %d calls", status, body, tt.status, tt.want, store.count())
		}
	}
	two := post(`{"all":true}`)
	two.Header["Idempotency-Key"] = []string{"a", "b"}
	if status, body := ask(newAPI(t, &fakeStore{}), two); status != 400 {
		t.Errorf("two keys: %d %s", status, body)
	}
	if status, body := ask(newAPI(t, &fakeStore{}), post(`{"all":true}`, `Content-Type: application/json; charset="UTF-8"`)); status != 200 {
		t.Errorf("UTF-8: %d %s", status, body)
	}
	if _, err := NewAPI(APIOptions{}); err == nil {
		t.Error("no Store")
	}
}

// TestSlowBody: a body that does not come is waited for no longer than bodyTimeout, and drops nothing.
func TestSlowBody(t *testing.T) {
	store := &fakeStore{}
	r := post("")
	r.Body = http.NoBody
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	newAPI(t, store).ServeHTTP(w, r)
	if len(w.set) != 2 || time.Until(w.set[0]) > bodyTimeout || time.Until(w.set[0]) < bodyTimeout/2 || !w.set[1].IsZero() {
		t.Errorf("%v", w.set)
	}
	cut := post("")
	cut.Body = brokenBody{}
	if status, body := ask(newAPI(t, store), cut); status != 400 || !strings.Contains(body, "end") || store.count() != 0 {
		t.Errorf("%d %s", status, body)
	}
}

type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (w *deadlines) SetReadDeadline(t time.Time) error { w.set = append(w.set, t); return nil }

type brokenBody struct{}

func (brokenBody) Read(p []byte) (int, error) {
	return copy(p, `{"all":true}`), errors.New("connection reset")
}
func (brokenBody) Close() error { return nil }

// TestIdempotency: a repeat is carried out again, and told from the first; a key is good for one body.
func TestIdempotency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{dropped: cache.Dropped{Pages: 1}}
		a := newAPI(t, store)
		step := func(key, body string, status, calls int, repeated bool) {
			t.Helper()
			got, text := ask(a, post(body, "Idempotency-Key: "+key))
			if got != status || strings.Contains(text, `"repeated":true`) != repeated || store.count() != calls {
				t.Fatalf("%s %s: %d %s, %d calls", key, body, got, text, store.count())
			}
		}
		step("k", `{"tags":["a"],"soft":false}`, 200, 1, false)
		step("k", ` {"tags" : ["a"]}`, 200, 2, true) // the same, in other words
		step("k", `{"tags":["b"]}`, 422, 2, false)
		step("k", `{"tags":["a"],"soft":true}`, 422, 2, false)
		step("K", `{"tags":["a"]}`, 200, 3, false)

		// A dry run neither is remembered nor stands in the way.
		step("d", `{"tags":["a"],"dry_run":true}`, 200, 4, false)
		step("d", `{"tags":["a"]}`, 200, 5, false)
		step("d", `{"tags":["b"],"dry_run":true}`, 200, 6, false)

		store.err = errors.New("disk")
		step("f", `{"tags":["a"]}`, 500, 7, false)
		store.err = nil
		step("f", `{"tags":["a"]}`, 200, 8, true)

		time.Sleep(rememberedFor - time.Nanosecond)
		step("k", `{"tags":["a"]}`, 200, 9, true)
		time.Sleep(time.Nanosecond)
		step("k", `{"tags":["other"]}`, 200, 10, false)
	})
}

// TestIdempotencyBound: beyond the bound the oldest is forgotten.
func TestIdempotencyBound(t *testing.T) {
	var m remembered
	digest := (&demand{All: true}).digest()
	repeated := func(key string) bool {
		again, err := m.repeated(key, digest)
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	for i := range maxRemembered + 1 {
		repeated(fmt.Sprint(i))
	}
	if len(m.byKey) != maxRemembered || m.byAge.Len() != maxRemembered {
		t.Fatalf("%d remembered", len(m.byKey))
	}
	if !repeated("1") || !repeated(fmt.Sprint(maxRemembered)) {
		t.Error("forgotten too early")
	}
	if repeated("0") {
		t.Error("the oldest is still there")
	}
}
