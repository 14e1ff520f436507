package origin

import (
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	for _, tt := range []struct{ url, network, address, wrong string }{
		{"http://127.0.0.1:9000", "tcp", "127.0.0.1:9000", ""},
		{"http://127.0.0.1:9000/", "tcp", "127.0.0.1:9000", ""},
		{"http://app.example", "tcp", "app.example:80", ""},
		{"https://app.example", "tcp", "app.example:443", ""},
		{"https://[::1]:8443", "tcp", "[::1]:8443", ""},
		{"HTTP://app.example", "tcp", "app.example:80", ""},
		{"unix:/run/app.sock", "unix", "/run/app.sock", ""},
		{"unix:///run/app.sock", "unix", "/run/app.sock", ""},
		{"", "", "", "no http, https or unix URL"},
		{"127.0.0.1:9000", "", "", "no http, https or unix URL"},
		{"localhost:9000", "", "", "no http, https or unix URL"},
		{"ftp://a", "", "", "no http, https or unix URL"},
		{"http:a", "", "", "no http, https or unix URL"},
		{"http://", "", "", "no host"},
		{"http://:80", "", "", "no host"},
		{"http://a:", "", "", "no port after"},
		{"http://a:0", "", "", "no port has the number 0"},
		{"http://a:70000", "", "", "no port has the number 70000"},
		{"http://me:secret@a", "", "", "name a user"},
		{"http://a/app", "", "", "must not have a path"},
		{"http://a?b", "", "", "end after the port"},
		{"http://a/?", "", "", "end after the port"},
		{"http://a/#", "", "", "end after the port"},
		{"unix:app.sock", "", "", "absolute path"},
		{"unix:", "", "", "absolute path"},
		{"unix:/", "", "", "absolute path"},
	} {
		o, err := New(Options{URL: tt.url})
		switch {
		case tt.wrong == "" && err != nil:
			t.Errorf("%q: %v", tt.url, err)
		case tt.wrong == "":
			if o.network != tt.network || o.address != tt.address || (o.tls != nil) != strings.HasPrefix(tt.url, "https") {
				t.Errorf("%q leads to %s %s, TLS %t", tt.url, o.network, o.address, o.tls != nil)
			}
			o.Close()
		case err == nil || !strings.Contains(err.Error(), tt.wrong) || !strings.Contains(err.Error(), "it looks like http://"):
			t.Errorf("%q: %v, want %q and how one looks", tt.url, err, tt.wrong)
		}
	}
	for _, o := range []Options{{Host: "a b"}, {Host: "a\r\nX: y"}, {ConnectTimeout: -1}, {MaxConns: -1}} {
		o.URL = "http://a"
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
