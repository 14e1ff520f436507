package dist

import (
	"mime"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of single fields; PyPI has the same for summaries and labels. What else a file may hold is bounded by
// Limits.Metadata.
const (
	maxSummary = 512  // characters
	maxLabel   = 32   // characters of a project URL's label
	maxURL     = 2048 // bytes
	maxLine    = 8192 // bytes of any other field, but for the description and the licence
)

// metadataVersions are those there have ever been.
var metadataVersions = [...]string{"1.0", "1.1", "1.2", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5"}

// license is what a licence expression is made of; which licences there are is not checked.
var license = regexp.MustCompile(`^[A-Za-z0-9.+:() -]+$`)

// parseMetadata reads METADATA or PKG-INFO, whichever it is called in complaints.
func parseMetadata(raw []byte, file string) (Metadata, error) {
	fields, body, err := parseHeaders(raw, file)
	if err != nil {
		return Metadata{}, err
	}
	var m Metadata
	p := newMetadataParser(&m)
	for _, f := range fields {
		if err := p.take(f); err != nil {
			return Metadata{}, invalidf("%s line %d: %s: %w", file, f.at, shorten(f.name), err)
		}
	}
	if strings.TrimSpace(body) != "" {
		if m.Description != "" {
			return Metadata{}, invalidf("%s has two descriptions, a header and what follows the headers: remove one", file)
		}
		m.Description = newlines(body)
	}
	for _, f := range []struct{ name, value string }{
		{"Metadata-Version", m.MetadataVersion}, {"Name", m.Name}, {"Version", m.Version},
	} {
		if f.value == "" {
			return Metadata{}, invalidf("%s lacks %s: build it anew", file, f.name)
		}
	}
	return m, nil
}

// A metadataParser knows where fields go, by their names in lower case.
type metadataParser struct {
	m       *Metadata
	strict  map[string]*string   // once, and never folded
	lines   map[string]*string   // once, as one line
	texts   map[string]*string   // once, several lines
	several map[string]*[]string // as often as one likes
	seen    map[string]bool      // those that may come but once
}

func newMetadataParser(m *Metadata) *metadataParser {
	return &metadataParser{
		m:      m,
		strict: map[string]*string{"metadata-version": &m.MetadataVersion, "name": &m.Name, "version": &m.Version},
		lines: map[string]*string{
			"summary": &m.Summary, "description-content-type": &m.DescriptionContentType, "keywords": nil,
			"author": &m.Author, "author-email": &m.AuthorEmail, "maintainer": &m.Maintainer,
			"maintainer-email": &m.MaintainerEmail, "license-expression": &m.LicenseExpression,
			"home-page": &m.HomePage, "download-url": &m.DownloadURL, "requires-python": &m.RequiresPython,
		},
		texts: map[string]*string{"description": &m.Description, "license": &m.License},
		several: map[string]*[]string{
			"classifier": &m.Classifiers, "platform": &m.Platforms, "requires-dist": &m.RequiresDist,
			"provides-extra": &m.ProvidesExtra, "project-url": nil,
		},
		seen: map[string]bool{},
	}
}

// take reads one field. Those that it doesn't know are passed over, as the specification has it.
func (p *metadataParser) take(f field) error {
	name := lowered(f.name)
	strict, isStrict := p.strict[name]
	line, isLine := p.lines[name]
	text, isText := p.texts[name]
	several, isSeveral := p.several[name]
	if isStrict || isLine || isText {
		if p.seen[name] {
			return invalidf("it is given twice: remove one")
		}
		p.seen[name] = true
	}
	switch {
	case isText:
		*text = optional(f.text())
		return checkText(*text)
	case !isStrict && !isLine && !isSeveral:
		return nil
	case (isStrict || name == "summary") && len(f.lines) > 1:
		return invalidf("it must be one line")
	}
	value := f.line()
	if len(value) > maxLine {
		return invalidf("it has %d bytes; at most %d are allowed", len(value), maxLine)
	}
	if strings.ContainsFunc(value, control) {
		return invalidf("it has a control character: %s", quote(value))
	}
	if !isStrict {
		value = optional(value)
	}
	if value == "" {
		return nil // as if it were not there
	}
	if err := check(name, value); err != nil {
		return err
	}
	switch {
	case name == "keywords":
		p.m.Keywords = keywords(value)
	case name == "project-url":
		label, url, _ := strings.Cut(value, ",")
		p.m.ProjectURLs = append(p.m.ProjectURLs, Link{strings.TrimSpace(label), strings.TrimSpace(url)})
	case isStrict:
		*strict = value
	case isLine:
		*line = value
	case isSeveral:
		*several = append(*several, value)
	}
	return nil
}

// check says what is wrong with the value of a field, which isn't empty.
func check(name, value string) error {
	switch name {
	case "metadata-version":
		if !slices.Contains(metadataVersions[:], value) {
			return invalidf("%s is not one of %s", quote(value), strings.Join(metadataVersions[:], ", "))
		}
	case "name":
		if !ValidName(value) {
			return invalidf(`%s is no name: letters, digits and, not at its ends, "-_."; at most %d bytes`, quote(value), maxName)
		}
	case "version":
		_, err := CanonicalVersion(value)
		return err
	case "summary":
		if n := utf8.RuneCountInString(value); n > maxSummary {
			return invalidf("it has %d characters; at most %d are allowed", n, maxSummary)
		}
	case "description-content-type":
		return checkContentType(value)
	case "license-expression":
		if !license.MatchString(value) {
			return invalidf("%s is not a licence expression, like MIT OR Apache-2.0", quote(value))
		}
	case "home-page", "download-url":
		if len(value) > maxURL {
			return invalidf("it has %d bytes; at most %d are allowed", len(value), maxURL)
		}
	case "project-url":
		return checkProjectURL(value)
	case "requires-python":
		return checkSpecifiers(value)
	case "requires-dist":
		return checkRequirement(value)
	case "provides-extra":
		if !ValidName(value) {
			return invalidf("%s is no name for an extra", quote(value))
		}
	}
	return nil
}

func checkProjectURL(value string) error {
	label, url, ok := strings.Cut(value, ",")
	label, url = strings.TrimSpace(label), strings.TrimSpace(url)
	switch {
	case !ok || label == "" || url == "":
		return invalidf(`%s is not "label, URL"`, quote(value))
	case utf8.RuneCountInString(label) > maxLabel:
		return invalidf("the label %s has more than %d characters", quote(label), maxLabel)
	case len(url) > maxURL:
		return invalidf("the URL has %d bytes; at most %d are allowed", len(url), maxURL)
	}
	return nil
}

// checkContentType takes what PyPI takes.
func checkContentType(value string) error {
	t, parameters, err := mime.ParseMediaType(value)
	switch {
	case err != nil || t != "text/plain" && t != "text/x-rst" && t != "text/markdown":
		return invalidf("%s is not one of text/plain, text/x-rst, text/markdown", quote(value))
	case parameters["charset"] != "" && !strings.EqualFold(parameters["charset"], "UTF-8"):
		return invalidf("the charset is %s: only UTF-8 is taken", quote(parameters["charset"]))
	}
	if v := parameters["variant"]; t == "text/markdown" && v != "" && v != "GFM" && v != "CommonMark" {
		return invalidf("the variant is %s, not GFM or CommonMark", quote(v))
	}
	return nil
}

// checkText checks a value of several lines. Licences have form feeds.
func checkText(s string) error {
	if i := strings.IndexFunc(s, func(r rune) bool { return control(r) && r != '\n' && r != '\f' }); i >= 0 {
		return invalidf("it has a control character: %s", quote(s[i:min(len(s), i+maxQuoted)]))
	}
	return nil
}

// optional drops what old tools wrote where there was nothing to write.
func optional(s string) string {
	if s == "UNKNOWN" {
		return ""
	}
	return s
}

// keywords splits at commas; old files have spaces instead.
func keywords(value string) []string {
	split := strings.Fields
	if strings.Contains(value, ",") {
		split = func(s string) []string { return strings.Split(s, ",") }
	}
	var all []string
	for _, k := range split(value) {
		if k = strings.TrimSpace(k); k != "" {
			all = append(all, k)
		}
	}
	return all
}

// newlines makes \n of all ends of lines.
func newlines(s string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
}
