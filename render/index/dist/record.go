package dist

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"strconv"
	"strings"
)

// maxRecordLine bounds a line of RECORD, in bytes: a path, quoted, and a hash.
const maxRecordLine = 2*maxPath + 1024

// A record is a wheel's RECORD as it is unpacked: each line is held against the file that it tells of. Errors of Write
// are complaints.
type record struct {
	name  string // its own path
	files map[string]*recorded
	line  []byte // what has come of a line
	at    int    // lines before it
	self  bool   // it has told of itself
	told  int    // files it has told of
}

type recorded struct {
	size   int64
	digest [sha256.Size]byte
	seen   bool
}

func (r *record) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if len(r.line)+len(line) > maxRecordLine {
			return 0, invalidf("RECORD line %d has more than %d bytes: build it anew", r.at+1, maxRecordLine)
		}
		p = rest
		r.line = append(r.line, line...)
		if ended {
			if err := r.end(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// end takes a whole line.
func (r *record) end() error {
	r.at++
	line := strings.TrimSuffix(string(r.line), "\r")
	r.line = r.line[:0]
	if line == "" {
		return nil
	}
	row, err := readRow(line)
	if err != nil || len(row) != 3 {
		return invalidf("RECORD line %d is not path,hash,size: %s; build it anew", r.at, quote(line))
	}
	if err := r.take(row[0], row[1], row[2]); err != nil {
		return invalidf("RECORD line %d: %w", r.at, err)
	}
	return nil
}

// readRow reads CSV. No path has a newline in it, so that a row is a line.
func readRow(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, ","), nil
	}
	return csv.NewReader(strings.NewReader(line)).Read()
}

func (r *record) take(path, hash, size string) error {
	if path == r.name {
		if r.self {
			return invalidf("%s is listed twice: build it anew", quote(path))
		}
		r.self = true
		return nil
	}
	f := r.files[path]
	switch {
	case f == nil:
		return invalidf("%s is not in the wheel: build it anew", quote(path))
	case f.seen:
		return invalidf("%s is listed twice: build it anew", quote(path))
	}
	f.seen = true
	r.told++
	if size != "" && size != strconv.FormatInt(f.size, 10) {
		return invalidf("%s has %d bytes, not %s: build it anew", quote(path), f.size, quote(size))
	}
	if hash == "" && r.signature(path) {
		return nil
	}
	encoded, ok := strings.CutPrefix(hash, "sha256=")
	if !ok {
		return invalidf("%s has no sha256, but %s: build it anew with a current tool", quote(path), quote(hash))
	}
	if strings.TrimRight(encoded, "=") != base64.RawURLEncoding.EncodeToString(f.digest[:]) {
		return invalidf("%s has another sha256 than listed: it was changed afterwards; build it anew", quote(path))
	}
	return nil
}

// signature reports whether a path is that of a signature of RECORD, which can't be in RECORD with a hash.
func (r *record) signature(path string) bool {
	return path == r.name+".jws" || path == r.name+".p7s"
}

// finish takes a last line without a newline, and checks that no file is missing.
func (r *record) finish() error {
	if len(r.line) > 0 {
		if err := r.end(); err != nil {
			return err
		}
	}
	if r.told == len(r.files) {
		return nil
	}
	first := "" // in the order of names, so that the complaint is always the same
	for path, f := range r.files {
		if !f.seen && !r.signature(path) && (first == "" || path < first) {
			first = path
		}
	}
	if first != "" {
		return invalidf("RECORD does not list %s: build it anew", quote(first))
	}
	return nil
}
