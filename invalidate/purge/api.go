package purge

import (
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"
)

// Path is where the API is mounted.
const Path = "/invalidate"

// bodyTimeout bounds how long a body may take to come.
const bodyTimeout = 10 * time.Second

// APIOptions configure an API. Store is required.
type APIOptions struct {
	// Store holds the pages.
	Store Store
	// Access says who may invalidate. Default: this machine. The admin listener can't be reached from another.
	Access Access
	// Counts, if not nil, counts what becomes of requests.
	Counts *Counts
	// Turns bound how many invalidations the store is given at a time. What answers for one store should share them. Default: its own.
	Turns *Turns
	// Logger receives what operators should know. Default slog.Default().
	Logger *slog.Logger
}

// An API takes invalidations as JSON, and answers 200 with what was dropped. It is safe for concurrent use.
//
//	POST /invalidate
//	Content-Type: application/json
//	Idempotency-Key: 5e3c0e1c-…                             optional
//
//	{"keys":     ["example.org/a?x=1", "/b"],               with all variants; without a host: on every host
//	 "prefixes": ["example.org/docs/"],                     subtrees, by whole path segments
//	 "tags":     ["note:1"],
//	 "hosts":    ["example.org"],                           all pages of a host
//	 "all":      false,                                     every page; then nothing else may be named
//	 "soft":     false,                                     pages with a grace are served within it while they are rendered again
//	 "dry_run":  false,                                     drops nothing, and lists what would be dropped
//	 "cause":    "release 4711",                            why, for the log
//	 "position": "main=7301….1@16/B374D848"}                what pages must contain from now on; see cache.Selection
//
// All fields may be left out, but something must be named. Anything that can't be understood is refused as a whole, before
// anything is dropped.
//
// To drop twice is as good as once, so whoever has got no answer sends the request again. One with an Idempotency-Key that has
// come within the last 24 h is carried out again, too, and answered "repeated": true: a key that somebody uses for two changes
// must not keep a page. With another body it is refused with 422. 10,000 keys are remembered, until the program ends; those of
// dry runs are not.
type API struct {
	access Access
	counts *Counts
	*dropper
	remembered remembered
}

// NewAPI returns the API, or what is wrong with its options.
func NewAPI(o APIOptions) (*API, error) {
	d, err := newDropper(o.Store, o.Turns, o.Logger)
	if err != nil {
		return nil, err
	}
	return &API{access: o.Access, counts: o.Counts, dropper: d}, nil
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := a.answer(w, r)
	a.counts.add(KindAPI, answer, err)
	if err != nil {
		a.log.Debug("an invalidation was refused", "from", sender(r), "err", err)
		if statusOf(err) == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		sendError(w, err)
		return
	}
	send(w, http.StatusOK, answer)
}

func (a *API) answer(w http.ResponseWriter, r *http.Request) (answer, error) {
	fail := func(err error) (answer, error) { return answer{}, err }
	if r.Method != http.MethodPost {
		return fail(refuse(http.StatusMethodNotAllowed, "send POST, with what is to be dropped as JSON"))
	}
	if err := a.access.Check(r); err != nil {
		return fail(err)
	}
	if err := checkType(r.Header); err != nil {
		return fail(err)
	}
	idempotency, err := readKey(r.Header["Idempotency-Key"])
	if err != nil {
		return fail(err)
	}
	body, err := readBody(w, r)
	if err != nil {
		return fail(err)
	}
	d, err := parseDemand(body)
	if err != nil {
		return fail(err)
	}
	sel, err := d.selection()
	if err != nil {
		return fail(err)
	}
	repeated := false
	if idempotency != "" && !sel.DryRun {
		if repeated, err = a.remembered.repeated(idempotency, d.digest()); err != nil {
			return fail(err)
		}
	}
	done, err := a.drop(r.Context(), sel)
	done.Repeated = repeated
	return done, err
}

// checkType wants JSON to be called so: a form of another site's page, which a browser sends unasked, can't.
func checkType(h http.Header) error {
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset, given := parameters["charset"]
	if err != nil || len(h["Content-Type"]) != 1 || kind != "application/json" || given && !strings.EqualFold(charset, "utf-8") || len(h["Content-Encoding"]) > 0 {
		return refuse(http.StatusUnsupportedMediaType, "send Content-Type: application/json, in UTF-8 and not compressed")
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout)) // what has none sets its own bound
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body has over 1 MiB: send several, or name prefixes")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body did not come to its end; nothing was dropped")
	}
	_ = deadline.SetReadDeadline(time.Time{})
	return body, nil
}
