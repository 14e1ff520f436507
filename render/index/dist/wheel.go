package dist

import (
	"bytes"
	"crypto/sha256"
	"io"
	"slices"
	"strings"
)

const (
	infoSuffix = ".dist-info"
	// maxWheelFile bounds the file WHEEL, in bytes.
	maxWheelFile = 64 << 10
)

// inspectWheel looks into a wheel (PEP 427) and returns METADATA.
func inspectWheel(s *source, n Name, l Limits) ([]byte, error) {
	z, err := openZip(s, l)
	if err != nil {
		return nil, err
	}
	info, err := z.infoFolder(n)
	if err != nil {
		return nil, err
	}
	var metadata, wheel bytes.Buffer
	keep := map[string]struct {
		into  *bytes.Buffer
		limit int64
	}{
		info + "/METADATA": {&metadata, l.Metadata},
		info + "/WHEEL":    {&wheel, maxWheelFile},
	}
	for name, k := range keep {
		if e := z.find(name); e == nil {
			return nil, invalidf("it has no %s: build it anew", quote(name))
		} else if e.unpacked > k.limit {
			return nil, invalidf("%s has %d bytes; at most %d are allowed: shorten the description", quote(name), e.unpacked, k.limit)
		}
	}
	r := record{name: info + "/RECORD", files: make(map[string]*recorded, len(z.entries))}
	recordEntry := z.find(r.name)
	if recordEntry == nil {
		return nil, invalidf("it has no %s: build it anew", quote(r.name))
	}
	hash := sha256.New()
	for i := range z.entries {
		e := &z.entries[i]
		if e == recordEntry {
			continue
		}
		hash.Reset()
		w := io.Writer(hash)
		if k := keep[e.name]; k.into != nil && !e.dir {
			w = io.MultiWriter(hash, k.into)
		}
		if err := z.unpack(e, w); err != nil {
			return nil, err
		}
		if !e.dir {
			f := &recorded{size: e.unpacked}
			hash.Sum(f.digest[:0])
			r.files[e.name] = f
		}
	}
	if err := z.unpack(recordEntry, &r); err != nil {
		return nil, err
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	return metadata.Bytes(), checkWheelFile(wheel.Bytes())
}

// infoFolder returns the name of the one {name}-{version}.dist-info.
func (z *zipArchive) infoFolder(n Name) (string, error) {
	found := ""
	for i := range z.entries {
		top, _, inside := strings.Cut(z.entries[i].name, "/")
		if !inside && !z.entries[i].dir || !strings.HasSuffix(lowered(top), infoSuffix) {
			continue
		}
		if found != "" && found != top {
			return "", invalidf("it has two .dist-info folders, %s and %s: build it anew, in a clean folder", quote(found), quote(top))
		}
		found = top
	}
	if found == "" {
		return "", invalidf("it has no .dist-info folder: it is not a wheel; build it with a current tool")
	}
	stem, ok := strings.CutSuffix(found, infoSuffix)
	if !ok {
		return "", invalidf("the folder %s must end in %s, in lower case: build it anew", quote(found), infoSuffix)
	}
	project, version, ok := splitStem(stem)
	if !ok || project != n.Project || version != n.Version {
		return "", invalidf("the folder %s is not that of %s %s, as the file name says: build it anew", quote(found), n.Project, n.Version)
	}
	return found, nil
}

// checkWheelFile checks that installers know the wheel's version.
func checkWheelFile(raw []byte) error {
	fields, _, err := parseHeaders(raw, "WHEEL")
	if err != nil {
		return err
	}
	i := slices.IndexFunc(fields, func(f field) bool { return lowered(f.name) == "wheel-version" })
	if i < 0 {
		return invalidf("WHEEL lacks Wheel-Version: build it anew")
	}
	if v := fields[i].line(); v != "1" && !strings.HasPrefix(v, "1.") {
		return invalidf("WHEEL says Wheel-Version %s: only 1.x is known", quote(v))
	}
	return nil
}
