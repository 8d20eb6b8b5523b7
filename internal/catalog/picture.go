package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// picture is what a KeyCache knows. Its maps are bounded: past the bound some entry makes room.
type picture struct {
	most    int
	keys    map[string]hashedKey // by hash
	streams map[media.StreamPath]media.Stream
	members map[media.StreamPath][]string
	// whole says that everything was read: a group that is not there has no members.
	whole bool
	// print is what the catalog looked like when it was read.
	print fingerprint
	read  time.Time
}

func newPicture(most int) *picture {
	return &picture{
		most: most, keys: map[string]hashedKey{}, streams: map[media.StreamPath]media.Stream{},
		members: map[media.StreamPath][]string{},
	}
}

func (p *picture) setKey(hash string, s media.Stream) {
	makeRoom(p.keys, hash, p.most)
	p.keys[hash] = hashedKey{hash: hash, path: s.Path, key: s.Key}
	s.Key = media.KeyGrant{}
	p.setStream(s)
}

// granted gives the stream of a key that is known, unless that has expired.
func (p *picture) granted(k hashedKey) (media.Stream, error) {
	if k.key.Expired(time.Now()) {
		return media.Stream{}, media.ErrKeyExpired
	}
	s, err := p.stream(k.path)
	s.Key = k.key
	return s, err
}

func (p *picture) dropKey(hash string) { delete(p.keys, hash) }

func (p *picture) setStream(s media.Stream) {
	makeRoom(p.streams, s.Path, p.most)
	p.streams[s.Path] = s
}

func (p *picture) setMembers(path media.StreamPath, names []string) {
	makeRoom(p.members, path, p.most)
	p.members[path] = names
}

func (p *picture) stream(path media.StreamPath) (media.Stream, error) {
	s, ok := p.streams[path]
	if !ok {
		return s, errForgotten
	}
	return s, nil
}

// makeRoom drops an entry, whichever, from a full map that is to get another.
func makeRoom[K comparable, V any](m map[K]V, next K, most int) {
	if _, there := m[next]; there || len(m) < most {
		return
	}
	for k := range m {
		delete(m, k)
		return
	}
}

// fingerprint differs after nearly every change of keys, streams and publishers, and is cheap to ask for. It misses a
// key that was removed while another was added by a machine whose clock is behind: see fullAfter.
type fingerprint struct{ keys, added, streams, changed, publishers, set int64 }

const fingerprintQuery = `
	SELECT (SELECT COUNT(*) FROM stream_keys), (SELECT COALESCE(MAX(created_at), 0) FROM stream_keys),
		(SELECT COUNT(*) FROM streams), (SELECT COALESCE(MAX(updated_at), 0) FROM streams),
		(SELECT COUNT(*) FROM publishers), (SELECT COALESCE(MAX(updated_at), 0) FROM publishers)`

// fullAfter is after how many refresh times everything is read again, whatever the fingerprint says.
const fullAfter = 30

// refreshTimeout bounds one statement of a refresh.
const refreshTimeout = 5 * time.Second

// Run refreshes the memory until the context ends, and while SQL is away asks for it.
func (c *KeyCache) Run(ctx context.Context) error {
	refresh, probe := time.NewTicker(c.cfg.Refresh), time.NewTicker(c.cfg.Pause)
	defer refresh.Stop()
	defer probe.Stop()
	known := c.Refresh(ctx) == nil
	for {
		select {
		case <-ctx.Done():
			_ = c.WriteUses(context.WithoutCancel(ctx)) // uses that are lost are of no harm
			return nil
		case <-probe.C:
			if err := c.WriteUses(ctx); err != nil {
				c.logger.DebugContext(ctx, "uses of keys are not written", "err", err)
			}
			if known && !c.Away() {
				continue
			}
		case <-refresh.C:
		}
		known = c.Refresh(ctx) == nil // an error was told when it began
	}
}

