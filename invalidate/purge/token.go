package purge

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// Bounds of a token, in bytes. The lower one is not what makes a good token, but tells that one is there at all.
const (
	minToken = 16
	maxToken = 4 << 10
)

// A Token is what a sender must know. Only its digest is kept, so that neither dumps nor logs show it.
type Token [sha256.Size]byte

// ParseToken reads a token: 16 to 4096 of the characters that may follow "Bearer" (RFC 6750, 2.1).
func ParseToken(text string) (Token, error) {
	switch {
	case len(text) < minToken || len(text) > maxToken:
		return Token{}, fmt.Errorf("the token has %d bytes, and not %d to %d: make one with openssl rand -hex 32", len(text), minToken, maxToken)
	case strings.ContainsFunc(strings.TrimRight(text, "="), notInToken):
		return Token{}, errors.New("the token has characters other than letters, digits and -._~+/ (and = at its end): make one with openssl rand -hex 32")
	}
	return sha256.Sum256([]byte(text)), nil
}

func notInToken(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/", c)
}

// ReadToken reads a file that holds nothing but a token. Spaces and line ends around it are not part of it.
func ReadToken(path string) (Token, error) {
	f, err := os.Open(path)
	if err != nil {
		return Token{}, fmt.Errorf("%w: name a file that holds the token and that this user may read", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+64))
	if err != nil {
		return Token{}, fmt.Errorf("%w: name a file that holds the token", err)
	}
	t, err := ParseToken(strings.TrimSpace(string(text)))
	if err != nil {
		return Token{}, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// isIn reports whether a request's only credentials are the token. How long it takes tells nothing of the token.
func (t Token) isIn(h http.Header) bool {
	lines := h["Authorization"]
	if len(lines) != 1 {
		return false
	}
	scheme, sent, _ := strings.Cut(lines[0], " ")
	sum := sha256.Sum256([]byte(strings.Trim(sent, " ")))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], t[:]) == 1
}
