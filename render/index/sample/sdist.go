package sample

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pyproject names a builder that lies in the sdist itself: pip then needs no package besides this one, which is more
// than an index of our own would have. setup.py is there for those who build with setuptools.
const pyproject = `[build-system]
requires = []
build-backend = "builder"
backend-path = ["."]
`

// builder is the builder (PEP 517): it zips the modules, and PKG-INFO as METADATA.
const builder = `import base64, hashlib, os, zipfile

STEM = %s
PATHS = %s
WHEEL = %s


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = []
    for path in PATHS:
        with open("src/" + path, "rb") as f:
            files.append((path, f.read()))
    info = STEM + ".dist-info/"
    with open("PKG-INFO", "rb") as f:
        files.append((info + "METADATA", f.read()))
    files.append((info + "WHEEL", WHEEL.encode()))
    record = []
    for path, content in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.append("%%s,sha256=%%s,%%d\n" %% (path, digest, len(content)))
    record.append(info + "RECORD,,\n")
    files.append((info + "RECORD", "".join(record).encode()))
    name = STEM + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as z:
        for path, content in files:
            z.writestr(path, content)
    return name
`

// setup is setup.py.
const setup = `from setuptools import setup

setup(
    name=%s,
    version=%s,
    description=%s,
    long_description=%s,
    long_description_content_type="text/markdown",
    python_requires=%s,
    install_requires=%s,
    package_dir={"": "src"},
    py_modules=%s,
    packages=%s,
    package_data=%s,
)
`

// Sdist returns an sdist and its file name. pip builds it offline, with nothing else; so does setuptools by its setup.py
// (those of Modules at the top must then be Python modules).
func (d Dist) Sdist() (filename string, content []byte) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.NoCompression) // see store
	must(err)
	w := tar.NewWriter(z)
	add := func(name, content string) {
		must(w.WriteHeader(&tar.Header{
			Name: d.stem() + "/" + name, Size: int64(len(content)), Mode: 0o644, ModTime: made,
		}))
		_, err := w.Write([]byte(content))
		must(err)
	}
	modules, paths := d.modules()
	add("PKG-INFO", d.metadata())
	add("pyproject.toml", pyproject)
	add("builder.py", fmt.Sprintf(builder, literal(d.stem()), literal(paths), literal(wheelFile)))
	add("setup.py", d.setup())
	for _, p := range paths {
		add("src/"+p, modules[p])
	}
	must(w.Close())
	must(z.Close())
	return d.stem() + ".tar.gz", b.Bytes()
}

func (d Dist) setup() string {
	top, inPackages := d.packages()
	names := slices.AppendSeq([]string{}, maps.Keys(inPackages))
	slices.Sort(names)
	requires := append([]string{}, d.RequiresDist...)
	python := "None"
	if d.RequiresPython != "" {
		python = literal(d.RequiresPython)
	}
	return fmt.Sprintf(setup, literal(d.Name), literal(d.Version), literal(d.Summary), literal(d.Description), python,
		literal(requires), literal(append([]string{}, top...)), literal(names), literal(inPackages))
}

// literal writes strings, lists and maps of them as Python does: as JSON.
func literal(v any) string {
	var b strings.Builder
	must(json.NewEncoder(&b).Encode(v))
	return strings.TrimSuffix(b.String(), "\n")
}
