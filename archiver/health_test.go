package archiver

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// moody is a store whose reads and puts fail, or hang, when they are told to.
type moody struct {
	objstoretest.Store
	puts, reads atomic.Pointer[error]
	hang        atomic.Bool
}

func (m *moody) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	if err := m.puts.Load(); err != nil {
		return media.Object{}, *err
	}
	return m.Store.Put(ctx, key, r, size, options)
}

func (m *moody) Stat(ctx context.Context, key string) (media.Object, error) {
	if m.hang.Load() {
		<-ctx.Done()
		return media.Object{}, ctx.Err()
	}
	if err := m.reads.Load(); err != nil {
		return media.Object{}, *err
	}
	return m.Store.Stat(ctx, key)
}

var errNoRoom = errors.New("no room")

// stateOfTest knows a full store.
func stateOfTest(err error) string {
	if errors.Is(err, errNoRoom) {
		return "full"
	}
	return plainState(err)
}

func (w *world) status() media.ArchiveStatus {
	w.tb.Helper()
	list, err := w.catalog.Archives(w.tb.Context())
	must(w.tb, err)
	if len(list) != 1 {
		w.tb.Fatalf("archives are %+v", list)
	}
	return list[0]
}

func TestStateOfAnArchiveIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		m := &moody{Store: w.objects}
		w.objects = m
		a := w.archiver(Config{Parallel: 1, Removals: 1, RetryMax: time.Minute, StateOf: stateOfTest})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		want := func(after time.Duration, state, cause string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			status := w.status()
			if status.State != state || status.LastError != cause || status.Name != "default" || status.Place != "here" ||
				time.Since(status.CheckedAt) > probeEvery {
				t.Errorf("status %+v, want %s %q", status, state, cause)
			}
		}
		want(time.Second, "ok", "")

		away := media.ErrUnavailable
		m.reads.Store(&away)
		want(probeEvery, "unreachable", "temporarily unavailable")
		m.reads.Store(nil)
		want(probeEvery, "ok", "")
		m.hang.Store(true)
		want(probeEvery+probeTimeout+time.Second, "unreachable", "context deadline exceeded")
		m.hang.Store(false)
		want(probeEvery, "ok", "")

		full := errNoRoom
		m.puts.Store(&full)
		w.record(100)
		want(5*time.Second, "full", "no room") // long before the next look
		want(2*probeEvery, "full", "no room")  // that it may be read is not the point
		if row := w.row(); row.State != media.Ended || row.LastError == "" {
			t.Errorf("row %+v", row)
		}
		m.puts.Store(nil)
		want(3*time.Minute, "ok", "")
		if row := w.row(); row.State != media.Archived {
			t.Errorf("row %+v", row)
		}
		cancel()
		must(t, <-done)
	})
}

func TestFailedWriteIsForgottenWhenNothingIsWrittenAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		m := &moody{Store: w.objects}
		w.objects = m
		w.record(100)
		full := errNoRoom
		m.puts.Store(&full)
		a := w.archiver(Config{StateOf: stateOfTest})
		if _, err := a.Step(t.Context()); !errors.Is(err, errNoRoom) {
			t.Fatalf("step: %v", err)
		}
		for range 2 {
			must(t, a.CheckArchives(t.Context()))
			if status := w.status(); status.State != "full" {
				t.Errorf("status %+v", status)
			}
			time.Sleep(a.config.RetryMax)
		}
		must(t, a.CheckArchives(t.Context()))
		if status := w.status(); status.State != "ok" || !status.Since.Equal(time.Now().UTC().Truncate(time.Millisecond)) {
			t.Errorf("status %+v", status)
		}
	})
}

func TestArchiveThatIsNotConfiguredAnyMoreIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		must(t, w.catalog.SaveArchive(t.Context(), media.ArchiveStatus{
			Cluster: media.DefaultCluster, Name: "old", State: media.ArchiveOK, Since: time.Now(), CheckedAt: time.Now(),
		}))
		a := w.archiver(Config{})
		must(t, a.CheckArchives(t.Context()))
		if list, err := w.catalog.Archives(t.Context()); err != nil || len(list) != 2 {
			t.Errorf("%+v, %v", list, err) // another archiver may have it
		}
		time.Sleep(forgetAfter + time.Second)
		must(t, a.CheckArchives(t.Context()))
		w.status()
	})
}

// dripping is a store that takes media at a rate, in bytes per second, and tells of it.
type dripping struct {
	objstoretest.Store
	rate int64
}

func (d *dripping) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	for done := int64(0); done < size && size > d.rate; done += d.rate {
		options.Progress(done)
		time.Sleep(time.Second)
	}
	return d.Store.Put(ctx, key, r, size, options)
}

func TestProgressAndSlownessAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.takes = 1
		w.record(5 << 20)
		w.objects = &dripping{Store: w.objects, rate: 1 << 20}
		a := w.archiver(Config{})
		done := make(chan error, 1)
		go func() {
			_, err := a.Step(t.Context())
			done <- err
		}()
		time.Sleep(15*time.Second + 500*time.Millisecond)
		synctest.Wait()
		p := w.row().Progress
		if p.Total < 40<<20 || p.Done < 10<<20 || p.Done > 18<<20 || p.Rate < 7<<17 || p.Rate > 9<<17 || time.Since(p.At) > 2*time.Second {
			t.Errorf("progress %+v", p)
		}
		sum := a.metrics.uploads.sum()
		if sum.Done < p.Done || sum.Total != p.Total || sum.Rate == 0 {
			t.Errorf("sum is %+v", sum)
		}
		must(t, a.CheckArchives(t.Context()))
		if status := w.status(); status.State != media.ArchiveSlow || status.LastError == "" {
			t.Errorf("status %+v", status)
		}
		must(t, <-done)
		if row := w.row(); row.State != media.Archived || row.Progress != (media.Progress{}) {
			t.Errorf("row %+v", row)
		}
		if sum := a.metrics.uploads.sum(); sum != (media.Progress{}) {
			t.Errorf("sum at the end is %+v", sum)
		}
		must(t, a.CheckArchives(t.Context()))
		if status := w.status(); status.State != media.ArchiveOK {
			t.Errorf("status %+v", status)
		}
	})
}

func TestWhatTheArchiveHadCountsAsDoneButNotAsSent(t *testing.T) {
	var p progress
	p.expect(300)
	p.present(100)
	o := p.object(nil, 200)
	now := time.Now()
	p.measure(now)
	o.at(80)
	o.at(20) // the upload was begun anew
	o.at(30)
	if have := p.measure(now.Add(time.Second)); have.Done != 130 || have.Total != 300 || have.Rate != 90 {
		t.Errorf("%+v", have)
	}
	o.end(200)
	if have := p.measure(now.Add(2 * time.Second)); have.Done != 300 || have.Rate != 130 || p.sent() != 260 {
		t.Errorf("%+v", have)
	}
}
