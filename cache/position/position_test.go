package position_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/cache/position"
)

func parse(t testing.TB, text string) position.Vector {
	t.Helper()
	v, err := position.Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// TestText: what is written is read back, in one canonical form.
func TestText(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"   ":                                "",
		"main=73.1@16/B374D848":              "main=73.1@16/B374D848",
		"main=73.1@016/0b374d848"[:15] + "8": "main=73.1@16/8",
		" b=1@0/1 ;a=1@0/2 ":                 "a=1@0/2;b=1@0/1",
		"m=7.1@780:786:782,784":              "m=7.1@782:786:782,784",
		"m=7.1@780:786:":                     "m=7.1@786:786:",
		"m=7.1@780:786:782,785":              "m=7.1@782:785:782",
		"m=7.1@780:786:782+782,786,787,790":  "m=7.1@788:788:+790",
		"m=7.1@1:2:1":                        "m=7.1@1:1:",
	} {
		if got := parse(t, text).String(); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

// TestMalformed: what is not a position is refused, and said to be so.
func TestMalformed(t *testing.T) {
	for _, text := range []string{
		"main", "main=1", "=1@0/0", "main=@0/0", "main=1@", "main=1@/", "main=1@0/", "main=1@/0", "main=1@0/0/0", "main=1@123456789/0",
		"main=1@-1/0", "main=1@+1/0", "main=1@0x1/0", "main=1@1_0/0", "main=1@1", "main=1@1:2", "main=1@1:2:3:4", "main=1@0:2:", "main=1@3:2:",
		"main=1@1:5:4,3", "main=1@1:5:3,3", "main=1@1:5:5", "main=1@2:5:1", "main=1@1:5:+", "main=1@1:5:++7", "main=1@1:5:,", "main=1@1:5:+8,7",
		"main=1@1:18446744073709551616:", "a=1@0/0;a=1@0/0", ";", "a=1@0/0;", "a b=1@0/0", "a=1 @0/0", "a=1@0/ 0", "a\x00=1@0/0", "ä=1@0/0",
		strings.Repeat("a", 65) + "=1@0/0", "a=" + strings.Repeat("1", 129) + "@0/0", "a=1@0/0\t",
	} {
		if v, err := position.Parse(text); !errors.Is(err, position.ErrMalformed) {
			t.Errorf("%q: %v, %v", text, v, err)
		}
	}
	var many []string
	for i := range position.MaxSources + 1 {
		many = append(many, fmt.Sprintf("s%d=1@0/0", i))
	}
	for _, text := range []string{strings.Join(many, ";"), strings.Repeat(" ", position.MaxText+1)} {
		if _, err := position.Parse(text); !errors.Is(err, position.ErrTooLarge) {
			t.Errorf("%.40q…: %v", text, err)
		}
	}
	parse(t, strings.Join(many[1:], ";"))
}

// TestContains: the cases that a comparison by xmin, or without incarnations, gets wrong.
func TestContains(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"m=1@0/1", "", true},
		{"", "m=1@0/1", false},
		{"m=1@0/2", "m=1@0/1", true},
		{"m=1@0/1", "m=1@0/2", false},
		{"m=1@1/0", "m=1@0/FFFFFFFF", true},
		{"m=2@0/2", "m=1@0/1", false},                // another incarnation
		{"m=1@10:10:", "m=1@0/1", false},             // told in another way
		{"m=1@0/9;n=1@0/9", "n=1@0/9", true},         // more sources than asked for
		{"m=1@0/9", "m=1@0/1;n=1@0/1", false},        // fewer
		{"m=1@5:9:5,7", "m=1@5:9:5", false},          // the same xmin
		{"m=1@5:9:5", "m=1@5:9:5,7", true},           //
		{"m=1@5:9:5+12", "m=1@5:9:5+12", true},       //
		{"m=1@5:9:5", "m=1@5:9:5+12", false},         //
		{"m=1@5:9:5+9,12", "m=1@5:13:5,10,11", true}, // the same set
		{"m=1@5:13:5,10,11", "m=1@5:9:5+9,12", true}, //
		{"m=1@9:9:", "m=1@9:18446744073709551615:", false},
	} {
		if got := position.Contains(parse(t, c.a), parse(t, c.b)); got != c.want {
			t.Errorf("%q contains %q: %t", c.a, c.b, got)
		}
	}
}

