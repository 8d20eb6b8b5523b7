package blocks

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// Config is a Cache's. The zero value serves.
type Config struct {
	// MaxBytes bounds the blocks in memory, beside those that are being read while all room is taken by such. Zero is
	// 128 MiB.
	MaxBytes int64
	// BlockBytes is the size of a block. Zero is 1 MiB.
	BlockBytes int
	// MaxAhead is how many blocks are read ahead of a sequential reader at the most. Zero is 4, negative is none.
	MaxAhead int
	// Believe is how long an object's version is believed before the store is asked for it again. It is asked earlier
	// when the recording's manifest has changed. Zero is 10 minutes.
	Believe time.Duration
	// StallTimeout bounds a pause in which a store gives no bytes. Zero is 10 s.
	StallTimeout time.Duration
	// Arena gives the memory. Nil is an arena of its own.
	Arena *slab.Arena
	// Tier keeps blocks beyond memory. Nil is none.
	Tier Tier
}

func (c Config) withDefaults() Config {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 128 << 20
	}
	if c.BlockBytes <= 0 {
		c.BlockBytes = 1 << 20
	}
	switch {
	case c.MaxAhead == 0:
		c.MaxAhead = 4
	case c.MaxAhead < 0:
		c.MaxAhead = 0
	}
	if c.Believe <= 0 {
		c.Believe = 10 * time.Minute
	}
	if c.StallTimeout <= 0 {
		c.StallTimeout = 10 * time.Second
	}
	if c.Arena == nil {
		c.Arena = slab.New()
	}
	return c
}
