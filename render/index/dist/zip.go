package dist

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// A zip archive can be read from its end, by the central directory, or from its beginning, entry by entry; and readers
// differ in what they make of archives in which both don't agree. So that there is one way to read what we take, every
// byte must be accounted for: the entries of the central directory lie one behind another from the first byte on, each
// with a local header that says the same; behind them lies the directory, and behind that the record that ends it, in
// which nothing else could be found. That leaves no room for entries that overlap (one kernel of data that unpacks a
// thousand times), for a second archive in front or behind, and for files that only some readers see.
//
// The form is that of APPNOTE.TXT 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.

const (
	zipLocal      = 0x04034b50 // signatures
	zipDescriptor = 0x08074b50
	zipCentral    = 0x02014b50
	zipEnd        = 0x06054b50
	zipEnd64      = 0x06064b50
	zipLocator64  = 0x07064b50

	zipLocalSize     = 30 // bytes, without what varies
	zipCentralSize   = 46
	zipEndSize       = 22
	zipEnd64Size     = 56
	zipLocator64Size = 20

	zipStored   = 0 // methods
	zipDeflated = 8

	zipHasDescriptor = 1 << 3 // flags
	zipUTF8          = 1 << 11
	zipEncrypted     = 1<<0 | 1<<6 | 1<<13
	// zipFlags are those that change nothing for us, and those above that we heed: 1 and 2 say how hard deflate tried.
	zipFlags = 1<<1 | 1<<2 | zipHasDescriptor | zipUTF8

	zipExtra64   = 0x0001 // extra fields: sizes and offset in 64 bits
	zipExtraName = 0x7075 // another name, in UTF-8

	max16, max32 = 1<<16 - 1, 1<<32 - 1

	// maxDirectory bounds the central directory, in bytes: it is the one part that is kept in memory.
	maxDirectory = 32 << 20
)

var le = binary.LittleEndian

// A zipEntry is what the central directory says of a file or folder.
type zipEntry struct {
	name             string // a folder's without its slash
	dir              bool
	flags, method    uint16
	crc              uint32
	packed, unpacked int64
	header           int64 // where the local header lies
	start            int64 // where the content lies
	attributes       uint32
}

// A zipArchive is one whose layout is sound. Not for concurrent use.
type zipArchive struct {
	s       *source
	l       Limits
	entries []zipEntry // in the order in which they lie
	tree    *tree

	buf     []byte // for unpack
	packed  *bufio.Reader
	inflate io.ReadCloser
}

// openZip reads the directory and checks the layout, the paths and the sizes that are claimed. Memory: the directory, and
// a small part of it again.
func openZip(s *source, l Limits) (*zipArchive, error) {
	z := &zipArchive{s: s, l: l, tree: newTree(l.Entries)}
	start, err := z.readDirectory()
	if err != nil {
		return nil, err
	}
	var total int64
	for i := range z.entries {
		e := &z.entries[i]
		if err := e.check(); err != nil {
			return nil, err
		}
		k := file
		if e.dir {
			k = folder
		}
		if err := z.tree.add(e.name, k); err != nil {
			return nil, err
		}
		if e.unpacked > l.Unpacked { // so that the sum can't overflow
			return nil, l.unpacked(e.unpacked, s.size)
		}
		total += e.unpacked
		if err := l.unpacked(total, s.size); err != nil {
			return nil, err
		}
	}
	return z, z.checkLayout(start)
}

