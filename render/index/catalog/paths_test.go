package catalog

import (
	"path"
	"strings"
	"testing"
	"testing/quick"

	"github.com/cachesrv/cachesrv/render/index/dist"
)

const someDigest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestFilePath(t *testing.T) {
	good := File{Blake2b: someDigest, Filename: "tea-1.0-py3-none-any.whl"}.Path()
	source := File{Blake2b: someDigest, Filename: "tea-1.0.tar.gz"}.Path()
	equal(t, "path", good, "01/23/456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/tea-1.0-py3-none-any.whl")
	for _, p := range []string{good, good + ".metadata", source} {
		if got, ok := FilePath(p); !ok || got != p {
			t.Errorf("%s: %s %t", p, got, ok)
		}
	}
	for _, p := range []string{
		"", "/" + good, good + "/", good + "/x", good[1:], source + ".metadata", good + ".metadata.metadata", good + ".part", good[:67], good[:67] + ".whl",
		good[:67] + "..", good[:67] + "../x.tar.gz", good[:67] + ".metadata", strings.ToUpper(good), strings.Replace(good, "/", "_", 1), strings.Replace(good, "01/", "../", 1),
		"files/" + good, strings.Replace(good, "/4", "/g", 1), good[:67] + strings.Repeat("a", 300) + "-1.tar.gz", good + "\x00",
	} {
		if got, ok := FilePath(p); ok {
			t.Errorf("%q is allowed: %q", p, got)
		}
	}
}

func FuzzFilePath(f *testing.F) {
	f.Add(File{Blake2b: someDigest, Filename: "tea-1.0-py3-none-any.whl"}.Path())
	f.Add("01/23/" + someDigest[4:] + "/../x-1.tar.gz")
	f.Fuzz(func(t *testing.T, p string) {
		got, ok := FilePath(p)
		if !ok {
			return
		}
		if got != p || path.Clean(p) != p || strings.Count(p, "/") != 3 || strings.HasPrefix(path.Base(p), ".") || strings.ContainsAny(p, "\x00\\") || len(path.Base(p)) > 255 {
			t.Fatalf("%q is allowed as %q", p, got)
		}
	})
}

func TestIntentNames(t *testing.T) {
	there := func(digest [32]byte, name string) bool {
		if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
			return true
		}
		p := place{hexOf(digest), name}
		it, err := newIntent("RANDOM", p)
		back, ok := parseIntent(strings.TrimPrefix(it.name, "incoming/"))
		return err == nil && ok && back == it && back.place == p
	}
	must(t, quick.Check(there, nil))
	longest, err := newIntent("0123456789", place{someDigest, strings.Repeat("x", dist.MaxFilename)})
	must(t, err)
	if n := len(path.Base(longest.name)); n > 255 {
		t.Errorf("%d bytes are too many for file systems", n)
	}
}

func FuzzParseIntent(f *testing.F) {
	it, _ := newIntent("RANDOM", place{someDigest, "tea-1.0.tar.gz"})
	f.Add(path.Base(it.name))
	f.Add("x@@y")
	f.Fuzz(func(t *testing.T, name string) {
		it, ok := parseIntent(name)
		if !ok {
			return
		}
		random, _, _ := strings.Cut(name, "@")
		back, err := newIntent(random, it.place)
		if err != nil || back != it || path.Base(it.name) != name || strings.Count(it.path(), "/") != 3 || path.Clean(it.path()) != it.path() {
			t.Fatalf("%q is %+v, and that %+v, %v", name, it, back, err)
		}
	})
}
