package dist

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	tarBlock   = 512
	maxTarMeta = 1 << 20 // bytes of a header that only describes the next entry; archive/tar has the same bound
)

// A tarGate lets a tar archive through as long as whoever unpacks it finds the same in it. The formats have grown over
// forty years, and readers guess in different ways: what Go takes for a harmless path may be another for Python's tarfile,
// which pip unpacks with. So only what tools write today passes.
type tarGate struct {
	r      io.Reader
	buf    []byte // a header, and what a meta header says
	ready  []byte // what of buf is still to be read
	data   int64  // bytes of the entry behind buf, with padding
	before string // types of the meta headers since the last entry
	size   string // the size they say, if any
	ended  bool
}

func (g *tarGate) Read(p []byte) (int, error) {
	if len(g.ready) == 0 && g.data == 0 && !g.ended {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.ready) > 0 {
		n := copy(p, g.ready)
		g.ready = g.ready[n:]
		return n, nil
	}
	if g.ended { // zeros: the caller checks
		return g.r.Read(p)
	}
	n, err := g.r.Read(p[:min(int64(len(p)), g.data)])
	g.data -= int64(n)
	return n, err
}

// next reads and checks a header.
func (g *tarGate) next() error {
	g.buf = slices.Grow(g.buf[:0], tarBlock)[:tarBlock]
	_, err := io.ReadFull(g.r, g.buf)
	if err != nil && err != io.EOF {
		return err
	}
	if err == io.EOF || !slices.ContainsFunc(g.buf, notZero) {
		if g.before != "" {
			return invalidf("its last header describes an entry that is not there: build it anew")
		}
		g.ended = true
		if err == nil {
			g.ready = g.buf
		}
		return err
	}
	if err := checkTarHeader(g.buf); err != nil {
		return err
	}
	size, ok := tarSize(g.buf[124:136])
	if !ok {
		return invalidf("the tar archive has a header with an impossible size: build it anew")
	}
	switch t := g.buf[156]; t {
	case 'g', 'x', 'L', 'K':
		err = g.meta(t, size)
	case 0: // a folder, if its name ends in a slash: readers differ in which name that is
		err = invalidf("an entry has the type of the oldest tar archives (0): build it anew with a current tool")
	default:
		err = g.entry(t, size)
	}
	g.ready = g.buf
	return err
}

// entry checks what the header of an entry says of its size.
func (g *tarGate) entry(t byte, size int64) error {
	switch {
	case g.size != "" && g.size != strconv.FormatInt(size, 10):
		return invalidf("an entry has two sizes, %d and %s: build it anew", size, quote(g.size))
	case t == '0':
		g.data = (size + tarBlock - 1) / tarBlock * tarBlock
	case size != 0: // some readers skip so much, others don't
		return invalidf("an entry has a size and is no file (type %q): build it anew", t)
	}
	g.before, g.size = "", ""
	return nil
}

// meta reads and checks a meta header: a name too long for the header, or records.
func (g *tarGate) meta(t byte, size int64) error {
	g.before += string(t)
	switch strings.TrimPrefix(g.before, "g") {
	case "", "x", "L", "K", "LK", "KL":
	default: // which one wins, and what is forgotten, each reader decides for itself
		return invalidf("an entry has headers of types %s in front, which contradict each other: build it anew", quote(g.before))
	}
	if size == 0 || size > maxTarMeta {
		return invalidf("a header before an entry has %d bytes; 1 to %d are allowed: build it anew", size, maxTarMeta)
	}
	padded := (size + tarBlock - 1) / tarBlock * tarBlock
	g.buf = slices.Grow(g.buf, int(padded))[:tarBlock+padded]
	if _, err := io.ReadFull(g.r, g.buf[tarBlock:]); err == io.EOF {
		return io.ErrUnexpectedEOF
	} else if err != nil {
		return err
	}
	body, padding := g.buf[tarBlock:tarBlock+size], g.buf[tarBlock+size:]
	if slices.ContainsFunc(padding, notZero) { // Python reads on there
		return invalidf("something stands behind the end of a header: build it anew")
	}
	if t == 'L' || t == 'K' {
		if name := bytes.TrimRight(body, "\x00"); len(name) == 0 || bytes.IndexByte(name, 0) >= 0 {
			return invalidf("a long name is empty or has a NUL in it: build it anew")
		}
		return nil
	}
	return g.records(body, t == 'g')
}

