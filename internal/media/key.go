package media

import (
	"fmt"
	"time"
)

// StreamKey is the record of a key; the key itself is kept only as a hash.
type StreamKey struct {
	ID        string
	Path      StreamPath
	Label     string
	CreatedAt time.Time
	// ExpiresAt is until when it works; zero is for ever.
	ExpiresAt time.Time
	// LastUsedAt is when a publish was last begun with it, to a minute; zero is never.
	LastUsedAt time.Time
}

// KeyGrant is what a publish knows of the key that it came with.
type KeyGrant struct {
	ID        string
	ExpiresAt time.Time // zero is never
}

// Expired says whether the key works no more.
func (k KeyGrant) Expired(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt)
}

// KeyRotation puts a new key in the place of another.
type KeyRotation struct {
	// ID is the old key's. It works on for the grace; zero revokes it at once.
	ID    string
	Grace time.Duration
	// Label is the new one's; nil has it take the old one's. ExpiresAt is the new one's too.
	Label     *string
	ExpiresAt time.Time
}

// ErrKeyExpired is an ErrDenied: the key was right and works no more.
var ErrKeyExpired = fmt.Errorf("%w: the stream key has expired", ErrDenied)
