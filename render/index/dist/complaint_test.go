package dist

import (
	"errors"
	"strings"
	"testing"
)

// wantComplaint checks that an error is a complaint that says what it should, in a form fit for a reason phrase.
func wantComplaint(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	checkForm(t, err)
	if !strings.Contains(err.Error(), want) {
		t.Errorf("%q\nhas no %q", err, want)
	}
}

func checkForm(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("not an ErrInvalid: %v", err)
	}
	text := err.Error()
	if len(text) > maxComplaint {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' {
			t.Errorf("not printable ASCII: %q", text)
			break
		}
	}
}

func TestComplaintsAreOneBoundedLine(t *testing.T) {
	checkForm(t, invalidf("a\r\nSet-Cookie: %s", "\xff\x00"+strings.Repeat("ü", 1000)))
	checkForm(t, invalidf("%s", quote(strings.Repeat("\U0001F600", 1000))))
	if got := quote("a\nb\u202e"); got != `"a\nb\u202e"` {
		t.Error(got)
	}
	_, err := ParseFilename(strings.Repeat("ü", 5000))
	checkForm(t, err)
}
