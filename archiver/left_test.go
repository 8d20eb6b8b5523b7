package archiver

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/registry"
)

const otherID = media.RecordingID("01kafzq7s8e5gv9mxw2ctr4n6c")

func TestRecordingThatItsOwnerHasLeftIsEndedByItsWindow(t *testing.T) {
	for name, lease := range map[string]media.Lease{
		"the publisher went to another cluster":             {Node: "b", Cluster: "east", Recording: otherID},
		"to another cluster, and nothing is recorded there": {Node: "b", Cluster: "east"},
		"its node could not continue it":                    {Node: "b", Cluster: "main", Recording: otherID},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t)
			defer c.close()
			c.abandon()
			lease.Path = testPath()
			epoch, err := c.registry.Acquire(t.Context(), lease, 4)
			must(t, err)
			lease.Epoch = epoch
			r := c.recovery("a", c.root)
			step := func(d time.Duration) {
				for end := time.Now().Add(d); time.Now().Before(end); {
					must(t, c.registry.Renew(t.Context(), lease)) // it is not fenced either
					stepFor(t, r, time.Second)
				}
			}
			step(window)
			if m := c.manifest(); m.State != media.Live {
				t.Errorf("%s: ended before the reconnect window was over", name)
			}
			step(20 * time.Second)
			if m := c.manifest(); m.State != media.Ended || c.row().State != media.Ended {
				t.Errorf("%s: manifest is %s, row %s", name, m.State, c.row().State)
			}
			if owner, held, err := c.registry.Owner(t.Context(), testPath()); err != nil || !held || owner.Epoch != epoch {
				t.Errorf("%s: the lease is %+v, %v", name, owner, err)
			}
		})
	}
}

// homecoming has the publisher come back to the cluster while its recording is being ended there.
type homecoming struct {
	*registry.Memory
	claims, asked int
}

func (h *homecoming) Claim(ctx context.Context, lease media.Lease, floor uint64) (uint64, error) {
	h.claims++
	return h.Memory.Claim(ctx, lease, floor)
}

func (h *homecoming) Owner(ctx context.Context, path media.StreamPath) (media.Lease, bool, error) {
	if h.claims > 0 {
		if h.asked++; h.asked == 2 {
			if _, err := h.Acquire(ctx, media.Lease{Path: path, Node: "ingest", Cluster: "main"}, 0); err != nil {
				return media.Lease{}, false, err
			}
		}
	}
	return h.Memory.Owner(ctx, path)
}

func TestRecordingThatItsPublisherComesBackToIsNotEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		c.abandon()
		home := &homecoming{Memory: c.registry}
		r := c.recovery("a", c.root, home)
		lease := media.Lease{Path: testPath(), Node: "b", Cluster: "east", Recording: otherID}
		var err error
		lease.Epoch, err = c.registry.Acquire(t.Context(), lease, 4)
		must(t, err)
		for home.asked < 2 {
			must(t, c.registry.Renew(t.Context(), lease))
			must(t, r.Step(t.Context()))
			time.Sleep(time.Second)
		}
		if m := c.manifest(); m.State != media.Live || m.Epoch != lease.Epoch {
			t.Errorf("manifest is %s, of epoch %d, want %d", m.State, m.Epoch, lease.Epoch)
		}
	})
}

func TestRecordingThatNeverHadARowGetsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		defer c.close()
		must(t, c.write(100, media.Ended))
		rows := &awayRows{Rows: c.catalog}
		r := c.recovery("a", c.root, rows)
		stepFor(t, r, 20*time.Second)
		if _, err := c.catalog.Recording(t.Context(), c.id); err == nil {
			t.Error("saved before its owner could")
		}
		rows.err = media.ErrUnavailable
		for range 40 {
			_ = r.Step(t.Context())
			time.Sleep(time.Second)
		}
		rows.err = nil
		stepFor(t, r, time.Minute)
		if row := c.row(); row.State != media.Ended || !row.Local || row.Bytes < 1000 || c.count("unlisted", r) != 1 {
			t.Errorf("row %+v", row)
		}
		rows.asked = 0
		stepFor(t, r, time.Minute)
		if rows.asked != 0 {
			t.Errorf("asked %d times for a row that is known", rows.asked)
		}
	})
}

func TestCopyOnAVolumeThatIsNotMountedIsNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDirWorld(t)
		defer w.close()
		w.record(100)
		a := w.archiver(Config{Grace: time.Second})
		_, err := w.root.Attached() // as New does
		must(t, err)
		mustStep(t, a)
		aside := w.dir + "-aside"
		must(t, os.Rename(w.dir, aside))
		must(t, os.Mkdir(w.dir, 0o700))
		time.Sleep(time.Minute)
		if _, err := a.Step(t.Context()); !errors.Is(err, media.ErrUnavailable) || !w.row().Local {
			t.Errorf("without the volume: %v, row %+v", err, w.row())
		}
		must(t, os.Remove(w.dir))
		must(t, os.Rename(aside, w.dir))
		time.Sleep(time.Hour)
		mustStep(t, a)
		if row := w.row(); row.Local || len(w.localFiles()) > 0 {
			t.Errorf("row %+v, files %v", row, w.localFiles())
		}
	})
}
