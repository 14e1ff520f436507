package purge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const secret = "0123456789abcdef-._~+/=="

func access(t *testing.T, token string, from ...string) Access {
	t.Helper()
	file := ""
	if token != "" {
		file = filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := NewAccess(file, from)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccess(t *testing.T) {
	local, token, listed := access(t, ""), access(t, secret), access(t, "", "192.0.2.0/24", "2001:db8::1", "::ffff:198.51.100.0/120")
	both := access(t, secret, "127.0.0.0/8")
	bearer := "Authorization: Bearer " + secret
	for _, tt := range []struct {
		name    string
		access  Access
		peer    string
		headers []string
		want    string // "": admitted
	}{
		{"loopback", local, "127.0.0.1:99", nil, ""},
		{"loopback", local, "127.9.9.9:99", nil, ""},
		{"loopback", local, "[::1]:99", nil, ""},
		{"loopback", local, "[::ffff:127.0.0.1]:99", nil, ""},
		{"network", local, "192.0.2.1:99", nil, "it comes from 192.0.2.1: send it directly, from the machine that cachesrv runs on; or start cachesrv with --purge-token-file FILE, or --purge-from CIDR"},
		{"network", local, "[2001:db8::1]:99", nil, "--purge-from"},
		{"no address", local, "", nil, "--purge-from"},
		{"no address", local, "@", nil, "--purge-from"},
		{"a token where there is none", local, "192.0.2.1:99", []string{bearer}, "--purge-token-file"},
		{"proxy", local, "127.0.0.1:99", []string{"X-Forwarded-For: 127.0.0.1"}, "it has X-Forwarded-For"},
		{"proxy", local, "127.0.0.1:99", []string{"X-Forwarded-For: "}, "it has X-Forwarded-For"},
		{"proxy", local, "127.0.0.1:99", []string{"x-forwarded-proto: http"}, "it has X-Forwarded-Proto"},
		{"proxy", local, "127.0.0.1:99", []string{"Forwarded: for=_x"}, "it has Forwarded"},
		{"proxy", local, "127.0.0.1:99", []string{"Via: 1.1 caddy"}, "it has Via"},
		{"proxy", local, "127.0.0.1:99", []string{"X-Real-IP: 127.0.0.1"}, "it has X-Real-Ip"},
		{"proxy", local, "127.0.0.1:99", []string{"CF-Connecting-IP: 127.0.0.1"}, "it has Cf-Connecting-Ip"},
		{"browser", local, "127.0.0.1:99", []string{"Origin: http://evil.example"}, "it has Origin"},
		{"browser", local, "127.0.0.1:99", []string{"Sec-Fetch-Site: cross-site"}, "it has Sec-Fetch-Site"},

		{"token", token, "192.0.2.1:99", []string{bearer}, ""},
		{"token through a proxy", token, "192.0.2.1:99", []string{bearer, "Via: 1.1 x", "X-Forwarded-For: 1.2.3.4"}, ""},
		{"token", token, "192.0.2.1:99", []string{"Authorization: bearer  " + secret}, ""},
		{"token", token, "192.0.2.1:99", []string{"Authorization: Basic " + secret}, "its Authorization is not the token"},
		{"token", token, "192.0.2.1:99", []string{"Authorization: " + secret}, "its Authorization is not the token"},
		{"token", token, "192.0.2.1:99", []string{bearer + "x"}, "its Authorization is not the token"},
		{"token", token, "192.0.2.1:99", []string{"Authorization: Bearer " + secret[1:]}, "its Authorization is not the token"},
		{"token", token, "192.0.2.1:99", []string{"Authorization: Bearer "}, "its Authorization is not the token"},
		{"two", token, "192.0.2.1:99", []string{bearer, bearer}, "its Authorization is not the token"},
		{"a token is asked of this machine too", token, "127.0.0.1:99", nil, "it comes from 127.0.0.1: send the token"},

		{"listed", listed, "192.0.2.255:99", nil, ""},
		{"listed", listed, "[::ffff:192.0.2.255]:99", nil, ""},
		{"listed", listed, "198.51.100.9:99", nil, ""},
		{"listed", listed, "[2001:db8::1]:99", nil, ""},
		{"listed", listed, "[2001:db8::1%eth0]:99", nil, ""},
		{"not listed", listed, "192.0.3.0:99", nil, "from an address of --purge-from"},
		{"not listed", listed, "127.0.0.1:99", nil, "from an address of --purge-from"},
		{"a listed proxy", listed, "192.0.2.1:99", []string{"X-Forwarded-For: 1.2.3.4"}, "it has X-Forwarded-For"},

		{"either", both, "127.0.0.1:99", nil, ""},
		{"either", both, "192.0.2.1:99", []string{bearer}, ""},
		{"neither", both, "192.0.2.1:99", nil, "send the token: Authorization: Bearer TOKEN; or send it directly"},
	} {
		r := newPurge("/", tt.headers...)
		r.RemoteAddr = tt.peer
		err := tt.access.Check(r)
		if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s from %s with %q: %v, want %q", tt.name, tt.peer, tt.headers, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%s: tells the token: %v", tt.name, err)
		}
	}
	old := newPurge("/")
	old.RemoteAddr, old.ProtoMinor = "127.0.0.1:99", 0
	if err := local.Check(old); !errors.Is(err, ErrForbidden) {
		t.Errorf("HTTP/1.0, as nginx sends it: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %s %#v", token, token, token.Token[:], token); strings.Contains(text, secret[:8]) {
		t.Error("a log shows the token")
	}
}

// TestAccessOfSocket: over a Unix socket who may connect may purge, unless somebody was named; and no header tells us that
// we are on one.
func TestAccessOfSocket(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var a Access
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.Check(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	}))
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	defer srv.Close()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", ln.Addr().String())
	}}}
	ask := func(header string) int {
		req, err := http.NewRequestWithContext(t.Context(), Method, "http://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set(header, "x")
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := ask(""); got != 200 {
		t.Errorf("%d", got)
	}
	if got := ask("X-Forwarded-For"); got != 403 {
		t.Errorf("a proxy: %d", got)
	}
	a = access(t, secret)
	if got := ask(""); got != 403 {
		t.Errorf("without the token: %d", got)
	}
}

func TestParseFromRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0/0": "everybody", "::/0": "everybody", "::ffff:0.0.0.0/96": "everybody",
		"10.0.0.1/8": "10.0.0.0/8", "::ffff:10.0.0.1/104": "10.0.0.0/8", "localhost": "not an address", "": "not an address", "10.0.0.0/33": "not an address",
		"10.0.0.1:80": "not an address", "fe80::1%eth0": "zone", "fe80::%eth0/64": "zone", "*": "not an address",
	} {
		if p, err := ParseFrom([]string{"192.0.2.1", text}); err == nil || !strings.Contains(err.Error(), want) || p != nil {
			t.Errorf("%q: %v, %v; want %s", text, p, err, want)
		}
	}
	if _, err := ParseFrom(make([]string, maxFrom+1)); err == nil || !strings.Contains(err.Error(), "1000") {
		t.Errorf("too many: %v", err)
	}
}

func TestReadTokenRefuses(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"": "0 bytes", "short": "5 bytes", strings.Repeat(" ", 20): "0 bytes", strings.Repeat("x", maxToken+1): "4097 bytes", strings.Repeat("x", 1<<20): "bytes",
		"0123456789 0123456789": "characters", "0123456789\n0123456789": "characters", "0123456789=0123456789": "characters", "0123456789é0123456789": "characters",
	} {
		path := filepath.Join(dir, "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := NewAccess(path, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--purge-token-file: "+path) || a.Token != nil {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
		if text != "" && err != nil && len(text) > 5 && strings.TrimSpace(text) != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the message shows the token: %v", err)
		}
	}
	if _, err := NewAccess(filepath.Join(dir, "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := NewAccess("", []string{"x"}); err == nil || !strings.HasPrefix(err.Error(), "--purge-from") {
		t.Errorf("no address: %v", err)
	}
}
