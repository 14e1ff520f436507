package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
)

// Why there is no answer, or no whole one. Errors that wrap none of these are of the request's context.
var (
	// ErrUnreachable: there is no connection, or it ended before an answer came.
	ErrUnreachable = errors.New("origin unreachable")
	// ErrTimeout: one of the timeouts of Options passed.
	ErrTimeout = errors.New("origin timed out")
	// ErrMalformed: the answer breaks HTTP/1.1, exceeds Options.MaxHeader, or ends before it is whole.
	ErrMalformed = errors.New("malformed answer of the origin")
	// ErrRequest: the request can't be sent in HTTP/1.1. The origin was not asked.
	ErrRequest = errors.New("request can't be forwarded")
)

// Status is what a client is answered when the origin failed: 504 if it took too long, 400 if the request is not one
// that can be forwarded, 413 if its body runs into a http.MaxBytesReader, else 502 (RFC 9110, 15.6.3 and 15.6.5).
func Status(err error) int {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, ErrRequest):
		return http.StatusBadRequest
	}
	return http.StatusBadGateway
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

func unsendable(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRequest, fmt.Errorf(format, args...))
}

// failed says which failure an error is that came while something was done. The context's end comes first: it closes
// the connection, and then everything fails.
func failed(ctx context.Context, doing string, err error) error {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrRequest), errors.Is(err, ErrTimeout), errors.Is(err, ErrUnreachable):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: %w: %w", doing, ErrTimeout, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, ErrUnreachable, err)
}
