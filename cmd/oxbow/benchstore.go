package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
)

// measuredStore is an archive's store that keeps how its requests fared.
type measuredStore struct {
	archiver.Objects

	mu       sync.Mutex
	sent     int64 // bytes, of objects under way too
	stored   int64 // bytes of whole objects
	puts     []time.Duration
	stats    []time.Duration
	begun    map[media.RecordingID]time.Time // of each recording, its first request
	failures map[string]int
	last     error // that failed
}

func newMeasuredStore(objects archiver.Objects) *measuredStore {
	return &measuredStore{Objects: objects, begun: map[media.RecordingID]time.Time{}, failures: map[string]int{}}
}

// Put measures.
func (s *measuredStore) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	s.begin(key)
	start, told, before := time.Now(), options.Progress, int64(0)
	options.Progress = func(done int64) {
		s.mu.Lock()
		s.sent += done - before
		s.mu.Unlock()
		before = done
		if told != nil {
			told(done)
		}
	}
	object, err := s.Objects.Put(ctx, key, r, size, options)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.sent -= before
		s.failLocked(ctx, err)
		return object, err
	}
	s.sent += size - before
	s.stored += size
	s.puts = append(s.puts, time.Since(start))
	return object, nil
}

// Stat measures.
func (s *measuredStore) Stat(ctx context.Context, key string) (media.Object, error) {
	s.begin(key)
	start := time.Now()
	object, err := s.Objects.Stat(ctx, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		s.failLocked(ctx, err)
		return object, err
	}
	s.stats = append(s.stats, time.Since(start))
	return object, err
}

// failLocked counts a failure that is the store's, not that of a time that is up.
func (s *measuredStore) failLocked(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	state := objstore.StateOf(err)
	if state == "" {
		state = "other"
	}
	s.failures[state]++
	s.last = err
}

// begin notes when a recording's archiving began.
func (s *measuredStore) begin(key string) {
	parts := strings.SplitN(key, "/", 4)
	if len(parts) < 4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := media.RecordingID(parts[2]); s.begun[id].IsZero() {
		s.begun[id] = time.Now()
	}
}

// progress gives the bytes that are sent, and how many requests failed.
func (s *measuredStore) progress() (sent int64, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.failures {
		failed += n
	}
	return s.sent, failed
}

// quantile gives a duration that a share of them does not exceed. It sorts them.
func quantile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(share*float64(len(all))), len(all)-1)]
}

// milliseconds is a duration as results have it, to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
