package dist

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNormalize(t *testing.T) {
	for name, want := range map[string]string{
		"Flask": "flask", "zope.interface": "zope-interface", "A__b..C--d-_.e": "a-b-c-d-e", "-a-": "-a-", "": "", "Ü": "Ü", "__": "-",
	} {
		if got := Normalize(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestNormalizeTwiceIsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9._-]{0,20}`), rapid.String()).Draw(t, "name")
		once := Normalize(name)
		if twice := Normalize(once); twice != once {
			t.Fatalf("%q, then %q", once, twice)
		}
		if ValidName(name) && !ValidName(once) {
			t.Fatalf("%q is valid, %q is not", name, once)
		}
	})
}

func TestValidName(t *testing.T) {
	for _, name := range []string{"a", "0", "A.b-c_d", "a__b", strings.Repeat("a", 100)} {
		if !ValidName(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"", "-", "-a", "a-", "_a", "a.", "a b", "a/b", "ü", "a\n", "a\x00", "a+b", strings.Repeat("a", 101)} {
		if ValidName(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

// drawVersion draws a valid version, small enough that equal and nearly equal ones come often.
func drawVersion(t *rapid.T, label string) string {
	return rapid.StringMatching(`([01]!)?[012](\.[012]){0,3}((a|b|rc)[012])?(\.post[012])?(\.dev[012])?(\+[a12](\.[ab12]){0,2})?`).Draw(t, label)
}

func TestOrderIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawVersion(t, "a"), drawVersion(t, "b"), drawVersion(t, "c")
		if rapid.IntRange(0, 9).Draw(t, "nonsense") == 0 {
			c = rapid.String().Draw(t, "c")
		}
		if CompareVersions(a, a) != 0 || CompareVersions(c, c) != 0 {
			t.Fatal("not equal to itself")
		}
		if CompareVersions(a, b) != -CompareVersions(b, a) || CompareVersions(a, c) != -CompareVersions(c, a) {
			t.Fatal("the other way round it is not the opposite")
		}
		all := []string{a, b, c}
		slices.SortFunc(all, CompareVersions)
		if CompareVersions(all[0], all[1]) > 0 || CompareVersions(all[1], all[2]) > 0 || CompareVersions(all[0], all[2]) > 0 {
			t.Fatalf("no order: %q", all)
		}
		if CompareVersions(a, b) == 0 && sign(CompareVersions(a, c)) != sign(CompareVersions(b, c)) {
			t.Fatalf("%q and %q are equal, but not to %q", a, b, c)
		}
	})
}

func sign(n int) int { return comparePlaces(n, 0) }

func TestPrerelease(t *testing.T) {
	for v, want := range map[string]bool{
		"1.0": false, "1.0a1": true, "1.0b1": true, "1.0rc1": true, "1.0.dev1": true, "1.0.post1": false, "1.0.post1.dev1": true, "1!1.0+a": false, "x": false,
	} {
		if got := Prerelease(v); got != want {
			t.Errorf("%s: %v", v, got)
		}
	}
}

func TestVersionsArePlainASCII(t *testing.T) {
	for _, v := range []string{"1.0\x1c", "1.0+\u017f", "\u00a01.0", strings.Repeat("1", maxVersion+1)} {
		_, err := CanonicalVersion(v)
		wantComplaint(t, err, "is not a version as of PEP 440")
	}
	if _, err := CanonicalVersion(strings.Repeat("1", maxVersion)); err != nil {
		t.Error(err)
	}
}
