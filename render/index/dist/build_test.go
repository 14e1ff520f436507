package dist

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

// An entry is one of an archive that tests put together byte by byte. Zero fields are as they should be.
type entry struct {
	name, content string
	deflate       bool
	descriptor    int // bytes of the descriptor behind it: 12, 16, 20 or 24
	mode          uint32
	extra         []byte // in both headers
	edit          func(h *zipHeader)
	raw           []byte // instead of what content packs to
	behind        []byte // what stands between it and the next
	linkname      string // tar
	typeflag      byte   // tar
}

// A zipHeader is what edit may change; local is nothing that a good archive has of its own.
type zipHeader struct {
	name, localName         string
	flags, localFlags       uint16
	method, localMethod     uint16
	crc, localCRC           uint32
	packed, localPacked     uint32
	unpacked, localUnpacked uint32
	offset                  uint32
	disk                    uint16
	extra, localExtra       []byte
	descriptor              []byte
}

// A zipEdit changes what is around the entries.
type zipEdit struct {
	front, beforeDirectory, behindDirectory, behind []byte
	comment                                         string
	shift                                           int            // what offsets are off by
	end                                             func(e []byte) // the end record
	zip64                                           bool
	end64                                           func(r, locator []byte)
}

func deflated(content string) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write([]byte(content))
	w.Close()
	return b.Bytes()
}

