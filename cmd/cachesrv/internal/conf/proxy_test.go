package conf

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestReadOrigins: one line is enough for one origin; several are a mapping.
func TestReadOrigins(t *testing.T) {
	for text, want := range map[string]Origins{
		"origins: http://127.0.0.1:9000\n":  {{"", "http://127.0.0.1:9000"}},
		"origins: unix:/run/a\n":            {{"", "unix:/run/a"}},
		"origins:\n  a.example: http://a\n": {{"a.example", "http://a"}},
		"origins:\n  A.example.:80: http://a\n  '*': http://b\n  '[::1]:9': unix:/c\n": {{"a.example", "http://a"}, {"", "http://b"}, {"[::1]:9", "unix:/c"}},
		"origins: {}\n": nil,
		"origins:\n":    nil,
	} {
		f, err := Read(write(t, text))
		if err != nil || !reflect.DeepEqual(f.Config.Origins, want) {
			t.Errorf("%q: %v, %v; want %v", text, f, err, want)
		}
	}
	for _, text := range []string{"dir: a\norigins: [http://a]\n", "dir: a\norigins: {a: [b]}\n", "dir: a\norigins: {'': b}\n", "dir: a\norigins: 1\n"} {
		if _, err := Read(write(t, text)); err == nil || !strings.Contains(err.Error(), ":2: origins is one URL, or a mapping") {
			t.Errorf("%q: %v", text, err)
		}
	}
	// A host that is none is kept for check to complain about.
	f, err := Read(write(t, "origins: {a/b: 'http://h'}\n"))
	if err != nil || f.Config.Origins[0].Host != "a/b" {
		t.Errorf("%v, %v", f, err)
	}
}

// TestOriginText: what stands behind --origin, and what is shown of it, are one.
func TestOriginText(t *testing.T) {
	for text, want := range map[string]Origin{
		"http://h:1":             {"", "http://h:1"},
		"a.example=http://h":     {"a.example", "http://h"},
		"A.example.:81=http://h": {"a.example:81", "http://h"},
		"[::1]:8080=https://h":   {"[::1]:8080", "https://h"},
		"*=http://h":             {"", "http://h"},
		"unix:/run/a=b":          {"", "unix:/run/a=b"},
		"a=unix:/run/a=b":        {"a", "unix:/run/a=b"},
		"a b=http://h":           {"a b", "http://h"},
	} {
		var got Origin
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if err := new(Origin).UnmarshalText([]byte("=http://h")); err == nil {
		t.Error("a host is missing, and there is no error")
	}
	rapid.Check(t, func(t *rapid.T) {
		var o, again Origin
		if o.UnmarshalText([]byte(rapid.StringMatching(`([a-zA-Z.]{1,4}(:[0-9]{1,3})?=)?(http://|unix:/)[a-z=/.:]{0,6}`).Draw(t, "text"))) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(o.String())); err != nil || again != o {
			t.Fatalf("%+v is written %s, and read %+v, %v", o, o, again, err)
		}
	})
}

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{"http://127.0.0.1:9000", "http://127.0.0.1:9000/", "https://www.example.org", "http://[::1]:80", "unix:/run/app.sock"} {
		if err := CheckOrigin(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"":                       "write it like http://127.0.0.1:9000",
		"127.0.0.1:9000":         "not a URL: write it like",
		"localhost:9000":         "write it like",
		"http://":                "write it like",
		"http://:80":             "write it like",
		"http:h":                 "write it like",
		"ftp://h":                "write it like",
		"unix:run/app.sock":      "must be absolute",
		"unix:///run/app.sock":   "", // an absolute path, with slashes that mean nothing
		"http://h/app":           "has a path, query or fragment",
		"http://h/?a=b":          "has a path, query or fragment",
		"http://h?":              "has a path, query or fragment",
		"http://h#":              "has a path, query or fragment",
		"http://u:secret@h":      "has a user or password",
		"ftp://u:secret@h":       "write it like",
		"http://u:secret@h:port": "not a URL",
		"http://0.0.0.0:9000":    "no address to connect to",
		"http://a_b!c":           "not allowed in a host name",
	} {
		err := CheckOrigin(bad)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the password: %v", bad, err)
		}
	}
}
