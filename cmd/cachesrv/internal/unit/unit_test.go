package unit

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSizeReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Size(rapid.Int64Min(0).Draw(t, "bytes")) << rapid.IntRange(0, 8).Draw(t, "shift")
		if want < 0 {
			t.Skip("overflow")
		}
		var got Size
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Fatalf("%s reads back as %d, %v", want, got, err)
		}
	})
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "1 KiB": 1024, "1kb": 1000, "1.5GiB": 3 << 29, "2TB": 2e12, "7b": 7,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1XiB", "1e9", "0x10", "NaN", "Inf", "9223372036854775808", "99999999TiB", "1_000"} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q = %d, want an error", text, got)
		}
	}
	for size, want := range map[Size]string{0: "0 B", 1023: "1023 B", 14950: "14.6 KiB", 1 << 20: "1.0 MiB", 200 << 30: "200 GiB"} {
		if got := size.Short(); got != want {
			t.Errorf("Short(%d) = %q, want %q", size, got, want)
		}
	}
}
