package index

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	nethtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

func TestReadme(t *testing.T) {
	m := newReadmes()
	for _, tt := range []struct{ name, in, want string }{
		{"headings are one lower, ids our own", "# Tea\n\n## How\n\n## How", `<h2 id="readme-tea">Tea</h2>
<h3 id="readme-how">How</h3>
<h3 id="readme-how-1">How</h3>`},
		{"deep headings end at six", "##### five\n\n###### six", `<h6 id="readme-five">five</h6>
<h6 id="readme-six">six</h6>`},
		{"headings in HTML, too", `<h1 align="center">Tea</h1>`, `<h2 align="center">Tea</h2>`},
		{"links", "[a](https://example.com/?a=1&b=2) [b](#how) [c](docs/x.md) [d](javascript:alert(1)) [e](mailto:a@example.com) [f](//evil.example/) [g](https://u:p@example.com)",
			`<p><a href="https://example.com/?a=1&amp;b=2" rel="nofollow noopener">a</a> <a href="#readme-how">b</a> <a>c</a> d <a href="mailto:a@example.com" rel="nofollow noopener">e</a> <a>f</a> <a>g</a></p>`},
		{"links are as headings' ids", "[a](#Café) [b](#Caf%C3%A9) [c](#Own) [d](#50%)\n\n# Café\n\n<p id=Own>x</p><p id=own>y</p>",
			`<p><a href="#readme-caf%C3%A9">a</a> <a href="#readme-caf%C3%A9">b</a> <a href="#readme-own">c</a> <a href="#readme-50%25">d</a></p>
<h2 id="readme-café">Café</h2>
<p id="readme-own">x</p><p>y</p>`},
		{"bare addresses", "see https://example.com/x", `<p>see <a href="https://example.com/x" rel="nofollow noopener">https://example.com/x</a></p>`},
		{"images", "![logo](https://example.com/a.png) ![rel](a.png) ![plain](http://example.com/a.png) <img src=https://example.com/b.png width=40>",
			`<p><img src="https://example.com/a.png" alt="logo" loading="lazy"/> rel plain <img src="https://example.com/b.png" width="40" alt="" loading="lazy"/></p>`},
		{"tables scroll", "| a | b |\n| - | -: |\n| 1 | 2 |", `<div class="scroll"><table>
<thead>
<tr>
<th>a</th>
<th align="right">b</th>
</tr>
</thead>
<tbody>
<tr>
<td>1</td>
<td align="right">2</td>
</tr>
</tbody>
</table></div>`},
		{"task lists", "- [x] done\n- [ ] open", "<ul>\n<li>☑ done</li>\n<li>☐ open</li>\n</ul>"},
		{"strikethrough and code", "~~no~~ `a<b`\n\n```python\nx = \"<b>\"\n```", "<p><del>no</del> <code>a&lt;b</code></p>\n<pre><code>x = &#34;&lt;b&gt;&#34;\n</code></pre>"},
		{"what is left open is closed", "<div><b>never closed", `<div><b>never closed</b></div>`},
		{"what closes too much closes nothing of ours", "</div></main></body><p>x</p>", `<p>x</p>`},
		{"ids of ours can't be taken", `<p id="main">x</p><p id="main">y</p>`, `<p id="readme-main">x</p><p>y</p>`},
		{"no styles, classes, frames, forms", `<p style="position:fixed" class="note" onclick="x()">x</p><iframe src="https://example.com"></iframe><form action="https://example.com"><input name=a><button>b</button></form>`, "<p>x</p>b"},
	} {
		if got := m.render(tt.in, "text/markdown"); strings.TrimSpace(got.HTML) != tt.want || got.Plain != "" || got.Note != "" {
			t.Errorf("%s:\n%s\nwant\n%s\n%+v", tt.name, got.HTML, tt.want, got.Note)
		}
	}
}

