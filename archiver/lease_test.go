package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// stuck is a store whose first put waits for its context to end.
type stuck struct {
	objstoretest.Store
	once    sync.Once
	entered chan struct{}
}

func (s *stuck) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	waits := false
	s.once.Do(func() { waits = true })
	if waits {
		close(s.entered)
		<-ctx.Done()
		return media.Object{}, ctx.Err()
	}
	return s.Store.Put(ctx, key, r, size, options)
}

func TestClaimIsRenewedWhileItsActionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		ctx, cancel := context.WithCancel(t.Context())
		slow := &stuck{Store: w.objects, entered: make(chan struct{})}
		a := w.archiver(Config{}, slow)
		done := make(chan error, 1)
		go func() {
			_, err := a.Step(ctx)
			done <- err
		}()
		<-slow.entered
		time.Sleep(10 * a.config.Lease)
		if _, err := w.catalog.ClaimDue(t.Context(), "other", media.Due{Cluster: media.DefaultCluster}, time.Now(), time.Minute); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("claimed by another: %v", err)
		}
		cancel()
		if err := <-done; !errors.Is(err, errStopped) {
			t.Error(err)
		}
	})
}

func TestArchiverThatLostItsClaimStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		slow := &stuck{Store: w.objects, entered: make(chan struct{})}
		a := w.archiver(Config{}, slow)
		done := make(chan error, 1)
		go func() {
			_, err := a.Step(t.Context())
			done <- err
		}()
		<-slow.entered
		// Another archiver, whose clock is far ahead.
		claim, err := w.catalog.ClaimDue(t.Context(), "other", media.Due{Cluster: media.DefaultCluster}, time.Now().Add(time.Hour), 10*time.Hour)
		must(t, err)
		if err := <-done; err != nil {
			t.Errorf("step: %v, want quiet", err)
		}
		must(t, w.catalog.FinishClaim(t.Context(), claim, time.Time{})) // it still holds it
		objstoretest.MustLack(t, w.objects, w.prefix()+"recording.json")
	})
}

// away is a catalog that can't be reached once it has given a claim.
type away struct{ Catalog }

func (away) RenewClaim(context.Context, media.Claim, time.Time, time.Duration) (media.Claim, error) {
	return media.Claim{}, media.ErrUnavailable
}

func (away) FailClaim(context.Context, media.Claim, error, time.Time) error {
	return media.ErrUnavailable
}

func TestWorkEndsBeforeALeaseThatCannotBeRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		a := w.archiver(Config{}, &stuck{Store: w.objects, entered: make(chan struct{})}, away{w.catalog})
		start := time.Now()
		if _, err := a.Step(t.Context()); err != nil {
			t.Errorf("step: %v", err)
		}
		if took := time.Since(start); took >= a.config.Lease {
			t.Errorf("worked for %s of a lease of %s", took, a.config.Lease)
		}
	})
}

func TestRunStopsCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		ctx, cancel := context.WithCancel(t.Context())
		slow := &stuck{Store: w.objects, entered: make(chan struct{})}
		done := make(chan error, 1)
		go func() { done <- w.archiver(Config{}, slow).Run(ctx) }()
		<-slow.entered
		cancel()
		must(t, <-done)
		if row := w.row(); row.State != media.Ended || row.LastError != errStopped.Error() {
			t.Errorf("row %+v", row)
		}
		mustStep(t, w.archiver(Config{})) // at once
	})
}

func TestRunWorksOffWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		// Short, for clips are looked for all the time.
		retention := media.Span(time.Minute)
		_, err := w.catalog.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{Retention: &retention})
		must(t, err)
		const n = 5
		ids := make([]media.RecordingID, n)
		for i := range ids {
			w.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr%04d", i))
			ids[i] = w.id
			w.record(100)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- w.archiver(Config{Parallel: 3, Poll: 20 * time.Second, Grace: 20 * time.Second}).Run(ctx)
		}()
		time.Sleep(5 * time.Second) // no loop has waited for its poll
		synctest.Wait()
		for _, w.id = range ids {
			if row := w.row(); row.State != media.Archived {
				t.Errorf("row %+v", row)
			}
		}
		time.Sleep(2 * time.Minute)
		for _, w.id = range ids {
			if row := w.row(); row.State != media.Deleted {
				t.Errorf("row %+v", row)
			}
		}
		cancel()
		must(t, <-done)
	})
}

// failures notes when claims are given up.
type failures struct {
	Catalog
	at chan time.Time
}

func (f failures) FailClaim(ctx context.Context, claim media.Claim, cause error, retryAt time.Time) error {
	f.at <- time.Now()
	return f.Catalog.FailClaim(ctx, claim, cause, retryAt)
}

func TestFailuresAreRetriedWithBoundedBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		f, failed := deadFaults(), failures{w.catalog, make(chan time.Time)}
		a := w.archiver(Config{Parallel: 1, Poll: 10 * time.Second, RetryMin: 10 * time.Second, RetryMax: 5 * time.Minute},
			&faultyObjects{w.objects, f}, failed)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		last, want := <-failed.at, a.config.RetryMin
		for attempts := 2; attempts <= 10; attempts++ {
			at := <-failed.at
			if gap := at.Sub(last); gap < want/2 || gap > want+2*a.config.Poll {
				t.Errorf("attempt %d came after %s, want %s to %s", attempts, gap, want/2, want)
			}
			last, want = at, min(2*want, a.config.RetryMax)
		}
		synctest.Wait()
		if row := w.row(); row.Attempts != 10 || row.LastError == "" || !w.events.has(media.EventFailed) {
			t.Errorf("row %+v, events %v", row, w.events.types)
		}
		f.restart()
		time.Sleep(a.config.RetryMax + time.Minute)
		if row := w.row(); row.State != media.Archived || row.Attempts != 0 || row.LastError != "" {
			t.Errorf("row %+v", row)
		}
		cancel()
		must(t, <-done)
	})
}

func TestDelayIsBounded(t *testing.T) {
	c := Config{}.withDefaults()
	for attempts := range 200 {
		for range 20 {
			if d := c.delay(attempts); d < c.RetryMin/2 || d > c.RetryMax {
				t.Fatalf("attempt %d: %s", attempts, d)
			}
		}
	}
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		registry := prometheus.NewRegistry()
		a := New(Config{Owner: "x"}, w.catalog, w.catalog, w.stores(), w.root, &w.events, quiet(), registry)
		time.Sleep(90 * time.Second) // nobody was there to archive it
		mustStep(t, a)
		have := map[string]float64{}
		families, err := registry.Gather()
		must(t, err)
		for _, family := range families {
			for _, m := range family.GetMetric() {
				have[family.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() +
					float64(m.GetHistogram().GetSampleCount())
			}
		}
		for name, want := range map[string]float64{
			"oxbow_archiver_actions_total": 1, "oxbow_archiver_action_duration_seconds": 1, "oxbow_archiver_busy": 0,
			"oxbow_archiver_stored_objects_total": 18, "oxbow_archiver_lateness_seconds": 90,
		} {
			if diff := have[name] - want; diff < 0 || diff > 0.1 {
				t.Errorf("%s is %v, want %v", name, have[name], want)
			}
		}
	})
}
