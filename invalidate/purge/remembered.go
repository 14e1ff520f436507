package purge

import (
	"container/list"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of what is remembered of requests with an Idempotency-Key.
const (
	rememberedFor = 24 * time.Hour
	maxRemembered = 10_000
	maxKey        = 255 // bytes of a key
)

// ErrKeyReused: an Idempotency-Key came again with another body. Nothing was dropped.
var ErrKeyReused = errors.New("the Idempotency-Key was used for another body within the last 24 h; nothing was dropped: use a new key for each change")

// remembered tells by Idempotency-Key whether a request has come before. It forgets the oldest, and all when the program
// ends: then a repeat is no more told from the first. Its zero value has seen none.
type remembered struct {
	mu    sync.Mutex
	byKey map[string]*list.Element // of byAge
	byAge list.List                // of seen, the oldest first
}

// A seen is a request that has come.
type seen struct {
	key    string
	digest [sha256.Size]byte // of its body
	at     time.Time         // when it came first
}

// repeated reports whether a key has come before, with the same body; with another it is ErrKeyReused.
func (m *remembered) repeated(key string, digest [sha256.Size]byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for e := m.byAge.Front(); e != nil && now.Sub(e.Value.(seen).at) >= rememberedFor; e = m.byAge.Front() {
		m.forget(e)
	}
	if e, ok := m.byKey[key]; ok {
		if e.Value.(seen).digest != digest {
			return false, ErrKeyReused
		}
		return true, nil
	}
	if len(m.byKey) == maxRemembered {
		m.forget(m.byAge.Front())
	}
	if m.byKey == nil {
		m.byKey = make(map[string]*list.Element)
	}
	m.byKey[key] = m.byAge.PushBack(seen{key, digest, now})
	return false, nil
}

func (m *remembered) forget(e *list.Element) {
	delete(m.byKey, e.Value.(seen).key)
	m.byAge.Remove(e)
}

// readKey returns a request's Idempotency-Key, or "". It is compared byte by byte: with or without the quotation marks that
// the header's draft asks for, but the same each time.
func readKey(lines []string) (string, error) {
	if len(lines) == 0 {
		return "", nil
	}
	k := lines[0]
	ok := len(lines) == 1 && k != "" && k != `""` && len(k) <= maxKey
	for i := range len(k) {
		ok = ok && k[i] > ' ' && k[i] < 0x7f
	}
	if !ok {
		return "", fmt.Errorf("%w Idempotency-Key: send one, of 1 to %d visible ASCII characters; a random UUID is best", ErrMalformed, maxKey)
	}
	return k, nil
}
