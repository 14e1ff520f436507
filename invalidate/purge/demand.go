package purge

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// Bounds of a body.
const (
	maxBody  = 1 << 20 // bytes
	maxNames = 10_000  // keys, prefixes and hosts together; tags: MaxTags
)

// A demand is the body of a request to the API.
type demand struct {
	Keys     []string `json:"keys,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
	All      bool     `json:"all,omitempty"`
	Soft     bool     `json:"soft,omitempty"`
	DryRun   bool     `json:"dry_run,omitempty"`
	Cause    string   `json:"cause,omitempty"`
	Position string   `json:"position,omitempty"`
}

// fields lists a body's fields, each with where it goes.
func (d *demand) fields() map[string]any {
	return map[string]any{
		"keys": &d.Keys, "prefixes": &d.Prefixes, "tags": &d.Tags, "hosts": &d.Hosts,
		"all": &d.All, "soft": &d.Soft, "dry_run": &d.DryRun, "cause": &d.Cause, "position": &d.Position,
	}
}

// parseDemand reads a body. What encoding/json passes over is an error here, as something would not be dropped that
// somebody named: fields that are unknown, in other case or given twice, and strings that are not UTF-8.
func parseDemand(body []byte) (d demand, err error) {
	bad := func(format string, args ...any) (demand, error) {
		return demand{}, fmt.Errorf("%w body: %w", ErrMalformed, fmt.Errorf(format, args...))
	}
	if !utf8.Valid(body) {
		return bad("it is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil { // the decoder below would see some faults only later, others not at all
		return bad("not JSON: %w", err)
	}
	in := json.NewDecoder(bytes.NewReader(body))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return bad(`send a JSON object, like {"keys":["example.org/a"]}`)
	}
	fields := d.fields()
	for in.More() {
		token, _ := in.Token()
		name, _ := token.(string)
		field, ok := fields[name]
		if !ok {
			return bad("the field %.80q is unknown, or given twice: there are keys, prefixes, tags, hosts, all, soft, dry_run, cause and position", name)
		}
		delete(fields, name)
		if err := in.Decode(field); err != nil {
			return bad("field %s: %w", name, err)
		}
	}
	return d, nil
}

// selection returns what a body names, all of it valid, or what is wrong.
func (d *demand) selection() (cache.Selection, error) {
	sel := cache.Selection{All: d.All, Soft: d.Soft, DryRun: d.DryRun, Cause: "POST " + Path}
	fail := func(err error) (cache.Selection, error) {
		return cache.Selection{}, fmt.Errorf("%w body: %w", ErrMalformed, err)
	}
	names := len(d.Keys) + len(d.Prefixes) + len(d.Hosts)
	switch {
	case names > maxNames || len(d.Tags) > MaxTags:
		return fail(fmt.Errorf("one request names at most %d keys, prefixes and hosts, and %d tags: send several, or name prefixes", maxNames, MaxTags))
	case names+len(d.Tags) == 0 && !d.All:
		return fail(errors.New(`it names nothing: give keys, prefixes, tags or hosts, or {"all":true}`))
	case names+len(d.Tags) > 0 && d.All:
		return fail(errors.New("all is every page: give either it, or keys, prefixes, tags and hosts"))
	case strings.ContainsFunc(d.Cause, unicode.IsControl) || len(d.Cause) > maxCause:
		return fail(fmt.Errorf("cause: it is one line of at most %d bytes", maxCause))
	case d.Cause != "":
		sel.Cause = d.Cause
	}
	if d.Position != "" {
		var err error
		if sel.Position, err = parsePosition("body: position", d.Position); err != nil {
			return cache.Selection{}, err
		}
	}
	for i, text := range d.Keys {
		k, err := key.Parse(text)
		url, _, _ := strings.Cut(text, "#")
		if err := cmp.Or(err, checkGlob(url), checkWhole(text)); err != nil {
			return fail(fmt.Errorf("keys[%d]: %w", i, err))
		}
		sel.Keys = append(sel.Keys, k)
	}
	for i, text := range d.Prefixes {
		p, err := key.ParsePrefix(text)
		if err := cmp.Or(err, checkGlob(strings.TrimRight(text, "/")), checkWhole(text)); err != nil {
			return fail(fmt.Errorf("prefixes[%d]: %w", i, err))
		}
		sel.Prefixes = append(sel.Prefixes, p)
	}
	for i, text := range d.Hosts {
		host, err := key.Host(text)
		if err != nil {
			return fail(fmt.Errorf("hosts[%d]: %w", i, err))
		}
		sel.Prefixes = append(sel.Prefixes, key.Prefix{Host: host})
	}
	for i, tag := range d.Tags {
		if err := cmp.Or(cache.CheckTag(tag), checkWhole(tag)); err != nil {
			return fail(fmt.Errorf("tags[%d]: %w", i, err))
		}
		sel.Tags = append(sel.Tags, tag)
	}
	return sel, nil
}

// checkWhole refuses the sign that encoding/json puts in place of what can't be told ("\ud800").
func checkWhole(text string) error {
	if strings.ContainsRune(text, utf8.RuneError) {
		return fmt.Errorf("%.80q: it has the character U+FFFD, which stands for something that was lost", text)
	}
	return nil
}

// digest tells one demand from another, however it was written.
func (d *demand) digest() [sha256.Size]byte {
	text, _ := json.Marshal(d) // strings and bools: it can't fail
	return sha256.Sum256(text)
}
