package index

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fill repeats a text until it is as long as a description may be.
func fill(before, seed, after string) string {
	return before + strings.Repeat(seed, (maxReadme-len(before)-len(after))/len(seed)) + after
}

// nested is a list of 300 levels, each indented for.
func nested() string {
	var b strings.Builder
	for i := range 300 {
		b.WriteString(strings.Repeat("  ", i) + "- a\n")
	}
	return b.String()
}

func manyOpen() string {
	var b strings.Builder
	for i := range 450 {
		fmt.Fprintf(&b, "<b id=a%d>", i)
	}
	return "<p>" + b.String() + "\n"
}

// Each of these cost seconds to minutes, or gigabytes, before it was bounded.
func TestReadmeCostOfTheWorst(t *testing.T) {
	table := strings.Repeat("|a", 1500) + "|\n" + strings.Repeat("|-", 1500) + "|\n"
	for name, tt := range map[string]struct {
		in      string
		written bool // as written
	}{
		"wide table":              {table + strings.Repeat("|\n", 6000), true},
		"wide table in a list":    {"- " + strings.ReplaceAll(table, "\n", "\n  ") + strings.Repeat("|\n  ", 6000), true},
		"the widest table":        {"|a|b|c|d|e\n|-|-|:-:|-|-\n" + strings.Repeat("|\n", 7500), false},
		"emphasis":                {fill("", "*a_ ", ""), true},
		"strong":                  {fill("", "**a_ ", ""), true},
		"struck":                  {fill("", "~a*b_ ", ""), true},
		"inside words":            {fill("", "a**b_c* ", ""), true},
		"no blank line":           {fill("", strings.Repeat("*a_ ", 100)+"\n\u00a0\n", ""), true},
		"the most emphasis":       {strings.Repeat("*a_ ", 5000), false},
		"tildes":                  {fill("", "~", ""), true},
		"backquotes":              {fill("", "\t\\```", ""), true},
		"lists, then blank lines": {fill(nested(), "\n", ""), true},
		"lists of two kinds":      {fill("", "- * ", ""), true},
		"open brackets":           {fill(strings.Repeat("[", 900), "a\n", strings.Repeat("]", 900)), true},
		"headings":                {fill("", "#\n", ""), true},
		"a long link, often":      {"[a]: /" + strings.Repeat("é", 60_000) + "\n\n" + strings.Repeat("[a]\n\n", 20_000), true},
		"open elements":           {fill(manyOpen(), "<p>x", ""), true},
		"an open link":            {fill("<a href=http://"+strings.Repeat("x", 60_000)+">", "<p>x", ""), true},
		"dropped end tags":        {fill("", "x</b>", ""), false},
		"dropped cells":           {fill("", "x<td>", ""), false},
		"spaces in a table":       {fill("<table>", "&#32;</b>", ""), false},
		"text in a table":         {fill("<table>", "x<tr>", ""), false},
	} {
		m := newReadmes()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := processorTime(t)
		d := m.render(tt.in, "text/markdown")
		took := processorTime(t) - start
		runtime.ReadMemStats(&after)
		if d.HTML == "" != tt.written || d.Note != "" != tt.written {
			t.Errorf("%s: %d bytes of HTML, note %q", name, len(d.HTML), d.Note)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 200<<20 {
			t.Errorf("%s: %d MiB allocated", name, allocated>>20)
		}
		if took > 5*time.Second { // with the race detector, too
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestTangled(t *testing.T) {
	for text, want := range map[string]bool{
		"# a\n\n- b\n  - c\n\n> > d":                                                   false,
		strings.Repeat("-", 80) + "\n":                                                 false,
		strings.Repeat("* ", 80) + "\n":                                                false,
		strings.Repeat("*", 80) + " x\n":                                               false,
		strings.Repeat("- [#1](https://example.com/1)\n", 4000):                        false,
		strings.Repeat("- [#1](https://example.com/1)\n\n", 9000):                      false,
		strings.Repeat("- a\n  - b\n    - **c** `d` my_own_name\n", 2000):              false,
		strings.Repeat("> ", 60) + "x":                                                 true,
		"a\n" + strings.Repeat("1. ", 60) + "x\n":                                      true,
		strings.Repeat(" ", 200) + "- x\n":                                             true,
		strings.Repeat(" ", 200) + "x\n":                                               false,
		strings.Repeat("- ", 40) + "x\n" + strings.Repeat("\n", 20_000):                true,
		strings.Repeat("- ", 40) + "x\n\ny\n" + strings.Repeat("\n", 20_000):           false,
		strings.Repeat("[a](", 6000):                                                   true,
		"|a|b|c|d\n|-|-|-|-\n" + strings.Repeat("|1|2|3|4\n", 5000):                    false,
		"|a|b|c|d\n|-|-|-|-\n" + strings.Repeat("|\n", 20_000):                         true,
		"> |a|b|c|d\n> |-|-|-|-\n" + strings.Repeat("> |\n", 20_000):                   true,
		strings.Repeat("|a|b|c|d\n|-|-|-|-\n"+strings.Repeat("|1|2|3|4\n", 9)+"\n", 9): false,
	} {
		if got := tangled(text); got != want {
			t.Errorf("%.40q (%d bytes): %v", text, len(text), got)
		}
	}
}

func TestUntangle(t *testing.T) {
	marked := func(in string) (string, error) {
		r, err := untangle(strings.NewReader(in))
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(r)
		return string(b), err
	}
	for in, want := range map[string]string{
		"<p>a <b>b</b> c</p>\n":     `<p>a <b>b</b><wbr class="mark"> c</p><!---->` + "\n",
		"<table>a<tr>&#32;<td>b":    `<table><wbr class="mark">a<tr><!---->&#32;<td><wbr class="mark">b`,
		"<pre>\n x &lt; y\n</pre>z": "<pre>\n x &lt; y\n</pre>" + `<wbr class="mark">z`,
	} {
		if got, err := marked(in); got != want || err != nil {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for in, refused := range map[string]bool{
		strings.Repeat(`<a href="https://example.com/some/where/long"><b>x</b></a>`, 5000):                false,
		strings.Repeat("<p><b><i>x</i></b></p>", 5000):                                                    false,
		"<b>" + strings.Repeat("<p>x", 70_000):                                                            true,
		"<b></b>" + strings.Repeat("<p>x", 70_000):                                                        false,
		"<b></b></b>" + strings.Repeat("<p>x", 70_000):                                                    false,
		"<b><table></b></table>" + strings.Repeat("<p>x", 70_000):                                         true, // the end tag in the table closes nothing
		`<table><td><a href="` + strings.Repeat("x", 50_000) + `"></table>` + strings.Repeat("<p>x", 100): true,
	} {
		if _, err := marked(in); err == nil == refused {
			t.Errorf("%.60q: %v", in, err)
		}
	}
}

func TestReadmesAreRenderedTwoAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newReadmes()
		for range 2 {
			m.busy <- struct{}{}
		}
		done := make(chan description, 1)
		go func() { done <- m.render("# x", "text/markdown") }()
		if d := m.render("x", "text/plain"); d.Plain != "x" {
			t.Errorf("plain text: %+v", d)
		}
		synctest.Wait()
		if len(done) != 0 {
			t.Error("a third one is rendered")
		}
		<-m.busy
		if d := <-done; d.HTML == "" || len(m.busy) != 1 {
			t.Errorf("then: %+v, %d busy", d, len(m.busy))
		}
	})
}