// readDirectory returns where the central directory begins.
func (z *zipArchive) readDirectory() (start int64, err error) {
	size := z.s.size
	tail := make([]byte, min(size, zipEndSize+max16+zipEnd64Size+zipLocator64Size))
	if _, err := z.s.ReadAt(tail, size-int64(len(tail))); err != nil {
		return 0, err
	}
	// The last place that looks like the end is where readers look.
	at := bytes.LastIndex(tail, le.AppendUint32(nil, zipEnd))
	if at < 0 || len(tail)-at < zipEndSize {
		return 0, invalidf("it is not a zip archive, or torn: it has no end record; build or upload it anew")
	}
	end := tail[at:]
	if comment := int(le.Uint16(end[20:])); zipEndSize+comment != len(end) {
		return 0, invalidf("%d bytes stand behind the end of the zip archive, or it is torn: build or upload it anew", len(end)-zipEndSize-comment)
	}
	if le.Uint16(end[4:]) != 0 || le.Uint16(end[6:]) != 0 || le.Uint16(end[8:]) != le.Uint16(end[10:]) {
		return 0, invalidf("it is a part of a zip archive of several: build it as one file")
	}
	count, length, start := int64(le.Uint16(end[10:])), int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:]))
	stop := size - int64(len(end)) // where the directory ends
	if at >= zipLocator64Size && le.Uint32(tail[at-zipLocator64Size:]) == zipLocator64 {
		if count, length, start, err = readEnd64(tail[:at], stop, [3]int64{count, length, start}); err != nil {
			return 0, err
		}
		stop -= zipLocator64Size + zipEnd64Size
	} else if count == max16 || length == max32 || start == max32 {
		return 0, invalidf("the zip archive lacks its 64-bit end record: build it anew")
	}
	switch {
	case count > int64(z.l.Entries): // before there is memory for them
		return 0, z.tree.tooMany()
	case length > maxDirectory:
		return 0, invalidf("the zip archive's directory has %d bytes; at most %d are allowed: use shorter names, or split it", length, maxDirectory)
	case start < 0 || length < 0 || start > stop || stop-start != length:
		return 0, invalidf("the zip archive's directory does not lie in front of its end: build or upload it anew")
	case count > length/zipCentralSize:
		return 0, invalidf("the zip archive's directory is too short for its %d entries: build or upload it anew", count)
	}
	directory := make([]byte, length)
	if _, err := z.s.ReadAt(directory, start); err != nil {
		return 0, err
	}
	z.entries = make([]zipEntry, count)
	for i := range z.entries {
		if directory, err = z.entries[i].read(directory); err != nil {
			return 0, err
		}
	}
	if len(directory) > 0 {
		return 0, invalidf("the zip archive's directory has %d bytes more than its %d entries: build it anew", len(directory), count)
	}
	return start, nil
}

// readEnd64 reads the 64-bit end record and its locator, which must be the last of before, the bytes before position
// stop. What the old record says must be the same, or all ones.
func readEnd64(before []byte, stop int64, old [3]int64) (count, length, start int64, err error) {
	bad := invalidf("the zip archive's two end records don't agree: build it anew")
	if len(before) < zipEnd64Size+zipLocator64Size {
		return 0, 0, 0, bad
	}
	locator, r := before[len(before)-zipLocator64Size:], before[len(before)-zipLocator64Size-zipEnd64Size:]
	if le.Uint32(r) != zipEnd64 || le.Uint64(r[4:]) != zipEnd64Size-12 || le.Uint32(locator[4:]) != 0 || le.Uint32(locator[16:]) > 1 ||
		le.Uint64(locator[8:]) != uint64(stop-zipLocator64Size-zipEnd64Size) ||
		le.Uint32(r[16:]) != 0 || le.Uint32(r[20:]) != 0 || le.Uint64(r[24:]) != le.Uint64(r[32:]) {
		return 0, 0, 0, bad
	}
	found := [3]int64{int64(le.Uint64(r[32:])), int64(le.Uint64(r[40:])), int64(le.Uint64(r[48:]))}
	for i, ones := range [3]int64{max16, max32, max32} {
		if found[i] < 0 || old[i] != ones && old[i] != found[i] {
			return 0, 0, 0, bad
		}
	}
	return found[0], found[1], found[2], nil
}

// read reads one entry of the central directory, and returns what follows it.
func (e *zipEntry) read(b []byte) ([]byte, error) {
	torn := func() error { return invalidf("the zip archive's directory is torn: build or upload it anew") }
	if len(b) < zipCentralSize || le.Uint32(b) != zipCentral {
		return nil, torn()
	}
	name, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	rest := b[zipCentralSize:]
	if len(rest) < name+extra+comment {
		return nil, torn()
	}
	e.flags, e.method, e.crc = le.Uint16(b[8:]), le.Uint16(b[10:]), le.Uint32(b[16:])
	e.packed, e.unpacked, e.header = int64(le.Uint32(b[20:])), int64(le.Uint32(b[24:])), int64(le.Uint32(b[42:]))
	e.attributes = le.Uint32(b[38:])
	e.name = string(rest[:name])
	if disk := le.Uint16(b[34:]); disk != 0 {
		return nil, invalidf("the entry %s lies in another part of the zip archive: build it as one file", quote(e.name))
	}
	if err := readExtra(rest[name:name+extra], e.name, &e.unpacked, &e.packed, &e.header); err != nil {
		return nil, err
	}
	e.name, e.dir = strings.CutSuffix(e.name, "/")
	return rest[name+extra+comment:], nil
}

