package purge

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// FuzzRead: a PURGE is either refused, or names a URL as it was sent, or tags that the store takes: those that a plain
// reading of the headers finds.
func FuzzRead(f *testing.F) {
	f.Add("/a?x=1", "Surrogate-Key", "a b", "", "1")
	f.Add("/a/*", "Cache-Tag", "a, b", "c", "0")
	f.Add("//a/%2e%2e", "Xkey-Purge", "a,b c", "\t", "x")
	f.Add("http://h/%2f", "Xkey-Softpurge", ",", "", "")
	f.Add("*", "Edge-Cache-Tag", "é,\xff", "\x00", "1")
	f.Fuzz(func(t *testing.T, target, name, line1, line2, soft string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		name = http.CanonicalHeaderKey(name)
		r := &http.Request{Method: Method, URL: u, Header: http.Header{name: {line1, line2}}}
		if soft != "" {
			r.Header[softHeader] = []string{soft}
		}
		o, err := Read(r)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || o.Target != "" || len(o.Tags) > 0 {
				t.Fatalf("%+v, %v", o, err)
			}
			return
		}
		known := slices.IndexFunc(tagHeaders(), func(h tagHeader) bool { return http.CanonicalHeaderKey(h.name) == name })
		if (known >= 0) != (len(o.Tags) > 0) || (o.Target == "") != (len(o.Tags) > 0) || len(o.Tags) > MaxTags {
			t.Fatalf("%q %q: %+v", name, line1, o)
		}
		if o.Target != "" {
			path, _, _ := strings.Cut(o.Target, "?")
			if _, err := key.Path(path); errors.Is(err, key.ErrInvalid) || strings.HasSuffix(o.Target, "*") {
				t.Fatalf("%q: %v", o.Target, err)
			}
			if strings.HasPrefix(target, "/") && o.Target != target {
				t.Fatalf("%q became %q", target, o.Target)
			}
			return
		}
		for i, tag := range o.Tags {
			if err := cache.CheckTag(tag); err != nil || i > 0 && tag <= o.Tags[i-1] || !strings.Contains(line1, tag) && !strings.Contains(line2, tag) {
				t.Fatalf("%q of %q, %q: %v", tag, line1, line2, err)
			}
		}
		separators := " \t,"
		switch h := tagHeaders()[known]; {
		case !h.commas:
			separators = " \t"
		case !h.spaces:
			separators = ","
		}
		var want []string
		for _, line := range []string{line1, line2} {
			for _, c := range separators[1:] {
				line = strings.ReplaceAll(line, string(c), separators[:1])
			}
			for tag := range strings.SplitSeq(line, separators[:1]) {
				if tag = strings.Trim(tag, " \t"); tag != "" && !slices.Contains(want, tag) {
					want = append(want, tag)
				}
			}
		}
		slices.Sort(want)
		if !slices.Equal(want, o.Tags) {
			t.Fatalf("%q, %q: %q, want %q", line1, line2, o.Tags, want)
		}
	})
}

// FuzzDemand: a body is either refused, or all that encoding/json finds in it is named, in canonical form; and its own
// JSON means the same.
func FuzzDemand(f *testing.F) {
	f.Add([]byte(`{"keys":["example.org/a?x=1#json","/b"],"prefixes":["h/","/"],"tags":["a"],"hosts":["h:80"],"soft":true,"cause":"x"}`))
	f.Add([]byte(`{"all":true,"dry_run":true}`))
	f.Add([]byte(`{"tags":["a"],"tags":["b"]}`))
	f.Add([]byte(`{"Tags":["\ud800"],"keys":null}`))
	f.Add([]byte(`{"keys":["h/*"]} {}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := parseDemand(body)
		var sel cache.Selection
		if err == nil {
			sel, err = d.selection()
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), "\n") {
				t.Fatal(err)
			}
			return
		}
		var plain demand
		if err := json.Unmarshal(body, &plain); err != nil || plain.digest() != d.digest() {
			t.Fatalf("%q: %+v, plainly %+v, %v", body, d, plain, err)
		}
		if sel.Empty() || sel.Cause == "" || len(sel.Keys) != len(d.Keys) || len(sel.Prefixes) != len(d.Prefixes)+len(d.Hosts) || len(sel.Tags) != len(d.Tags) ||
			sel.All != d.All || sel.Soft != d.Soft || sel.DryRun != d.DryRun {
			t.Fatalf("%q: %+v", body, sel)
		}
		for _, k := range sel.Keys {
			if back, err := key.Parse(k.String()); err != nil || back != k || k.Path == "" {
				t.Fatalf("%q: key %+v, %v", body, k, err)
			}
		}
		for _, p := range sel.Prefixes {
			if back, err := key.ParsePrefix(p.String()); err != nil || back != p {
				t.Fatalf("%q: prefix %+v is %+v, %v", body, p, back, err)
			}
		}
		for _, tag := range sel.Tags {
			if err := cache.CheckTag(tag); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseDemand(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if sel2, err := again.selection(); err != nil || !reflect.DeepEqual(sel, sel2) || again.digest() != d.digest() {
			t.Fatalf("%s: %+v, %v; was %+v", text, sel2, err, sel)
		}
	})
}

// FuzzFrom: what is read is a network in the form that connections' addresses are compared in, and never everybody.
func FuzzFrom(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "10.0.0.0/8", "::1", "::ffff:10.0.0.0/104", "::ffff:1.2.3.4", "0.0.0.0/0", "fe80::1%x", "2001:db8::/32", "::/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseFrom(text)
		if err != nil {
			return
		}
		if !p.IsValid() || p.Bits() == 0 || p != p.Masked() || p.Addr().Zone() != "" || !p.Contains(p.Addr()) {
			t.Fatalf("%q is %v", text, p)
		}
		if p.Addr().Is4In6() && p.Bits() > 95 {
			t.Fatalf("%q is %v, which no connection has", text, p)
		}
		if again, err := parseFrom(p.String()); err != nil || again != p {
			t.Fatalf("%q is %v, which is %v, %v", text, p, again, err)
		}
		if addr, err := netip.ParseAddr(text); err == nil && !p.Contains(addr.Unmap()) {
			t.Fatalf("%q is %v, without itself", text, p)
		}
	})
}

// FuzzToken: what is taken for a token can be sent, and nothing else is it.
func FuzzToken(f *testing.F) {
	f.Add(secret, secret+"=")
	f.Add("0123456789 abcdef", "0123456789abcdef")
	f.Fuzz(func(t *testing.T, text, other string) {
		token, err := ParseToken(text)
		if err != nil {
			if len(text) > 3 && strings.Contains(err.Error(), text) && len(text) >= minToken {
				t.Fatalf("shown: %v", err)
			}
			return
		}
		for i := range len(text) {
			if text[i] <= ' ' || text[i] >= 0x7f {
				t.Fatalf("%q can't be sent", text)
			}
		}
		with := func(credentials string) bool { return token.isIn(http.Header{"Authorization": {credentials}}) }
		if !with("Bearer "+text) || with(text) || with("Bearer"+text) || with("Bearer "+other) != (strings.Trim(other, " ") == text) {
			t.Fatalf("%q, %q", text, other)
		}
	})
}
