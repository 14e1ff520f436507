//go:build cachesrv_fault

package fault

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// FuzzParseFail: CACHESRV_FAIL is understood as it is documented, or refused with what is wrong. A fault that is not the
// one asked for would show nothing, and look as if it did.
func FuzzParseFail(f *testing.F) {
	for _, s := range []string{"page.link", "page.link:2:ENOSPC", "page.link:2+:EIO:after", "page.link:", "page.link:12x", "page.link:0", "page.link:EFOO", "no.such", "", "page.link:99999999999999999999", "page.link:after:1"} {
		f.Add(s)
	}
	number := regexp.MustCompile(`^0*[1-9][0-9]*\+?$`)
	f.Fuzz(func(t *testing.T, text string) {
		s, refusal := parsed(text)
		if refusal != "" {
			if !strings.HasPrefix(refusal, "CACHESRV_FAIL="+text+": ") {
				t.Fatalf("%q: %s", text, refusal)
			}
			return
		}
		words := strings.Split(text, ":")
		if s.fail.name != words[0] || !slices.Contains(labels, words[0]) || s.errno == 0 || s.fail.left.Load() < 1 {
			t.Fatalf("%q is taken for %d of %q, %v", text, s.fail.left.Load(), s.fail.name, s.errno)
		}
		for _, w := range words[1:] {
			if !number.MatchString(w) && w != "after" && errnoOf(w) == 0 || w == "" {
				t.Fatalf("%q is taken, though %q is nothing", text, w)
			}
			if number.MatchString(w) && w == words[len(words)-1] && fmt.Sprint(s.fail.left.Load()) != strings.TrimLeft(strings.TrimSuffix(w, "+"), "0") {
				t.Fatalf("%q is taken for %d", text, s.fail.left.Load())
			}
		}
	})
}

func parsed(text string) (s *setting, refusal string) {
	defer func() {
		if r := recover(); r != nil {
			refusal = fmt.Sprint(r)
		}
	}()
	s = new(setting)
	s.parseFail(text)
	return s, ""
}
