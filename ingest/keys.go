package ingest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// keyholders are the sessions that came with a stream key, live or standing by.
type keyholders struct {
	mu struct {
		sync.Mutex
		held map[*keyholder]struct{}
	}
}

// keyholder is one session's. What else there is of it than id, path and stop is under the keyholders' lock.
type keyholder struct {
	id   string
	path media.StreamPath
	stop context.CancelCauseFunc

	expires time.Time
	timer   *time.Timer // runs until expires; nil if that is never
}

// enter has a session end when its key does. A session without a key has no holder: nil.
func (k *keyholders) enter(path media.StreamPath, key media.KeyGrant, stop context.CancelCauseFunc) *keyholder {
	if key.ID == "" {
		return nil
	}
	h := &keyholder{id: key.ID, path: path, stop: stop}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mu.held == nil {
		k.mu.held = make(map[*keyholder]struct{})
	}
	k.mu.held[h] = struct{}{}
	h.expireLocked(key.ExpiresAt)
	return h
}

// expireLocked sets when the key expires.
func (h *keyholder) expireLocked(at time.Time) {
	if h.expires.Equal(at) {
		return
	}
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	if h.expires = at; !at.IsZero() {
		h.timer = time.AfterFunc(time.Until(at), func() {
			h.stop(fmt.Errorf("publish %s: %w", h.path, media.ErrKeyExpired))
		})
	}
}

func (k *keyholders) leave(h *keyholder) {
	if h == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h.expireLocked(time.Time{})
	delete(k.mu.held, h)
}

// with gives those that a condition holds for.
func (k *keyholders) with(those func(*keyholder) bool) (list []*keyholder) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for h := range k.mu.held {
		if those(h) {
			list = append(list, h)
		}
	}
	return list
}

// revoke stops the sessions that a condition holds for, and says whether there were any.
func (k *keyholders) revoke(those func(*keyholder) bool) bool {
	going := k.with(those)
	for _, h := range going {
		h.stop(fmt.Errorf("publish %s: %w", h.path, errKeyRevoked))
	}
	return len(going) > 0
}

// Keys lists the ids of the keys that sessions of this node came with, in order.
func (s *Server) Keys() []string {
	var ids []string
	for _, h := range s.keyholders.with(func(*keyholder) bool { return true }) {
		ids = append(ids, h.id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// KeysNow tells what became of keys: those of asked, as Keys gave them, that are not in expiries were revoked, and
// whoever came with them is dropped; of the others it says when they expire, zero for never. A backup's feed that came
// with another key stays.
func (s *Server) KeysNow(asked []string, expiries map[string]time.Time) {
	gone := make(map[string]bool, len(asked))
	for _, id := range asked {
		_, there := expiries[id]
		gone[id] = !there
	}
	s.keyholders.revoke(func(h *keyholder) bool { return gone[h.id] })
	s.keyholders.mu.Lock()
	defer s.keyholders.mu.Unlock()
	for h := range s.keyholders.mu.held {
		if at, there := expiries[h.id]; there {
			h.expireLocked(at)
		}
	}
}

// RevokeKey drops the sessions of a stream that came with a key, and says whether there were any.
func (s *Server) RevokeKey(path media.StreamPath, id string) bool {
	return s.keyholders.revoke(func(h *keyholder) bool { return h.path == path && h.id == id })
}
