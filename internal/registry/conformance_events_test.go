package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (b bench) testEvents(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	tail, err := r.Tail(ctx)
	noError(t, err)
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	published := make([]media.Event, 600) // more than one batch
	for i := range published {
		published[i] = media.Event{
			Type: media.EventLive, Time: at, Publisher: "acme", Stream: "show",
			Recording: media.RecordingID(fmt.Sprintf("%026d", i)),
		}
		noError(t, r.Publish(ctx, published[i]))
	}
	var got []media.Event
	last := tail
	for e, err := range Events(ctx, r, tail) {
		noError(t, err)
		if e.ID <= last {
			t.Fatalf("id %d came after %d", e.ID, last)
		}
		last = e.ID
		e.ID = 0
		if got = append(got, e); len(got) == len(published) {
			break
		}
	}
	if diff := cmp.Diff(published, got); diff != "" {
		t.Errorf("events differ (-published +read):\n%s", diff)
	}
	if newest, err := r.Tail(ctx); err != nil || newest != last {
		t.Errorf("Tail = %d, %v, want %d", newest, err, last)
	}
	// Resumed in the middle, and given a time when it has none.
	noError(t, r.Publish(ctx, media.Event{Type: media.EventEnded}))
	rest, err := r.Read(ctx, last)
	noError(t, err)
	if len(rest) != 1 || rest[0].Type != media.EventEnded || rest[0].Time.IsZero() {
		t.Errorf("Read after %d = %+v, want the ended event with a time", last, rest)
	}
}

func (b bench) testWait(t *testing.T) {
	r := b.open(t, Config{})
	tail, err := r.Tail(t.Context())
	noError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if events, err := r.Read(ctx, tail); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Read of nothing = %v, %v, want the deadline's error", events, err)
	}
	seen := make(chan media.Event)
	go func() {
		defer close(seen)
		for e, err := range Events(t.Context(), r, tail) {
			if err != nil {
				t.Error(err)
				return
			}
			seen <- e
			if e.Type == media.EventDeleted {
				return
			}
		}
	}()
	for _, kind := range []string{media.EventLive, media.EventEnded, media.EventDeleted} {
		noError(t, r.Publish(t.Context(), media.Event{Type: kind}))
		if e := <-seen; e.Type != kind {
			t.Errorf("got event %s, want %s", e.Type, kind)
		}
	}
	<-seen
}

func (b bench) testLost(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{Events: 10})
	tail, err := r.Tail(ctx)
	noError(t, err)
	for range 11 {
		noError(t, r.Publish(ctx, media.Event{Type: media.EventLive}))
	}
	_, err = r.Read(ctx, tail)
	wantError(t, err, media.ErrGone)
	var lost *LostError
	if !errors.As(err, &lost) || lost.After != tail {
		t.Fatalf("Read = %v, want a LostError after %d", err, tail)
	}
	events, err := r.Read(ctx, lost.First)
	if err != nil || len(events) != 10 {
		t.Errorf("Read where the error says = %d events, %v, want 10", len(events), err)
	}
	var errs []error
	for _, err := range Events(ctx, r, tail) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.As(errs[0], &lost) {
		t.Errorf("Events yielded %v, want one LostError", errs)
	}
}

func (b bench) testUnknownPosition(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	tail, err := r.Tail(ctx)
	noError(t, err)
	for _, after := range []int64{-1, tail - 1, tail + 1} {
		_, err := r.Read(ctx, after)
		wantError(t, err, media.ErrGone)
	}
}

func (b bench) testFanOut(t *testing.T) {
	r := b.open(t, Config{})
	ctx := context.Background()
	tail, err := r.Tail(ctx)
	noError(t, err)
	const readers, writers, each = 8, 4, 100
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := r.Publish(ctx, media.Event{Type: media.EventLive}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range readers {
		wg.Go(func() {
			last, n := tail, 0
			for e, err := range Events(ctx, r, tail) {
				if err != nil || e.ID <= last {
					t.Errorf("event %d after %d: %v", e.ID, last, err)
					return
				}
				last = e.ID
				if n++; n == writers*each {
					return
				}
			}
		})
	}
	wg.Wait()
}
