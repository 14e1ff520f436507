package main

import (
	"testing"
	"time"
)

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 20, 15, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "90d": now.AddDate(0, 0, 90), "1d": now.AddDate(0, 0, 1), "12h": now.Add(12 * time.Hour), "1h30m": now.Add(90 * time.Minute),
		"2026-11-20": time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), "2027-01-31": time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := expiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("expiry(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"0d", "-1d", "99999d", "1.5d", "d", "-2h", "0s", "2026-11-19", "2026-02-30", "soon", "90", "1y"} {
		if got, err := expiry(text, now); err == nil {
			t.Errorf("expiry(%q) = %v", text, got)
		}
	}
}
