package catalog

import (
	"encoding/base64"
	"encoding/hex"
	"path"
	"strings"

	"github.com/cachesrv/cachesrv/render/index/dist"
)

// The folders in Options.Dir.
const (
	filesDir    = "files"
	incomingDir = "incoming"
)

// idFile says to which database the folder belongs; newIDFile is it in the making.
const (
	idFile    = filesDir + "/index-id"
	newIDFile = idFile + ".new"
)

// metadataSuffix is what a wheel's metadata have behind the wheel's name (PEP 658).
const metadataSuffix = ".metadata"

// What a name in incoming may end in; intents have other names.
const (
	partSuffix = ".part"     // a file on its way in
	metaSuffix = ".metapart" // its metadata
)

// Path is where the file lies below Dir/files, and behind /files/ in URLs: two, two and the other sixty digits of
// Blake2b, then the name.
func (f File) Path() string { return place{f.Blake2b, f.Filename}.path() }

// FilePath returns the path, to be opened below Dir/files, of a file or its metadata ("….metadata") if path is one
// that File.Path could have made: nothing else in the folder can be asked for.
func FilePath(path string) (string, bool) {
	if len(path) < 67 || path[2] != '/' || path[5] != '/' || path[66] != '/' {
		return "", false
	}
	name := path[67:]
	if wheel, ok := strings.CutSuffix(name, metadataSuffix); ok {
		if !strings.HasSuffix(wheel, ".whl") {
			return "", false
		}
		name = wheel
	}
	if !isDigest(path[:2] + path[3:5] + path[6:66]) {
		return "", false
	}
	_, err := dist.ParseFilename(name)
	return path, err == nil
}

func isDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// A place is where a file lies, or is to lie.
type place struct{ blake2b, filename string }

func (p place) folder() string {
	return p.blake2b[:2] + "/" + p.blake2b[2:4] + "/" + p.blake2b[4:]
}

func (p place) path() string { return p.folder() + "/" + p.filename }

// An intent is a name in incoming that says: this place may have a file without a row, or will have in a moment. It is
// RANDOM@DIGEST@FILENAME. The digest is in base64, for length: 55 bytes and dist.MaxFilename are the 255 that file systems
// allow.
type intent struct {
	place
	name string
}

func newIntent(random string, p place) (intent, error) {
	digest, err := hex.DecodeString(p.blake2b)
	return intent{p, path.Join(incomingDir, random+"@"+base64.RawURLEncoding.EncodeToString(digest)+"@"+p.filename)}, err
}

// parseIntent reads what newIntent has made from a name in incoming.
func parseIntent(name string) (intent, bool) {
	random, rest, _ := strings.Cut(name, "@")
	digest, filename, ok := strings.Cut(rest, "@")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(digest)
	if !ok || random == "" || err != nil || len(raw) != 32 || filename == "" || filename[0] == '.' || strings.ContainsAny(name, "/\x00") {
		return intent{}, false
	}
	return intent{place{hex.EncodeToString(raw), filename}, path.Join(incomingDir, name)}, true
}
