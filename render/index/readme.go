package index

import (
	"bytes"
	"mime"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	nethtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// readmes renders descriptions, two at a time. It is safe for concurrent use.
//
// Whoever uploads writes them, so they are untrusted: Markdown becomes HTML, which the sanitizer reduces to harmless
// elements; what is left is parsed, so that no element stays open, and fitted into our page: headings one level lower,
// ids in a space of their own. The page's Content-Security-Policy stands behind all that. What it may cost is bounded at
// each step: see readme_bounds.go.
type readmes struct {
	markdown  goldmark.Markdown
	sanitizer *bluemonday.Policy
	busy      chan struct{} // has room for those that are being rendered
}

func newReadmes() *readmes {
	return &readmes{
		markdown: goldmark.New(
			goldmark.WithExtensions(
				extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
				extension.Strikethrough, extension.Linkify, extension.TaskList,
			),
			goldmark.WithParserOptions(parser.WithAutoHeadingID()),
			goldmark.WithRendererOptions(html.WithUnsafe()), // READMEs have HTML in them; the sanitizer comes next
		),
		sanitizer: sanitizer(),
		busy:      make(chan struct{}, 2),
	}
}

// sanitizer lists what a description may consist of. Nothing that styles, runs, embeds or asks for input.
func sanitizer() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("article", "aside", "section", "figure", "figcaption", "details", "summary",
		"h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "span", "br", "hr", "wbr", "blockquote", "pre", "center",
		"a", "abbr", "b", "cite", "code", "del", "dfn", "em", "i", "ins", "kbd", "mark", "q", "s", "samp", "small", "strike",
		"strong", "sub", "sup", "tt", "u", "var", "dl", "dt", "dd", "ul", "ol", "li", "caption")
	p.AllowTables()
	p.AllowAttrs("id").Matching(regexp.MustCompile(`^[\p{L}\p{N}_.:-]{1,200}$`)).Globally()
	p.AllowAttrs("title").Matching(bluemonday.Paragraph).OnElements("a", "abbr", "img")
	p.AllowAttrs("align").Matching(regexp.MustCompile(`^(?i)(left|center|right)$`)).
		OnElements("p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "td", "th", "img", "table")
	p.AllowAttrs("open").Matching(regexp.MustCompile(`^(|open)$`)).OnElements("details")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowAttrs("href").OnElements("a")
	p.AllowAttrs("src", "alt").OnElements("img")
	p.AllowAttrs("width", "height").Matching(bluemonday.NumberOrPercent).OnElements("img")
	p.AllowAttrs("type").Matching(regexp.MustCompile(`^checkbox$`)).OnElements("input") // of task lists; they become text
	p.AllowAttrs("checked").OnElements("input")
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowRelativeURLs(true) // for "#part"; others are taken out later
	p.RequireParseableURLs(true)
	return p
}

// A description is a rendered one, as HTML, or one to be shown as it was written.
type description struct {
	HTML  string // safe; empty: see Plain
	Plain string
	Note  string // why it is shown as it was written, if there is more to it
}

// render renders a description of the given type (core metadata: Description-Content-Type; without one,
// reStructuredText).
func (m *readmes) render(text, contentType string) description {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if strings.TrimSpace(text) == "" || strings.TrimSpace(text) == "UNKNOWN" { // as old tools write
		return description{}
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && mediaType == "text/plain":
		return description{Plain: text}
	case err != nil && contentType != "" || err == nil && mediaType != "text/markdown" && mediaType != "text/x-rst":
		return description{Plain: text, Note: "The description's type is not known here, so it is shown as written."}
	case mediaType != "text/markdown":
		return description{Plain: text, Note: "reStructuredText is shown as written."}
	case len(text) > maxReadme:
		return description{Plain: text, Note: "The description is too long to be rendered, so it is shown as written."}
	case tangled(text):
		return description{Plain: text, Note: "The description is too tangled to be rendered, so it is shown as written."}
	}
	m.busy <- struct{}{} // whoever is before us is soon done: each is bounded
	defer func() { <-m.busy }()
	html, err := m.html(text)
	if err != nil {
		return description{Plain: text, Note: "The description is too tangled to be rendered, so it is shown as written."}
	}
	return description{HTML: html}
}

// html renders Markdown. What is nested too deeply or becomes too long is an error.
func (m *readmes) html(text string) (string, error) {
	rendered, err := m.convert(text)
	if err != nil {
		return "", err
	}
	untangled, err := untangle(m.sanitizer.SanitizeReader(rendered))
	if err != nil {
		return "", err
	}
	body := &nethtml.Node{Type: nethtml.ElementNode, Data: "div", DataAtom: atom.Div}
	nodes, err := nethtml.ParseFragment(untangled, body)
	if err != nil { // nested too deeply
		return "", err
	}
	for _, n := range nodes {
		body.AppendChild(n)
	}
	(&fitting{ids: make(map[string]bool)}).children(body)
	var b limited
	for n := range body.ChildNodes() {
		if err := nethtml.Render(&b, n); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// convert makes HTML of Markdown. goldmark hears of no error before it has written everything; so the writer panics.
func (m *readmes) convert(text string) (_ *bytes.Buffer, err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errLongHTML {
				panic(r)
			}
			err = errLongHTML
		}
	}()
	b := &limited{stop: true}
	err = m.markdown.Convert([]byte(text), b, parser.WithContext(parser.NewContext(parser.WithIDs(make(headingIDs)))))
	return &b.Buffer, err
}

// headingIDs makes the ids of headings, as GitHub does: READMEs link to them. goldmark's own take longer with each heading
// of the same text.
type headingIDs map[string]int // how often each was made

// Generate implements parser.IDs.
func (h headingIDs) Generate(text []byte, _ ast.NodeKind) []byte {
	var b strings.Builder
	for _, c := range strings.ToLower(strings.TrimSpace(string(text))) {
		switch {
		case unicode.IsLetter(c) || unicode.IsDigit(c) || c == '-' || c == '_':
			b.WriteRune(c)
		case c == ' ':
			b.WriteByte('-')
		}
		if b.Len() > maxID {
			break
		}
	}
	id := b.String()
	if id == "" {
		id = "part"
	}
	n := h[id]
	h[id]++
	if n > 0 {
		id += "-" + strconv.Itoa(n)
	}
	return []byte(id)
}

// Put implements parser.IDs: ids that the text gives its headings.
func (h headingIDs) Put(id []byte) { h[string(id)]++ }

// maxID bounds an id, in bytes.
const maxID = 180

// fitting fits a sanitized description into our page. The parser has bounded how deep it is.
type fitting struct {
	ids map[string]bool // used
}

const readmePrefix = "readme-"

func (f *fitting) children(parent *nethtml.Node) {
	for n := parent.FirstChild; n != nil; {
		next := n.NextSibling // fit may put something else in n's place
		switch {
		case isMark(n):
			parent.RemoveChild(n)
		case n.Type == nethtml.ElementNode:
			f.fit(parent, n)
		}
		n = next
	}
}

func (f *fitting) fit(parent, n *nethtml.Node) {
	f.id(n)
	switch n.DataAtom {
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5:
		n.Data = "h" + string(n.Data[1]+1) // the page has its own h1
		n.DataAtom = atom.Lookup([]byte(n.Data))
	case atom.A:
		link(n)
	case atom.Img:
		if !image(n) {
			replace(parent, n, attribute(n, "alt"))
			return
		}
	case atom.Input:
		mark := "☐"
		if has(n, "checked") {
			mark = "☑"
		}
		replace(parent, n, mark)
		return
	case atom.Table:
		f.children(n)
		scroll := &nethtml.Node{Type: nethtml.ElementNode, Data: "div", DataAtom: atom.Div, Attr: []nethtml.Attribute{{Key: "class", Val: "scroll"}}}
		parent.InsertBefore(scroll, n)
		parent.RemoveChild(n)
		scroll.AppendChild(n)
		return
	}
	f.children(n)
}

// id puts ids into a space of their own, where they can't stand for our own ones, and keeps each once, in lower case: as
// headings' are, and what links lead to.
func (f *fitting) id(n *nethtml.Node) {
	for i, a := range n.Attr {
		if a.Key != "id" {
			continue
		}
		id := strings.ToLower(a.Val)
		if f.ids[id] {
			n.Attr = append(n.Attr[:i], n.Attr[i+1:]...)
			return
		}
		f.ids[id] = true
		n.Attr[i].Val = readmePrefix + id
		return
	}
}

// link keeps links to other sites, and to parts of the description. Where others lead depends on where the description
// was written for: they stay as text.
func link(n *nethtml.Node) {
	href := attribute(n, "href")
	remove(n, "href")
	if part, ok := strings.CutPrefix(href, "#"); ok && part != "" {
		if plain, err := url.PathUnescape(part); err == nil {
			part = plain
		}
		to := url.URL{Fragment: readmePrefix + strings.ToLower(part)}
		n.Attr = append(n.Attr, nethtml.Attribute{Key: "href", Val: to.String()})
	} else if isWebURL(href) || strings.HasPrefix(strings.ToLower(href), "mailto:") {
		n.Attr = append(n.Attr, nethtml.Attribute{Key: "href", Val: href}, nethtml.Attribute{Key: "rel", Val: "nofollow noopener"})
	}
}

// image keeps images that browsers will load from our pages.
func image(n *nethtml.Node) bool {
	if src := attribute(n, "src"); !isWebURL(src) || !strings.HasPrefix(strings.ToLower(src), "https:") {
		return false
	}
	if !has(n, "alt") {
		n.Attr = append(n.Attr, nethtml.Attribute{Key: "alt"})
	}
	n.Attr = append(n.Attr, nethtml.Attribute{Key: "loading", Val: "lazy"})
	return true
}

// isWebURL reports whether a URL leads to a site: http or https, with a host and no credentials.
func isWebURL(s string) bool {
	u, err := url.Parse(strings.TrimSpace(s))
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func replace(parent, n *nethtml.Node, text string) {
	parent.InsertBefore(&nethtml.Node{Type: nethtml.TextNode, Data: text}, n)
	parent.RemoveChild(n)
}

func attribute(n *nethtml.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *nethtml.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

func remove(n *nethtml.Node, key string) {
	for i, a := range n.Attr {
		if a.Key == key {
			n.Attr = append(n.Attr[:i], n.Attr[i+1:]...)
			return
		}
	}
}
