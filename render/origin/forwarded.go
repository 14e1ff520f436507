package origin

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// via is what Via names us by: a gateway must send it with each request it forwards (RFC 9110, 7.6.3).
const (
	via     = "cachesrv"
	maxHops = 16 // of ourselves in Via: an origin that is this server, by mistake, would be asked for ever
)

// setForwarded tells the origin for which host and by which scheme it is asked: else one that redirects http to https, behind
// our TLS, would do so for ever. Fetch sends both as well. That everyone's page may depend on them is no harm: the host is in
// its key, and the scheme need not be, as a listener speaks TLS or cleartext and never both. (Whoever serves one store by both
// has two sites.)
func setForwarded(h http.Header, r *http.Request, host string) {
	if host != "" {
		h["X-Forwarded-Host"] = []string{host}
	}
	h["X-Forwarded-Proto"] = []string{"http"}
	if r.TLS != nil {
		h["X-Forwarded-Proto"] = []string{"https"}
	}
}

// setClient tells the origin who asks. Nobody does who asks for everyone: then RemoteAddr is empty.
func setClient(h http.Header, r *http.Request) {
	if client, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		h["X-Forwarded-For"] = []string{client}
	} // else it came by a Unix socket
}

// addVia adds us to those who forwarded a request that came in the given version of HTTP.
func addVia(h http.Header, major, minor int) error {
	received := h["Via"]
	hops := 0
	for _, line := range received {
		hops += countHops(line)
	}
	if hops >= maxHops {
		return unsendable("it has come through here %d times: does the origin lead back here?", hops)
	}
	version := "1.1"
	switch {
	case major == 2:
		version = "2.0"
	case major == 1 && minor == 0:
		version = "1.0"
	}
	h["Via"] = append(slices.Clip(received), version+" "+via)
	return nil
}

func countHops(line string) int {
	n := 0
	for hop := range strings.SplitSeq(line, ",") {
		if fields := strings.Fields(hop); len(fields) > 1 && strings.EqualFold(fields[1], via) {
			n++
		}
	}
	return n
}