// readExtra reads those extra fields that change what the header says: the values that are all ones stand there, in this
// order, in 64 bits.
func readExtra(extra []byte, name string, values ...*int64) error {
	bad := func() error {
		return invalidf("the entry %s has extra fields that make no sense: build it anew", quote(name))
	}
	var wide []byte
	has64 := false
	for len(extra) > 0 {
		if len(extra) < 4 || len(extra)-4 < int(le.Uint16(extra[2:])) {
			return bad()
		}
		id, field := le.Uint16(extra), extra[4:4+le.Uint16(extra[2:])]
		extra = extra[4+len(field):]
		switch {
		case id == zipExtra64 && has64:
			return bad()
		case id == zipExtra64:
			wide, has64 = field, true
		case id == zipExtraName && (len(field) < 5 || string(field[5:]) != name):
			return invalidf("the entry %s has another name in an extra field: build it anew", quote(name))
		}
	}
	for _, v := range values {
		if *v != max32 {
			continue
		}
		if len(wide) < 8 {
			return bad()
		}
		if *v = int64(le.Uint64(wide)); *v < 0 {
			return bad()
		}
		wide = wide[8:]
	}
	return nil
}

// check says what is wrong with an entry by itself, but for its path.
func (e *zipEntry) check() error {
	const (
		typeMask, regular, directory, symlink = 0o170000, 0o100000, 0o040000, 0o120000
		setID                                 = 0o6000
	)
	mode := e.attributes >> 16 // as on Unix, 0 where it was made elsewhere
	switch kind := mode & typeMask; {
	case e.flags&zipEncrypted != 0:
		return invalidf("the entry %s is encrypted: build it without a password", quote(e.name))
	case e.flags&^zipFlags != 0:
		return invalidf("the entry %s has flags %#x, which are not known: build it anew", quote(e.name), e.flags)
	case e.method != zipStored && e.method != zipDeflated:
		return invalidf("the entry %s is packed by method %d; only 0 (stored) and 8 (deflate) are taken", quote(e.name), e.method)
	case e.flags&zipUTF8 == 0 && strings.IndexFunc(e.name, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0:
		return invalidf("the path %s is not marked as UTF-8: build it anew", quote(e.name))
	case kind == symlink:
		return invalidf("the entry %s is a symbolic link: put the file itself in", quote(e.name))
	case kind != 0 && kind != regular && kind != directory, e.dir && kind == regular, !e.dir && kind == directory:
		return invalidf("the entry %s has mode %#o, which is no file's or folder's: build it anew", quote(e.name), mode)
	case !e.dir && mode&setID != 0:
		return invalidf("the entry %s has mode %#o: remove setuid and setgid", quote(e.name), mode)
	case e.dir && e.unpacked != 0:
		return invalidf("the folder %s has content: build it anew", quote(e.name))
	case e.method == zipStored && e.packed != e.unpacked:
		return invalidf("the entry %s is stored, in two different sizes: build it anew", quote(e.name))
	}
	return nil
}

// checkLayout checks that entries lie one behind another from the first byte up to stop, where the directory begins, and
// that their local headers say what the directory says.
func (z *zipArchive) checkLayout(stop int64) error {
	slices.SortStableFunc(z.entries, func(a, b zipEntry) int { return cmp.Compare(a.header, b.header) })
	var at int64
	for i := range z.entries {
		e := &z.entries[i]
		if e.header != at {
			return invalidf("the entry %s does not lie right behind the one before it: build it anew", quote(e.name))
		}
		next := stop
		if i+1 < len(z.entries) {
			next = z.entries[i+1].header
		}
		if err := z.checkLocal(e, next); err != nil {
			return err
		}
		at = next
	}
	if at != stop {
		return invalidf("%d bytes in front of the zip archive's directory belong to no entry: build it anew", stop-at)
	}
	return nil
}

// checkLocal checks the local header, and that entry and descriptor end at next.
func (z *zipArchive) checkLocal(e *zipEntry, next int64) error {
	differs := func(what string) error {
		return invalidf("the entry %s has another %s in its own header than in the directory: build it anew", quote(e.name), what)
	}
	outside := func() error {
		return invalidf("the entry %s does not end where the next begins: build it anew", quote(e.name))
	}
	if next-e.header < zipLocalSize {
		return outside()
	}
	var h [zipLocalSize]byte
	if _, err := z.s.ReadAt(h[:], e.header); err != nil {
		return err
	}
	if le.Uint32(h[:]) != zipLocal {
		return invalidf("the entry %s has no header of its own: build it anew", quote(e.name))
	}
	nameLen, extraLen := int64(le.Uint16(h[26:])), int64(le.Uint16(h[28:]))
	e.start = e.header + zipLocalSize + nameLen + extraLen
	end := e.start + e.packed
	if e.packed > next || end > next { // the former, lest the sum overflow
		return outside()
	}
	rest := make([]byte, nameLen+extraLen)
	if _, err := z.s.ReadAt(rest, e.header+zipLocalSize); err != nil {
		return err
	}
	name := string(rest[:nameLen])
	packed, unpacked := int64(le.Uint32(h[18:])), int64(le.Uint32(h[22:]))
	if err := readExtra(rest[nameLen:], name, &unpacked, &packed); err != nil {
		return err
	}
	const heeded = zipHasDescriptor | zipUTF8
	flags, crc := le.Uint16(h[6:]), le.Uint32(h[14:])
	later := e.flags&zipHasDescriptor != 0 // sizes and checksum may be 0 here
	switch trimmed, dir := strings.CutSuffix(name, "/"); {
	case trimmed != e.name || dir != e.dir:
		return differs("name")
	case flags&(heeded|zipEncrypted) != e.flags&heeded:
		return differs("set of flags")
	case le.Uint16(h[8:]) != e.method:
		return differs("method")
	case packed != e.packed && !(later && packed == 0), unpacked != e.unpacked && !(later && unpacked == 0):
		return differs("size")
	case crc != e.crc && !(later && crc == 0):
		return differs("checksum")
	}
	if !later {
		if end != next {
			return outside()
		}
		return nil
	}
	return z.checkDescriptor(e, end, next)
}

// checkDescriptor checks what stands behind an entry's content: checksum and sizes, of 32 or 64 bits, with or without a
// signature.
func (z *zipArchive) checkDescriptor(e *zipEntry, end, next int64) error {
	bad := func() error {
		return invalidf("the entry %s has another size or checksum behind it than in the directory: build it anew", quote(e.name))
	}
	n := next - end
	if n != 12 && n != 16 && n != 20 && n != 24 {
		return bad()
	}
	d := make([]byte, n)
	if _, err := z.s.ReadAt(d, end); err != nil {
		return err
	}
	if n == 16 || n == 24 {
		if le.Uint32(d) != zipDescriptor {
			return bad()
		}
		d = d[4:]
	}
	packed, unpacked := uint64(0), uint64(0)
	if len(d) == 12 {
		packed, unpacked = uint64(le.Uint32(d[4:])), uint64(le.Uint32(d[8:]))
	} else {
		packed, unpacked = le.Uint64(d[4:]), le.Uint64(d[12:])
	}
	if le.Uint32(d) != e.crc || packed != uint64(e.packed) || unpacked != uint64(e.unpacked) {
		return bad()
	}
	return nil
}

// unpack writes an entry's content to w, never more than the directory says, and checks that it is as long as that and
// has its checksum. Errors of w are returned as they are.
func (z *zipArchive) unpack(e *zipEntry, w io.Writer) error {
	if z.buf == nil {
		z.buf = make([]byte, 64<<10)
		z.packed = bufio.NewReaderSize(nil, 64<<10)
		z.inflate = flate.NewReader(z.packed)
	}
	packed := z.s.section(e.start, e.packed)
	z.packed.Reset(packed)
	content := io.Reader(z.packed)
	if e.method == zipDeflated {
		if err := z.inflate.(flate.Resetter).Reset(z.packed, nil); err != nil {
			return err
		}
		content = z.inflate
	}
	damaged := func(what string) error {
		return invalidf("the entry %s is damaged: %s; build or upload it anew", quote(e.name), what)
	}
	var n int64
	var crc uint32
	for {
		k, err := content.Read(z.buf)
		n += int64(k)
		if n > e.unpacked {
			return damaged("it unpacks to more than the directory says")
		}
		crc = crc32.Update(crc, crc32.IEEETable, z.buf[:k])
		if _, err := w.Write(z.buf[:k]); err != nil {
			return err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return damaged(err.Error())
		}
	}
	_, more := z.packed.ReadByte() // flate reads no further than it must
	switch {
	case n != e.unpacked:
		return damaged("it unpacks to less than the directory says")
	case crc != e.crc:
		return damaged("its checksum is wrong")
	case !errors.Is(more, io.EOF):
		return damaged("there is something behind its content")
	}
	return nil
}

// find returns the file of that very path, or nil.
func (z *zipArchive) find(name string) *zipEntry {
	for i := range z.entries {
		if e := &z.entries[i]; e.name == name && !e.dir {
			return e
		}
	}
	return nil
}
