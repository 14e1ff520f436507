package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A Fill is an exclusive claim on a key's URL, and what was rendered for it so far. Always Close it: that gives up
// what was not published. A Fill is not safe for concurrent use.
type Fill struct {
	s     *Store
	key   Key
	claim *claim
	body  []byte // the body, as long as it is small
	size  int64
	large bool // the body is in the claimed file
	sum   hash.Hash
	err   error    // of a write; such a fill is never published
	ended bool     // published or not, the claim is no longer held
	file  *os.File // for reading a large body
}

// Claim begins a fill. Open the snapshot, ask the origin, only after it has returned. ErrClaimed: another fill has
// the URL. Any other error means that the page can't be stored now: render it past the cache.
func (s *Store) Claim(ctx context.Context, k Key) (*Fill, error) {
	c, err := s.claim(ctx, k)
	if err != nil {
		return nil, err
	}
	s.stats.fills.Add(1)
	return &Fill{s: s, key: k, claim: c, sum: sha256.New()}, nil
}

// Key returns the key being filled.
func (f *Fill) Key() Key { return f.key }

// Claimed returns the time at which the claim was taken.
func (f *Fill) Claimed() time.Time { return f.claim.taken }

// Write appends to the body: to memory as long as it is small, then to the claimed file. Past Options.PageMax it
// fails with ErrTooLarge, having taken nothing. After an error the fill can't be published.
func (f *Fill) Write(p []byte) (int, error) {
	if f.ended {
		return 0, fmt.Errorf("fill %s: %w: it was published or closed before", f.key, ErrClosed)
	}
	if f.err != nil {
		return 0, f.err
	}
	if f.size+int64(len(p)) > f.s.o.PageMax {
		f.err = fmt.Errorf("fill %s: %w: its body is over %d bytes", f.key, ErrTooLarge, f.s.o.PageMax)
		return 0, f.err
	}
	if !f.large && f.size+int64(len(p)) > f.s.o.MemoryPageMax {
		if f.err = sys.WriteAll(fault.ClaimWrite, f.claim.fd, f.body); f.err != nil {
			return 0, f.err
		}
		f.large, f.body = true, nil
	}
	if f.large {
		if f.err = sys.WriteAll(fault.ClaimWrite, f.claim.fd, p); f.err != nil {
			return 0, f.err
		}
	} else {
		f.body = append(f.body, p...)
	}
	f.sum.Write(p)
	f.size += int64(len(p))
	return len(p), nil
}

// Written returns how much was written so far; and that, as long as it is small.
func (f *Fill) Written() (size int64, small []byte) { return f.size, f.body }

// Open returns a descriptor of a body that is not small any more, for ReadAt alone: its offset is that of the writes. It
// outlives the fill; close it.
func (f *Fill) Open() (*os.File, error) {
	fd, err := sys.Dup(fault.ClaimDup, f.claim.fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.claim.file.Claim()), nil
}

// Content returns what was written, published or not, when no more will be. It is valid until Close.
func (f *Fill) Content() Body {
	b := Body{Size: f.size, Bytes: f.body}
	if f.large {
		b.File = f.reader()
	}
	return b
}

// reader returns a file to read the large body from, at its beginning.
func (f *Fill) reader() *os.File {
	if f.file == nil && f.claim.fd >= 0 {
		if fd, err := sys.Dup(fault.ClaimDup, f.claim.fd); err == nil {
			f.file = os.NewFile(uintptr(fd), f.claim.file.Claim())
		}
	}
	if f.file != nil {
		_, _ = f.file.Seek(0, io.SeekStart)
	}
	return f.file
}

// Close abandons the fill if it was not published, and releases what it holds. Closing twice is harmless.
func (f *Fill) Close() error {
	if !f.ended {
		f.ended = true
		f.claim.unlinkOwn()
	}
	if c := f.claim; !c.published && c.gen != nil {
		folder := c.file.Folder
		if c.file.Variant != "" {
			folder = c.file.Variants()
		}
		c.gen.removeEmpty(folder) // or answers that are never stored would leave folders without end
	}
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
	f.claim.close()
	return nil
}

