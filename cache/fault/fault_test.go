package fault

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unsafe"
)

// TestCostsNothing: without the tag, labels have no size, and their texts are not in the program; with it, they are, so that
// this test can tell.
func TestCostsNothing(t *testing.T) {
	if size := unsafe.Sizeof(ClaimCreate); (size > 0) != Enabled {
		t.Errorf("a label has %d bytes", size)
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"orphan", "unlink"}, {"variants", "drop"}} { // put together here, as they must not be found in this test
		if text := strings.Join(words, "."); bytes.Contains(program, []byte(text)) != Enabled {
			t.Errorf("%q: in the program: %t", text, !Enabled)
		}
	}
	err = os.ErrExist
	if allocs := testing.AllocsPerRun(100, func() {
		if Enter(ClaimCreate, Write, "name") == nil {
			err = Leave(ClaimCreate, err)
			Saw(ClaimCreate, 1)
		}
	}); allocs > 0 && !Enabled {
		t.Errorf("%v allocations", allocs)
	}
	if err != os.ErrExist {
		t.Error(err)
	}
}