// records checks PAX records: "12 key=value\n", with the length of the whole in front.
func (g *tarGate) records(b []byte, global bool) error {
	if bytes.Contains(b, []byte(" hdrcharset=")) { // Python looks for it anywhere
		return invalidf("a header says in which encoding names are: build it anew, with names in UTF-8")
	}
	seen := map[string]bool{}
	for len(b) > 0 {
		digits, _, _ := bytes.Cut(b, []byte(" "))
		n, err := strconv.ParseUint(string(digits), 10, 31) // no sign, unlike archive/tar
		if err != nil || digits[0] == '0' || n > uint64(len(b)) || n < uint64(len(digits))+2 || b[n-1] != '\n' {
			return invalidf("a header has a record of a wrong length: build it anew")
		}
		key, value, ok := strings.Cut(string(b[len(digits)+1:n-1]), "=")
		b = b[n:]
		switch {
		case !ok || key == "" || seen[key]:
			return invalidf("a header has the record %s twice or without a value: build it anew", quote(key))
		case global && key != "comment": // Go forgets it, Python doesn't
			return invalidf("a header sets %s for all entries: build it anew, without global headers", quote(key))
		case value == "" && (key == "path" || key == "linkpath" || key == "size"):
			return invalidf("a header has an empty %s: build it anew", key)
		case key == "size":
			g.size = value
		}
		seen[key] = true
	}
	return nil
}

// checkTarHeader checks the form of a header, whatever it is for.
func checkTarHeader(b []byte) error {
	sum := int64(0)
	for i, c := range b {
		if i >= 148 && i < 156 { // the checksum itself
			c = ' '
		}
		sum += int64(c)
	}
	if said, ok := tarOctal(b[148:156]); !ok || said != sum {
		return invalidf("it is damaged (a tar header's checksum is wrong): build or upload it anew")
	}
	end := 0 // of what the format uses
	switch {
	case string(b[257:265]) == "ustar  \x00": // GNU: Python takes times that stand here for a folder's name
		end = 345
	case string(b[257:263]) == "ustar\x00":
		end = 500
	default:
		return invalidf("a tar header is of none of the formats ustar, pax and GNU: build it anew with a current tool")
	}
	if slices.ContainsFunc(b[end:], notZero) {
		return invalidf("a tar header has something where its format has nothing: build it anew (not as an incremental backup)")
	}
	for _, at := range [][2]int{{100, 108}, {108, 116}, {116, 124}, {136, 148}, {329, 337}, {337, 345}} {
		field := b[at[0]:at[1]]
		if _, ok := tarOctal(field); !ok && field[0] != 0x80 && field[0] != 0xff { // binary
			return invalidf("a tar header has %s for a number: build it anew", quote(string(field)))
		}
	}
	return nil
}

// tarSize reads a size: octal or, from 8 GiB on, binary.
func tarSize(b []byte) (int64, bool) {
	if b[0] != 0x80 {
		return tarOctal(b)
	}
	n := int64(0)
	for i, c := range b[1:] {
		if i < 4 && c != 0 {
			return 0, false
		}
		n = n<<8 | int64(c)
	}
	return n, true
}

// tarOctal reads a number as all read it: spaces, octal digits, then spaces and NULs only.
func tarOctal(b []byte) (int64, bool) {
	digits := bytes.TrimRight(bytes.TrimLeft(b, " "), " \x00")
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '7' {
			return 0, false
		}
		n = n<<3 | int64(c-'0')
	}
	return n, true
}

func notZero(c byte) bool { return c != 0 }
