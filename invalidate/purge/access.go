package purge

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ErrForbidden: the sender may not invalidate. Its text says how it could.
var ErrForbidden = errors.New("forbidden")

// Access says who may invalidate. It is immutable, and safe for concurrent use.
//
// The zero value admits this machine: who connects over loopback or a Unix socket. With a token, or with addresses, it
// admits those who have the token or come from there, and nobody else: not this machine either, unless it is listed.
//
// An address counts only for a request that its sender made itself. A proxy on this machine has the same address as the
// machine, and passes on what strangers send; so a request with any trace of a proxy, or of a browser, needs the token.
// A proxy that leaves no trace can't be told: let it refuse PURGE, or use a token.
type Access struct {
	Token *Token         // nil: there is none
	From  []netip.Prefix // as ParseFrom returns them
}

// NewAccess returns the access that the flags --purge-token-file and --purge-from ask for; both may be empty.
func NewAccess(tokenFile string, from []string) (a Access, err error) {
	if tokenFile != "" {
		t, err := ReadToken(tokenFile)
		if err != nil {
			return Access{}, fmt.Errorf("--purge-token-file: %w", err)
		}
		a.Token = &t
	}
	if a.From, err = ParseFrom(from); err != nil {
		return Access{}, fmt.Errorf("--purge-from: %w", err)
	}
	return a, nil
}

// Check returns nil, or ErrForbidden with the reason.
func (a Access) Check(r *http.Request) error {
	if a.Token != nil && a.Token.isIn(r.Header) {
		return nil
	}
	why := "it comes from " + sender(r)
	switch trace := foreign(r); {
	case trace != "":
		why = "it has " + trace + ", so it may be somebody else's"
	case a.admits(r):
		return nil
	case a.Token != nil && len(r.Header["Authorization"]) > 0:
		why = "its Authorization is not the token"
	}
	return fmt.Errorf("%w: %s: %s", ErrForbidden, why, a.advice())
}

func (a Access) advice() string {
	token := "send the token: Authorization: Bearer TOKEN"
	switch {
	case a.Token != nil && len(a.From) > 0:
		return token + "; or send it directly, from an address of --purge-from"
	case a.Token != nil:
		return token
	case len(a.From) > 0:
		return "send it directly, from an address of --purge-from; or start cachesrv with --purge-token-file FILE"
	default:
		return "send it directly, from the machine that cachesrv runs on; or start cachesrv with --purge-token-file FILE, or --purge-from CIDR"
	}
}

// admits reports whether the connection's other end may invalidate.
func (a Access) admits(r *http.Request) bool {
	byDefault := a.Token == nil && len(a.From) == 0
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return byDefault // its file's mode says who may connect
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	if byDefault {
		return addr.IsLoopback()
	}
	return slices.ContainsFunc(a.From, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// foreign returns what of a request shows that its sender did not make it: it comes from a proxy, or from a browser, where
// any page may have caused it. "" if nothing does.
func foreign(r *http.Request) string {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") {
			return name
		}
	}
	for _, name := range [...]string{
		"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For", "Client-Ip", "True-Client-Ip",
		"Cf-Connecting-Ip", "Fastly-Client-Ip", "Cdn-Loop", "Max-Forwards",
		"Origin", "Sec-Fetch-Site",
	} {
		if _, ok := r.Header[name]; ok {
			return name
		}
	}
	if !r.ProtoAtLeast(1, 1) {
		return "HTTP/1.0" // how nginx before 1.29.7 talks to what is behind it, and hardly anybody else
	}
	return ""
}

// maxFrom bounds the list that every request is compared with.
const maxFrom = 1000

// ParseFrom reads addresses (192.0.2.1, 2001:db8::1) and networks (192.0.2.0/24).
func ParseFrom(list []string) ([]netip.Prefix, error) {
	if len(list) > maxFrom {
		return nil, fmt.Errorf("%d addresses are more than %d: name networks", len(list), maxFrom)
	}
	var prefixes []netip.Prefix
	for _, text := range list {
		p, err := parseFrom(text)
		if err != nil {
			return nil, fmt.Errorf("%.80q: %w", text, err)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func parseFrom(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, errors.New("leave the zone out")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errors.New("not an address (192.0.2.1) or a network (192.0.2.0/24)")
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 { // as connections never have them: see Access.admits
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	switch {
	case p.Bits() == 0:
		return netip.Prefix{}, errors.New("that is everybody: use --purge-token-file")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("the network of that size is %s", p.Masked())
	}
	return p, nil
}
