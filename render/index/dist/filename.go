package dist

import "strings"

const (
	// MaxFilename bounds a file's name, in bytes.
	MaxFilename = 200
	// maxTags bounds what a wheel's compressed tags stand for: installers write them out.
	maxTags = 1000
)

// ParseFilename reads a file's name, or says in an ErrInvalid what is wrong with it.
func ParseFilename(filename string) (Name, error) {
	n, err := parseFilename(filename)
	if err != nil {
		return Name{}, invalidf("%s: %w", quote(filename), err)
	}
	n.Filename = filename
	return n, nil
}

func parseFilename(filename string) (Name, error) {
	switch {
	case filename == "":
		return Name{}, invalidf("there is no file name")
	case len(filename) > MaxFilename:
		return Name{}, invalidf("the file name has %d bytes; at most %d are allowed", len(filename), MaxFilename)
	case !only(filename, "-_.+!"):
		return Name{}, invalidf(`a file name has only ASCII letters, digits and "-_.+!": rename the project or build it anew`)
	case !alnum(filename[0]):
		return Name{}, invalidf("a file name begins with a letter or digit")
	}
	if stem, ok := strings.CutSuffix(filename, ".whl"); ok {
		return parseWheelName(stem)
	}
	for _, suffix := range [...]string{".tar.gz", ".zip"} {
		if stem, ok := strings.CutSuffix(filename, suffix); ok {
			return parseSdistName(stem)
		}
	}
	return Name{}, invalidf("only wheels (.whl) and sdists (.tar.gz, .zip) are taken")
}

// parseWheelName reads {name}-{version}(-{build})?-{python}-{abi}-{platform} (PEP 427).
func parseWheelName(stem string) (Name, error) {
	parts := strings.Split(stem, "-")
	if len(parts) != 5 && len(parts) != 6 {
		return Name{}, invalidf("a wheel is named name-version(-build)-python-abi-platform.whl: there are %d dashes, not 4 or 5", len(parts)-1)
	}
	name, written, tags := parts[0], parts[1], parts[len(parts)-3:]
	if !ValidName(name) || strings.Contains(name, "__") {
		return Name{}, invalidf("%s is not how a project's name is written in a wheel's", quote(name))
	}
	version, err := CanonicalVersion(written)
	if err != nil {
		return Name{}, err
	}
	if build := parts[2]; len(parts) == 6 && (build == "" || !digit(build[0]) || !only(build, "_.")) {
		return Name{}, invalidf(`the build tag %s doesn't begin with a digit or has more than letters, digits and "_."`, quote(build))
	}
	count := 1
	for i, what := range [...]string{"Python", "ABI", "platform"} {
		set := strings.Split(tags[i], ".")
		count *= len(set)
		for _, tag := range set {
			if tag == "" || !only(tag, "_") {
				return Name{}, invalidf("the %s tag %s has an empty part or more than letters, digits and underscores", what, quote(tags[i]))
			}
		}
	}
	if count > maxTags {
		return Name{}, invalidf("its tags stand for %d combinations; at most %d are allowed", count, maxTags)
	}
	return Name{Kind: Wheel, Project: Normalize(name), Version: version, Python: tags[0]}, nil
}

func parseSdistName(stem string) (Name, error) {
	project, version, ok := splitStem(stem)
	if !ok {
		return Name{}, invalidf("an sdist is named name-version.tar.gz, with a version as of PEP 440")
	}
	return Name{Kind: Sdist, Project: project, Version: version, Python: "source"}, nil
}

// splitStem splits "name-version", as in the names of sdists and of folders in them. Both halves of old ones may have
// dashes: the last one that a valid version follows counts. (Whoever reads metadata, too, finds out when that is wrong.)
func splitStem(stem string) (project, version string, ok bool) {
	for i := len(stem) - 1; i > 0; i-- {
		if stem[i] != '-' || !ValidName(stem[:i]) {
			continue
		}
		if v, ok := parseVersion(stem[i+1:]); ok {
			return Normalize(stem[:i]), v.String(), true
		}
	}
	return "", "", false
}
