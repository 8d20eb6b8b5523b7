package archiver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/registry"
)

// cluster is a world with a registry.
type cluster struct {
	*world
	registry *registry.Memory
}

func newCluster(tb testing.TB) *cluster {
	tb.Helper()
	return &cluster{world: newDirWorld(tb), registry: registry.NewMemory(registry.Config{})}
}

// recovery makes a node's, over the given things instead of the cluster's.
func (c *cluster) recovery(node string, root *reclog.Root, over ...any) *Recovery {
	c.tb.Helper()
	r := NewRecovery(RecoveryConfig{Owner: node, Cluster: "main"}, c.catalog, c.registry, root, &c.events,
		quiet(), prometheus.NewRegistry())
	for _, v := range over {
		switch v := v.(type) {
		case Leases:
			r.leases = v
		case Rows:
			r.rows = v
		default:
			c.tb.Fatalf("%T fits nothing", v)
		}
	}
	return r
}

// neighbour opens the directory as another process of the cluster does.
func (c *cluster) neighbour() *reclog.Root {
	c.tb.Helper()
	if err := os.Remove(filepath.Join(c.dir, ".oxbow.lock")); err != nil && !errors.Is(err, os.ErrNotExist) {
		c.tb.Fatal(err)
	}
	root, err := reclog.OpenRoot(reclog.Config{Dir: c.dir, Sync: reclog.SyncNever, Shared: true}, quiet())
	must(c.tb, err)
	return root
}

// abandon leaves a recording growing, as a killed owner does, with its row. It gives when its last media ended.
func (c *cluster) abandon() time.Time {
	c.tb.Helper()
	must(c.tb, c.write(100, media.Live))
	c.saveGrowing()
	return time.Now().Add(time.Duration(c.takes) * 8 * time.Second).UTC().Truncate(time.Millisecond)
}

func (c *cluster) saveGrowing() {
	c.tb.Helper()
	must(c.tb, c.catalog.SaveRecording(c.tb.Context(), media.Recording{
		ID: c.id, Path: testPath(), State: media.Live, StartedAt: time.Now().Add(-time.Minute),
		Duration: 4 * time.Second, Bytes: 1,
	}))
}

func (c *cluster) manifest() reclog.Manifest {
	c.tb.Helper()
	rec, err := reclog.Load(c.tb.Context(), c.root.Files(), testPath(), c.id)
	must(c.tb, err)
	return rec.Manifest
}

// stepFor steps each second.
func stepFor(tb testing.TB, r *Recovery, d time.Duration) {
	tb.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		must(tb, r.Step(tb.Context()))
	}
}

func (c *cluster) count(kind string, of ...*Recovery) (n int) {
	for _, r := range of {
		n += int(testutil.ToFloat64(r.metrics.closed.WithLabelValues(kind)))
	}
	return n
}

const window = time.Minute // the reconnect window of media.DefaultSettings

func TestOrphanIsEndedByOneOfSeveralArchivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		const n = 5
		ids := make([]media.RecordingID, n)
		for i := range ids {
			c.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr%04d", i))
			ids[i] = c.id
			c.abandon()
		}
		last := time.Now().Add(16 * time.Second).UTC().Truncate(time.Millisecond)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var all []*Recovery
		for i := range 3 {
			root := c.neighbour()
			defer func() { must(t, root.Close()) }()
			r := c.recovery(fmt.Sprint("archiver", i), root)
			all = append(all, r)
			running.Go(func() { _ = r.Run(ctx) })
		}
		time.Sleep(window)
		if n := c.count("orphan", all...); n != 0 {
			t.Errorf("%d recordings were ended within the reconnect window", n)
		}
		time.Sleep(window)
		cancel()
		running.Wait()
		if got := c.count("orphan", all...); got != n {
			t.Errorf("%d recordings were ended, want %d", got, n)
		}
		if got := len(c.events.types); got != n || slices.ContainsFunc(c.events.types, isNotEnded) {
			t.Errorf("events %v", c.events.types)
		}
		for _, c.id = range ids {
			if m := c.manifest(); m.State != media.Ended || !m.EndedAt.Equal(last) || !m.Recovered() {
				t.Errorf("manifest is %s, ended at %s, want %s", m.State, m.EndedAt, last)
			}
			if row := c.row(); row.State != media.Ended || !row.EndedAt.Equal(last) || !row.Local || row.Bytes < 1000 ||
				row.Duration != 14*time.Second {
				t.Errorf("row %+v", row)
			}
		}
		if _, owned, err := c.registry.Owner(t.Context(), testPath()); owned || err != nil {
			t.Errorf("the stream's lease was not given back: %v", err)
		}
	})
}

