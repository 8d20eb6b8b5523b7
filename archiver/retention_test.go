package archiver

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// retention makes one over the world's catalog and a volume of 100 bytes.
func (w *world) retention(volume *reclog.Usage, volumeErr *error) *Retention {
	usage := func(context.Context) (reclog.Usage, error) { return *volume, *volumeErr }
	return NewRetention(RetentionConfig{Batch: 2}, w.catalog, usage, quiet(), prometheus.NewRegistry())
}

// localDirs names the recordings that the cluster's storage has.
func (w *world) localDirs() string {
	entries, err := fs.ReadDir(os.DirFS(w.dir), testPath().String())
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	must(w.tb, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestRetentionFollowsBoundsToTheLastByte(t *testing.T) {
	w := newDirWorld(t)
	defer w.close()
	a := w.archiver(Config{})
	ids := []media.RecordingID{
		"01kafzq7s8e5gv9mxw2ctr4n60", "01kafzq7s8e5gv9mxw2ctr4n61", "01kafzq7s8e5gv9mxw2ctr4n62", "01kafzq7s8e5gv9mxw2ctr4n63",
	}
	for _, w.id = range ids {
		w.record(100)
		mustStep(t, a)
	}
	volume, volumeErr := reclog.Usage{Total: 100, Free: 50}, error(nil)
	r := w.retention(&volume, &volumeErr)
	must(t, r.Step(t.Context(), time.Now()))
	if did, err := a.Step(t.Context()); did || err != nil {
		t.Fatalf("without a policy something was due: %v", err)
	}

	// The oldest is held: it counts, and stays. The two before the newest go.
	_, err := w.catalog.ChangeRecording(t.Context(), ids[0], media.RecordingChange{Keep: new(true)})
	must(t, err)
	one := 1
	_, err = w.catalog.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{RetentionCount: &one})
	must(t, err)
	must(t, r.Step(t.Context(), time.Now()))
	mustStep(t, a)
	mustStep(t, a)
	if did, _ := a.Step(t.Context()); did {
		t.Error("more was due than is over the bound")
	}
	for i, want := range []media.State{media.Archived, media.Deleted, media.Deleted, media.Archived} {
		w.id = ids[i]
		stored := len(objstoretest.MustKeys(t, w.objects, w.prefix()))
		if state := w.row().State; state != want || (stored == 0) != (want == media.Deleted) {
			t.Errorf("recording %d is %s with %d objects, want %s", i, state, stored, want)
		}
	}

	// A volume that is short of what the policy wants free loses local copies, of held ones too: the archive has them.
	free := 60
	_, err = w.catalog.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{LocalFree: &free})
	must(t, err)
	volume.Stale = true
	must(t, r.Step(t.Context(), time.Now()))
	volumeErr = media.ErrUnavailable
	must(t, r.Step(t.Context(), time.Now()))
	if did, _ := a.Step(t.Context()); did {
		t.Error("a copy was dropped though nobody knows how full the volume is")
	}
	volume.Stale, volumeErr = false, nil
	must(t, r.Step(t.Context(), time.Now()))
	mustStep(t, a)
	mustStep(t, a)
	if left := w.localDirs(); left != "" {
		t.Errorf("the cluster still has %s", left)
	}
	if n := testutil.ToFloat64(r.metrics.freed); n != 2 {
		t.Errorf("%v copies counted", n)
	}
	w.id = ids[0]
	if row := w.row(); row.State != media.Archived || row.Local || !row.Keep {
		t.Errorf("the held one is %+v", row)
	}
}

func TestRetentionJudgesNewRecordingsInBatches(t *testing.T) {
	w := newDirWorld(t)
	defer w.close()
	one := 1
	_, err := w.catalog.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{RetentionCount: &one})
	must(t, err)
	volume, volumeErr := reclog.Usage{Total: 100, Free: 50}, error(nil)
	r := w.retention(&volume, &volumeErr)
	must(t, r.Step(t.Context(), time.Now()))
	for i := range 6 {
		end := time.Now().Add(time.Duration(i-10) * time.Second)
		must(t, w.catalog.SaveRecording(t.Context(), media.Recording{
			ID: testID[:25] + media.RecordingID('0'+rune(i)), Path: testPath(), State: media.Ended,
			StartedAt: end.Add(-time.Minute), EndedAt: end, Bytes: 1,
		}))
	}
	must(t, r.Step(t.Context(), time.Now())) // at once, not a minute later
	if n := testutil.ToFloat64(r.metrics.judged); n != 5 {
		t.Errorf("%v of 6 are over a bound of 1", n)
	}
	items, _, err := w.catalog.Plan(t.Context(), media.PlanFilter{})
	must(t, err)
	deletes := 0
	for _, p := range items {
		if p.Action == media.ActDelete && p.Reason == media.ReasonCount {
			deletes++
		}
	}
	if deletes != 5 {
		t.Errorf("%d deletions are planned, want 5", deletes)
	}
}