// Publish puts the page in place, or fails with ErrInvalidated if anyone invalidated it since the claim. The caller
// may send what was rendered to the client it was rendered for in either case.
//
//	write · utimensat · fstat               content, and its identity
//	inventory: look for newer invalidations, for what settles and what is required, insert the row, commit
//	unlink left-over twins                  where rows of earlier publications tell of any
//	linkat /proc/self/fd/N NAME             ENOENT: the claim was unlinked
//	fstat · fstatat NAME.tmp                another link, or no claim: someone copied it with cp -al; withdraw
//	unlink NAME.stale, if there was one · unlink NAME.tmp
func (f *Fill) Publish(ctx context.Context, m Meta) (Hit, error) {
	if f.ended {
		return Hit{}, fmt.Errorf("publish %s: %w: the fill was published or closed before", f.key, ErrClosed)
	}
	f.ended = true
	page, err := f.publish(ctx, m)
	f.claim.unlinkOwn()
	if err != nil {
		if errors.Is(err, ErrInvalidated) {
			f.s.stats.invalidated.Add(1)
		}
		return Hit{}, fmt.Errorf("publish %s: %w", f.key, err)
	}
	f.s.stats.published.Add(1)
	f.s.keep.published(page.Size)
	f.s.memory.put(page)
	hit := Hit{Page: page, hitState: hitState{s: f.s, view: f.s.live.view.Load()}}
	if f.large {
		hit.file, hit.borrowed = f.reader(), true
	}
	return hit, nil
}

func (f *Fill) publish(ctx context.Context, m Meta) (*Page, error) {
	c, s := f.claim, f.s
	if f.err != nil {
		return nil, f.err
	}
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if age := time.Since(c.taken); age > s.o.ClaimTimeout {
		return nil, fmt.Errorf("%w: the render took %s, claims live %s", ErrInvalidated, age.Round(time.Millisecond), s.o.ClaimTimeout)
	}
	if s.keep.full() {
		s.keep.hurry()
		return nil, ErrFull
	}
	if m.Status == 0 {
		m.Status = http.StatusOK
	}
	header, err := f.check(m)
	if err != nil {
		return nil, err
	}
	private := needsPrivacy(m)
	if s.o.Plain && private {
		return nil, ErrNotPlain
	}
	if held, err := s.withheldFor(f.key, m.Tags); err != nil || held {
		return nil, errors.Join(err, fmt.Errorf("%w: a commit that concerns it has an unknown outcome", ErrInvalidated))
	}
	if !f.large {
		if err := sys.WriteAll(fault.ClaimWrite, c.fd, f.body); err != nil {
			return nil, err
		}
	}
	file, sibling := c.file.Page(), c.file.Private()
	if private {
		file, sibling = sibling, file
	}
	row := &inventory.Row{
		File: file, Claim: c.file.Claim(), Key: f.key.String(), Size: f.size,
		Status: m.Status, Header: header, Tags: m.Tags, Position: m.Position.String(),
		Created: time.Now().UnixNano(), Grace: int64(m.Grace),
	}
	if !m.Expires.IsZero() {
		row.Expires = m.Expires.UnixNano()
	}
	f.sum.Sum(row.Digest[:0])
	if err := s.identify(c, row); err != nil {
		return nil, err
	}
	if fault.Broken(fault.CounterAfterRead) {
		c.noted, _ = c.gen.inv.Counter(ctx)
	}
	if fault.Broken(fault.TagsUnchecked) {
		fault.Pause(50 * time.Millisecond) // about as far as the commits of an index are apart
	}
	earlier, v, left, err := c.gen.inv.Publish(ctx, row, sibling, &inventory.Fill{
		Noted: c.noted, Concerns: func(i *inventory.Invalidation) bool { return concerns(i, f.key, m.Tags) },
		Claimed: c.clock, Names: c.gen.namesOf(f.key, m.Tags), Position: m.Position,
	})
	if err == nil {
		err = verdict(v, left)
	}
	if err != nil {
		return nil, err
	}
	fault.Point(fault.PublishRow)
	if name, err := s.at.Readlink(fault.GenerationRead, "current"); err != nil || name != c.gen.name {
		// Linking it into the trash would be harmless; saying that it is published would not be true.
		return nil, errors.Join(fmt.Errorf("%w: its generation was retired", ErrInvalidated), err)
	}
	for _, e := range earlier {
		s.keep.suspect(c.gen, e.File)
	}
	if err := s.place(c, c.name(private), earlier); err != nil {
		s.keep.suspect(c.gen, row.File) // its own row, now of no publication
		return nil, err
	}
	page := newPage(f.key, row, m.Header.Clone(), s.live.prefix())
	page.Meta.Note, page.gen = m.Note, c.gen.name
	if !f.large {
		page.resident(f.body)
	}
	return page, nil
}

