package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// However often a publisher comes while the volume hangs, one goroutine hangs with it; then its turn comes.
func TestVolumeThatHangsHoldsOneGoroutineOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var owner takeover
		going := make(chan struct{})
		var looks atomic.Int64
		work := func() error {
			looks.Add(1)
			<-going
			return nil
		}
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			begun := time.Now()
			if err := owner.look(ctx, acme("show"), work); !errors.Is(err, media.ErrUnavailable) {
				t.Errorf("a look at a volume that hangs: %v", err)
			}
			if took := time.Since(begun); took != 2*time.Second {
				t.Errorf("it took %v", took)
			}
			cancel()
		}
		if looks := looks.Load(); looks != 1 {
			t.Errorf("%d looks at a time", looks)
		}
		if err := owner.look(t.Context(), acme("other"), func() error { return nil }); err != nil {
			t.Errorf("another stream: %v", err)
		}
		close(going)
		if err := owner.look(t.Context(), acme("show"), work); err != nil || looks.Load() != 2 {
			t.Errorf("look %d once the volume answers: %v", looks.Load(), err)
		}
		synctest.Wait() // also the first look's turn is over
		if n := len(owner.turns.of); n != 0 {
			t.Errorf("%d looks are left", n)
		}
	})
}

func TestStartTellsThatItWaitsForTheVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		n := newNode(runContext{logger: slog.New(slog.NewTextHandler(&log, nil))})
		n.Recordings = "/mnt/shows"
		if err := n.meet(t.Context(), "open", func() error { time.Sleep(time.Second); return nil }); err != nil || log.Len() > 0 {
			t.Errorf("a volume that answers: %v, told %s", err, &log)
		}
		want := errors.New("stale")
		if err := n.meet(t.Context(), "open", func() error { time.Sleep(12 * time.Second); return want }); !errors.Is(err, want) {
			t.Errorf("error %v", err)
		}
		if waits := strings.Count(log.String(), "the start waits"); waits != 2 || !strings.Contains(log.String(), "/mnt/shows") ||
			strings.Count(log.String(), "the start goes on") != 1 {
			t.Errorf("told:\n%s", &log)
		}
		going := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := n.meet(ctx, "open", func() error { <-going; return nil })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "/mnt/shows does not answer") {
			t.Errorf("a stop: %v", err)
		}
		close(going)
	})
}

func TestStopLeavesBehindWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		going := make(chan struct{})
		n := newNode(runContext{logger: slog.New(slog.DiscardHandler)})
		var stopped []string
		n.services.add(t.Context(), "first", func(ctx context.Context) error {
			<-ctx.Done()
			stopped = append(stopped, "first")
			return nil
		})
		n.services.add(t.Context(), "hangs", func(context.Context) error { <-going; return nil })
		n.services.add(t.Context(), "volume", n.onVolume("volume", func(context.Context) error { <-going; return nil }))
		n.onClose(func() error { return within(rootClose, func() error { <-going; return nil }) })
		begun := time.Now()
		if err := n.close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took != volumeStop+stopPatience+rootClose || len(stopped) != 1 {
			t.Errorf("the stop took %v, stopped %v", took, stopped)
		}
		close(going)
	})
}