func TestReadmeTypes(t *testing.T) {
	m := newReadmes()
	for _, tt := range []struct {
		text, contentType string
		html, plain, note bool
	}{
		{"# x", "text/markdown", true, false, false},
		{"# x", "text/markdown; charset=UTF-8; variant=CommonMark", true, false, false},
		{"# x", "Text/Markdown", true, false, false},
		{"<b>", "text/plain", false, true, false},
		{"x\n=", "text/x-rst", false, true, true},
		{"x\n=", "", false, true, true},
		{"x", "text/html", false, true, true},
		{"x", ";;", false, true, true},
		{" \n", "text/markdown", false, false, false},
		{"UNKNOWN", "", false, false, false},
		{strings.Repeat("<b>", 1000), "text/markdown", false, true, true}, // nested too deeply
		{strings.Repeat("x", maxReadme+1), "text/markdown", false, true, true},
	} {
		d := m.render(tt.text, tt.contentType)
		if d.HTML != "" != tt.html || d.Plain != "" != tt.plain || d.Note != "" != tt.note {
			t.Errorf("%.20q as %q: HTML %.40q, plain %.40q, note %q", tt.text, tt.contentType, d.HTML, d.Plain, d.Note)
		}
	}
}

// hostile are descriptions that want to run something.
var hostile = []string{
	`<script>alert(1)</script>`,
	`<img src=x onerror=alert(1)>`,
	`<svg><script>alert(1)</script></svg>`,
	`<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`,
	`<a href="javascript:alert(1)">x</a> <a href=" java	script:alert(1)">x</a> <a href="data:text/html,<script>alert(1)</script>">x</a>`,
	"[x](javascript:alert(1)) [y](<java\tscript:alert(1)>) [z](vbscript:x) ![i](javascript:alert(1)) <javascript:alert(1)>",
	`[x]: javascript:alert(1)` + "\n\n[x]",
	`<style>*{display:none}</style><link rel=stylesheet href=https://evil.example/x.css><base href=https://evil.example/>`,
	`<iframe srcdoc="<script>alert(1)</script>"></iframe><object data=x></object><embed src=x>`,
	`<form action=https://evil.example/><input type=password name=p><button formaction=javascript:alert(1)>x`,
	`<p onmouseover=alert(1) style="background:url(javascript:alert(1))">x`,
	`<meta http-equiv=refresh content="0;url=https://evil.example/">`,
	"`</code><script>alert(1)</script>`\n\n```\n</code></pre><script>alert(1)</script>\n```",
	"<!-- --><script>alert(1)</script><!-- -->",
	"<details open ontoggle=alert(1)><summary>x</summary></details>",
	`<img src="https://example.com/a.png" srcset="javascript:alert(1)" onload=alert(1) style=x>`,
	`<p title='"><script>alert(1)</script>'>x</p> <abbr title='"><script>alert(1)</script>'>x</abbr>`,
	"<xmp><script>alert(1)</script></xmp><plaintext><script>alert(1)</script>",
	"\x00<scr\x00ipt>alert(1)</scr\x00ipt>",
	`<template><script>alert(1)</script></template><slot onslotchange=x>`,
	`<input type="checkbox" autofocus onfocus=alert(1)>`,
}

func TestReadmeIsHarmless(t *testing.T) {
	m := newReadmes()
	for _, in := range hostile {
		if why := harmful(m.render(in, "text/markdown").HTML); why != "" {
			t.Errorf("%s\nleaves %s:\n%s", in, why, m.render(in, "text/markdown").HTML)
		}
	}
	if harmful(`<p onclick="x">`) == "" || harmful("<script>x</script>") == "" || harmful(`<a href="javascript:x">`) == "" || harmful("<b>") == "" {
		t.Error("the check finds nothing")
	}
}

