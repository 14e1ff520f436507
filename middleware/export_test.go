package middleware

import (
	"net/http"

	"github.com/cachesrv/cachesrv/cache"
)

// Keys is the part of a Cache that needs no store, for the fuzzer.
type Keys struct{ c Cache }

func NewKeys(query, ignored []string) *Keys {
	return &Keys{Cache{o: Options{Query: query, IgnoreQuery: ignored}}}
}

// Shared returns the key of a request that would fill a page, and the request its handler would get.
func (k *Keys) Shared(r *http.Request) (cache.Key, *http.Request, bool) {
	id, bypass, err := k.c.identify(r)
	if path, _ := sent(r); bypass != "" || err != nil || path != id.Path {
		return id, nil, false
	}
	return id, k.c.forEveryone(r.Context(), r, id), true
}
