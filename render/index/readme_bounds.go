package index

import (
	"bytes"
	"errors"
	"io"
	"strings"

	nethtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Bounds of what it takes to render a description. One beyond them is shown as it was written.
//
// The parsers of Markdown and of HTML take more than their input is long: each line, blank ones too, is looked at again for
// each list and quote it is in; each bracket or emphasis mark of a block for those before it; what follows a bracket or
// backquote for each that is open; a table's short rows are filled up to its columns; elements such as <b>, left open in one
// paragraph, are opened again in each of the next ones.
const (
	maxReadme   = 256 << 10 // bytes of Markdown
	maxMarkers  = 50        // of lists and quotes before a line's text
	maxOpen     = 500_000   // the sum of the lists and quotes each line may be in
	maxBrackets = 25e6      // the sum of squares: one block of 5,000 brackets, or 2,500 blocks of 100
	maxMarks    = 100e6     // the same of emphasis marks: one block of 10,000
	maxNested   = 20e6      // the sum of the brackets that may be open at each byte
	maxQuoted   = 2e9       // the sum of the backquotes before each byte, in its block
	maxCells    = 50_000    // of all tables
	maxHTML     = 2 << 20   // bytes of HTML
	maxReopened = 4 << 20   // bytes of tags that the HTML parser may have to repeat, see untangle
)

// tangled reports whether a Markdown text goes beyond its bounds. It counts generously, without parsing: what it takes for
// one block are one or more to the parser.
func tangled(text string) bool {
	var b block
	var open, openSum, bracketSquares, markSquares, nested, quoted, cells int
	blank := true // the line before
	for line := range strings.Lines(text) {
		in := markers(line)
		if in > maxMarkers {
			return true
		}
		if openSum += open; openSum > maxOpen {
			return true
		}
		if strings.Trim(line, " \t\n") == "" { // what else Unicode says is a space doesn't end a block
			b, blank = block{}, true
			continue
		}
		if open = max(open, in); blank && line[0] != ' ' && line[0] != '\t' { // this ends all it isn't in
			open = in
		}
		blank = false
		before := b
		b.line(line)
		bracketSquares += b.brackets*b.brackets - before.brackets*before.brackets
		markSquares += b.marks*b.marks - before.marks*before.marks
		nested += b.nested - before.nested
		quoted += b.quoted - before.quoted
		cells += before.columns // it may have been a table's head so far
		if bracketSquares > maxBrackets || markSquares > maxMarks || nested > maxNested || quoted > maxQuoted || cells > maxCells {
			return true
		}
	}
	return false
}

// A block is what has been counted since the last blank line.
type block struct {
	brackets, open int // "[": all, and those that no "]" followed
	marks          int // runs of "*" or "_"; each "~", as the parser takes them
	quotes         int // runs of "`"
	columns        int // of the table this may be
	nested, quoted int // the sums of open and quotes at each byte
}

func (b *block) line(line string) {
	before := byte('\n')
	for i := range len(line) {
		c := line[i]
		switch {
		case c == '[':
			b.brackets++
			b.open++
		case c == ']' && before != '\\':
			b.open = max(0, b.open-1)
		case c == '~', (c == '*' || c == '_') && c != before:
			b.marks++
		case c == '`' && c != before:
			b.quotes++
		}
		b.nested += b.open
		b.quoted += b.quotes
		before = c
	}
	if strings.Trim(line, delimiterRow) == "" {
		b.columns = max(b.columns, strings.Count(line, "|")+1)
	}
}

// delimiterRow are the characters of the line between a table's head and its rows, and of markers before it.
const delimiterRow = "|-: \t\n\v\f\r>*+.)0123456789"

// markers counts what may be markers of lists and quotes before a line's text: those there are, and those of the lines
// before that it is indented for.
func markers(line string) int {
	if strings.Trim(line, "- \t\n") == "" || strings.Trim(line, "* \t\n") == "" { // a rule
		return min(1, strings.Count(line, "-")+strings.Count(line, "*"))
	}
	n, width, all := 0, 0, 0
	for i := range len(line) {
		switch c := line[i]; {
		case c == ' ':
			width++
			continue
		case c == '\t':
			width += 4
			continue
		case c == '>':
		case c == '-' || c == '+' || c == '*' || (c == '.' || c == ')') && i > 0 && line[i-1] >= '0' && line[i-1] <= '9':
			if i+1 < len(line) && !strings.ContainsRune(" \t\n\v\f\r", rune(line[i+1])) {
				return all
			}
		case c >= '0' && c <= '9':
			continue
		default:
			return all
		}
		n++
		all = n + max(0, width-n)/2
	}
	return all
}

var (
	errLongHTML = errors.New("the HTML is too long")
	errReopened = errors.New("the HTML leaves too many elements open")
)

// limited is a buffer of at most maxHTML bytes.
type limited struct {
	bytes.Buffer
	stop bool // panic with errLongHTML instead of returning it
}

func (b *limited) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxHTML {
		if b.stop {
			panic(errLongHTML)
		}
		return 0, errLongHTML
	}
	return b.Buffer.Write(p)
}

// untangle makes sanitized HTML cheap to parse, or refuses it.
//
// The parser opens formatting elements again that are open at the end of another element. Each tag may be such an end, so it
// counts as many bytes as the tags that may be open there, and a bit for each node. The parser also drops tags that don't
// fit, and appends the text behind to that before, copying all of it each time; so there is a mark between them.
func untangle(sanitized io.Reader) (io.Reader, error) {
	var out bytes.Buffer
	open, reopened := 0, 0
	closable := make(map[atom.Atom][]int) // the bytes of those an end tag would certainly close
	dropped := false                      // the tag before may be dropped
	z := nethtml.NewTokenizer(sanitized)
	for {
		kind := z.Next()
		raw := z.Raw()
		switch kind {
		case nethtml.ErrorToken:
			if err := z.Err(); err != io.EOF {
				return nil, err
			}
			return &out, nil
		case nethtml.TextToken:
			raw = bytes.Clone(raw) // Text changes it
			if dropped {
				out.WriteString(mark(z.Text()))
			}
			out.Write(raw)
			dropped = false
			continue
		}
		out.Write(raw)
		size := len(raw) + 64
		name, _ := z.TagName()
		tag := atom.Lookup(name)
		if reopened += open; reopened > maxReopened {
			return nil, errReopened
		}
		dropped = kind == nethtml.EndTagToken
		switch tag {
		case atom.A, atom.B, atom.Code, atom.Em, atom.I, atom.S, atom.Small, atom.Strike, atom.Strong, atom.Tt, atom.U: // as the parser has them
			if sizes := closable[tag]; kind != nethtml.EndTagToken {
				closable[tag] = append(sizes, size)
				open += size
			} else if last := len(sizes) - 1; last >= 0 {
				closable[tag] = sizes[:last]
				open -= sizes[last]
			}
		case atom.Table, atom.Td, atom.Th, atom.Caption: // end tags inside don't close what is open outside
			clear(closable)
			dropped = true
		case atom.Tbody, atom.Thead, atom.Tfoot, atom.Tr, atom.Colgroup, atom.Col:
			dropped = true
		}
	}
}

// mark is what stands before a text, to be taken out again: something that ends up where the text does. From inside a table,
// that is before it, but for spaces. Nothing in sanitized HTML looks like it.
func mark(text []byte) string {
	if len(bytes.Trim(text, " \t\r\n\f")) == 0 {
		return "<!---->"
	}
	return `<wbr class="mark">`
}

func isMark(n *nethtml.Node) bool {
	return n.Type == nethtml.CommentNode || n.DataAtom == atom.Wbr && has(n, "class")
}
