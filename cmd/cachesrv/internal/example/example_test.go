package example

import (
	"strings"
	"testing"
)

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{
		"a": "a", "a\nb": "a …", strings.Repeat("ä", 81): strings.Repeat("ä", 80) + "…", strings.Repeat("ä", 80): strings.Repeat("ä", 80),
	} {
		if got := firstLine(text); got != want {
			t.Errorf("firstLine(%q) = %q, want %q", text, got, want)
		}
	}
}
