package catalog

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// keyUseSpacing is the least time between two notes of a key's use.
	keyUseSpacing = time.Minute
	// keyUses is the most notes that are written at a time.
	keyUses = 100
)

// KeyExpiries gives, of the keys with the ids, those that are there, and when each expires; zero is never.
func (db *DB) KeyExpiries(ctx context.Context, ids []string) (map[string]time.Time, error) {
	const most = 900 // of the 999 arguments that every SQLite takes
	type expiry struct {
		id string
		at time.Time
	}
	found := make(map[string]time.Time, len(ids))
	for some := range slices.Chunk(ids, most) {
		names, args := make([]string, len(some)), make([]any, len(some))
		for i, id := range some {
			names[i], args[i] = "$"+strconv.Itoa(i+1), id
		}
		list, err := all(ctx, db.reads, func(row scanner) (e expiry, err error) {
			err = row.Scan(&e.id, at{&e.at})
			return e, err
		}, `SELECT id, expires_at FROM stream_keys WHERE id IN (`+strings.Join(names, ", ")+`)`, args...)
		if err != nil {
			return nil, db.failed("expiries of keys", err)
		}
		for _, e := range list {
			found[e.id] = e.at
		}
	}
	return found, nil
}

// NoteKeyUses keeps when publishes began, by the ids of their keys: the last of each, and at most one a minute.
func (db *DB) NoteKeyUses(ctx context.Context, used map[string]time.Time) error {
	for id, at := range used { // each by itself: who changes one row waits for nobody who waits for it
		ms := at.UnixMilli()
		if _, err := changed(ctx, db.writes, `
			UPDATE stream_keys SET last_used_at = $1
			WHERE id = $2 AND (last_used_at IS NULL OR last_used_at <= $3)`,
			ms, id, ms-keyUseSpacing.Milliseconds()); err != nil {
			return db.failed("note use of key "+id, err)
		}
	}
	return nil
}

// noteUse remembers that a publish begins with a key, for Run to write: no publish waits for that.
func (c *KeyCache) noteUse(id string) {
	if id == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.used == nil {
		c.mu.used = map[string]time.Time{}
	}
	makeRoom(c.mu.used, id, c.cfg.MaxKeys)
	c.mu.used[id] = time.Now()
}

// WriteUses writes what publishes were begun since it last did, some at a time. While SQL is away they are kept.
func (c *KeyCache) WriteUses(ctx context.Context) error {
	some := map[string]time.Time{}
	c.mu.Lock()
	if c.mu.away.IsZero() {
		for id, at := range c.mu.used {
			if len(some) == keyUses {
				break
			}
			some[id] = at
			delete(c.mu.used, id)
		}
	}
	c.mu.Unlock()
	if len(some) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	err := c.db.NoteKeyUses(ctx, some)
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, at := range some {
		if later, ok := c.mu.used[id]; !ok || later.Before(at) {
			makeRoom(c.mu.used, id, c.cfg.MaxKeys)
			c.mu.used[id] = at
		}
	}
	return err
}
