package cacheproxy

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/playback"
)

const (
	verdictShards = 16
	// maxGrants bounds the good tokens of a shard, of each of two generations; some 200 bytes each.
	maxGrants = 2048
	// maxRefused bounds the bad ones of a shard, and refusedTTL how long they are remembered: for players that try again.
	maxRefused = 256
	refusedTTL = 10 * time.Second
)

// verdicts remembers what was found out about tokens, by their hash. Bad ones never push good ones out.
type verdicts struct {
	shards [verdictShards]verdictShard
}

type verdictShard struct {
	mu         sync.RWMutex
	fresh, old map[[sha256.Size]byte]*playback.Grant
	refused    map[[sha256.Size]byte]refused
}

type refused struct {
	err   error
	until time.Time
}

func newVerdicts() *verdicts {
	v := &verdicts{}
	for i := range v.shards {
		v.shards[i].fresh = make(map[[sha256.Size]byte]*playback.Grant)
		v.shards[i].refused = make(map[[sha256.Size]byte]refused)
	}
	return v
}

// verdictKey names a token of a publisher: it is nothing to another one.
func verdictKey(publisher, token string) [sha256.Size]byte {
	var room [512]byte
	text := append(room[:0], publisher...)
	text = append(text, 0)
	return sha256.Sum256(append(text, token...))
}

// get gives what is known of a token: neither is nothing.
func (v *verdicts) get(key [sha256.Size]byte, now time.Time) (*playback.Grant, error) {
	s := &v.shards[key[0]%verdictShards]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if grant, ok := s.fresh[key]; ok {
		return grant, nil
	}
	if grant, ok := s.old[key]; ok {
		return grant, nil
	}
	if r, ok := s.refused[key]; ok && now.Before(r.until) {
		return nil, r.err
	}
	return nil, nil //nolint:nilnil // nothing is known
}

// put remembers one of the two.
func (v *verdicts) put(key [sha256.Size]byte, grant *playback.Grant, err error, now time.Time) {
	s := &v.shards[key[0]%verdictShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if len(s.refused) >= maxRefused {
			clear(s.refused)
		}
		s.refused[key] = refused{err: err, until: now.Add(refusedTTL)}
		return
	}
	if len(s.fresh) >= maxGrants { // the older half goes: who comes again is verified again
		s.old, s.fresh = s.fresh, make(map[[sha256.Size]byte]*playback.Grant)
	}
	s.fresh[key] = grant
}

// len counts all.
func (v *verdicts) len() int {
	n := 0
	for i := range v.shards {
		s := &v.shards[i]
		s.mu.RLock()
		n += len(s.fresh) + len(s.old) + len(s.refused)
		s.mu.RUnlock()
	}
	return n
}
