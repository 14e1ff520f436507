package origin

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// What a client may say of itself and of its request. There are two questions, and all lists of names are here:
//
//   - Strip: may the origin hear it from a client at all? Not what is for proxies, load balancers and frameworks to say.
//   - Withheld: may the origin hear it when it is asked for everyone's page? Neither that, nor what is one client's own.
//
// Of the latter some make their request one that no page answers (Apart); the others are left out when a page is asked for.
//
// This is a list of what is not sent, and not of what is. A list of what is sent would leave out headers that nobody here
// has thought of, among them those by which sites choose the form of a page and say so in Vary (RSC, HX-Request,
// X-Requested-With …): who sends them would be answered with the wrong form. What is sent and not listed in Vary, an
// application must not look at (RFC 9110, 12.5.5); the names below are those of which it is known that some do.
//
// Names with `_` are taken for those with `-`, as applications of CGI's kind (WSGI, PHP) see no difference: else an
// If_None_Match would have a 304 become of a page.

// Strip removes, in place, the fields by which a client would tell the application other things than its request does:
// who asks, for which host or path, by which scheme or method. They are for whoever stands in front of an application, and a
// page made for the claims of one client must not be another's. What with `_` would be taken for such a field, for one of
// framing, or for Host, is removed too.
func Strip(h http.Header) {
	for name := range h {
		if isClaim(name) {
			delete(h, name)
		}
	}
}

// Withheld reports whether a header (in canonical form) is never sent with a request for everyone's page.
func Withheld(name string) bool {
	dashed, _ := asCGI(name)
	return isClaim(name) || isApart(dashed) || isOfOneClient(dashed) || httpcache.IsHopByHop(dashed)
}

// Apart reports whether a request has a header by which some applications answer it with something else than its URL's page:
// it is its client's own. The origin hears of it, and what it answers is nobody else's.
func Apart(h http.Header) bool {
	for name := range h {
		if dashed, _ := asCGI(name); isApart(dashed) {
			return true
		}
	}
	return false
}

// asCGI returns a name as applications of CGI's kind read it.
func asCGI(name string) (dashed string, changed bool) {
	if strings.IndexByte(name, '_') < 0 {
		return name, false
	}
	return textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-")), true
}

