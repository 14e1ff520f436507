package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
)

// MaxFile bounds the configuration file, in bytes.
const MaxFile = 1 << 20

// A File is a configuration file that was read. The nil File sets nothing.
type File struct {
	Path   string
	Config Config // only what the file sets; the rest is zero

	lines map[string]int // key → line, from 1
}

// Read reads a configuration file: one YAML mapping whose keys are those of Config. An unknown key, a key given
// twice, a value of the wrong kind are errors that name file and line. An empty file sets nothing.
func Read(path string) (*File, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	f := &File{Path: path, lines: map[string]int{}}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, f.locate(err)
	}
	if len(tree.Docs) > 1 {
		return nil, fmt.Errorf("%s: %d YAML documents: keep one", path, len(tree.Docs))
	}
	d := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField())
	if err := d.Decode(&f.Config); err != nil && !errors.Is(err, io.EOF) {
		return nil, f.locate(err)
	}
	if len(tree.Docs) == 1 {
		if top, ok := tree.Docs[0].Body.(*ast.MappingNode); ok {
			for _, entry := range top.Values {
				at := entry.Key.GetToken()
				f.lines[at.Value] = at.Position.Line
			}
		}
	}
	return f, nil
}

func readBounded(path string) ([]byte, error) {
	r, err := os.Open(path)
	if err != nil {
		// The path stands in front of the message already.
		if e := (*fs.PathError)(nil); errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%s: more than %d bytes: not a configuration file", path, MaxFile)
	}
	return text, nil
}

// locate turns an error of the YAML library into "FILE:LINE: what", with the nearest known key for an unknown one.
func (f *File) locate(err error) error {
	var y yaml.Error
	if !errors.As(err, &y) || y.GetToken() == nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	at, what := y.GetToken().Position, y.GetMessage()
	if unknown := (*yaml.UnknownFieldError)(nil); errors.As(err, &unknown) {
		name, known := y.GetToken().Value, keysOf(reflect.TypeFor[Config]())
		if at.Column > 1 { // the only mappings below the top are rules
			known = keysOf(reflect.TypeFor[rules.Rule]())
		}
		what = fmt.Sprintf("unknown key %q: did you mean %q?", name, nearest(name, known))
	}
	if mistyped := (*yaml.TypeError)(nil); errors.As(err, &mistyped) {
		what = "it must be " + kindName(mistyped.DstType)
	}
	return fmt.Errorf("%s:%d: %s", f.Path, at.Line, what)
}

// kindName says for people what a value of the type is.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list"
	default:
		return "a " + t.String()
	}
}

// keysOf lists the keys of a struct, those of its inlined parts included.
func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range reflect.VisibleFields(t) {
		if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// Lookup returns what the file sets for a setting, as text, and the line it stands in.
func (f *File) Lookup(s Setting) (text string, line int, ok bool) {
	if f == nil {
		return "", 0, false
	}
	line, ok = f.lines[s.Key]
	if !ok {
		return "", 0, false
	}
	return s.text(&f.Config), line, true
}

// nearest returns the word with the smallest edit distance to name.
func nearest(name string, words []string) string {
	return slices.MinFunc(words, func(a, b string) int { return distance(name, a) - distance(name, b) })
}

// distance is Levenshtein's, over bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