func isNotEnded(kind string) bool { return kind != media.EventEnded }

func TestEndedOrphanIsArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		stepFor(t, c.recovery("a", c.root), 2*window)
		mustStep(t, c.archiver(Config{}))
		if row := c.row(); row.State != media.Archived {
			t.Errorf("row %+v", row)
		}
	})
}

func TestOrphanWithoutMediaIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		start := time.Now().UTC()
		_, err := c.root.Create(reclog.Manifest{
			ID: testID, Publisher: "acme", Stream: "show", StartedAt: start, Settings: media.DefaultSettings(),
			Constants: media.Constants{TargetDuration: 2 * time.Second},
		})
		must(t, err)
		stepFor(t, c.recovery("a", c.root), 2*window) // it has no row: its owner died before
		if m := c.manifest(); m.State != media.Ended || !m.EndedAt.Equal(start) {
			t.Errorf("manifest is %s, ended at %s", m.State, m.EndedAt)
		}
		if row := c.row(); row.State != media.Ended || row.Duration != 0 {
			t.Errorf("row %+v", row)
		}
	})
}

func TestOwnedStreamIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		lease := media.Lease{Path: testPath(), Node: "ingest", Recording: testID}
		epoch, err := c.registry.Acquire(t.Context(), lease, 0)
		must(t, err)
		lease.Epoch = epoch
		r := c.recovery("a", c.root)
		for range 200 {
			must(t, c.registry.Renew(t.Context(), lease))
			stepFor(t, r, time.Second)
		}
		if m := c.manifest(); m.State != media.Live {
			t.Errorf("manifest is %s", m.State)
		}
		stepFor(t, r, window)
		if m := c.manifest(); m.State != media.Live {
			t.Error("ended before the reconnect window was over")
		}
		stepFor(t, r, 20*time.Second)
		if m := c.manifest(); m.State != media.Ended {
			t.Errorf("manifest is %s", m.State)
		}
	})
}

// comeback is a registry in which a publisher comes back between two calls of recovery.
type comeback struct {
	*registry.Memory
	before func(call string)
}

func (c comeback) Claim(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	c.before("claim")
	return c.Memory.Claim(ctx, lease, floor)
}

func (c comeback) Renew(ctx context.Context, lease media.Lease) error {
	c.before("renew")
	return c.Memory.Renew(ctx, lease)
}

func TestPublisherThatComesBackIsNotEnded(t *testing.T) {
	for _, at := range []string{"claim", "renew"} {
		for _, reopens := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				defer c.close()
				c.abandon()
				root := c.neighbour()
				defer func() { must(t, root.Close()) }()
				back := false
				r := c.recovery("a", root, comeback{c.registry, func(call string) {
					if call != at || back {
						return
					}
					back = true
					_, err := c.registry.Acquire(t.Context(), media.Lease{Path: testPath(), Node: "b"}, 0)
					must(t, err)
					if reopens {
						_, _, err = c.root.Reopen(t.Context(), testPath(), testID)
						must(t, err)
					}
				}})
				stepFor(t, r, window+7*time.Second)
				if m := c.manifest(); m.State != media.Live || !back {
					t.Errorf("manifest is %s", m.State)
				}
				if n := c.count("orphan", r); n != 0 {
					t.Errorf("%d ended", n)
				}
				if lease, owned, err := c.registry.Owner(t.Context(), testPath()); owned && lease.Node != "b" {
					t.Errorf("the lease is %+v, %v", lease, err)
				}
			})
		}
	}
}

func TestRecordingThatAnotherArchiverJustEndedIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		root := c.neighbour()
		defer func() { must(t, root.Close()) }()
		faster := c.recovery("faster", root)
		tried := false
		slower := c.recovery("slower", c.root, comeback{c.registry, func(call string) {
			if call == "claim" && !tried {
				tried = true
				must(t, faster.Step(t.Context()))
			}
		}})
		for range 70 {
			must(t, slower.Step(t.Context()))
			must(t, faster.Step(t.Context()))
			time.Sleep(time.Second)
		}
		stepFor(t, slower, 2*window)
		if !tried || c.count("orphan", faster) != 1 || c.count("orphan", slower) != 0 || len(c.events.types) != 1 {
			t.Errorf("tried %v, ended %d and %d, events %v", tried, c.count("orphan", faster), c.count("orphan", slower),
				c.events.types)
		}
	})
}

// forgetful is a registry that is away, or too young to know.
type forgetful struct {
	*registry.Memory
	owner, claim error
}

func (f *forgetful) Owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	if f.owner != nil {
		return media.Lease{}, false, f.owner
	}
	return f.Memory.Owner(ctx, path)
}

