package indextest

import (
	"bytes"
	"crypto/md5" //nolint:gosec // uploads carry it
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"

	"github.com/cachesrv/cachesrv/render/index/sample"
)

// A File is a distribution, good or bad.
type File struct {
	Name, Version string
	Kind          string // the form's filetype: bdist_wheel or sdist
	Filename      string
	Content       []byte
}

// Wheel makes a wheel.
func Wheel(d sample.Dist) File {
	filename, content := d.Wheel()
	return File{d.Name, d.Version, "bdist_wheel", filename, content}
}

// Sdist makes an sdist.
func Sdist(d sample.Dist) File {
	filename, content := d.Sdist()
	return File{d.Name, d.Version, "sdist", filename, content}
}

// SHA256 is the digest in hex.
func (f File) SHA256() string {
	sum := sha256.Sum256(f.Content)
	return hex.EncodeToString(sum[:])
}

// Blake2b is the 256-bit digest in hex.
func (f File) Blake2b() string {
	sum := blake2b.Sum256(f.Content)
	return hex.EncodeToString(sum[:])
}

// MD5 is the digest in hex.
func (f File) MD5() string {
	sum := md5.Sum(f.Content)
	return hex.EncodeToString(sum[:])
}

// Path is where an index of ours has the file: behind /files/ in URLs, and below DIR/files.
func (f File) Path() string {
	sum := f.Blake2b()
	return strings.Join([]string{sum[:2], sum[2:4], sum[4:], f.Filename}, "/")
}

// Form is what twine sends for the file.
func (f File) Form() Form {
	python := "source"
	if f.Kind == "bdist_wheel" {
		python = "py3"
	}
	return Form{
		Fields: [][2]string{
			{":action", "file_upload"}, {"protocol_version", "1"},
			{"name", f.Name}, {"version", f.Version}, {"filetype", f.Kind}, {"pyversion", python}, {"metadata_version", "2.1"},
			{"md5_digest", f.MD5()}, {"sha256_digest", f.SHA256()}, {"blake2_256_digest", f.Blake2b()},
		},
		Filename: f.Filename, Content: f.Content,
	}
}

// A Form is an upload's.
type Form struct {
	Fields   [][2]string // in their order
	Filename string      // of the part "content"
	Content  []byte
}

// With returns the form with another value of a field, which is added if it isn't there.
func (f Form) With(name, value string) Form {
	f.Fields = slices.Clone(f.Fields)
	for i := range f.Fields {
		if f.Fields[i][0] == name {
			f.Fields[i][1] = value
			return f
		}
	}
	f.Fields = append(f.Fields, [2]string{name, value})
	return f
}

// Without returns the form without a field.
func (f Form) Without(name string) Form {
	f.Fields = slices.DeleteFunc(slices.Clone(f.Fields), func(field [2]string) bool { return field[0] == name })
	return f
}

// Encode returns the body, and its Content-Type. The file's name is sent as it is, so that it can be an attack.
func (f Form) Encode() (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	write := func(h textproto.MIMEHeader, content []byte) {
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = part.Write(content)
		}
		if err != nil {
			panic(err) // bytes.Buffer has none
		}
	}
	for _, field := range f.Fields {
		write(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf("form-data; name=%q", field[0])}}, []byte(field[1]))
	}
	write(textproto.MIMEHeader{
		"Content-Disposition": {`form-data; name="content"; filename="` + strings.ReplaceAll(f.Filename, `"`, "%22") + `"`},
		"Content-Type":        {"application/octet-stream"},
	}, f.Content)
	if err := w.Close(); err != nil {
		panic(err)
	}
	return w.FormDataContentType(), b.Bytes()
}
