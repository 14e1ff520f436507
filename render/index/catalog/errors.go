package catalog

import (
	"errors"
	"fmt"
)

// Sentinel errors; compare with errors.Is. Those that a client caused come wrapped in a message for it: the text of
// such an error is one line that says what, where and what to do, and doesn't repeat the sentinel.
var (
	ErrNotFound       = errors.New("not found")
	ErrInvalid        = errors.New("invalid")                // what was sent makes no sense; dist.ErrInvalid comes as this, too
	ErrExists         = errors.New("already exists")         // and is something else
	ErrTooLarge       = errors.New("too large")              // Options.MaxFile
	ErrUnauthorized   = errors.New("unauthorized")           // who is asking is not known
	ErrForbidden      = errors.New("forbidden")              // is known, and may not
	ErrOutcomeUnknown = errors.New("the outcome is unknown") // it may be committed, now or in a moment, or not: ask again
	ErrBusy           = errors.New("busy")                   // with searches: ask again in a while
	// ErrOtherFiles: the folder of files belongs to another database, or the other way round.
	ErrOtherFiles = errors.New("the files are not those of this database")
	// ErrTooNew: the tables were made by a newer version. Update the program.
	ErrTooNew = errors.New("the index's tables were made by a newer version")
)

// errUnchanged ends a change that turns out to be none; its transaction is rolled back.
var errUnchanged = errors.New("nothing changes")

// A refusal is an error whose text is for the client, as it stands.
type refusal struct {
	kind, cause error
	text        string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() []error {
	if r.cause == nil {
		return []error{r.kind}
	}
	return []error{r.kind, r.cause}
}

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind: kind, text: fmt.Sprintf(format, args...)}
}

// refuseFor is refuse with the text of another error.
func refuseFor(kind, cause error) error { return &refusal{kind, cause, cause.Error()} }
