package archiver

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

// overdue says what is due, or fails.
type overdue struct {
	due map[media.Action]time.Time
	err error
}

func (o *overdue) OldestDue(context.Context, string, time.Time) (map[media.Action]time.Time, error) {
	return o.due, o.err
}

func TestBacklogTellsHowLateItIs(t *testing.T) {
	catalog := &overdue{}
	b := NewBacklog(BacklogConfig{}, catalog, quiet(), prometheus.NewRegistry())
	now := time.Now()
	check := func(action media.Action, want float64) {
		t.Helper()
		if have := testutil.ToFloat64(b.oldest.WithLabelValues(string(action))); have != want {
			t.Errorf("%s is %v s late, want %v", action, have, want)
		}
	}
	step := func(fails bool) {
		t.Helper()
		if err := b.Step(t.Context(), now); (err != nil) != fails {
			t.Errorf("step: %v", err)
		}
	}
	step(false)
	check(media.ActArchive, 0)
	catalog.due = map[media.Action]time.Time{
		media.ActArchive: now.Add(-time.Hour), media.ActDelete: now.Add(time.Second), // by another clock
	}
	step(false)
	check(media.ActArchive, 3600)
	check(media.ActDelete, 0)
	check(media.ActDropLocal, 0)
	catalog.err = errors.New("catalog is away")
	step(true)
	check(media.ActArchive, 3600)
	catalog.due, catalog.err = nil, nil
	step(false)
	check(media.ActArchive, 0)
}
