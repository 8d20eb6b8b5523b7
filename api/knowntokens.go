package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// tokenAge is how long a token that was good is taken for good: one that is revoked elsewhere works on for as long.
	tokenAge = 5 * time.Second
	// maxKnownTokens bounds those that are remembered.
	maxKnownTokens = 1000
)

// knownTokens remembers the records of tokens that were good a moment ago, so that a busy client does not have the
// catalog asked for each request. It keeps hashes only, and nothing of what was refused.
type knownTokens struct {
	mu struct {
		sync.Mutex
		of map[[sha256.Size]byte]knownToken
		// forgets counts them, for who looked a token up meanwhile.
		forgets int
	}
}

type knownToken struct {
	record media.Token
	until  time.Time
}

func newKnownTokens() *knownTokens {
	k := &knownTokens{}
	k.mu.of = make(map[[sha256.Size]byte]knownToken)
	return k
}

func (k *knownTokens) get(hash [sha256.Size]byte, now time.Time) (media.Token, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, ok := k.mu.of[hash]
	return known.record, ok && now.Before(known.until)
}

// begin is called before a token is looked up, and gives what put takes.
func (k *knownTokens) begin() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.forgets
}

// put remembers a record, if nothing was revoked since the look-up of it began: that may have been this one. Where
// there is no room, it forgets what is old, and then all.
func (k *knownTokens) put(hash [sha256.Size]byte, known knownToken, now time.Time, begun int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if begun != k.mu.forgets {
		return
	}
	if len(k.mu.of) >= maxKnownTokens {
		maps.DeleteFunc(k.mu.of, func(_ [sha256.Size]byte, old knownToken) bool { return !now.Before(old.until) })
	}
	if len(k.mu.of) >= maxKnownTokens {
		clear(k.mu.of)
	}
	k.mu.of[hash] = known
}

// forget has what was revoked here be refused at once.
func (k *knownTokens) forget(which func(media.Token) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.forgets++
	maps.DeleteFunc(k.mu.of, func(_ [sha256.Size]byte, known knownToken) bool { return which(known.record) })
}

// checkToken is Tokens.CheckToken with a short memory.
func (s *Server) checkToken(ctx context.Context, token string) (media.Token, error) {
	hash, now := sha256.Sum256([]byte(token)), time.Now()
	record, ok := s.known.get(hash, now)
	switch {
	case ok && record.Expired(now):
		return record, media.ErrDenied
	case ok:
		return record, nil
	}
	begun := s.known.begin()
	record, err := s.deps.Tokens.CheckToken(ctx, token)
	switch {
	case err == nil:
		// It counts from before the look: whatever was revoked since was revoked later than that.
		s.known.put(hash, knownToken{record, now.Add(tokenAge)}, now, begun)
		return record, nil
	case errors.Is(err, media.ErrDenied):
		return record, err
	}
	return media.Token{}, err
}