func TestJoin(t *testing.T) {
	for _, c := range []struct{ required, next, want string }{
		{"", "m=1@0/1", "m=1@0/1"},
		{"m=1@0/1", "", "m=1@0/1"},
		{"m=1@0/2", "m=1@0/1", "m=1@0/2"},
		{"m=1@0/2", "m=2@0/1", "m=2@0/1"},         // restored from a dump: what was required will never come
		{"m=1@0/2", "m=1@10:10:", "m=1@10:10:"},   //
		{"b=1@0/2", "a=1@0/1", "a=1@0/1;b=1@0/2"}, //
		{"m=1@5:9:5,7", "m=1@6:8:6", "m=1@9:9:"},
		{"m=1@5:9:5,7+20", "m=1@6:8:6,7", "m=1@7:9:7+20"},
	} {
		got, err := position.Join(parse(t, c.required), parse(t, c.next))
		if err != nil || got.String() != c.want {
			t.Errorf("%q and %q: %q, %v", c.required, c.next, got, err)
		}
	}
	var long [2][]uint64
	for i := range uint64(3000) {
		long[i%2] = append(long[i%2], 1_000_000+3*i)
	}
	var v [2]position.Vector
	for i := range v {
		var err error
		if v[i], err = position.New(position.Entry{Source: "m", Incarnation: "1", Snapshot: &position.Snapshot{Xmax: 9, Ahead: long[i]}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := position.Join(v[0], v[1]); !errors.Is(err, position.ErrTooLarge) {
		t.Errorf("a union over the bound: %v", err)
	}
}

const universe = 24 // transactions of the property test, from 1 on

// TestSets compares positions with the explicit sets that they stand for.
func TestSets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var v [2]position.Vector
		var sets [2]map[uint64]bool
		for i := range v {
			s := position.Snapshot{Xmax: rapid.Uint64Range(1, universe).Draw(rt, "xmax")}
			if s.Xmax > 1 {
				s.Missing = ids(rt, s.Xmax-1)
			}
			s.Ahead = ids(rt, universe)
			sets[i] = explicit(s)
			e := position.Entry{Source: "m", Incarnation: "1", Snapshot: &s}
			var err error
			if v[i], err = position.New(e); err != nil {
				rt.Fatal(err)
			}
			again, err := position.Parse(v[i].String())
			if err != nil || again.String() != v[i].String() {
				rt.Fatalf("%s comes back as %s, %v", v[i], again, err)
			}
			if got := explicit(*again[0].Snapshot); !maps.Equal(got, sets[i]) {
				rt.Fatalf("%s is %v, not %v", again, got, sets[i])
			}
		}
		within := func(a, b map[uint64]bool) bool {
			for id := range b {
				if !a[id] {
					return false
				}
			}
			return true
		}
		if got := position.Contains(v[0], v[1]); got != within(sets[0], sets[1]) {
			rt.Fatalf("%s contains %s: %t", v[0], v[1], got)
		}
		join, err := position.Join(v[0], v[1])
		if err != nil {
			rt.Fatal(err)
		}
		union := maps.Clone(sets[0])
		maps.Copy(union, sets[1])
		if got := explicit(*join[0].Snapshot); !maps.Equal(got, union) {
			rt.Fatalf("%s and %s: %s", v[0], v[1], join)
		}
	})
}

func ids(rt *rapid.T, limit uint64) []uint64 {
	list := rapid.SliceOfNDistinct(rapid.Uint64Range(1, limit), 0, int(min(limit, 6)), rapid.ID).Draw(rt, "ids")
	slices.Sort(list)
	return list
}

// explicit lists a set.
func explicit(s position.Snapshot) map[uint64]bool {
	set := map[uint64]bool{}
	for id := uint64(1); id < s.Xmax; id++ {
		if !slices.Contains(s.Missing, id) {
			set[id] = true
		}
	}
	for _, id := range s.Ahead {
		set[id] = true
	}
	return set
}

// FuzzParse: what is read is written so that the same is read again, and contains itself.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "main=73.1@16/B374D848", "m=7.1@780:786:782,784+790", "a=1@0/0; b=2@1:1:", "m=1@1:18446744073709551615:+18446744073709551615"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := position.Parse(text)
		if err != nil {
			if !errors.Is(err, position.ErrMalformed) && !errors.Is(err, position.ErrTooLarge) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := position.Parse(v.String())
		if err != nil || again.String() != v.String() {
			t.Fatalf("%q, then %q, %v", v, again, err)
		}
		if !position.Contains(v, again) || !position.Contains(again, v) {
			t.Errorf("%q does not contain itself", v)
		}
		if join, err := position.Join(v, again); err != nil || join.String() != v.String() {
			t.Errorf("%q joined with itself: %q, %v", v, join, err)
		}
	})
}
