//go:build e2e

package index

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/indextest"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// TestRefusals: what is refused says why in twine's output, and has left nothing.
func TestRefusals(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		ix := start(t, right, db, "--upload-max", "256KiB")
		ix.upload(wheel("teapot", "1.0"))
		ix.must(ix.Get(t.Context(), "/project/teapot/"))
		before := ix.state()
		if before["incoming"] != "" {
			t.Fatalf("incoming: %s", before["incoming"])
		}
		other := indextest.Wheel(sample.Dist{Name: "teapot", Version: "1.0", Summary: "another"})
		for _, c := range []struct {
			name  string
			args  []string
			file  indextest.File
			words []string // that twine must print, each
		}{
			{"wrong token", []string{"-p", "cachesrv-wrong"}, wheel("cup", "1.0"), []string{"403", "Invalid or non-existent authentication information"}},
			{"other content", nil, other, []string{"400", "File already exists", other.Filename}},
			{"too large", nil, large("cup", 300<<10), []string{"413", "256 KiB"}},
			{"path up", nil, withEntry("cup", "../evil.py", nil), []string{"400", "../evil.py"}},
			{"absolute path", nil, withEntry("cup", "/etc/evil", nil), []string{"400", "/etc/evil"}},
			{"backslash", nil, withEntry("cup", `..\evil.py`, nil), []string{"400", "evil.py"}},
			{"same entry twice", nil, withEntry("cup", "cup.py", nil), []string{"400", "cup.py"}},
			{"zip bomb", nil, withEntry("cup", "cup.bin", bytes.NewReader(make([]byte, 70<<20))), []string{"400", "unpack"}},
			{"no zip", nil, junkAfter("cup"), []string{"400", "cup-1.0-py3-none-any.whl"}},
			{"not in RECORD", nil, withEntry("cup", "hidden.py", strings.NewReader("x")), []string{"400", "RECORD", "hidden.py"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				ix := *ix
				ix.t = t
				out, err := ix.twine(c.args, c.file)
				for _, word := range c.words {
					ix.fails(word)(out, err)
				}
				ix.unchanged(before, c.name)
			})
		}
	})
}

// TestRefusedForms are those that twine would not send.
func TestRefusedForms(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		ix := start(t, right, db)
		ix.upload(wheel("teapot", "1.0"))
		before := ix.state()
		good := wheel("cup", "1.0")
		form := good.Form()
		rename := func(name string) indextest.Form {
			f := form
			f.Filename = name
			return f
		}
		for _, c := range []struct {
			name string
			form indextest.Form
			word string
		}{
			{"wrong sha256", form.With("sha256_digest", strings.Repeat("0", 64)), "SHA-256"},
			{"wrong md5", form.With("md5_digest", strings.Repeat("0", 32)), "md5"},
			{"wrong blake2", form.With("blake2_256_digest", strings.Repeat("0", 64)), "blake2"},
			{"no digest", form.Without("sha256_digest").Without("md5_digest").Without("blake2_256_digest"), "digest"},
			{"another name", form.With("name", "saucer"), "saucer"},
			{"another version", form.With("version", "1.1"), "1.1"},
			{"another type", form.With("filetype", "sdist"), "sdist"},
			{"unknown type", form.With("filetype", "bdist_egg"), "bdist_egg"},
			{"no name", form.Without("name"), "name"},
			{"no action", form.Without(":action"), ":action"},
			{"another action", form.With(":action", "doc_upload"), "doc_upload"},
			{"another protocol", form.With("protocol_version", "2"), "protocol"},
			{"path in the filename", rename("../../" + good.Filename), "../"},
			{"another filename", rename("saucer-1.0-py3-none-any.whl"), "saucer"},
			{"no wheel's filename", rename("cup.whl"), "cup.whl"},
			{"empty filename", rename(""), "file name"},
			{"long filename", rename(strings.Repeat("c", 300) + "-1.0-py3-none-any.whl"), "name"},
			{"second content", form.With("content", "x"), "content"},
			{"a huge field", form.With("description", strings.Repeat("x", 2<<20)), "description"},
		} {
			a, err := ix.Send(t.Context(), c.form)
			if err != nil || a.Status != 400 && a.Status != 413 {
				t.Errorf("%s: %v, %v", c.name, a, err)
				continue
			}
			if !strings.Contains(strings.ToLower(a.Phrase), strings.ToLower(c.word)) || !strings.Contains(string(a.Body), a.Phrase[:20]) {
				t.Errorf("%s: nothing about %q in %v", c.name, c.word, a)
			}
			ix.unchanged(before, c.name)
		}
		many := form
		for i := range 20_000 {
			many.Fields = append(many.Fields, [2]string{"classifiers", fmt.Sprint(i)})
		}
		if a, err := ix.Send(t.Context(), many); err != nil || a.Status != 400 && a.Status != 413 {
			t.Errorf("20,000 fields: %v, %v", a, err)
		}
		anonymous := *ix.Client
		anonymous.Token = ""
		if a, err := anonymous.Upload(t.Context(), good); err != nil || a.Status != 401 || a.Header.Get("Www-Authenticate") == "" {
			t.Errorf("no token: %v, %v", a, err)
		}
		ix.unchanged(before, "all of it")
		ix.upload(good) // which was good all the time
	})
}

