package dist

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// rows reads a table that testdata/golden.py wrote.
func rows[T any](t *testing.T, name string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []T
	for s := bufio.NewScanner(f); s.Scan(); {
		var row T
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			t.Fatalf("%s: %q: %v", name, s.Text(), err)
		}
		all = append(all, row)
	}
	if len(all) < 50 {
		t.Fatalf("%s has %d rows", name, len(all))
	}
	return all
}

type verdict struct {
	Written string
	Valid   bool
}

func (v *verdict) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&v.Written, &v.Valid})
}

func TestVersionsLikePackaging(t *testing.T) {
	for _, row := range rows[[2]*string](t, "versions.jsonl") {
		got, err := CanonicalVersion(*row[0])
		switch {
		case row[1] == nil && err == nil:
			t.Errorf("%q is taken as %s; packaging refuses it", *row[0], got)
		case row[1] != nil && got != *row[1]:
			t.Errorf("%q: %s (%v); packaging says %s", *row[0], got, err, *row[1])
		}
	}
}

func TestOrderLikePackaging(t *testing.T) {
	type placed struct {
		version string
		place   int
	}
	var all []placed
	for place, group := range rows[[]string](t, "order.jsonl") {
		for _, v := range group {
			all = append(all, placed{v, place})
		}
	}
	for i, a := range all {
		for j := max(0, i-60); j < min(len(all), i+60); j++ { // neighbours: what is hard to tell apart
			b := all[j]
			if got := CompareVersions(a.version, b.version); got != comparePlaces(a.place, b.place) {
				t.Errorf("CompareVersions(%q, %q) = %d; packaging has them at places %d and %d", a.version, b.version, got, a.place, b.place)
			}
		}
	}
}

func comparePlaces(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestSpecifiersLikePackaging(t *testing.T) {
	for _, row := range rows[verdict](t, "specifiers.jsonl") {
		if err := checkSpecifiers(row.Written); (err == nil) != row.Valid && row.Written != "===" {
			t.Errorf("%q: %v; packaging finds it valid: %v", row.Written, err, row.Valid)
		}
	}
}

func TestRequirementsLikePackaging(t *testing.T) {
	for _, row := range rows[verdict](t, "requirements.jsonl") {
		valid := row.Valid
		switch row.Written {
		case "a; unknown=='a'": // there may be new variables
			valid = true
		case "a @ https://x/a.whl", "a@https://x/a.whl", "a[x] @ file:///a ; os_name=='a'": // no direct URLs
			valid = false
		}
		if err := checkRequirement(row.Written); (err == nil) != valid {
			t.Errorf("%q: %v; want valid: %v", row.Written, err, valid)
		}
	}
}