// check validates what the handler declared, and returns the headers as they are stored.
func (f *Fill) check(m Meta) (header string, err error) {
	o := f.s.o
	if !sendable(m.Status) {
		return "", fmt.Errorf("%w: no page has the status %d", key.ErrInvalid, m.Status)
	}
	if len(m.Tags) > o.MaxTags {
		return "", fmt.Errorf("%w: it has %d tags, at most %d are allowed: declare a tag that covers several", ErrTooLarge, len(m.Tags), o.MaxTags)
	}
	for _, tag := range m.Tags {
		if err := CheckTag(tag); err != nil {
			return "", err
		}
	}
	if len(m.Header[noteHeader]) > 0 || strings.ContainsFunc(m.Note, unicode.IsControl) {
		return "", fmt.Errorf("%w: the header %s is ours, and a note has one line", key.ErrInvalid, noteHeader)
	}
	if len(m.Position) > 0 {
		if err := checkPosition(m.Position); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	if err := m.Header.Write(&b); err != nil {
		return "", err
	}
	if m.Note != "" {
		b.WriteString(noteHeader + ": " + m.Note + "\r\n")
	}
	if b.Len() > o.MaxHeader {
		return "", fmt.Errorf("%w: its headers have %d bytes, at most %d are allowed", ErrTooLarge, b.Len(), o.MaxHeader)
	}
	return b.String(), nil
}

// MaxTag bounds a tag, in bytes.
const MaxTag = 512

// CheckTag reports what is wrong with a tag: it is 1 to MaxTag bytes of UTF-8 without spaces and control characters.
func CheckTag(tag string) error {
	if tag == "" || len(tag) > MaxTag {
		return fmt.Errorf("tag %.60q: %w: a tag has 1 to %d bytes", tag, key.ErrInvalid, MaxTag)
	}
	if !utf8.ValidString(tag) { // neither an outbox nor what is withheld could name it
		return fmt.Errorf("tag %.60q: %w: a tag is UTF-8", tag, key.ErrInvalid)
	}
	for i := range len(tag) {
		if tag[i] <= ' ' || tag[i] == 0x7f {
			return fmt.Errorf("tag %.60q: %w: a tag has no spaces and no control characters", tag, key.ErrInvalid)
		}
	}
	return nil
}

// sendable reports whether a status is one of a final answer (RFC 9110, 15).
func sendable(status int) bool { return status >= 200 && status <= 599 }

// needsPrivacy reports whether only we can serve a page: another server can't reproduce it exactly, or mustn't.
func needsPrivacy(m Meta) bool {
	return m.Private || m.Note != "" || m.Status != http.StatusOK || !m.Expires.IsZero() || !reproducible(m)
}

// reproducible reports whether other servers send the very headers of a page.
func reproducible(m Meta) bool {
	for name := range m.Reproduced {
		if _, ok := m.Header[name]; !ok {
			return false
		}
	}
	for _, name := range ownHeaders(m) {
		if !slices.Equal(m.Header[name], m.Reproduced[name]) {
			return false
		}
	}
	return slices.Equal(m.Header["Content-Type"], []string{PlainContentType})
}

// ownHeaders lists the headers of a page that other servers don't send of themselves, in order.
func ownHeaders(m Meta) []string {
	names := slices.Sorted(maps.Keys(m.Header))
	return slices.DeleteFunc(names, func(name string) bool { return name == "Content-Type" || name == "Server" })
}

// PlainContentType is the content type that other servers give published pages.
const PlainContentType = "text/html; charset=utf-8"

// SpellPlain gives a page that has this type, in whatever spelling, the one by which other servers can serve it.
func SpellPlain(h http.Header) {
	if t := h["Content-Type"]; len(t) == 1 && strings.EqualFold(strings.ReplaceAll(t[0], " ", ""), strings.ReplaceAll(PlainContentType, " ", "")) {
		h["Content-Type"] = []string{PlainContentType}
	}
}

// identify gives the claimed file its identity: the modification time's seconds are 31 bits of the content's digest,
// so that an ETag made of them (nginx makes it so) changes with the content and is the same on every node; its
// nanoseconds are a unique stamp.
func (s *Store) identify(c *claim, row *inventory.Row) error {
	sec, nsec := digestSeconds(row.Digest), s.nextStamp()
	if err := sys.SetMtime(fault.ClaimMtime, c.fd, sec, nsec); err != nil {
		return err
	}
	st, err := sys.Fstat(fault.ClaimLinks, c.fd)
	if err != nil {
		return err
	}
	switch {
	case st.Links == 0 || !c.holdsName():
		return fmt.Errorf("%w: its claim was unlinked", ErrInvalidated)
	case st.Links > 1:
		return fmt.Errorf("%w: its claim has %d links: someone copies the cache with cp -al", ErrInvalidated, st.Links)
	case st.Size != row.Size || st.Sec != sec || st.Nsec != nsec:
		return fmt.Errorf("the file system stored %d bytes at %d.%09d, not %d at %d.%09d", st.Size, st.Sec, st.Nsec, row.Size, sec, nsec)
	}
	row.Identity = inventory.Identity{Ino: st.Ino, Sec: sec, Nsec: nsec}
	return nil
}

// nextStamp returns nanoseconds below a second that this store has not used lately, and another process hardly has.
func (s *Store) nextStamp() int64 {
	const stamps = 1_000_000_000 / stampUnit
	for {
		old := s.stamp.Load()
		next := old + 1
		if old == 0 {
			next = rand.Uint64N(stamps) + 1
		}
		if s.stamp.CompareAndSwap(old, next) {
			return int64(next%stamps) * stampUnit
		}
	}
}

// digestSeconds folds a digest into 31 bits; 0 and 1 are avoided, as programs take them for "no time".
func digestSeconds(d [32]byte) int64 {
	sec := int64(d[0]&0x7f)<<24 | int64(d[1])<<16 | int64(d[2])<<8 | int64(d[3])
	if sec < 2 {
		sec += 2
	}
	return sec
}

// unlinkTwins removes what twins earlier publications left, before the new page gets its name.
func (c *claim) unlinkTwins(earlier []inventory.Earlier) error {
	if fault.Broken(fault.KeepTwins) {
		return nil
	}
	for _, e := range earlier {
		if !e.Twins {
			continue
		}
		_, name := splitLast(e.File)
		for _, suffix := range key.TwinSuffixes() {
			if _, err := c.place.Unlink(fault.TwinClear, name+suffix); err != nil {
				return err
			}
		}
	}
	return nil
}

// byRename: a control publishes as it should not be done; then the claim's name is gone.
func byRename() bool {
	return fault.Broken(fault.PublishByRename) || fault.Broken(fault.CompareAndRename)
}

// place publishes the claimed file, replacing what an expired page or an earlier fill of another process left there,
// and tidies up under the claim.
func (s *Store) place(c *claim, name string, earlier []inventory.Earlier) error {
	if err := c.unlinkTwins(earlier); err != nil {
		return err
	}
	if err := s.link(fault.PageLink, c, c.place, name); err != nil {
		return err
	}
	c.published = true
	fault.Point(fault.PublishLinked)
	st, err := sys.Fstat(fault.PageLinks, c.fd)
	if err == nil && (st.Links > linksPublished || linksPublished > 1 && !c.holdsName() && !byRename()) {
		// A copy made by cp -al keeps the inode alive when the claim is unlinked, and the kernel links it. (Or the
		// claim was unlinked since; then the page would be next anyway.)
		err = fmt.Errorf("%w: its claim was unlinked, or copied with cp -al", ErrInvalidated)
	}
	if err != nil {
		_, unlinkErr := c.place.Unlink(fault.PageWithdraw, name)
		return errors.Join(err, unlinkErr)
	}
	// What is older than this page: the key's other form, and graced pages. (Failing here is harmless: they are no
	// older than the last invalidation, or only served within their grace.)
	for _, e := range earlier {
		_, old := splitLast(e.File)
		if old != name {
			_, _ = c.place.Unlink(fault.FormClear, old)
		}
		if e.Graced {
			_, _ = c.place.Unlink(fault.GracedClear, old+key.StaleSuffix)
		}
	}
	return nil
}
