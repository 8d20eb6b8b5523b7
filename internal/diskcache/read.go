package diskcache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"time"
)

// deafTime is how long nothing is read after a read that took longer than Config.ReadTimeout.
const deafTime = 10 * time.Second

var (
	// errCorrupt is of bytes that are not what was written.
	errCorrupt = errors.New("does not verify")
	// errOtherKey is of an entry whose key has the same hash.
	errOtherKey = errors.New("another key")
	// errRefused is of a caller that gave no memory.
	errRefused = errors.New("no memory")
)

// span is a range of a body, to not included.
type span struct{ from, to int64 }

// read finds an entry and reads it, beside the caller, who does not wait for a device that hangs.
func (s *Store) read(ctx context.Context, key string, want span, alloc func(int) []byte) (Value, bool) {
	hash := hashKey(key)
	s.mu.Lock()
	seg, l, at, ok := s.mu.find(hash)
	if !ok || s.mu.closed || s.mu.wipe || time.Now().Before(s.mu.deaf) {
		s.mu.Unlock()
		return Value{}, false
	}
	l.hits = 1
	found := *l
	s.mu.Unlock()

	late := time.NewTimer(s.config.ReadTimeout)
	defer late.Stop()
	select {
	case s.reads <- struct{}{}:
	case <-ctx.Done():
		return Value{}, false
	case <-late.C:
		return Value{}, false
	}
	type outcome struct {
		value Value
		err   error
	}
	done := make(chan outcome, 1)
	s.running.Go(func() {
		defer func() { <-s.reads }()
		v, err := seg.read(found, key, want, alloc)
		runtime.KeepAlive(alloc) // with the memory that it gave, though nobody may wait any more
		done <- outcome{v, err}
	})
	select {
	case o := <-done:
		if o.err != nil {
			s.misread(seg, hash, at, o.err)
		}
		return o.value, o.err == nil
	case <-ctx.Done():
		return Value{}, false
	case <-late.C:
		s.hang(seg)
		return Value{}, false
	}
}

// misread looks into why an entry could not be read. One that is damaged is not tried again.
func (s *Store) misread(seg *segment, hash uint64, at place, err error) {
	switch {
	case errors.Is(err, errOtherKey), errors.Is(err, errRefused), errors.Is(err, os.ErrClosed):
		return
	case errors.Is(err, errCorrupt):
		s.metrics.corrupt.Inc()
		s.logger.Debug("disk cache: a damaged entry is dropped", "file", seg.path, "err", err)
	default:
		s.metrics.errors[actRead].Inc()
		s.logger.Debug("disk cache: an entry that can't be read is dropped", "file", seg.path, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.remove(hash, at)
}

// hang has reads miss for a while.
func (s *Store) hang(seg *segment) {
	s.metrics.errors[actRead].Inc()
	now := time.Now()
	s.mu.Lock()
	told := now.Before(s.mu.deaf)
	s.mu.deaf = now.Add(deafTime)
	s.mu.Unlock()
	if !told {
		s.logger.Warn("the disk cache's device does not answer: nothing is read from it for a while", "file", seg.path,
			"waited", s.config.ReadTimeout, "do", "look at the device")
	}
}

// read reads what is wanted of an entry and verifies all that it reads.
func (g *segment) read(l slot, key string, want span, alloc func(int) []byte) (Value, error) {
	h, err := g.readHead(l)
	switch {
	case err != nil:
		return Value{}, err
	case h.key != key:
		return Value{}, errOtherKey
	}
	size := int64(h.body)
	v := Value{Meta: h.meta, Size: size}
	want.to = min(want.to, size)
	base := int64(l.offset) + int64(l.head)
	for at := want.from / PieceBytes * PieceBytes; at < want.to && want.from < want.to; at += PieceBytes {
		n := min(PieceBytes, size-at)
		b := alloc(int(n))
		if int64(len(b)) < n {
			return Value{}, errRefused
		}
		b = b[:n:n]
		if err := g.readAt(b, base+at); err != nil {
			return Value{}, err
		}
		if crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(h.sums[4*(at/PieceBytes):]) {
			return Value{}, fmt.Errorf("body at %d: %w", base+at, errCorrupt)
		}
		v.Body = append(v.Body, b[max(0, want.from-at):min(n, want.to-at)])
	}
	return v, nil
}

func (g *segment) readHead(l slot) (head, error) {
	b := make([]byte, l.head)
	if err := g.readAt(b, int64(l.offset)); err != nil {
		return head{}, err
	}
	h, ok := parseHead(b)
	if !ok || h.serial != g.serial || h.size()+int64(h.body) != int64(l.size) || hashKey(h.key) != l.hash ||
		hashGroup(h.group) != l.group || h.epoch != l.epoch {
		return head{}, fmt.Errorf("head at %d: %w", l.offset, errCorrupt)
	}
	return h, nil
}

// readAt fills b; a file that is too short is damaged.
func (g *segment) readAt(b []byte, at int64) error {
	n, err := g.file.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("file ends within %d..%d: %w", at, at+int64(len(b)), errCorrupt)
	}
	return err
}
