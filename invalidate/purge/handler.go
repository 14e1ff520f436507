package purge

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"unicode"

	"github.com/cachesrv/cachesrv/cache"
)

// HandlerOptions configure a Handler. Store and Keys are required.
type HandlerOptions struct {
	// Store holds the pages.
	Store Store
	// Keys returns the keys that the page of a URL may have, without variants, as those are all dropped; none if it can
	// have no page. target is the URL's request target in origin form, on the host of r. (The same as
	// middleware.ProxyOptions.Pages.) What it returns in vain costs a look each.
	Keys func(r *http.Request, target string) []cache.Key
	// Access says who may invalidate. Default: this machine.
	Access Access
	// Counts, if not nil, counts what becomes of requests.
	Counts *Counts
	// Turns bound how many invalidations the store is given at a time. What answers for one store should share them. Default: its own.
	Turns *Turns
	// Logger receives what operators should know. Default slog.Default().
	Logger *slog.Logger
}

// A Handler answers PURGE: 200 and what was dropped, also when nothing was there; 400 with the reason, 403 if the sender may
// not. Nothing of it goes on to an origin. It is safe for concurrent use.
type Handler struct {
	o HandlerOptions
	*dropper
}

// NewHandler returns the handler, or what is wrong with its options.
func NewHandler(o HandlerOptions) (*Handler, error) {
	if o.Keys == nil {
		return nil, errors.New("purge: HandlerOptions.Keys is nil: say which keys a URL's page may have")
	}
	d, err := newDropper(o.Store, o.Turns, o.Logger)
	if err != nil {
		return nil, err
	}
	return &Handler{o, d}, nil
}

// Wrap lets the handler answer PURGE, and next everything else.
func (h *Handler) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == Method {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, kind, err := h.answer(r)
	h.o.Counts.add(kind, a, err)
	if err != nil {
		h.log.Debug("a PURGE was refused", "from", sender(r), "err", err)
		if statusOf(err) == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", Method)
		}
		sendError(w, err)
		return
	}
	send(w, http.StatusOK, a)
}

// answer does what a request asks. Who it is comes first: strangers learn nothing else.
func (h *Handler) answer(r *http.Request) (_ answer, kind Kind, err error) {
	if r.Method != Method {
		return answer{}, KindNone, refuse(http.StatusMethodNotAllowed, "send "+Method)
	}
	if err := h.o.Access.Check(r); err != nil {
		return answer{}, KindNone, err
	}
	order, err := Read(r)
	if err != nil {
		return answer{}, KindNone, err
	}
	kind = KindTags
	sel := cache.Selection{Tags: order.Tags, Soft: order.Soft, Position: order.Position}
	what := "of tags"
	if len(order.Tags) == 0 {
		kind = KindURL
		if sel.Keys = h.o.Keys(r, order.Target); len(sel.Keys) == 0 {
			return answer{Soft: order.Soft, Note: "no page can have this URL: its path makes none here, or parameters of its query make none"}, kind, nil
		}
		what = r.Host + order.Target
	}
	sel.Cause = fmt.Sprintf("%s %s from %s", Method, clean(what, maxCause), sender(r))
	a, err := h.drop(r.Context(), sel)
	return a, kind, err
}

// maxCause bounds what is written down of why pages were dropped, in bytes.
const maxCause = 1 << 10

// clean makes one line of at most max bytes of a text.
func clean(text string, max int) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), max)], "")
}

// sender names the other end of a connection.
func sender(r *http.Request) string {
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return peer.Addr().Unmap().String()
	}
	return "a local socket"
}
