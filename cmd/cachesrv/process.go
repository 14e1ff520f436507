package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/systemd"
)

// process returns what a server is to know of how it was started, and how it is told to reload. settings are those of the
// server's command, read from a command line that was parsed again. Call stop when the server has ended.
func (p *program) process(settings func(*program) (conf.Config, error)) (_ serve.Process, stop func(), err error) {
	sockets, err := systemd.Inherit()
	if err != nil {
		return serve.Process{}, nil, err
	}
	// From here on a SIGHUP does not kill. It is remembered until there is something to reload; several are one.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return serve.Process{
		Sockets:  sockets,
		Given:    func(key string) bool { _, ok := p.origins[key]; return ok },
		Reload:   hangup,
		Settings: func() (conf.Config, error) { return p.again(settings) },
		TakeLevel: func(level string) {
			_ = p.level.UnmarshalText([]byte(level)) // it was checked
		},
	}, func() { signal.Stop(hangup); sockets.Close() }, nil
}

// again reads the settings once more: the same command line and environment, and the file as it is now.
func (p *program) again(settings func(*program) (conf.Config, error)) (conf.Config, error) {
	q := &program{stdout: p.stdout, stderr: p.stderr, env: p.env, args: p.args, origins: map[string]string{}}
	if _, err := q.parse(); err != nil {
		return conf.Config{}, err
	}
	return settings(q)
}
