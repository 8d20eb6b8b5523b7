package packager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestQueueKeepsTheNewestRowAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{rows: make(map[media.RecordingID]media.Recording), fail: errors.New("away")}
		var log bytes.Buffer
		q := newQueue("", s, s, slog.New(slog.NewTextHandler(&log, nil)), newMetrics(prometheus.NewRegistry()))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { q.run(ctx); close(done) }()
		for i := range 1000 {
			q.save(media.Recording{ID: "a", Bytes: int64(i)})
		}
		q.publish(media.Event{Type: media.EventLive, Recording: "a"})
		time.Sleep(time.Minute)
		if len(s.rows) != 0 || len(s.events) != 0 {
			t.Fatal("saved in a service that is away")
		}
		q.save(media.Recording{ID: "a", Bytes: 5000})
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		time.Sleep(backoffHigh)
		synctest.Wait()
		if got := s.rows["a"].Bytes; got != 5000 || len(s.events) != 1 {
			t.Errorf("row with %d bytes, %d events", got, len(s.events))
		}
		stop()
		<-done
		if lines := strings.Count(log.String(), "\n"); lines != 2 {
			t.Errorf("%d lines are logged of one outage: %s", lines, &log)
		}
	})
}

// refusing is a catalog that refuses one recording's row.
type refusing struct {
	*sink
	id media.RecordingID
}

func (r refusing) SaveRecording(ctx context.Context, row media.Recording, events ...media.LogEvent) error {
	if row.ID == r.id {
		return media.ErrConflict
	}
	return r.sink.SaveRecording(ctx, row, events...)
}

func TestRowThatIsRefusedKeepsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{rows: make(map[media.RecordingID]media.Recording)}
		q := newQueue("", refusing{s, "a"}, s, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()))
		for _, id := range []media.RecordingID{"a", "b"} {
			q.save(media.Recording{ID: id})
			q.publish(media.Event{Type: media.EventEnded, Recording: id})
		}
		if !q.drain(t.Context()) || len(s.rows) != 1 || len(s.events) != 2 {
			t.Errorf("rows %v, events %v", s.rows, s.events)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	q := newQueue("", nil, nil, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()))
	for range maxEvents + 10 {
		q.publish(media.Event{})
	}
	if len(q.waiting) != maxEvents {
		t.Errorf("%d events wait", len(q.waiting))
	}
}

func TestRunLeavesNoGoroutine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	st := mustStudio(t, t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- st.Run(ctx) }()
	p := st.publish(1, nil)
	st.tracks(p, videoTrack(), audioTrack())
	(&source{fps: 30, gop: 30}).until(5*time.Second, st.write(p))
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	row := st.sink.rows[st.sink.order[0]]
	if row.State != media.Interrupted {
		t.Errorf("the stop saved %+v", row)
	}
}

// cutOff is a catalog whose commits go through unheard while it is cut off.
type cutOff struct {
	*sink
	cut bool
}

func (c *cutOff) SaveRecording(ctx context.Context, row media.Recording, events ...media.LogEvent) error {
	if err := c.sink.SaveRecording(ctx, row, events...); err != nil || !c.cut {
		return err
	}
	c.cut = false
	return errors.New("connection reset")
}

func TestEventsOfCoalescedRowsAreAllLoggedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &cutOff{sink: &sink{rows: make(map[media.RecordingID]media.Recording), fail: errors.New("away")}, cut: true}
		q := newQueue("", s, s, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { q.run(ctx); close(done) }()
		event := func(id media.RecordingID, take int) media.LogEvent {
			return media.LiveEvent(media.EventLive, testPath, id, "", time.Now(), media.LiveData{Take: take})
		}
		for take := range 6 { // some while a save is under way, and some before
			q.save(media.Recording{ID: "a", Bytes: int64(take)}, event("a", take))
			q.save(media.Recording{ID: "b"}, event("b", take))
			time.Sleep(30 * time.Millisecond)
		}
		q.save(media.Recording{ID: "c"}, event("c", 0))
		time.Sleep(time.Minute)
		q.forget("c") // another node's now, who tells of it
		s.setFail(nil)
		time.Sleep(3 * backoffHigh)
		synctest.Wait()
		stop()
		<-done
		keys := map[media.RecordingID][]string{}
		for _, e := range s.logged {
			if !slices.Contains(keys[e.Recording], e.Key) { // the save that was cut off is repeated, under the same keys
				keys[e.Recording] = append(keys[e.Recording], e.Key)
			}
		}
		for _, id := range []media.RecordingID{"a", "b"} {
			if len(keys[id]) != 6 || !slices.IsSorted(keys[id]) {
				t.Errorf("logged of %s: %v", id, keys[id])
			}
		}
		if len(keys["c"]) != 0 || q.told != 0 {
			t.Errorf("%v of what was forgotten, %d left", keys["c"], q.told)
		}
	})
}

func TestEventsThatWaitAreBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	q := newQueue("", nil, nil, slog.New(slog.DiscardHandler), newMetrics(registry))
	many := make([]media.LogEvent, maxRowEvents+10)
	for i := range many {
		many[i].ID = int64(i)
	}
	q.save(media.Recording{ID: "a"}, many...)
	if got := q.rows["a"].events; len(got) != maxRowEvents || got[0].ID != 10 {
		t.Errorf("%d events wait with a row, from %d on", len(got), got[0].ID)
	}
	for i := range 2 * maxTold / maxRowEvents {
		q.save(media.Recording{ID: media.RecordingID(fmt.Sprint(i))}, many...)
	}
	total := 0
	for _, e := range q.rows {
		total += len(e.events)
	}
	if total != q.told || total > maxTold {
		t.Errorf("%d events wait, counted as %d", total, q.told)
	}
	e, _ := q.nextRow()
	q.save(e.row, many[:1]...)
	q.putBack(e)
	if got := q.rows["a"].events; len(got) == 0 || got[len(got)-1].ID != 0 {
		t.Errorf("put back: %d events", len(got))
	}
}