// TestUploadAgain: the very same file is fine, and changes nothing; another one with --skip-existing is, too.
func TestUploadAgain(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		ix := start(t, right, db)
		files := []indextest.File{wheel("teapot", "1.0"), sdist("teapot", "1.0")}
		ix.succeeds(ix.twine(nil, files...))
		before := ix.state()
		ix.succeeds(ix.twine(nil, files...))
		ix.unchanged(before, "the same again")

		other := indextest.Wheel(sample.Dist{Name: "teapot", Version: "1.0", Summary: "another"})
		ix.fails("File already exists")(ix.twine(nil, other))
		ix.unchanged(before, "another content")

		// twine itself asks pypi.org only about existing files; of others it waits for the answer.
		out := ix.succeeds(ix.twine([]string{"--skip-existing"}, other, wheel("teapot", "1.1")))
		if !strings.Contains(out, "Skipping "+other.Filename) {
			t.Errorf("twine says:\n%s", out)
		}
		if names := ix.names("teapot"); len(names) != 3 {
			t.Errorf("the project has %q", names)
		}
	})
}

// withEntry is a wheel with another entry; its RECORD does not list it.
func withEntry(name, entry string, content io.Reader) indextest.File {
	return remake(name, func(w *zip.Writer) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: entry, Method: zip.Deflate})
		if err == nil && content != nil {
			_, err = io.Copy(f, content)
		}
		if err != nil {
			panic(err)
		}
	})
}

// remake copies a wheel entry by entry, and adds to it. A RECORD line for what is added is not.
func remake(name string, add func(w *zip.Writer)) indextest.File {
	f := wheel(name, "1.0")
	old, err := zip.NewReader(bytes.NewReader(f.Content), int64(len(f.Content)))
	if err != nil {
		panic(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, entry := range old.File {
		if err := w.Copy(entry); err != nil {
			panic(err)
		}
	}
	add(w)
	if err := w.Close(); err != nil {
		panic(err)
	}
	f.Content = b.Bytes()
	return f
}

// junkAfter is a wheel followed by what is none.
func junkAfter(name string) indextest.File {
	f := wheel(name, "1.0")
	f.Content = append(f.Content, strings.Repeat("junk", 100)...)
	return f
}

// large is a wheel of at least so many bytes.
func large(name string, size int) indextest.File {
	return indextest.Wheel(sample.Dist{Name: name, Version: "1.0", Modules: map[string]string{name + ".py": strings.Repeat("#", size)}})
}
