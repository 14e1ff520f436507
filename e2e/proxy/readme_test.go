//go:build e2e

package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/program"
	"github.com/cachesrv/cachesrv/e2e/walk"
)

// TestReadme runs what README.md says of the proxy.
func TestReadme(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(dir, "bin", "cachesrv")); err != nil {
		t.Fatal(err)
	}
	site, front := program.FreeAddress(t), program.FreeAddress(t)
	_, port, _ := strings.Cut(site, ":")
	walk.Walk{
		Name: "proxy", Readme: "../../README.md", Dir: dir, Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir},
		Adapt: strings.NewReplacer("127.0.0.1:9000", site, " 9000", " "+port, "127.0.0.1:8080", front, "/tmp/", dir+"/tmp-"),
	}.Run(t)
}
