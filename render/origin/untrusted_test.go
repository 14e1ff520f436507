package origin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
)

// TestUntrusted: what becomes of a header in a client's own request, and in one for everyone.
func TestUntrusted(t *testing.T) {
	const sent, left, apart, stripped = "sent for everyone", "left out for everyone", "its client's own", "never sent"
	for name, want := range map[string]string{
		"Accept": sent, "Accept-Language": sent, "Origin": sent, "User-Agent": sent, "Sec-Ch-Ua-Mobile": sent, "X-Requested-With": sent, "Rsc": sent,
		"Next-Router-State-Tree": sent, "Next-Url": sent, "Hx-Request": sent, "Via": sent, "X-Device": sent, "X_device": sent, "Sec-Websocket-Key": sent,
		"Content-Type": left, "Content-Encoding": left, "Content-Range": left, "Content-Length": left, "Content_range": left,
		"Cookie": left, "Authorization": left, "Referer": left, "Range": left, "If-None-Match": left, "If_none_match": left, "Accept-Encoding": left, "Max-Forwards": left,
		"Connection": left, "Te": left, "Proxy-Authorization": left,
		"Token": apart, "Private-Token": apart, "X-Access-Token": apart, "X-Amz-Security-Token": apart, "X-Csrf-Token": apart, "X-Csrftoken": apart, "Dpop": apart,
		"Content-Token": apart, "X-Api-Key": apart, "X-Auth-Token": apart, "Remote-User": apart, "Remote_user": apart, "Destination": apart, "Url": apart, "Translate": apart,
		"X-Nextjs-Data": apart, "X-Middleware-Prefetch": apart, "X_middleware_prefetch": apart, "X-Up-Devcap-Post-Charset": apart,
		"X-Forwarded-For": stripped, "X-Forwarder-For": stripped, "Forwarded": stripped, "Forwarded-Host": stripped, "X-Original-Url": stripped, "X_original-Url": stripped,
		"X-Http-Method-Override": stripped, "X-Method": stripped, "X-Envoy-Original-Path": stripped, "X-Middleware-Subrequest": stripped, "X-Invoke-Status": stripped,
		"X-Sendfile-Type": stripped, "X-Accel-Mapping": stripped, "Script-Name": stripped, "Script_name": stripped, "Proxy": stripped, "Content_length": stripped,
		"Cf-Visitor": stripped, "Cf-Ipcountry": stripped, "Cf-Connecting-Ip": stripped, "Cloudfront-Forwarded-Proto": stripped, "Https": stripped, "Fly-Client-Ip": stripped,
		"X-Webauth-User": stripped, "X-Ms-Client-Principal": stripped, "X-Ms-Client-Principal-Name": stripped, "X-Goog-Iap-Jwt-Assertion": stripped,
		"X-Goog-Authenticated-User-Email": stripped, "X-Amzn-Oidc-Data": stripped, "Cf-Access-Jwt-Assertion": stripped, "X-Pomerium-Jwt-Assertion": stripped,
		"Tailscale-User-Login": stripped, "Ssl-Client-Verify": stripped, "X-Ssl-Client-Verify": stripped, "X-Client-Cert": stripped, "X-Client-Verify": stripped,
		"Oidc_claim_sub": stripped, "Oidc-Access-Token": stripped,
		"Transfer_encoding": stripped, "X-Ssl-Client-Dn": stripped, "X-Waws-Unencoded-Url": stripped,
	} {
		h := http.Header{name: {"x"}}
		isApart := Apart(h)
		Strip(h)
		got := sent
		switch {
		case len(h) == 0:
			got = stripped
		case isApart:
			got = apart
		case Withheld(name):
			got = left
		}
		if got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
		if (got == sent) == Withheld(name) || isApart != (got == apart) && got != stripped {
			t.Errorf("%s is %s: withheld %t, apart %t", name, got, Withheld(name), isApart)
		}
	}
}

// TestUntrustedNames: the names in the lists are written as header maps have them, and in order, those of a line and prefixes.
func TestUntrustedNames(t *testing.T) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "untrusted.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	ast.Inspect(file, func(n ast.Node) bool {
		var list []ast.Expr
		prefixes := false
		switch n := n.(type) {
		case *ast.CaseClause:
			list = n.List
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "hasAnyPrefix" {
				list, prefixes = n.Args[1:], true
			}
		}
		before, line := "", 0
		for _, e := range list {
			text, err := strconv.Unquote(e.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			names++
			if c := textproto.CanonicalMIMEHeaderKey(text); c != text {
				t.Errorf("%s never matches: header maps have %s", text, c)
			}
			if !Withheld(text) && !Withheld(text+"X") {
				t.Errorf("%s is not withheld", text)
			}
			at := files.Position(e.Pos()).Line
			if (prefixes || at == line) && text < before {
				t.Errorf("%s stands behind %s", text, before)
			}
			before, line = text, at
		}
		return true
	})
	if names < 100 {
		t.Errorf("only %d names were found", names)
	}
}

// FuzzUntrusted: however a name is written, what is never sent is not sent for everyone either, and CGI's spelling of it is
// treated as the name.
func FuzzUntrusted(f *testing.F) {
	for _, name := range []string{"X-Forwarded-Host", "Cookie", "x_user", "Content_Type", "__", "-"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name = textproto.CanonicalMIMEHeaderKey(name)
		h := http.Header{name: nil}
		apart := Apart(h)
		Strip(h)
		if (len(h) == 0 || apart) && !Withheld(name) {
			t.Errorf("%q: stripped %t, apart %t, and sent for everyone", name, len(h) == 0, apart)
		}
		if cgi := textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "-", "_")); Withheld(name) && !Withheld(cgi) {
			t.Errorf("%q is withheld, %q is not", name, cgi)
		}
	})
}
