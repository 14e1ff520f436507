package index

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// Bounds of an upload's form, beside the file.
const (
	maxField   = 1 << 20  // bytes of a field
	maxFields  = 8 << 20  // bytes of all fields
	maxParts   = 10_000   // fields; each classifier is one
	maxFraming = 24 << 20 // bytes of what stands between parts: boundaries and headers
)

var errTooLong = errors.New("the request is too long")

// uploadFields are those that count. Everything else that a form says of a distribution, the distribution says itself:
// its own metadata are what the index shows, and so the form's aren't kept. Signatures and attestations aren't, either.
var uploadFields = map[string]bool{
	":action": true, "protocol_version": true, "filetype": true, "pyversion": true, "metadata_version": true,
	"name": true, "version": true, "md5_digest": true, "sha256_digest": true, "blake2_256_digest": true,
}

// An uploadForm is read as it comes: the file goes straight to the catalog, in whatever order the parts are.
type uploadForm struct {
	fields   map[string]string
	filename string // of the part "content", as sent
	in       *catalog.Incoming
	size     int64 // bytes of fields so far
}

// receive reads a form to its end. The caller closes form.in, if there is one, also after an error.
func (s *Site) receive(ctx context.Context, contentType string, body io.Reader) (form *uploadForm, err error) {
	form = &uploadForm{fields: make(map[string]string)}
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != "multipart/form-data" || parameters["boundary"] == "" {
		return form, fail(http.StatusBadRequest, "An upload is a form: send it as multipart/form-data, as twine does.")
	}
	parts := multipart.NewReader(body, parameters["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return form, nil
		}
		if err != nil {
			return form, s.unreadable(err)
		}
		if n == maxParts {
			return form, fail(http.StatusRequestEntityTooLarge, "The form has more than %d fields.", maxParts)
		}
		if part.FormName() == "content" {
			err = s.receiveFile(ctx, form, part)
		} else {
			err = form.receiveField(part)
		}
		if err != nil {
			return form, s.unreadable(err)
		}
	}
}

// unreadable explains why a form can't be read on.
func (s *Site) unreadable(err error) error {
	if _, known := errors.AsType[*failure](err); known {
		return err
	}
	switch {
	case errors.Is(err, errTooLong), errors.Is(err, catalog.ErrTooLarge):
		return s.tooLarge()
	case errors.Is(err, errIncoming):
		return err
	}
	return fail(http.StatusBadRequest, "The form can't be read to its end: %v. Send it again.", err)
}

func (s *Site) tooLarge() error {
	return fail(http.StatusRequestEntityTooLarge, "The file is too large: this index takes files of up to %s.", size(s.o.MaxFile))
}

// errIncoming marks what failed on our side while a file came in.
var errIncoming = errors.New("receive a file")

func (s *Site) receiveFile(ctx context.Context, form *uploadForm, part *multipart.Part) error {
	if form.in != nil {
		return fail(http.StatusBadRequest, "The form has two parts named content: send one file at a time.")
	}
	// Not part.FileName(): it cuts off folders, and so hides what should be refused.
	_, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil || parameters["filename"] == "" {
		return fail(http.StatusBadRequest, "The part content has no file name.")
	}
	form.filename = parameters["filename"]
	if strings.ContainsAny(form.filename, "/\\\x00") {
		return fail(http.StatusBadRequest, "The file name %.100q leads to a folder: send the name alone.", form.filename)
	}
	if form.in, err = s.catalog.Receive(ctx); err != nil {
		return fmt.Errorf("%w: %w", errIncoming, err)
	}
	if _, err := io.Copy(incoming{form.in}, part); err != nil {
		return err
	}
	return nil
}

// incoming tells what failed to be written here from what failed to be read from the client.
type incoming struct{ io.Writer }

func (in incoming) Write(p []byte) (int, error) {
	n, err := in.Writer.Write(p)
	if err != nil && !errors.Is(err, catalog.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", errIncoming, err)
	}
	return n, err
}

func (form *uploadForm) receiveField(part *multipart.Part) error {
	name := part.FormName()
	kept := uploadFields[name]
	var value strings.Builder
	w := io.Discard
	if kept {
		w = &value
	}
	n, err := io.Copy(w, io.LimitReader(part, maxField+1))
	form.size += n
	switch {
	case err != nil:
		return err
	case n > maxField:
		return fail(http.StatusRequestEntityTooLarge, "The field %.40q is longer than %s.", name, size(maxField))
	case form.size > maxFields:
		return fail(http.StatusRequestEntityTooLarge, "The fields are longer than %s together.", size(maxFields))
	case !kept:
		return nil
	case !utf8.ValidString(value.String()):
		return fail(http.StatusBadRequest, "The field %s is not UTF-8.", name)
	}
	if old, again := form.fields[name]; again && old != value.String() {
		return fail(http.StatusBadRequest, "The field %s is there twice, with different values.", name)
	}
	form.fields[name] = value.String()
	return nil
}

// upload says what a complete form asks for, or what is wrong with it.
func (form *uploadForm) upload() (catalog.Upload, error) {
	bad := func(format string, args ...any) (catalog.Upload, error) {
		return catalog.Upload{}, fail(http.StatusBadRequest, format, args...)
	}
	f := form.fields
	for _, name := range [...]string{":action", "protocol_version", "metadata_version", "name", "version", "filetype"} {
		if f[name] == "" {
			return bad("The field %s is missing.", name)
		}
	}
	switch {
	case f[":action"] != "file_upload":
		return bad("The :action %.40q is not known here: file_upload is the only one.", f[":action"])
	case f["protocol_version"] != "1":
		return bad("The protocol_version %.40q is not known here: 1 is the only one.", f["protocol_version"])
	case form.in == nil:
		return bad("The upload has no file: it belongs in the part content.")
	case f["md5_digest"] == "" && f["sha256_digest"] == "" && f["blake2_256_digest"] == "":
		return bad("Send at least one digest of the file: sha256_digest, blake2_256_digest or md5_digest.")
	}
	kind, python := dist.Kind(f["filetype"]), f["pyversion"]
	switch {
	case kind != dist.Wheel && kind != dist.Sdist:
		return bad("The filetype %.40q is not taken here: upload a wheel (bdist_wheel) or an sdist.", f["filetype"])
	case kind == dist.Sdist && python != "" && python != "source":
		return bad("The pyversion of an sdist is \"source\", not %.40q.", python)
	case kind == dist.Wheel && python == "":
		return bad("The field pyversion is missing: a wheel needs its Python tag.")
	}
	return catalog.Upload{
		Filename: form.filename, Kind: kind, Name: f["name"], Version: f["version"],
		SHA256: f["sha256_digest"], MD5: f["md5_digest"], Blake2b: f["blake2_256_digest"],
	}, nil
}
