package cache

import "errors"

// Sentinel errors; compare with errors.Is.
var (
	// ErrMiss: the key has no page that may be served. Its text says why.
	ErrMiss = errors.New("miss")
	// ErrFenced: nothing is served from the cache until Unfence. It is also an ErrMiss.
	ErrFenced = errors.New("fenced")
	// ErrClaimed: another fill, here or in another process, has the claim. Wait for it, or answer past the cache.
	ErrClaimed = errors.New("claimed by another fill")
	// ErrInvalidated: someone invalidated the page after the claim. What was rendered may be sent to the client
	// whose request began before; it is not stored.
	ErrInvalidated = errors.New("invalidated since the claim")
	// ErrBehind: what the page was made from lacks what an invalidation here requires, or the page does not say of every
	// database that it contains that. It may be sent to whom it was rendered for; it is not stored.
	ErrBehind = errors.New("made from a source that is behind an invalidation")
	// ErrUnsettled: the page was invalidated less than Options.Settle before the claim, so it may have been made from what
	// was before that. It may be sent to whom it was rendered for; it is not stored. See UnsettledError.
	ErrUnsettled = errors.New("invalidated a short time before the claim, and the source may lag")
	// ErrTooLarge: the page is over Options.PageMax, has too many tags or too large headers; it is not stored.
	ErrTooLarge = errors.New("too large to store")
	// ErrFull: pages come faster than others can be evicted for them; this one is not stored.
	ErrFull = errors.New("the cache is full, and eviction is behind")
	// ErrNotPlain: the page has a status, a header or an expiry that a plain folder can't hold, or is not for everybody;
	// it is not stored.
	ErrNotPlain = errors.New("a plain folder holds only pages of status 200, of type " + PlainContentType + ", without other headers and expiry, that everybody may have")
	// ErrUnsupported: the file system can't keep the protocol's promises.
	ErrUnsupported = errors.New("unsupported file system")
	// ErrIncompatible: the folder belongs to another version, or was created with other settings.
	ErrIncompatible = errors.New("incompatible cache folder")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
)