// isClaim lists what no client may say.
func isClaim(name string) bool {
	dashed, changed := asCGI(name)
	if changed && (httpcache.IsHopByHop(dashed) || dashed == "Content-Length" || dashed == "Content-Type") {
		return true
	}
	switch dashed {
	case
		// The client's address: frameworks behind load balancers and networks that deliver pages.
		"Client-Ip", "Fastly-Client-Ip", "Fly-Client-Ip", "Real-Ip", "True-Client-Ip", "X-Azure-Clientip", "X-Azure-Socketip",
		"X-Client-Ip", "X-Cluster-Client-Ip", "X-Coming-From", "X-Custom-Ip-Authorization", "X-Ip", "X-Ip-Trail", "X-Originating-Ip",
		"X-Proxyuser-Ip", "X-Real-Ip", "X-Remote-Addr", "X-Remote-Ip", "X-True-Ip",
		// Who it is: its certificate (RFC 9440; more are below), and its name, as proxies tell that ask for passwords.
		"Client-Cert", "Client-Cert-Chain", "X-Client-Verify", "X-Webauth-User",
		// The host: link generators of most frameworks.
		"Fastly-Host", "Http-Host", "Proxy-Host", "X-Backend-Host", "X-Client-Host", "X-Gateway-Host", "X-Host", "X-Host-Override",
		"X-Http-Host-Override", "X-Proxy-Host", "X-Real-Host", "X-Server-Name",
		// The scheme.
		"Fastly-Ssl", "Front-End-Https", "Https", "X-Arr-Ssl", "X-Proto", "X-Protocol", "X-Scheme", "X-Ssl", "X-Url-Scheme",
		// The path: IIS, Symfony and Zend (X-Original-, X-Rewrite-), WSGI (Script-Name).
		"Script-Name", "X-Http-Destinationurl", "X-Http-Path-Info", "X-Matched-Path", "X-Now-Route-Matches", "X-Override-Url",
		"X-Rewrite-Url", "X-Script-Name",
		// The method: Rails, Laravel, Symfony, OData.
		"X-Method", "X-Method-Override",
		// A proxy, or what one has files sent by: CGI (HTTP_PROXY, CVE-2016-5385), Rack::Sendfile (CVE-2025-27111).
		"Proxy", "Proxy-Url", "X-Proxy-Url", "X-Sendfile-Type":
		return true
	case "X-Middleware-Prefetch": // Next.js's clients send it
		return false
	}
	return hasAnyPrefix(dashed,
		"Cf-",                        // Cloudflare: address, scheme and country (Cf-Visitor), and who has signed in (Cf-Access-*)
		"Cloudfront-",                // CloudFront: Cloudfront-Forwarded-Proto, Cloudfront-Viewer-*
		"Forwarded",                  // RFC 7239; Forwarded-For, Forwarded-Host, Forwarded-Proto
		"Oidc-",                      // Apache's mod_auth_openidc: Oidc-Claim-*
		"Ssl-Client-",                // certificates, as Apache and nginx are often set up to tell of them
		"Tailscale-User-",            // Tailscale Serve
		"X-Accel-",                   // nginx
		"X-Amzn-Oidc-",               // load balancers of AWS
		"X-Appengine-",               // App Engine, with X-Appengine-User-Ip and what only Google may say
		"X-Client-Cert",              // with -Chain, -Dn …
		"X-Envoy-",                   // Envoy
		"X-Forward",                  // X-Forwarded-*, X-Forwarded, X-Forward-*, X-Forwarder-For
		"X-Goog-Authenticated-User-", // Google's Identity-Aware Proxy
		"X-Goog-Iap-",                // the same
		"X-Http-Method",              // with -Override
		"X-Invoke-",                  // Next.js, to itself
		"X-Middleware-",              // Next.js, to itself: X-Middleware-Subrequest has requests pass unchecked (CVE-2025-29927)
		"X-Ms-Client-Principal",      // Azure App Service, with -Id, -Name …
		"X-Original-",                // X-Original-Host, -Url, -Uri, -Method
		"X-Pomerium-",                // Pomerium
		"X-Ssl-",                     // X-Ssl-Client-Dn and what else of a certificate
		"X-Waws-",                    // Azure: X-Waws-Unencoded-Url
	)
}

// isApart lists what a client may say, and an application may honour without a word in Vary. Most are not sent by any browser;
// requests with them are not worth a page each.
func isApart(name string) bool {
	switch name {
	case
		// Who asks: credentials besides Authorization (more are below), and names that a proxy which asks for passwords adds.
		"Api-Key", "Apikey", "Dpop", "Remote-User", "X-Api-Key", "X-Authenticated-User", "X-Remote-User", "X-User",
		// Another URL. (X-Amz-Website-Redirect-Location: S3; Destination: WebDAV.)
		"Base-Url", "Destination", "Http-Url", "Redirect", "Request-Uri", "Uri", "Url", "X-Amz-Website-Redirect-Location", "X-Url",
		// Another form: gateways of mobile networks (Profile, X-Wap-Profile), IIS (Translate: the page's source), Next.js.
		"Profile", "Translate", "X-Middleware-Prefetch", "X-Nextjs-Data", "X-Wap-Profile":
		return true
	}
	// Private-Token, X-Amz-Security-Token … Tokens against forged requests (X-Csrf-Token) are no exception: they nearly always come
	// with a session's cookie, so that little is lost; and some applications refuse a GET without one, or answer
	// "X-CSRF-Token: Fetch" with one (OData).
	return strings.HasSuffix(name, "Token") || strings.HasSuffix(name, "token") || hasAnyPrefix(name,
		"X-Auth-",      // X-Auth-Request-User
		"X-Up-Devcap-", // ASP.NET: X-Up-Devcap-Post-Charset
	)
}

// isOfOneClient lists what most clients send, each its own: who asks, which part of a page in which coding, unless which copy is
// still right, where the client comes from, and what is in the body, which a request for everyone has not.
func isOfOneClient(name string) bool {
	switch name {
	case "Authorization", "Cookie", "Cookie2", "Referer",
		"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Range",
		"Accept-Encoding", "Cache-Control", "Expect", "Host", "Max-Forwards", "Pragma", "Surrogate-Capability":
		return true
	}
	return hasAnyPrefix(name, "Content-")
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
