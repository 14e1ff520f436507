package demo

import (
	"cmp"
	"embed"
	"fmt"
	"strings"

	"github.com/cachesrv/cachesrv/render/index/dist"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// Each project has a folder of its normalised name, with a README.md and one module.
//
//go:embed projects
var folders embed.FS

// A project as it is written down here.
type project struct {
	name     string // in its owner's spelling
	summary  string
	versions []string // oldest first
	python   string   // what it runs on; default: oldPython
	requires []string // PEP 508; every release has those of the newest
	extras   []string
	keywords string
	topic    string // the classifier
	status   string
	sdist    bool
	yanked   map[string]string // version → why
}

// oldPython is what most of them run on.
const oldPython = ">=3.8"

// Development states, as classifiers.
const (
	alpha  = "3 - Alpha"
	beta   = "4 - Beta"
	stable = "5 - Production/Stable"
)

// Topics, as classifiers.
const (
	text    = "Text Processing"
	library = "Software Development :: Libraries :: Python Modules"
	office  = "Office/Business"
	logging = "System :: Logging"
	science = "Scientific/Engineering :: Mathematics"
	console = "Terminals"
	html    = "Internet :: WWW/HTTP :: Dynamic Content"
)

func projects() []project {
	return []project{
		{name: "teakettle-time", summary: "Durations as people write them: 3m30s and back", versions: []string{"0.9", "1.0", "1.1.0", "1.2.0"},
			keywords: "duration,time,tea", topic: text, status: stable, sdist: true},
		{name: "Oolong_Slug", summary: "Readable addresses from titles", versions: []string{"1.0", "1.1", "2.0"},
			keywords: "slug,url,title", topic: text, status: stable},
		{name: "sencha-csv", summary: "Rows of CSV as dictionaries, with numbers as numbers", versions: []string{"0.1.0", "0.2.0", "0.3.0"},
			keywords: "csv,table", topic: text, status: beta, sdist: true},
		{name: "matcha-table", summary: "Tables for terminals and for Markdown", versions: []string{"1.0", "1.1", "1.2", "1.3"},
			keywords: "table,markdown,terminal", topic: text, status: stable},
		{name: "chai-retry", summary: "Try again, a little later each time", versions: []string{"1.0.0", "1.0.1", "1.1.0"},
			keywords: "retry,backoff", topic: library, status: stable},
		{name: "darjeeling-dates", summary: "Working days, and the harvest a day falls into", versions: []string{"2025.3", "2025.10", "2026.2"},
			keywords: "date,calendar,holiday", topic: office, status: stable},
		{name: "samovar-money", summary: "Exact amounts of money", versions: []string{"0.8.0", "0.9.0", "0.9.1", "1.0.0"},
			keywords: "money,decimal,currency", topic: office, status: stable, sdist: true,
			yanked: map[string]string{"0.9.0": "split loses a cent: use 0.9.1 or newer"}},
		{name: "porcelain-html", summary: "HTML from Python calls, escaped", versions: []string{"0.1", "0.2"},
			keywords: "html,markup", topic: html, status: beta},
		{name: "gongfu-steps", summary: "Functions poured one into the other", versions: []string{"1.0"},
			keywords: "functional,pipeline", topic: library, status: stable},
		{name: "puerh-archive", summary: "Which backups to keep: some of each day, week and month", versions: []string{"1.0", "1.1"},
			keywords: "backup,retention", topic: library, status: stable},
		{name: "white-peony-wrap", summary: "Wrap paragraphs, keep the rest", versions: []string{"0.4", "0.5"},
			keywords: "wrap,text", topic: text, status: beta},
		{name: "Lapsang.Log", summary: "Log lines that people and programs read: key=value", versions: []string{"2.0.0", "2.1.0", "2.1.1"},
			python: ">=3.9", keywords: "logging,logfmt", topic: logging, status: stable, sdist: true},
		{name: "teacup-units", summary: "Cups, millilitres, degrees", versions: []string{"1.0", "1.1"},
			keywords: "units,recipes", topic: science, status: stable},
		{name: "leaf-grade", summary: "Means, medians and grades of small samples", versions: []string{"0.3.0", "0.4.0"},
			keywords: "statistics,tea", topic: science, status: beta},
		{name: "steep-curve", summary: "Functions through points: straight lines between them", versions: []string{"1.0", "1.1", "2.0rc1"},
			keywords: "interpolation", topic: science, status: stable},
		{name: "hojicha-ini", summary: "Settings from INI text, checked against what is expected", versions: []string{"1.0", "1.0.post1", "1.1"},
			keywords: "ini,configuration", topic: library, status: stable},
		{name: "genmaicha-grid", summary: "Grids drawn as text, and ways through them", versions: []string{"0.1", "0.2"},
			keywords: "grid,path", topic: science, status: alpha},
		{name: "tea-garden-tree", summary: "Trees drawn with lines", versions: []string{"1.0", "1.1", "1.2"},
			keywords: "tree,terminal", topic: console, status: stable},
		{name: "caddy-shelf", summary: "A dictionary in a JSON file that is never half written", versions: []string{"0.9", "1.0"},
			keywords: "json,storage,atomic", topic: library, status: stable, sdist: true},
		{name: "infuser-iter", summary: "Small tools for what comes one by one", versions: []string{"1.0", "1.1"},
			keywords: "iterators,itertools", topic: library, status: stable},
		{name: "bergamot-ids", summary: "Short ids that can be read out on the phone", versions: []string{"1.0.0", "1.0.1"},
			python: ">=3.9", keywords: "id,base32,crockford", topic: library, status: stable},
		{name: "jasmine-pointer", summary: "JSON pointers (RFC 6901): get, set, walk", versions: []string{"0.1", "0.2", "1.0"},
			keywords: "json,pointer", topic: text, status: stable},
		{name: "rooibos-rate", summary: "So many per second, and a few at once", versions: []string{"1.0", "1.1"},
			keywords: "rate limit,token bucket", topic: library, status: stable},
		{name: "assam-args", summary: "A command line from a function's parameters", versions: []string{"0.5", "0.6", "0.7"},
			python: ">=3.9", keywords: "cli,argparse", topic: console, status: beta, sdist: true},
		{name: "keemun-keys", summary: "Sort as people do: tin 2 before tin 10", versions: []string{"1.0"},
			keywords: "sort,natural", topic: library, status: stable},
		{name: "mint-mask", summary: "Hide secrets before they are logged", versions: []string{"1.0", "1.1", "1.2"},
			keywords: "secrets,logging", topic: logging, status: stable},
		{name: "ceylon-colors", summary: "Colours: hex, contrast, and what a terminal shows", versions: []string{"1.0", "1.1"},
			keywords: "colour,contrast,terminal", topic: console, status: stable},
		{name: "silver-needle-diff", summary: "What changed between two dictionaries", versions: []string{"0.9", "1.0"},
			keywords: "diff,merge", topic: library, status: stable},
		{name: "dragonwell-dice", summary: "Chance that comes out the same each time", versions: []string{"1.0"},
			keywords: "random,hash", topic: library, status: stable},
		{name: "kombucha-queue", summary: "A priority queue whose entries can change their minds", versions: []string{"1.0", "1.1"},
			keywords: "queue,heap", topic: library, status: stable},
		{name: "masala-mix", summary: "Shares that add up: grams, seats, percentages", versions: []string{"1.0", "1.1"},
			keywords: "apportionment,percent", topic: science, status: stable},
		{name: "tisane-text", summary: "Sentences from values: lists, plurals, ordinals", versions: []string{"1.0", "1.1"},
			keywords: "plural,text", topic: text, status: stable},
		{name: "kyusu-cache", summary: "Remember the last few answers, for a while", versions: []string{"0.9", "1.0"},
			keywords: "cache,decorator", topic: library, status: stable},
		{name: "chasen-whisk", summary: "Templates in one function", versions: []string{"0.1", "0.2"},
			keywords: "template", topic: text, status: beta},
		{name: "first-flush", summary: "When is the harvest? An early release", versions: []string{"0.1a1", "0.1b1"},
			keywords: "harvest", topic: science, status: alpha},
		{name: "teahouse-menu", summary: "A tea house's menu, and the bill at the end", versions: []string{"1.0", "1.1", "1.2", "2.0"},
			requires: []string{"matcha-table>=1.2", "samovar-money>=0.9.1,<2", `porcelain-html; extra == "html"`, `oolong-slug>=2; extra == "slug"`},
			extras:   []string{"html", "slug"}, keywords: "menu,bill,tea", topic: office, status: stable, sdist: true},
		{name: "tealeaf-reader", summary: "Reads notes with front matter", versions: []string{"0.1", "0.2"},
			requires: []string{"sencha-csv>=0.3"}, keywords: "front matter,notes", topic: text, status: beta},
		{name: "brew-schedule", summary: "A day's brews, one after the other", versions: []string{"1.0"},
			requires: []string{"teakettle-time~=1.1"}, keywords: "schedule,tea", topic: office, status: stable},
		{name: "samovar-queue", summary: "Who is next? Orders by urgency, with fair waiting", versions: []string{"0.1"},
			requires: []string{"kombucha-queue"}, keywords: "queue,orders", topic: office, status: alpha},
		{name: "teahouse-counter", summary: "Take orders at the counter, in the terminal", versions: []string{"0.9", "1.0"},
			requires: []string{"teahouse-menu>=2.0", "tisane-text", "ceylon-colors>=1.1", "keemun-keys"},
			keywords: "tea,orders,terminal", topic: console, status: beta},
	}
}

// Releases lists all releases in the order of their upload: first the first ones of all projects, then the second
// ones, and so on.
func Releases() ([]Release, error) {
	list := projects()
	var releases []Release
	for i, more := 0, true; more; i++ {
		more = false
		for _, p := range list {
			if i < len(p.versions) {
				more = true
				r, err := p.release(p.versions[i])
				if err != nil {
					return nil, err
				}
				releases = append(releases, r)
			}
		}
	}
	return releases, nil
}

func (p project) release(version string) (Release, error) {
	folder := dist.Normalize(p.name)
	stem := strings.ReplaceAll(folder, "-", "_")
	readme, err := folders.ReadFile("projects/" + folder + "/README.md")
	if err != nil {
		return Release{}, err
	}
	module, err := folders.ReadFile("projects/" + folder + "/" + stem + ".py")
	if err != nil {
		return Release{}, err
	}
	extra := []string{
		"Author: The tea house", "Author-email: The tea house <hello@teahouse.example>", "License: MIT", "Keywords: " + p.keywords,
		"Project-URL: Homepage, https://teahouse.example/" + folder,
		"Project-URL: Source, https://teahouse.example/" + folder + "/source",
		"Project-URL: Changes, https://teahouse.example/" + folder + "/changes",
	}
	for _, c := range []string{
		"Development Status :: " + p.status, "Intended Audience :: Developers", "License :: OSI Approved :: MIT License",
		"Operating System :: OS Independent", "Programming Language :: Python :: 3", "Topic :: " + p.topic,
	} {
		extra = append(extra, "Classifier: "+c)
	}
	for _, e := range p.extras {
		extra = append(extra, "Provides-Extra: "+e)
	}
	d := sample.Dist{
		Name: p.name, Version: version, Summary: p.summary, Description: string(readme), RequiresPython: cmp.Or(p.python, oldPython),
		RequiresDist: p.requires, Extra: extra,
		Modules: map[string]string{stem + ".py": strings.Replace(string(module), `"VERSION"`, fmt.Sprintf("%q", version), 1)},
	}
	return Release{Dist: d, Sdist: p.sdist, Yanked: p.yanked[version]}, nil
}
