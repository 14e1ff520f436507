package httpcache

import (
	"net/http"
	"slices"
)

const allowOrigin = "Access-Control-Allow-Origin"

// unreflected refuses a response that allows one origin to read it, and was asked for by a page of an origin (Fetch, 3.2.3).
// Many servers put the request's Origin into Access-Control-Allow-Origin and forget "Vary: Origin"; stored, that would be
// wrong for every other origin. Another client's request, without Origin, may still be stored: so it is not lasting. (That
// page then lacks the field, or has a fixed one, whoever asks: without Vary, no cache can know better.) received is the
// response's header in canonical form.
func unreflected(v Verdict, request, received http.Header) Verdict {
	allowed := received[allowOrigin]
	if v.Why != "" || len(request["Origin"]) == 0 || len(allowed) == 0 || slices.Equal(allowed, []string{"*"}) ||
		slices.Contains(v.Life.Vary, "Origin") {
		return v
	}
	return Verdict{Why: "allows the request's Origin, and does not vary on it"}
}