// Refresh reads everything, if anything changed since it last did. While SQL is away it asks for it, and gives the
// error.
func (c *KeyCache) Refresh(ctx context.Context) error {
	if !c.mayAsk() {
		return errForgotten
	}
	limited, cancel := context.WithTimeout(ctx, c.cfg.Wait)
	seen, err := c.db.fingerprint(limited)
	cancel()
	if err != nil {
		c.note(ctx, err)
		return fmt.Errorf("refresh keys: %w", err)
	}
	c.came(nil)
	c.mu.Lock()
	known := c.mu.known
	if known.whole && known.print == seen && time.Since(known.read) < fullAfter*c.cfg.Refresh {
		c.mu.Unlock()
		return nil
	}
	if seen.keys > int64(c.cfg.MaxKeys) || seen.streams > int64(c.cfg.MaxKeys) {
		if !c.mu.crowded {
			c.logger.WarnContext(ctx, "catalog has more keys than are remembered: only those in use are",
				"keys", seen.keys, "streams", seen.streams, "limit", c.cfg.MaxKeys)
		}
		known.whole, c.mu.crowded = false, true
		c.mu.Unlock()
		return nil
	}
	if c.mu.reading { // another call does it
		c.mu.Unlock()
		return nil
	}
	c.mu.reading, c.mu.late = true, nil
	c.mu.Unlock()
	next, err := c.db.picture(ctx, c.cfg.MaxKeys)

	c.mu.Lock()
	defer c.mu.Unlock()
	late := c.mu.late
	c.mu.reading, c.mu.late = false, nil
	if err != nil {
		return fmt.Errorf("refresh keys: %w", err)
	}
	for _, change := range late {
		change(next)
	}
	next.print, next.read, next.whole = seen, time.Now(), true
	c.mu.known, c.mu.crowded = next, false
	return nil
}

// note counts an error as SQL's being away, unless the asker gave up.
func (c *KeyCache) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		c.giveUp()
		return
	}
	c.failed(err)
}

func (db *DB) fingerprint(ctx context.Context) (f fingerprint, err error) {
	err = db.reads.QueryRowContext(ctx, fingerprintQuery).
		Scan(&f.keys, &f.added, &f.streams, &f.changed, &f.publishers, &f.set)
	if err != nil {
		return f, db.failed("look for changed keys", err)
	}
	return f, nil
}

// errGrown: more was there than was counted just before.
var errGrown = errors.New("too many keys were added meanwhile")

// picture reads everything, a page at a time, so that no statement holds much or takes long.
func (db *DB) picture(ctx context.Context, most int) (*picture, error) {
	p := newPicture(most)
	const page = 1000
	var last media.StreamPath
	for {
		streams, err := readPage(ctx, db, scanStream, streamQuery+`
			WHERE (s.publisher, s.name) > ($1, $2) ORDER BY s.publisher, s.name LIMIT $3`,
			last.Publisher, last.Stream, page)
		if err != nil {
			return nil, db.failed("read streams", err)
		}
		if len(p.streams)+len(streams) > most {
			return nil, errGrown
		}
		for _, s := range streams {
			p.streams[s.Path] = s
			if s.Settings.Group != "" {
				show := media.StreamPath{Publisher: s.Path.Publisher, Stream: s.Settings.Group}
				p.members[show] = append(p.members[show], s.Path.Stream)
			}
			last = s.Path
		}
		if len(streams) < page {
			break
		}
	}
	after := ""
	for {
		keys, err := readPage(ctx, db, scanHash, `
			SELECT `+hashColumns+` FROM stream_keys WHERE hash > $1 ORDER BY hash LIMIT $2`, after, page)
		if err != nil {
			return nil, db.failed("read keys", err)
		}
		if len(p.keys)+len(keys) > most {
			return nil, errGrown
		}
		for _, k := range keys {
			p.keys[k.hash] = k
			after = k.hash
		}
		if len(keys) < page {
			return p, nil
		}
	}
}

func readPage[T any](ctx context.Context, db *DB, scan func(scanner) (T, error), query string, args ...any) (
	[]T, error,
) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	return all(ctx, db.reads, scan, query, args...)
}
