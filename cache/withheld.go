package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A commit whose outcome is unknown may become visible at any later time. Until it is known, nothing that the commit
// would invalidate is published. Such selections lie in withheld/, a file each, so that they hold for every process,
// over restarts, and whatever becomes of a generation. The folder exists only while there are any: a fill pays one
// fstatat.

// withheldFile is the content of such a file.
type withheldFile struct {
	ID       string   `json:"id"`
	Keys     []string `json:"keys,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
	All      bool     `json:"all,omitempty"`
}

// withholdAttempts bounds the tries to write into a folder that others remove when it is empty.
const withholdAttempts = 20

// MaxWithheld bounds the selections withheld at a time. Beyond, everything is withheld.
const MaxWithheld = 1000

func withheldName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:12])
}

func isWithheldName(name string) bool {
	b, err := hex.DecodeString(name)
	return err == nil && len(b) == 12
}

// Withhold keeps everything a selection names from being published until Release(id). It drops nothing that is
// already published: call Invalidate next.
func (s *Store) Withhold(ctx context.Context, id string, sel Selection) error {
	sel = sel.spelled()
	w := withheldFile{ID: id, Tags: sel.Tags, All: sel.All}
	for _, k := range sel.Keys {
		w.Keys = append(w.Keys, k.String())
	}
	for _, p := range sel.Prefixes {
		w.Prefixes = append(w.Prefixes, p.String())
	}
	b, err := json.Marshal(w)
	if err == nil {
		if names, nameErr := s.at.Names(fault.WithheldRead, "withheld"); nameErr == nil && len(names) >= MaxWithheld {
			b, err = json.Marshal(withheldFile{ID: id, All: true})
		}
	}
	for attempts := 0; err == nil; attempts++ {
		if err = s.at.Make(fault.WithheldMake, "withheld"); err != nil && !errors.Is(err, fs.ErrExist) {
			break
		}
		err = nil
		writeErr := s.writeDurable("withheld/"+withheldName(id), b)
		if writeErr == nil {
			err = s.syncFolder("withheld")
			break
		}
		if !errors.Is(writeErr, fs.ErrNotExist) || attempts == withholdAttempts {
			err = writeErr // else a Release has just removed the empty folder
		}
	}
	if err != nil {
		return fmt.Errorf("withhold %q: %w", id, err)
	}
	return ctx.Err()
}

// Release takes back Withhold. Invalidate what the commit changed first.
func (s *Store) Release(ctx context.Context, id string) error {
	found, err := s.at.Unlink(fault.MarkUnlink, "withheld/"+withheldName(id))
	if err == nil && !found && isWithheldName(id) {
		_, err = s.at.Unlink(fault.MarkUnlink, "withheld/"+id) // one that could not be read goes by its file's name
	}
	if err != nil {
		return fmt.Errorf("release %q: %w", id, err)
	}
	_ = s.at.RemoveDir(fault.WithheldRemove, "withheld") // fails while there are others
	return ctx.Err()
}

// Withheld lists the ids that are withheld, by this process or by one that died.
func (s *Store) Withheld(ctx context.Context) ([]string, error) {
	all, err := s.readWithheld()
	if err != nil {
		return nil, fmt.Errorf("list what is withheld: %w", err)
	}
	var ids []string
	for _, w := range all {
		ids = append(ids, w.ID)
	}
	slices.Sort(ids)
	return ids, ctx.Err()
}

func (s *Store) readWithheld() (all []withheldFile, err error) {
	names, err := s.at.Names(fault.WithheldRead, "withheld")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !isWithheldName(name) { // renameio's temporary file
			continue
		}
		b, err := s.readMark("withheld/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var w withheldFile
		if err == nil {
			err = json.Unmarshal(b, &w)
		}
		if err == nil && withheldName(w.ID) != name {
			err = fmt.Errorf("it is that of %q", w.ID) // damaged, or somebody else's
		}
		if err != nil { // unknown: everything
			s.log.Error("a withheld selection can't be read; nothing is published until it is removed", "file", s.path("withheld/"+name), "err", err)
			w = withheldFile{ID: name, All: true}
		}
		all = append(all, w)
	}
	return all, nil
}

// withheldFor reports whether a page must not be published now.
func (s *Store) withheldFor(k Key, tags []string) (bool, error) {
	if there, err := s.exists(fault.WithheldStat, "withheld"); err != nil || !there {
		return false, err
	}
	all, err := s.readWithheld()
	if err != nil {
		return false, err
	}
	for _, w := range all {
		if w.All || slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(w.Tags, t) }) {
			return true, nil
		}
		for _, text := range w.Keys {
			if held, err := key.Parse(text); err != nil || sameURL(held, k) {
				return true, nil
			}
		}
		for _, text := range w.Prefixes {
			if p, err := key.ParsePrefix(text); err != nil || p.Covers(k) {
				return true, nil
			}
		}
	}
	return false, nil
}

// sameURL reports whether a key of a selection names a page: without a host, on every host; variants are not looked at.
func sameURL(named, page Key) bool {
	return named.Path == page.Path && named.Query == page.Query && (named.Host == "" || named.Host == page.Host)
}
