package dist

import (
	"crypto/sha256"
	"strings"
	"unicode/utf8"
)

// maxPath bounds a path in an archive, in bytes.
const maxPath = 1024

// checkPath says what is wrong with an entry's path, which is to be relative, with plain segments: whoever unpacks it, on
// whatever system, stays in the folder. A folder's path comes without its slash.
func checkPath(path string) error {
	switch {
	case path == "":
		return invalidf("an entry has no name")
	case len(path) > maxPath:
		return invalidf("the path %s has %d bytes; at most %d are allowed", quote(path), len(path), maxPath)
	case !utf8.ValidString(path):
		return invalidf("the path %s is not UTF-8: rename it", quote(path))
	case strings.ContainsFunc(path, control) || strings.Contains(path, "\t"):
		return invalidf("the path %s has a control character: rename it", quote(path))
	case strings.Contains(path, `\`):
		return invalidf("the path %s has a backslash: build it anew, with slashes", quote(path))
	case path[0] == '/' || len(path) > 1 && path[1] == ':' && letter(path[0]):
		return invalidf("the path %s is absolute: build it anew", quote(path))
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return invalidf("the path %s has %s for a segment: build it anew", quote(path), quote(segment))
		}
	}
	return nil
}

// A tree is the set of paths of an archive: it finds those that can't be unpacked side by side, also where upper and
// lower case are the same. It takes the same room for every path, long or short.
type tree struct {
	limit int // of files and folders, also those that only paths name
	nodes map[node]kind
	buf   []byte // for node
}

type (
	node [16]byte // a digest of the path
	kind byte
)

const (
	implied kind = iota + 1 // a folder that paths name
	folder                  // a folder with an entry of its own
	file
	link // no folder as far as paths go, and no file that is
)

func newTree(limit int) *tree { return &tree{limit: limit, nodes: map[node]kind{}} }

// node returns where a path stands, whichever case it is written in.
func (t *tree) node(path string) node {
	t.buf = append(t.buf[:0], path...)
	for i, c := range t.buf {
		if c >= utf8.RuneSelf { // upper case first: so "ſ" and "s" are one, too
			t.buf = append(t.buf[:0], strings.ToLower(strings.ToUpper(path))...)
			break
		}
		t.buf[i] = lower(c)
	}
	sum := sha256.Sum256(t.buf)
	return node(sum[:16])
}

// add checks a path, and that it and the paths before it can be unpacked together.
func (t *tree) add(path string, k kind) error {
	if err := checkPath(path); err != nil {
		return err
	}
	self := t.node(path)
	switch was := t.nodes[self]; {
	case was == implied && k == folder:
	case was == implied:
		return invalidf("the path %s is both a file and a folder: build it anew", quote(path))
	case was != 0:
		return invalidf("the path %s comes twice (upper and lower case don't count): build it anew", quote(path))
	}
	t.nodes[self] = k
	// Above the first folder that is known, all are.
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		above := t.node(path[:i])
		switch t.nodes[above] {
		case 0:
			t.nodes[above] = implied
			continue
		case file, link:
			return invalidf("the path %s leads through %s, which is no folder: build it anew", quote(path), quote(path[:i]))
		}
		break
	}
	if len(t.nodes) > t.limit { // by one path at most: maxPath bounds that
		return t.tooMany()
	}
	return nil
}

func (t *tree) tooMany() error {
	return invalidf("it has more than %d files and folders, the limit: leave some out or split it", t.limit)
}

// is returns what kind a path that was added is; 0 if it wasn't.
func (t *tree) is(path string) kind { return t.nodes[t.node(path)] }