func buildZip(entries []entry, z zipEdit) []byte {
	b := slices.Clone(z.front)
	var directory []byte
	for _, e := range entries {
		h := zipHeader{name: e.name, localName: e.name, crc: crc32.ChecksumIEEE([]byte(e.content)), unpacked: uint32(len(e.content)), extra: e.extra, localExtra: e.extra}
		packed := []byte(e.content)
		if e.deflate {
			h.method, packed = zipDeflated, deflated(e.content)
		}
		if e.raw != nil {
			packed = e.raw
		}
		h.packed = uint32(len(packed))
		h.localMethod, h.localCRC, h.localPacked, h.localUnpacked = h.method, h.crc, h.packed, h.unpacked
		if e.descriptor > 0 {
			h.flags, h.localCRC, h.localPacked, h.localUnpacked = zipHasDescriptor, 0, 0, 0
			var d []byte
			if e.descriptor == 16 || e.descriptor == 24 {
				d = le.AppendUint32(d, zipDescriptor)
			}
			d = le.AppendUint32(d, h.crc)
			if e.descriptor >= 20 {
				d = le.AppendUint64(le.AppendUint64(d, uint64(h.packed)), uint64(h.unpacked))
			} else {
				d = le.AppendUint32(le.AppendUint32(d, h.packed), h.unpacked)
			}
			h.descriptor = d
		}
		h.localFlags = h.flags
		h.offset = uint32(len(b) + z.shift)
		if e.edit != nil {
			e.edit(&h)
		}
		b = le.AppendUint32(b, zipLocal)
		b = le.AppendUint16(le.AppendUint16(le.AppendUint16(b, 20), h.localFlags), h.localMethod)
		b = le.AppendUint32(le.AppendUint32(b, 0x21<<16), h.localCRC) // time and date
		b = le.AppendUint32(le.AppendUint32(b, h.localPacked), h.localUnpacked)
		b = le.AppendUint16(le.AppendUint16(b, uint16(len(h.localName))), uint16(len(h.localExtra)))
		b = slices.Concat(b, []byte(h.localName), h.localExtra, packed, h.descriptor, e.behind)

		d := le.AppendUint32(nil, zipCentral)
		d = le.AppendUint16(le.AppendUint16(le.AppendUint16(le.AppendUint16(d, 3<<8|20), 20), h.flags), h.method)
		d = le.AppendUint32(le.AppendUint32(d, 0x21<<16), h.crc)
		d = le.AppendUint32(le.AppendUint32(d, h.packed), h.unpacked)
		d = le.AppendUint16(le.AppendUint16(le.AppendUint16(d, uint16(len(h.name))), uint16(len(h.extra))), 0)
		d = le.AppendUint16(le.AppendUint16(d, h.disk), 0)
		d = le.AppendUint32(le.AppendUint32(d, e.mode<<16), h.offset)
		directory = slices.Concat(directory, d, []byte(h.name), h.extra)
	}
	b = append(b, z.beforeDirectory...)
	start := len(b) + z.shift
	b = slices.Concat(b, directory, z.behindDirectory)
	count := len(entries)
	if z.zip64 {
		r := le.AppendUint64(le.AppendUint32(nil, zipEnd64), zipEnd64Size-12)
		r = append(r, 45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		r = le.AppendUint64(le.AppendUint64(r, uint64(count)), uint64(count))
		r = le.AppendUint64(le.AppendUint64(r, uint64(len(directory))), uint64(start))
		locator := le.AppendUint32(le.AppendUint32(nil, zipLocator64), 0)
		locator = le.AppendUint32(le.AppendUint64(locator, uint64(len(b)+z.shift)), 1)
		if z.end64 != nil {
			z.end64(r, locator)
		}
		b = slices.Concat(b, r, locator)
		count = max16
	}
	e := le.AppendUint32(le.AppendUint32(nil, zipEnd), 0)
	e = le.AppendUint16(le.AppendUint16(e, uint16(count)), uint16(count))
	e = le.AppendUint32(le.AppendUint32(e, uint32(len(directory))), uint32(start))
	e = append(le.AppendUint16(e, uint16(len(z.comment))), z.comment...)
	if z.end != nil {
		z.end(e)
	}
	return slices.Concat(b, e, z.behind)
}

const (
	demoWheel    = "demo-1.0-py3-none-any.whl"
	demoInfo     = "demo-1.0.dist-info/"
	demoMetadata = "Metadata-Version: 2.1\nName: Demo\nVersion: 1.0\n"
	demoSdist    = "demo-1.0.tar.gz"
)

// demo returns the entries of a good wheel, but for RECORD.
func demo() []entry {
	return []entry{
		{name: "demo.py", content: "__version__ = '1.0'\n", deflate: true},
		{name: demoInfo + "METADATA", content: demoMetadata},
		{name: demoInfo + "WHEEL", content: "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	}
}

// recorded adds RECORD.
func withRecord(entries []entry) []entry {
	return append(slices.Clone(entries), entry{name: demoInfo + "RECORD", content: recordOf(entries)})
}

func recordOf(entries []entry) string {
	var b strings.Builder
	for _, e := range entries {
		if strings.HasSuffix(e.name, "/") {
			continue
		}
		sum := sha256.Sum256([]byte(e.content))
		name := e.name
		if strings.ContainsAny(name, `",`) {
			name = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
		fmt.Fprintf(&b, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(e.content))
	}
	return b.String() + demoInfo + "RECORD,,\n"
}

// buildTar returns a tar archive, not packed.
func buildTar(t testing.TB, entries []entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.typeflag, Mode: int64(e.mode), Linkname: e.linkname, Size: int64(len(e.content))}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if e.typeflag == tar.TypeXGlobalHeader {
			h = &tar.Header{Typeflag: e.typeflag, PAXRecords: map[string]string{"comment": e.content}}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			w.Write([]byte(e.content))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

func tgz(t testing.TB, entries ...entry) []byte { return gzipped(buildTar(t, entries)) }

// info returns the PKG-INFO of demo's sdist, and what else there is.
func sdistOf(more ...entry) []entry {
	return append([]entry{{name: "demo-1.0/PKG-INFO", content: demoMetadata}}, more...)
}

func inspectBytes(content []byte, filename string, l Limits) (*Distribution, error) {
	return Inspect(bytes.NewReader(content), int64(len(content)), filename, l)
}
