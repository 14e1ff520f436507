package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// place says what the unit's sandbox must leave within reach: the files that the settings name, and the folder of the live link,
// in which links come and go.
func (u *units) place(p *program, cfg conf.Config) error {
	files := []string{u.Dir, u.Config, u.Binary}
	for _, f := range []struct{ key, path string }{
		{"tls-cert", cfg.TLSCert}, {"tls-key", cfg.TLSKey}, {"purge-token-file", cfg.PurgeTokenFile},
	} {
		if f.path == "" {
			continue
		}
		if !filepath.IsAbs(f.path) {
			return fmt.Errorf("%s (%s) is %s: a unit needs an absolute path", f.key, p.origin(f.key), f.path)
		}
		files = append(files, f.path)
	}
	files = append(files, originSockets(cfg)...)
	if cfg.Live != "" {
		files = append(files, cfg.Live)
		if err := u.placeLink(p, filepath.Dir(filepath.Clean(cfg.Live))); err != nil {
			return err
		}
	}
	u.Home = slices.ContainsFunc(files, func(path string) bool { return below(path, "/home", "/root", "/run/user") })
	u.Tmp = slices.ContainsFunc(files, func(path string) bool { return below(path, "/tmp", "/var/tmp") })
	return nil
}

// placeLink sees to the folder of the live link.
func (u *units) placeLink(p *program, folder string) error {
	switch {
	case below(folder, u.Dir), below(folder, "/run/cachesrv"):
		return nil // both may be written anyway
	case slices.Contains([]string{"/", "/run", "/etc", "/usr", "/var", "/var/lib", "/home"}, folder):
		return fmt.Errorf("live (%s) lies in %s, all of which the unit would have to open to the program: give the link a folder of its own",
			p.origin("live"), folder)
	}
	u.Link = folder
	if name, ok := strings.CutPrefix(folder, "/run/"); ok && !below(folder, "/run/user") {
		u.Runtime = name // it is gone at each boot
	}
	return nil
}

// originSockets lists the origins that are Unix sockets.
func originSockets(cfg conf.Config) (paths []string) {
	for _, o := range cfg.Origins {
		paths = append(paths, o.URL)
	}
	for _, r := range cfg.Rules {
		paths = append(paths, r.Origin)
	}
	paths = slices.DeleteFunc(paths, func(url string) bool { return !strings.HasPrefix(url, "unix:") })
	for i := range paths {
		paths[i] = strings.TrimPrefix(paths[i], "unix:")
	}
	return paths
}

// below reports whether a path is one of some folders, or lies in one.
func below(path string, folders ...string) bool {
	path = filepath.Clean(path)
	return slices.ContainsFunc(folders, func(folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") })
}