// harmful says what HTML has that a description may not have: judged from what a browser would see.
func harmful(html string) string {
	nodes, err := nethtml.ParseFragment(strings.NewReader(html), &nethtml.Node{Type: nethtml.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil {
		return err.Error()
	}
	allowed := " article aside section figure figcaption details summary h2 h3 h4 h5 h6 p div span br hr wbr blockquote pre center a abbr b cite " +
		"code del dfn em i ins kbd mark q s samp small strike strong sub sup tt u var dl dt dd ul ol li caption table thead tbody tfoot tr th td col colgroup img "
	var walk func(n *nethtml.Node) string
	walk = func(n *nethtml.Node) string {
		if n.Type == nethtml.ElementNode {
			if !strings.Contains(allowed, " "+n.Data+" ") || n.Namespace != "" {
				return "the element " + n.Data
			}
			for _, a := range n.Attr {
				v := strings.ToLower(strings.TrimSpace(a.Val))
				switch a.Key {
				case "href":
					if !strings.HasPrefix(v, "http://") && !strings.HasPrefix(v, "https://") && !strings.HasPrefix(v, "mailto:") && !strings.HasPrefix(v, "#readme-") {
						return "the link " + a.Val
					}
				case "src":
					if !strings.HasPrefix(v, "https://") {
						return "the source " + a.Val
					}
				case "id":
					if !strings.HasPrefix(a.Val, "readme-") {
						return "the id " + a.Val
					}
				case "class":
					if a.Val != "scroll" {
						return "the class " + a.Val
					}
				case "title", "alt", "rel", "loading", "align", "width", "height", "open", "start", "cellspacing", "cellpadding", "border",
					"colspan", "rowspan", "headers", "scope", "summary", "abbr", "span", "valign", "nowrap", "bgcolor", "char", "charoff", "axis", "rules", "frame":
				default:
					return "the attribute " + a.Key
				}
			}
		} else if n.Type != nethtml.TextNode {
			return fmt.Sprintf("a node of type %d", n.Type)
		}
		for c := range n.ChildNodes() {
			if why := walk(c); why != "" {
				return why
			}
		}
		return ""
	}
	var b strings.Builder
	for _, n := range nodes {
		if why := walk(n); why != "" {
			return why
		}
		_ = nethtml.Render(&b, n)
	}
	if b.String() != html {
		return "what a browser reads in another way: " + b.String()
	}
	return ""
}

func FuzzReadme(f *testing.F) {
	for _, in := range hostile {
		f.Add(in)
	}
	f.Add("# a\n\n| x | y |\n|---|---|\n| <div> | </table> |\n\n- [ ] `x` ~~y~~ https://example.com")
	m := newReadmes()
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 10_000 {
			return
		}
		if why := harmful(m.render(in, "text/markdown").HTML); why != "" {
			t.Errorf("%q leaves %s:\n%s", in, why, m.render(in, "text/markdown").HTML)
		}
	})
}

// What a description costs must grow with its length, not with its square: a render holds a claim. Each of these, repeated,
// takes by far less processor time than a square would.
func TestReadmeCostIsBounded(t *testing.T) {
	cost := func(seed string, long int) time.Duration {
		in := strings.Repeat(seed, long/len(seed))
		before := processorTime(t)
		newReadmes().render(in, "text/markdown")
		return processorTime(t) - before
	}
	for _, seed := range []string{
		"[a](", "[[a]](", "> ", "1. ", "[", "![", "[a][", "[a]: x\n", "[a]: <", "*", "**a", "***a* ", "a**b", "_a ", "~~", "`", "`a``", "- ", "  - a\n",
		"<", "<a ", "<a href=\"", "<b>x", "</b>", "<!--", "<?", "<![CDATA[", "<p>", "<table>", "<a><b>", "<img src=https://a.b/>", "<p id=a>",
		"&", "&#1", "|", "| a ", "|-|\n", "# ", "# a\n", "x\n===\n", "- [ ] a\n", "\\", "\n", "\t", "```\n", "http://a", "www.a.", "a@b.", "é",
	} {
		if took := cost(seed, maxReadme/4); took > 3*time.Second {
			t.Errorf("%q, repeated to %s, takes %v", seed, size(maxReadme/4), took)
		}
	}
}

// processorTime is that of this process: the machine may have other things to do.
func processorTime(t *testing.T) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
