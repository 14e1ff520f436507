package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
)

// exceptRule returns a pattern of all request targets that a rule can match.
func exceptRule(r rules.Rule) (string, error) {
	if r.Path == "" {
		return `^`, nil
	}
	path, err := key.Path(r.Path)
	if err != nil {
		return "", err
	}
	if strings.Contains(path, "*") {
		return `^` + strings.NewReplacer(`\*\*`, `[^?]*`, `\*`, `[^/?]*`).Replace(regexp.QuoteMeta(path)) + `(?:\?|\z)`, nil
	}
	return `^` + regexp.QuoteMeta(strings.TrimRight(path, "/")) + `(?:[/?]|\z)`, nil
}

// upstreamOf returns the address under which this machine reaches a listener.
func upstreamOf(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// liveOf returns where the live link of a folder lies: where the folder's first opener has put it, else where the settings say.
func liveOf(f conf.Folder, l conf.Link) (string, error) {
	if l.Live != "" {
		return l.Live, nil
	}
	live, err := cache.LiveOf(f.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: start cachesrv once, or say where the live link is to lie with --live", err)
	}
	return live, err
}
