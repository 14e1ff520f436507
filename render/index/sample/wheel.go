package sample

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strings"
)

// wheelFile is the file WHEEL of every wheel we make.
const wheelFile = "Wheel-Version: 1.0\nGenerator: cachesrv\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

// Wheel returns a pure wheel (py3-none-any) and its file name.
func (d Dist) Wheel() (filename string, content []byte) {
	var b bytes.Buffer
	var record strings.Builder
	w := zip.NewWriter(&b)
	add := func(name, content string) {
		store(w, name, content)
		sum := sha256.Sum256([]byte(content))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", csvField(name), base64.RawURLEncoding.EncodeToString(sum[:]), len(content))
	}
	modules, paths := d.modules()
	for _, p := range paths {
		add(p, modules[p])
	}
	info := d.stem() + ".dist-info/"
	add(info+"METADATA", d.metadata())
	add(info+"WHEEL", wheelFile)
	fmt.Fprintf(&record, "%s,,\n", csvField(info+"RECORD"))
	store(w, info+"RECORD", record.String())
	must(w.Close())
	return d.stem() + "-py3-none-any.whl", b.Bytes()
}

// store adds a file that is not compressed: what flate makes of it may change from one version of Go to the next.
func store(w *zip.Writer, name, content string) {
	h := &zip.FileHeader{Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE([]byte(content))}
	h.CompressedSize64, h.UncompressedSize64 = uint64(len(content)), uint64(len(content))
	h.SetMode(0o644)
	// MS-DOS counts from 1980-01-01: day 1, month 1, year 0. (Modified would add an extra field; CreateRaw doesn't.)
	//lint:ignore SA1019 what replaces it is for CreateHeader
	h.ModifiedDate = 1 | 1<<5
	f, err := w.CreateRaw(h)
	must(err)
	_, err = f.Write([]byte(content))
	must(err)
}

// csvField quotes a field of RECORD if it must be.
func csvField(s string) string {
	if !strings.ContainsAny(s, "\",\r\n") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

// must: writing to memory fails only if the archive's form can't hold what was asked for (a name over 64 KiB, say).
func must(err error) {
	if err != nil {
		panic("sample: " + err.Error())
	}
}
