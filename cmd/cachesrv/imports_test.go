package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cachesrv/cachesrv"

// mayImport says which rooms of the house a room may import, itself aside: cmd → middleware → render → cache,
// middleware → static → cache, invalidate → cache. cmd and e2e may import all but each other.
var mayImport = map[string][]string{
	"cache":        {},
	"render":       {"cache"},
	"static":       {"cache"},
	"middleware":   {"render", "static", "cache"},
	"invalidate":   {"cache"},
	"render/index": {"render", "invalidate", "cache"},
	"cmd":          {"middleware", "render", "render/index", "static", "invalidate", "cache"},
	"e2e":          {"middleware", "render", "render/index", "static", "invalidate", "cache"},
}

// pure lists packages that import nothing of ours but each other.
var pure = []string{"cache/key", "render/httpcache", "render/index/dist", "render/index/sample", "static/assets"}

// confined says which rooms alone may import a module: what one room hides, the others need not know.
var confined = map[string][]string{
	"github.com/labstack/echo":        {"middleware", "cmd", "e2e"},
	"github.com/jackc/pgx":            {"invalidate", "render", "render/index", "cmd", "e2e"},
	"github.com/gofrs/flock":          {"cache", "invalidate"},
	"github.com/google/renameio":      {"cache", "invalidate", "static", "cmd"},
	"zombiezen.com/go/sqlite":         {"cache"},
	"modernc.org/sqlite":              {"cmd", "e2e"},
	"github.com/yuin/goldmark":        {"render/index"},
	"github.com/microcosm-cc":         {"render/index"},
	"golang.org/x/crypto":             {"render/index", "e2e"},
	"golang.org/x/net":                {"render/index", "e2e"},
	"github.com/alecthomas/kong":      {"cmd", "e2e"},
	"github.com/prometheus":           {"cmd", "e2e"},
	"github.com/rogpeppe/go-internal": {}, // tests only
	"pgregory.net/rapid":              {},
}

// TestImportDirections reads every file of the module, whatever its build tags. Tests may import what they like.
func TestImportDirections(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if err := checkImport(filepath.ToSlash(from), imported); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Error("no Go file was found")
	}
}

// checkImport says what is wrong with a package of the folder from importing another.
func checkImport(from, imported string) error {
	room := roomOf(from)
	allowed, known := mayImport[room]
	if !known {
		return fmt.Errorf("folder %q belongs to no room; add it to mayImport", from)
	}
	if to, ours := strings.CutPrefix(imported, module+"/"); ours {
		if slices.Contains(pure, from) && !slices.Contains(pure, to) {
			return fmt.Errorf("%s must not import %s: it is pure", from, to)
		}
		if target := roomOf(to); target != room && !slices.Contains(allowed, target) {
			return fmt.Errorf("%s must not import %s", room, target)
		}
		return nil
	}
	for path, rooms := range confined {
		if (imported == path || strings.HasPrefix(imported, path+"/")) && !slices.Contains(rooms, room) {
			return fmt.Errorf("%s must not import %s", room, path)
		}
	}
	return nil
}

func roomOf(folder string) string {
	if folder == "render/index" || strings.HasPrefix(folder, "render/index/") {
		return "render/index"
	}
	room, _, _ := strings.Cut(folder, "/")
	return room
}

// TestCheckImport is the control: each of these must be caught, or let through.
func TestCheckImport(t *testing.T) {
	for _, tt := range []struct {
		from, imported string
		allowed        bool
	}{
		{"cache", module + "/cache/internal/sys", true},
		{"cache", module + "/render", false},
		{"cache/internal/sys", module + "/middleware", false},
		{"cache", "github.com/labstack/echo/v4", false},
		{"cache", "github.com/jackc/pgx/v5/pgxpool", false},
		{"render", module + "/middleware", false},
		{"render", "github.com/jackc/pgx/v5", true},
		{"static", module + "/render", false},
		{"invalidate", module + "/render", false},
		{"invalidate", "github.com/labstack/echo/v4", false},
		{"middleware", module + "/invalidate", false},
		{"middleware", module + "/static", true},
		{"middleware", "github.com/jackc/pgx/v5", false},
		{"render/index", module + "/invalidate", true},
		{"render/index", module + "/middleware", false},
		{"render/index/catalog", module + "/static", false},
		{"render/index/catalog", module + "/render/index/dist", true},
		{"render/index/dist", module + "/render", false},
		{"render/index/dist", module + "/render/index/catalog", false},
		{"render/index/demo", "modernc.org/sqlite", false},
		{"middleware", "github.com/yuin/goldmark", false},
		{"static/assets", module + "/cache", false},
		{"cmd/cachesrv", module + "/e2e/pgtest", false},
		{"cmd/cachesrv", module + "/invalidate", true},
		{"helper", "fmt", false},
	} {
		if err := checkImport(tt.from, tt.imported); (err == nil) != tt.allowed {
			t.Errorf("%s importing %s: %v", tt.from, tt.imported, err)
		}
	}
}
