package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

// told is a log of events that a test takes away.
type told struct {
	mu     sync.Mutex
	err    error
	events []media.LogEvent
}

func (l *told) add(_ context.Context, events ...media.LogEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.events = append(l.events, events...)
	}
	return l.err
}

func (l *told) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func TestWarningsWaitForTheCatalogInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &told{err: media.ErrUnavailable}
		l := &warningLog{
			node: "a", cluster: "main", add: log.add, logger: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1),
			current: func(media.StreamPath) (media.RecordingID, bool) { return "r", true },
			dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "dropped"}),
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = l.Run(ctx) }()
		warn := func(n int) {
			l.warned(media.StreamPath{Publisher: "acme", Stream: "show"}, media.IngestWarning{
				Code: fmt.Sprint(n), Severity: media.SeverityNotice, Text: "text", Since: time.Now(),
			}, media.WarningRaised)
		}
		for n := range maxWarnings + 5 {
			warn(n)
		}
		time.Sleep(time.Hour)
		log.fail(nil)
		time.Sleep(warningRetryMax)
		synctest.Wait()
		if len(log.events) != maxWarnings || testutil.ToFloat64(l.dropped) != 5 {
			t.Errorf("%d warnings are logged, %v dropped", len(log.events), testutil.ToFloat64(l.dropped))
		}
		for i, e := range log.events {
			var data media.WarningData
			if err := json.Unmarshal(e.Data, &data); err != nil || data.Code != fmt.Sprint(i+5) || data.Node != "a" ||
				data.State != media.WarningRaised || e.Recording != "r" || e.Publisher != "acme" || e.Stream != "show" ||
				e.Type != media.EventIngestWarning || e.Cluster != "main" || e.Key == "" {
				t.Fatalf("event %d: %+v %+v %v", i, e, data, err)
			}
		}
		log.fail(fmt.Errorf("%w: what a catalog never takes", media.ErrInvalid))
		warn(0)
		synctest.Wait()
		log.fail(nil)
		warn(1)
		synctest.Wait()
		stop()
		warn(2)
		<-done
		if n := len(log.events) - maxWarnings; n < 1 || len(l.waiting) > 1 || testutil.ToFloat64(l.dropped) != 6 {
			t.Errorf("%d more, %d wait, %v dropped", n, len(l.waiting), testutil.ToFloat64(l.dropped))
		}
	})
}
