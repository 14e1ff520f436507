//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"cmp"
	"flag"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/program"
)

var (
	seed    = flag.Uint64("seed", 0, "of the choices; 0: chosen and printed")
	oneCase = flag.String("case", "", "run this case only, as a failure names it")
	only    = flag.String("operation", "", "run the cases of this operation only")
	most    = flag.Int("most", sampled, "run no more cases of an operation than so many, chosen by the seed; 0: all")
	part    = flag.String("part", "1/1", "run the K-th of N parts of the cases, as K/N: for several runs at once")
	verbose = flag.Bool("syscalls.log", false, "show every case, and what the index logs")
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(child())
	}
	code := m.Run()
	_ = os.RemoveAll(workshop())
	os.Exit(code)
}

// workshop is the folder of the built programs.
var workshop = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "syscalls-e2e-")
	if err != nil {
		panic(err) // a test binary that can't have a temporary folder
	}
	return dir
})

// right is the program as anybody would build it; breakable has the controls of cache/fault.
var (
	right     = sync.OnceValues(func() (string, error) { return build("cachesrv") })
	breakable = sync.OnceValues(func() (string, error) { return build("cachesrv-breakable", "-tags", "cachesrv_fault") })
)

func build(name string, flags ...string) (string, error) {
	return program.Build(workshop(), name, flags...)
}

// choices returns the source of a test's choices.
func choices(t *testing.T) *rand.Rand {
	s := cmp.Or(*seed, ownSeed)
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}
