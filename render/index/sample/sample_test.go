package sample_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/index/dist"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

var samples = []sample.Dist{
	{Name: "demo", Version: "1.0"},
	{Name: "Demo.Thing", Version: "1!2.0rc1+l.1", Summary: "A «thing»", Description: "# Thing\n\nIt is.", RequiresPython: ">=3.8",
		RequiresDist: []string{"demo>=1", `six; python_version < "3"`}, Extra: []string{"Author: Ada", "Classifier: A :: B"}},
	{Name: "pack", Version: "3", Modules: map[string]string{"pack/__init__.py": "", "pack/a,b.txt": "x", "pack/c/__init__.py": "", "top.py": "x = 1\n"}},
}

// TestSamplesAreGood: the index takes what the package makes, and reads what was meant.
func TestSamplesAreGood(t *testing.T) {
	for _, s := range samples {
		for _, make := range []func() (string, []byte){s.Wheel, s.Sdist} {
			name, content := make()
			d, err := dist.Inspect(bytes.NewReader(content), int64(len(content)), name, dist.Limits{})
			if err != nil {
				t.Error(err)
				continue
			}
			m := d.Metadata
			if m.Name != s.Name || d.Version != s.Version || m.Summary != s.Summary || strings.TrimSuffix(m.Description, "\n") != s.Description ||
				m.RequiresPython != s.RequiresPython || strings.Join(m.RequiresDist, "|") != strings.Join(s.RequiresDist, "|") {
				t.Errorf("%s: %+v", name, m)
			}
		}
	}
}

func TestModules(t *testing.T) {
	for i, want := range []map[string]string{
		{"demo.py": "__version__ = \"1.0\"\n"}, {"demo_thing.py": "__version__ = \"1!2.0rc1+l.1\"\n"}, samples[2].Modules,
	} {
		_, content := samples[i].Wheel()
		z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		if len(z.File) != len(want)+3 {
			t.Errorf("%d entries, want %d and three", len(z.File), len(want))
		}
		for path, text := range want {
			f, err := z.Open(path)
			if err != nil {
				t.Error(err)
				continue
			}
			if got, err := io.ReadAll(f); err != nil || string(got) != text {
				t.Errorf("%s: %q (%v), want %q", path, got, err, text)
			}
		}
	}
}

// TestSameBytes: in every process, on every machine, with every Go.
func TestSameBytes(t *testing.T) {
	all := sha256.New()
	for _, s := range samples {
		for _, make := range []func() (string, []byte){s.Wheel, s.Sdist} {
			name, content := make()
			if again, other := make(); again != name || !bytes.Equal(other, content) {
				t.Errorf("%s comes out different the second time", name)
			}
			io.WriteString(all, name)
			all.Write(content)
		}
	}
	if got, want := hex.EncodeToString(all.Sum(nil)), "01e4b14445f656cf9a317127ce6b9e5e1d47eec486526d32b1e154466c3c651e"; got != want {
		t.Errorf("the samples have sha256 %s, not %s: if they were meant to change, write it here", got, want)
	}
}
