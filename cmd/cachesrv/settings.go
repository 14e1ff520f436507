package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// configFlag is the one flag that has a variable but no place in the file.
const configFlag = "config"

// settings are those of every server, as flags.
type settings struct {
	conf.Folder
	conf.Database
	conf.Link
	conf.Store
	conf.Serve
}

// indexSettings are those of a package index.
type indexSettings struct {
	settings
	conf.Uploads
	conf.Index
}

// proxySettings are those of a proxy, which has no database.
type proxySettings struct {
	conf.Folder
	conf.Link
	conf.Store
	conf.Serve
	conf.Proxy
}

// allSettings are those of every server.
type allSettings struct {
	indexSettings
	conf.Proxy
}

// effective puts the configuration of a server together and validates it.
func (p *program) effective(s settings) (conf.Config, error) {
	c := conf.Config{Folder: s.Folder, Database: s.Database, Link: s.Link, Store: s.Store, Serve: s.Serve, Log: p.cli.Log}
	if p.file != nil {
		c.Rules = p.file.Config.Rules
	}
	return c, p.check(c.Folder, c.Database, c.Link, c.Store, c.Serve, c.Log, c.Rules)
}

// effectiveIndex is effective for a package index.
func (p *program) effectiveIndex(s indexSettings) (conf.Config, error) {
	c, err := p.effective(s.settings)
	c.Uploads, c.Index = s.Uploads, s.Index
	return c, errors.Join(err, p.check(c.Uploads, c.Index))
}

// effectiveAll is effective for whatever server there is.
func (p *program) effectiveAll(s allSettings) (conf.Config, error) {
	c, err := p.effectiveIndex(s.indexSettings)
	c.Proxy = s.Proxy
	return c, errors.Join(err, p.check(c.Proxy))
}

// check validates some parts of the configuration, and says of each wrong setting where its value comes from.
func (p *program) check(parts ...conf.Part) error { return p.explain(conf.Check(parts...)) }

// BeforeResolve reads the configuration file, before the flags that were not given are resolved from it.
func (*cli) BeforeResolve(kctx *kong.Context, p *program) error {
	path, _ := p.env(conf.EnvName(configFlag))
	for _, flag := range kctx.Flags() {
		if given, ok := kctx.FlagValue(flag).(string); ok && flag.Name == configFlag && given != "" {
			path = given
		}
	}
	if path != "" {
		file, err := conf.Read(path)
		if err != nil {
			return &sourceError{fmt.Errorf("configuration: %w", err)}
		}
		p.file = file
		for _, s := range conf.Settings() {
			if _, line, ok := file.Lookup(s); ok {
				p.origins[s.Key] = fmt.Sprintf("file %s:%d", path, line)
			}
		}
	}
	kctx.AddResolver(kong.ResolverFunc(p.resolve))
	return nil
}

// resolve finds the value of a setting that no flag gives: the environment's, else the file's. An empty variable
// counts as not set.
func (p *program) resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	s, ok := settingOf(flag)
	if !ok {
		return nil, nil
	}
	if text, ok := p.env(s.Env); ok && text != "" {
		p.origins[s.Key] = "environment " + s.Env
		scratch := reflect.New(flag.Target.Type()).Elem()
		if err := flag.Parse(kong.Scan().PushTyped(text, kong.FlagValueToken), scratch); err != nil {
			return nil, &sourceError{fmt.Errorf("environment: %s=%s: %w", s.Env, text, err)}
		}
		return text, nil
	}
	if text, _, ok := p.file.Lookup(s); ok {
		return text, nil
	}
	return nil, nil
}

// noteFlags records which settings come from the command line.
func (p *program) noteFlags(kctx *kong.Context) {
	for _, path := range kctx.Path {
		if path.Flag == nil || path.Resolved {
			continue
		}
		if s, ok := settingOf(path.Flag); ok {
			p.origins[s.Key] = "flag --" + s.Flag
		}
	}
}

// origin says where a setting comes from.
func (p *program) origin(key string) string {
	if from, ok := p.origins[key]; ok {
		return from
	}
	return "default"
}

// explain adds to each wrong setting where its value comes from.
func (p *program) explain(err error) error {
	var list []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	} else if err != nil {
		list = []error{err}
	}
	for i, err := range list {
		if wrong := (*conf.SettingError)(nil); errors.As(err, &wrong) {
			list[i] = fmt.Errorf("setting %s (%s): %w", wrong.Key, p.origin(wrong.Key), wrong.Err)
		}
	}
	return errors.Join(list...)
}

// A sourceError is a setting that can't be read where it was set: not a mistake on the command line.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

func settingOf(flag *kong.Flag) (conf.Setting, bool) {
	for _, s := range conf.Settings() {
		if s.Flag == flag.Name {
			return s, true
		}
	}
	return conf.Setting{}, false
}

// describeFlag adds a setting's default and its environment variable to the help.
func describeFlag(value *kong.Value) string {
	flag := value.Flag
	if flag == nil {
		return value.Help
	}
	if _, ok := settingOf(flag); !ok && flag.Name != configFlag {
		return value.Help
	}
	more := "$" + conf.EnvName(flag.Name)
	if value.Default != "" {
		more = "default " + value.Default + "; " + more
	}
	return strings.TrimSuffix(value.Help, ".") + " (" + more + ")."
}
