//go:build linux && cachesrv_fault && !cachesrv_portable

package cache

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
)

var (
	worldName    = flag.String("world", "", "explore this world in this process, as \"fill,key,reader/twin\"")
	scheduleFlag = flag.String("schedule", "", "run this schedule only, as printed with a failure: \"fill,key,reader/twin:0.1.x0\"")
	controlFlag  = flag.String("control", "", "break the protocol so, where a world or a schedule is given")
	sleepSets    = flag.Bool("sleepsets", true, "leave out one of two orders that lead to the same state")
)

// parseWorld reads a world's name.
func parseWorld(name string) (kinds []*kind, begin start, err error) {
	list, rest, ok := strings.Cut(strings.TrimSuffix(name, "/many"), "/")
	if !ok {
		return nil, "", fmt.Errorf("world %q: it is KIND,…/START", name)
	}
	for word := range strings.SplitSeq(list, ",") {
		word, _, _ = strings.Cut(word, "@") // the number of its page
		i := slices.IndexFunc(everyKind, func(k *kind) bool { return k.name == word })
		if i < 0 {
			return nil, "", fmt.Errorf("world %q: there is no kind of process %q", name, word)
		}
		kinds = append(kinds, everyKind[i])
	}
	if begin = start(rest); begin != empty && begin != withPage && begin != withTwin || len(kinds) > maxProcs {
		return nil, "", fmt.Errorf("world %q: it begins empty, page or twin, and has at most %d processes", name, maxProcs)
	}
	return kinds, begin, nil
}

// A result is what the search of a world tells.
type result struct {
	World, Control                                string
	States, Schedules, Steps, Pruned, Slept, Ends int
	Recoveries                                    int
	Seconds                                       float64
	Failed, Schedule                              string
}

func (r result) String() string {
	return fmt.Sprintf("%-22s states %8d  schedules %8d  calls %10d  seen before %8d  permutations left out %8d  ends %4d  recoveries %4d  %7.1f s",
		r.World, r.States, r.Schedules, r.Steps, r.Pruned, r.Slept, r.Ends, r.Recoveries, r.Seconds)
}

func (r *result) add(o result) {
	r.States += o.States
	r.Schedules += o.Schedules
	r.Steps += o.Steps
	r.Pruned += o.Pruned
	r.Slept += o.Slept
	r.Ends += o.Ends
	r.Recoveries += o.Recoveries
	r.Seconds += o.Seconds
}

// replay is how to see a failure again.
func (r result) replay() string {
	text := "go test -tags cachesrv_fault ./cache -run '^TestSchedule$' -v -schedule=" + r.World + ":" + r.Schedule
	if r.Control != "" {
		text += " -control=" + r.Control
	}
	return text
}

// The bounds of one world; see limits.
const (
	maxStates = 10_000_000
	maxTime   = 3 * time.Hour
)

func explore(t testing.TB, name string, l limits, sleep bool) result {
	t.Helper()
	kinds, begin, err := parseWorld(name)
	if err != nil {
		t.Fatal(err)
	}
	s := newSearch(newWorld(t, kinds, begin), l)
	s.noSleep = !sleep
	s.run()
	return result{
		World: name, Control: *controlFlag, States: len(s.seen), Schedules: s.schedules, Steps: s.steps, Pruned: s.pruned, Slept: s.slept,
		Ends: s.ends, Recoveries: len(s.recovers), Seconds: s.took.Seconds(), Failed: s.failed, Schedule: scheduleText(s.schedule),
	}
}