func (f *forgetful) Claim(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	if f.claim != nil {
		return 0, f.claim
	}
	return f.Memory.Claim(ctx, lease, floor)
}

func TestNothingIsEndedWhileTheRegistryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		f := &forgetful{Memory: c.registry}
		r := c.recovery("a", c.root, f)
		for _, away := range []struct{ owner, claim error }{{media.ErrUnavailable, nil}, {nil, media.ErrUnavailable}} {
			f.owner, f.claim = away.owner, away.claim
			for range 300 {
				if err := r.Step(t.Context()); !errors.Is(err, away.owner) {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			if m := c.manifest(); m.State != media.Live {
				t.Fatalf("manifest is %s", m.State)
			}
		}
		f.owner, f.claim = nil, nil
		stepFor(t, r, 2*time.Second)
		if m := c.manifest(); m.State != media.Ended {
			t.Errorf("manifest is %s", m.State)
		}
	})
}

// awayRows is a catalog that can't be reached.
type awayRows struct {
	Rows
	err   error
	asked int
}

func (a *awayRows) Recording(ctx context.Context, id media.RecordingID) (media.Recording, error) {
	if a.asked++; a.err != nil {
		return media.Recording{}, a.err
	}
	return a.Rows.Recording(ctx, id)
}

func (a *awayRows) SaveRecording(ctx context.Context, row media.Recording, events ...media.LogEvent) error {
	if a.err != nil {
		return a.err
	}
	return a.Rows.SaveRecording(ctx, row, events...)
}

func (a *awayRows) Growing(ctx context.Context, cluster string) ([]media.Recording, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.Rows.Growing(ctx, cluster)
}

func TestRowIsSavedWhenTheCatalogIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		rows := &awayRows{Rows: c.catalog, err: media.ErrUnavailable}
		r := c.recovery("a", c.root, rows)
		for range 120 {
			_ = r.Step(t.Context())
			time.Sleep(time.Second)
		}
		if m := c.manifest(); m.State != media.Ended || c.row().State != media.Live || c.events.has(media.EventEnded) {
			t.Fatalf("manifest is %s, row %s, events %v", m.State, c.row().State, c.events.types)
		}
		rows.err = nil
		stepFor(t, r, time.Second)
		if c.row().State != media.Ended || !c.events.has(media.EventEnded) {
			t.Errorf("row %+v, events %v", c.row(), c.events.types)
		}
	})
}

func TestRowsFollowStorage(t *testing.T) {
	for name, tt := range map[string]struct {
		make  func(c *cluster)
		lease *media.Lease
		state media.State
		local bool
		kind  string
	}{
		"ended on storage": {
			make: func(c *cluster) { must(c.tb, c.write(100, media.Ended)) }, state: media.Ended, local: true, kind: "row",
		},
		"archived on storage": {
			make: func(c *cluster) { must(c.tb, c.write(100, media.Archived)) }, state: media.Ended, local: true, kind: "row",
		},
		"ended, its owner about to say so": {
			make:  func(c *cluster) { must(c.tb, c.write(100, media.Ended)) },
			lease: &media.Lease{Node: "b", Recording: testID}, state: media.Live, local: true,
		},
		"ended, the stream shows another": {
			make:  func(c *cluster) { must(c.tb, c.write(100, media.Ended)) },
			lease: &media.Lease{Node: "b", Recording: "01kafzq7s8e5gv9mxw2ctr4n6c"}, state: media.Ended, local: true, kind: "row",
		},
		"growing on storage": {
			make: func(c *cluster) { must(c.tb, c.write(100, media.Interrupted)) }, state: media.Live, local: true,
		},
		"not on storage":             {make: func(*cluster) {}, state: media.Ended, kind: "lost"},
		"only in its owner's memory": {make: func(*cluster) {}, lease: &media.Lease{Node: "b"}, state: media.Live, local: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			defer c.close()
			tt.make(c)
			c.saveGrowing()
			check := func(how string, r *Recovery) {
				t.Helper()
				if row := c.row(); row.State != tt.state || row.Local != tt.local {
					t.Errorf("%s, %s: row is %s, local %v", name, how, row.State, row.Local)
				}
				if tt.kind != "" && c.count(tt.kind, r) != 1 {
					t.Errorf("%s, %s: not counted", name, how)
				}
				if c.events.has(media.EventEnded) != (tt.kind != "") {
					t.Errorf("%s, %s: events %v", name, how, c.events.types)
				}
			}
			r := c.recovery("a", c.root)
			for i := range 40 {
				if tt.lease != nil {
					lease := *tt.lease
					lease.Path = testPath()
					_, err := c.registry.Acquire(t.Context(), lease, 0)
					must(t, err)
				}
				must(t, r.Step(t.Context()))
				if i == 15 && c.row().State != media.Live {
					t.Errorf("%s: corrected without patience", name)
				}
				time.Sleep(time.Second)
			}
			check("in time", r)
		})
	}
}

func TestRowsAreCheckedAtOnceAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		must(t, c.write(100, media.Ended))
		c.saveGrowing()
		c.id = "01kafzq7s8e5gv9mxw2ctr4n6c"
		c.saveGrowing()
		must(t, c.recovery("a", c.root).CheckRows(t.Context()))
		if row := c.row(); row.State != media.Ended || row.Local || row.LastError != "not on the cluster's storage" {
			t.Errorf("lost: %+v", row)
		}
		c.id = testID
		if row := c.row(); row.State != media.Ended || !row.Local {
			t.Errorf("ended: %+v", row)
		}
	})
}

func TestUnmountedVolumeHasLostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		r := c.recovery("a", c.root)
		must(t, r.Step(t.Context()))
		aside := c.dir + "-aside"
		must(t, os.Rename(c.dir, aside))
		must(t, os.Mkdir(c.dir, 0o700))
		for range 2 {
			var failed error
			for range 60 {
				failed = errors.Join(failed, r.Step(t.Context()))
				time.Sleep(time.Second)
			}
			if row := c.row(); row.State != media.Live || !errors.Is(failed, media.ErrUnavailable) {
				t.Errorf("row is %s, steps gave %v", row.State, failed)
			}
			_ = os.Remove(c.dir) // and then without a directory
		}
		must(t, os.Rename(aside, c.dir))
		stepFor(t, r, 2*window)
		if row := c.row(); row.State != media.Ended || !row.Local {
			t.Errorf("row %+v", row)
		}
	})
}

func TestRecordingThatCannotBeClosedIsTriedAgainAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		f := &forgetful{Memory: c.registry, claim: media.ErrInvalid}
		r := c.recovery("a", c.root, f)
		failed := 0
		for range 220 {
			if err := r.Step(t.Context()); err != nil {
				failed++
			}
			time.Sleep(time.Second)
		}
		if failed < 2 || failed > 4 {
			t.Errorf("%d of 220 steps failed", failed)
		}
		f.claim = nil
		stepFor(t, r, 2*window)
		if m := c.manifest(); m.State != media.Ended {
			t.Errorf("manifest is %s", m.State)
		}
	})
}

func TestOutageIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines lineCounter
		o := outage{logger: lines.logger(), message: "step failed"}
		for range 59 {
			o.tell(media.ErrUnavailable)
			time.Sleep(time.Second)
		}
		if lines.n != 1 {
			t.Errorf("%d lines of an outage of a minute", lines.n)
		}
		time.Sleep(2 * time.Second)
		o.tell(media.ErrUnavailable)
		time.Sleep(changeAfter)
		o.tell(media.ErrCorrupt)
		for port := range 14 { // in words that differ each time
			o.tell(fmt.Errorf("%w: from port %d", media.ErrUnavailable, port))
			time.Sleep(time.Second)
		}
		o.tell(nil)
		o.tell(nil)
		if lines.n != 4 {
			t.Errorf("%d lines", lines.n)
		}
	})
}

// askless is a catalog that does not say what is due.
type askless struct{ Catalog }

func (askless) DuePublishers(context.Context, media.Due, time.Time) ([]media.DuePublisher, error) {
	return nil, media.ErrUnavailable
}

func TestArchiverTellsOfACatalogThatIsAwayOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		var lines lineCounter
		a := New(Config{}, askless{w.catalog}, w.catalog, w.stores(), w.root, &w.events, lines.logger(),
			prometheus.NewRegistry())
		ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second)
		defer cancel()
		must(t, a.Run(ctx))
		if lines.n != 1 {
			t.Errorf("%d lines", lines.n)
		}
	})
}

// The owner is gone, so that nobody notes a change of the reconnect window in the manifest.
func TestOrphanIsEndedByTheWindowInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		r := c.recovery("archiver1", c.root)
		must(t, r.Step(t.Context()))
		set := func(d time.Duration) {
			t.Helper()
			window := media.Span(d)
			_, err := c.catalog.ChangeStream(t.Context(), testPath(), media.StreamChange{Settings: media.SettingsPatch{ReconnectWindow: &window}})
			must(t, err)
		}
		set(3 * window)
		stepFor(t, r, 2*window)
		if m := c.manifest(); m.State != media.Live {
			t.Fatalf("the recording is %s within a window that became longer", m.State)
		}
		set(time.Second)
		must(t, r.Step(t.Context()))
		if m := c.manifest(); m.State != media.Ended {
			t.Errorf("the recording is %s when its window became shorter than the wait", m.State)
		}
	})
}
