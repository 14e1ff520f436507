package dist

import (
	"strings"
	"testing"
)

func TestParseFilename(t *testing.T) {
	for _, want := range []Name{
		{"demo-1.0-py3-none-any.whl", Wheel, "demo", "1.0", "py3"},
		{"Demo.Thing_x-1.0-py3-none-any.whl", Wheel, "demo-thing-x", "1.0", "py3"},
		{"demo-1.0-1-py3-none-any.whl", Wheel, "demo", "1.0", "py3"},
		{"demo-1.0-2_local.3-py3-none-any.whl", Wheel, "demo", "1.0", "py3"},
		{"demo-1!2.0rc1.post2.dev3+l_1-py2.py3-none-any.whl", Wheel, "demo", "1!2.0rc1.post2.dev3+l.1", "py2.py3"},
		{"numpy-2.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", Wheel, "numpy", "2.0", "cp312"},
		{"a-1-cp312-abi3-macosx_10_9_universal2.whl", Wheel, "a", "1", "cp312"},
		{"demo-1.0.tar.gz", Sdist, "demo", "1.0", "source"},
		{"demo-1.0.zip", Sdist, "demo", "1.0", "source"},
		{"Zope.Interface-v1.0-beta2.tar.gz", Sdist, "zope-interface", "1.0b2", "source"},
		{"my-old-project-1.0.tar.gz", Sdist, "my-old-project", "1.0", "source"},
		{"demo-2-1.0.tar.gz", Sdist, "demo-2", "1.0", "source"},
		{"demo-1.0-1.tar.gz", Sdist, "demo-1-0", "1", "source"}, // whoever reads PKG-INFO finds out
		{"demo-1!1.0+local.tar.gz", Sdist, "demo", "1!1.0+local", "source"},
		{"0-0.zip", Sdist, "0", "0", "source"},
	} {
		if got, err := ParseFilename(want.Filename); err != nil || got != want {
			t.Errorf("%s: %+v (%v)", want.Filename, got, err)
		}
	}
}

func TestBadFilenames(t *testing.T) {
	for filename, want := range map[string]string{
		"":                                        "there is no file name",
		strings.Repeat("a", 190) + "-1.0.tar.gz":  "the file name has 201 bytes; at most 200",
		"../demo-1.0.tar.gz":                      "only ASCII letters",
		"a/demo-1.0.tar.gz":                       "only ASCII letters",
		`a\demo-1.0.tar.gz`:                       "only ASCII letters",
		"demö-1.0.tar.gz":                         "only ASCII letters",
		"demo-1.0.tar.gz\n":                       "only ASCII letters",
		"demo-1.0.tar.gz\x00":                     "only ASCII letters",
		"demo 1.0.tar.gz":                         "only ASCII letters",
		"demo-1.0%2f.tar.gz":                      "only ASCII letters",
		".demo-1.0.tar.gz":                        "begins with a letter or digit",
		"-demo-1.0.tar.gz":                        "begins with a letter or digit",
		"demo-1.0.tar.bz2":                        "only wheels (.whl) and sdists",
		"demo-1.0.egg":                            "only wheels (.whl) and sdists",
		"demo-1.0.WHL":                            "only wheels (.whl) and sdists",
		"demo-1.0-py3-none-any.whl.metadata":      "only wheels (.whl) and sdists",
		"demo.tar.gz":                             "an sdist is named",
		"demo-.tar.gz":                            "an sdist is named",
		"demo-x.tar.gz":                           "an sdist is named",
		"demo_1.0.tar.gz":                         "an sdist is named",
		"demo--1.0.tar.gz":                        "an sdist is named",
		"demo-1.0.whl":                            "there are 1 dashes, not 4 or 5",
		"demo-1.0-1-2-py3-none-any.whl":           "there are 6 dashes",
		"demo-x-py3-none-any.whl":                 `"x" is not a version as of PEP 440`,
		"demo--py3-none-any.whl":                  "is not a version as of PEP 440",
		"demo__x-1.0-py3-none-any.whl":            "is not how a project's name is written",
		"demo_-1.0-py3-none-any.whl":              "is not how a project's name is written",
		strings.Repeat("a", 101) + "-1-p-n-a.whl": "is not how a project's name is written",
		"demo-1.0-x-py3-none-any.whl":             "the build tag",
		"demo-1.0--py3-none-any.whl":              "the build tag",
		"demo-1.0-1+-py3-none-any.whl":            "the build tag",
		"demo-1.0--none-any.whl":                  `the Python tag ""`,
		"demo-1.0-py2..py3-none-any.whl":          `the Python tag "py2..py3"`,
		"demo-1.0-py3.-none-any.whl":              `the Python tag "py3."`,
		"demo-1.0-py3-none+x-any.whl":             `the ABI tag "none+x"`,
		"demo-1.0-py3-none-any!.whl":              `the platform tag "any!"`,
		"demo-1.0-py3-none-.whl":                  `the platform tag ""`,
		"d-1-" + strings.Repeat("a.", 31) + "a-" + strings.Repeat("b.", 31) + "b-any.whl": "stand for 1024 combinations",
	} {
		n, err := ParseFilename(filename)
		t.Run(filename, func(t *testing.T) { wantComplaint(t, err, want) })
		if n != (Name{}) {
			t.Errorf("%q: %+v beside an error", filename, n)
		}
	}
}