// TestWorld explores one world, named by -world. Its result is the last line of its output, for TestEveryState.
func TestWorld(t *testing.T) {
	if *worldName == "" {
		t.Skip("no -world")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one process moves at a time: what there is to do is to hand over
	fault.SetControl(*controlFlag)
	defer fault.SetControl("")
	r := explore(t, *worldName, limits{maxStates, maxTime}, *sleepSets)
	fmt.Println(r)
	if r.Failed != "" {
		runSchedule(t, r.World, r.Schedule, *controlFlag, t.Logf)
		t.Errorf("%s\n%s", r.Failed, r.replay())
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s%s\n", resultMark, b)
}

const resultMark = "RESULT "

// TestSchedule runs one schedule, and says what happens in it.
func TestSchedule(t *testing.T) {
	if *scheduleFlag == "" {
		t.Skip("no -schedule")
	}
	name, text, _ := strings.Cut(*scheduleFlag, ":")
	if wrong := runSchedule(t, name, text, *controlFlag, t.Logf); wrong != "" {
		t.Error(wrong)
	}
}

// runSchedule runs one schedule of a world, and returns what was wrong.
func runSchedule(t testing.TB, name, text, control string, logf func(string, ...any)) (wrong string) {
	t.Helper()
	kinds, begin, err := parseWorld(name)
	if err != nil {
		t.Fatal(err)
	}
	choices, err := parseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	fault.SetControl(control)
	defer fault.SetControl("")
	w := newWorld(t, kinds, begin)
	if strings.HasSuffix(name, "/many") {
		w.many(name)
	}
	w.narrate = func(p *proc, c call) {
		logf("%s %d: %s %s", p.kind.name, p.index, c.label, c.name)
	}
	s := newSearch(w, limits{maxStates, maxTime})
	s.deadline = time.Now().Add(maxTime)
	fault.SetHook(w)
	defer fault.SetHook(nil)
	w.reset()
	defer w.end()
	var c canon
	look := func() {
		if !w.random {
			s.arrive(&c, 0, nil)
			return
		}
		if w.checkAll(); w.wrong == "" && len(w.choices()) == 0 {
			w.recover()
		}
		s.failed = w.wrong
	}
	look()
	for _, t := range choices {
		if s.failed != "" || t.proc >= len(w.procs) || w.procs[t.proc].done {
			break // mended code may need fewer calls
		}
		w.do(t)
		look()
	}
	return s.failed
}

// worlds names the worlds of n processes out of the main kinds, each combination once, from each start that makes a
// difference: a page without its twin does so only where somebody may make one.
func worlds(n int) (names []string) {
	var visit func(from int, list []*kind)
	visit = func(from int, list []*kind) {
		if len(list) < n {
			for i := from; i < len(mainKinds); i++ {
				visit(i, append(list, mainKinds[i]))
			}
			return
		}
		var words []string
		for _, k := range list {
			words = append(words, k.name)
		}
		for _, begin := range []start{empty, withPage, withTwin} {
			if begin != withPage || slices.Contains(list, twinKind) {
				names = append(names, strings.Join(words, ",")+"/"+string(begin))
			}
		}
	}
	visit(0, nil)
	return names
}

func sizeOf(world string) int {
	kinds, begin, _ := parseWorld(world)
	size := 1
	for _, k := range kinds {
		size *= k.size
	}
	if begin == empty && !slices.Contains(kinds, fillKind) {
		return 0
	}
	return size
}

// moreWorlds are searched whole besides: subtrees, soft purges, upkeep.
var moreWorlds = []string{
	"fill,prefix/empty", "fill,prefix/twin", "twin,prefix/page", "prefix,reader/twin", "fill,soft/page", "fill,softtag/page",
	"key,soft,graced/page", "key,softtag,graced/page",
	"lagging,key,tick/empty", "lagging,key,tick/page", "lagging,tag,tick/page", "lagging,prefix,tick/page", "lagging,soft,tick/page",
	"lagging,softtag,tick/page",
}

// muchMoreWorlds are too large for the short form.
var muchMoreWorlds = []string{
	"tag,softtag,graced/page", "soft,soft,key/page", "fill,key,prefix/empty", "fill,fill,prefix/empty", "twin,key,prefix/page",
	"fill,tag,prefix/empty", "lagging,lagging,key,tick/page", "lagging,key,tag,tick/page", "lagging,key,tick,tick/page",
}

// TestEveryState visits every state of every world of two and of three processes with at most one crash: with -every all of
// them; else those of two, and a sample of those of three, chosen by -seed, for half a minute in all (or as long as those of
// two take). Each world is searched in a process of its own.
func TestEveryState(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	full, seed := flagValue("every") == "true", flagValue("seed")
	names := slices.Concat(worlds(1), worlds(2), moreWorlds)
	rest := worlds(3)
	whole := 0 // so many of the names are searched in the short form, too
	deadline := time.Now().Add(shortTime)
	whole = len(names)
	if full {
		slices.SortStableFunc(rest, func(a, b string) int { return sizeOf(a) - sizeOf(b) }) // what a few hours don't do, is large
		rest = slices.Concat(rest, muchMoreWorlds)
		names = slices.Concat(names, rest)
	} else {
		var n uint64
		if _, err := fmt.Sscan(seed, &n); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(n, 0))
		r.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		names = slices.Concat(names, rest)
	}
	var mu sync.Mutex
	var total result
	next, done := 0, 0
	took := time.Now()
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			for {
				mu.Lock()
				if next == len(names) || next >= whole && !full && time.Now().After(deadline) {
					mu.Unlock()
					return
				}
				name := names[next]
				next++
				mu.Unlock()
				patience := maxTime
				sample := !full && slices.Contains(rest, name)
				if sample {
					patience = time.Until(deadline)
				}
				r, ok := searchElsewhere(t, name, patience, sample)
				mu.Lock()
				if ok {
					done++
					total.add(r)
					fmt.Println(r)
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	if !t.Failed() && (done < whole || full && done < len(names)) {
		t.Errorf("only %d worlds were searched", done)
	}
	total.World = "all"
	fmt.Printf("%s\n%d of %d worlds searched whole (%d of the %d larger ones; seed %s), %s; every state of each, 0 failures: %t\n",
		total, done, len(names), max(0, done-whole), len(rest), seed, time.Since(took).Round(time.Second), !t.Failed())
}

// shortTime bounds the short form.
const shortTime = 30 * time.Second

func flagValue(name string) string { return flag.Lookup(name).Value.String() }

// searchElsewhere searches a world in a process of its own. A sample that is not done in time is no failure: it is reported as
// not searched.
func searchElsewhere(t *testing.T, name string, patience time.Duration, sample bool) (r result, ok bool) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestWorld$", "-test.timeout="+(2*maxTime).String(), "-world="+name)
	dir, err := os.MkdirTemp(memoryDir(), "cachesrv-worlds")
	if err != nil {
		t.Error(err)
		return r, false
	}
	defer os.RemoveAll(dir)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", worldsVariable+"="+dir)
	cmd.WaitDelay = time.Second
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	out, err := cmd.CombinedOutput()
	if !timer.Stop() && sample {
		return r, false
	}
	_, line, found := strings.Cut(string(out), resultMark)
	if found {
		line, _, _ = strings.Cut(line, "\n")
		if jsonErr := json.Unmarshal([]byte(line), &r); jsonErr != nil {
			found = false
		}
	}
	if err != nil || !found {
		t.Errorf("world %s: %v\n%s", name, err, out)
		return r, found
	}
	return r, true
}
