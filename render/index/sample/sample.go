// Package sample makes small distributions that pip installs, byte for byte the same each time: for the demo and for
// tests.
package sample

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// A Dist is what a wheel and an sdist are made from. Its fields are written as they are, sense or nonsense: who makes
// good distributions gives a name and a canonical version that are valid.
type Dist struct {
	Name, Version  string
	Summary        string
	Description    string            // Markdown
	RequiresPython string            // e.g. ">=3.8"
	RequiresDist   []string          // PEP 508
	Extra          []string          // further metadata lines, "Author: Ada"
	Modules        map[string]string // path in the wheel → content; default: a module of the project's name with __version__
}

// made is when every file was last changed: the first moment a zip archive can tell, so that what we make depends on
// nothing but the Dist.
var made = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// stem is how the names of the files, and of the folders in them, begin: name and version, in which no dash may stand.
func (d Dist) stem() string {
	return d.escaped() + "-" + strings.ReplaceAll(d.Version, "-", "_")
}

// escaped is the project's name in the form of PEP 503, with underscores: fit for file names and for import.
func (d Dist) escaped() string {
	words := strings.FieldsFunc(strings.ToLower(d.Name), func(r rune) bool { return strings.ContainsRune("-_.", r) })
	return strings.Join(words, "_")
}

// modules returns what is installed, and the paths in order.
func (d Dist) modules() (map[string]string, []string) {
	m := d.Modules
	if len(m) == 0 {
		m = map[string]string{d.escaped() + ".py": "__version__ = " + literal(d.Version) + "\n"}
	}
	return m, slices.Sorted(maps.Keys(m))
}

// metadata returns METADATA, which is PKG-INFO, too.
func (d Dist) metadata() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	line("Metadata-Version", "2.1")
	line("Name", d.Name)
	line("Version", d.Version)
	line("Summary", d.Summary)
	line("Requires-Python", d.RequiresPython)
	for _, r := range d.RequiresDist {
		line("Requires-Dist", r)
	}
	for _, extra := range d.Extra {
		b.WriteString(extra + "\n")
	}
	if d.Description != "" {
		line("Description-Content-Type", "text/markdown; charset=UTF-8")
		b.WriteString("\n" + strings.TrimSuffix(d.Description, "\n") + "\n")
	}
	return b.String()
}

// packages splits the modules as setuptools wants them: modules at the top, and the files of each package.
func (d Dist) packages() (modules []string, packages map[string][]string) {
	packages = map[string][]string{}
	_, paths := d.modules()
	for _, p := range paths {
		if dir, base := path.Split(p); dir == "" {
			modules = append(modules, strings.TrimSuffix(base, ".py"))
		} else {
			name := strings.ReplaceAll(strings.Trim(dir, "/"), "/", ".")
			packages[name] = append(packages[name], base)
		}
	}
	return modules, packages
}
