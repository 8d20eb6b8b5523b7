package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// lineCounter counts log lines.
type lineCounter struct {
	n    int
	last string
}

func (l *lineCounter) Write(p []byte) (int, error) {
	l.n++
	l.last = string(p)
	return len(p), nil
}

func (l *lineCounter) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestPressureMarks(t *testing.T) {
	for name, c := range map[string]PressureConfig{
		"equal":     {Alarm: 0.85},
		"falling":   {Drop: 0.7},
		"past full": {Refuse: 1.1},
		"negative":  {Alarm: -0.1},
	} {
		if _, err := NewPressure(c, nil, nil, quiet(), prometheus.NewRegistry()); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPressureLadderHasSlackDownwards(t *testing.T) {
	c := PressureConfig{}.withDefaults()
	level := 0
	for i, tt := range []struct {
		used float64
		want int
	}{
		{0.79, 0}, {0.80, 1}, {0.785, 1}, {0.779, 0}, {0.86, 2}, {0.835, 2}, {0.829, 1}, {0.99, 4}, {0.94, 4}, {0.929, 3},
		{0.88, 3}, {0.879, 2}, {0.10, 0}, {1, 4}, {0.84, 2}, {0.82, 1}, {0.5, 0},
	} {
		if level = c.next(level, tt.used); level != tt.want {
			t.Errorf("step %d: %.3f used: level %d, want %d", i, tt.used, level, tt.want)
		}
	}
}

// asked counts what is hastened.
type asked struct{ archive, drop int }

func (a *asked) HastenArchive(context.Context, string, time.Time, int) (int, error) {
	a.archive++
	return 0, nil
}

func (a *asked) HastenDrop(context.Context, string, time.Time, int) (int, error) {
	a.drop++
	return 0, nil
}

func TestUnknownPressureHastensNothingAndKeepsItsLevel(t *testing.T) {
	var lines lineCounter
	var hastened asked
	u, uerr := reclog.Usage{Total: 100, Free: 8}, error(nil)
	usage := func(context.Context) (reclog.Usage, error) { return u, uerr }
	p, err := NewPressure(PressureConfig{}, usage, &hastened, lines.logger(), prometheus.NewRegistry())
	must(t, err)
	step := func(level, drops int, unknown float64) {
		t.Helper()
		err := p.Step(t.Context())
		if p.level != level || hastened.drop != drops || testutil.ToFloat64(p.metrics.unknown) != unknown {
			t.Errorf("level %d, %d drops, %v, %v", p.level, hastened.drop, testutil.ToFloat64(p.metrics.unknown), err)
		}
		if errors.Is(err, media.ErrUnavailable) || (err == nil) != (uerr == nil || errors.Is(uerr, media.ErrUnavailable)) {
			t.Errorf("step: %v", err)
		}
	}
	step(pressureDrop, 1, 0)
	step(pressureDrop, 2, 0)
	u.Stale = true
	step(pressureDrop, 2, 1)
	uerr = media.ErrUnavailable
	step(pressureDrop, 2, 1)
	uerr = os.ErrPermission
	step(pressureDrop, 2, 1)
	u.Stale, uerr = false, nil
	step(pressureDrop, 3, 0)
	if lines.n != 3 { // the rung, stalled, back
		t.Errorf("%d lines, the last %s", lines.n, lines.last)
	}
}

func TestEarlyArchivingIsInNoHurry(t *testing.T) {
	var hastened asked
	u := reclog.Usage{Total: 100, Free: 14}
	p, err := NewPressure(PressureConfig{}, func(context.Context) (reclog.Usage, error) { return u, nil }, &hastened,
		quiet(), prometheus.NewRegistry())
	must(t, err)
	for range 10 {
		must(t, p.Step(t.Context()))
	}
	if hastened.archive != 1 || hastened.drop != 0 {
		t.Errorf("%+v", hastened)
	}
	u.Free = 9
	for range 10 {
		must(t, p.Step(t.Context()))
	}
	if hastened.archive != 11 || hastened.drop != 10 {
		t.Errorf("%+v", hastened)
	}
}

// tight is a world on a small volume, whose recordings would stay for hours.
type tight struct {
	*world
	pressure *Pressure
	archiver *Archiver
	lines    lineCounter
	filler   string
	ids      []media.RecordingID
	original map[media.RecordingID]map[string][]byte
}

const tightSize = 48 << 20

func mustTight(t *testing.T, recordings int, over ...any) *tight {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	mount := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", tightSize), "tmpfs", dir)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	objects, err := objstore.OpenDir(t.TempDir())
	must(t, err)
	x := &tight{
		world: newWorldIn(t, dir, objects), filler: filepath.Join(dir, "filler"),
		original: make(map[media.RecordingID]map[string][]byte),
	}
	t.Cleanup(x.close)
	delay := media.Span(6 * time.Hour)
	_, err = x.catalog.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{ArchiveDelay: &delay})
	must(t, err)
	for i := range recordings {
		x.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr%04d", i))
		x.record(100_000)
		x.ids = append(x.ids, x.id)
		x.original[x.id] = x.localFiles()
	}
	x.archiver = x.world.archiver(Config{Grace: 6 * time.Hour, RetryMin: time.Hour, RetryMax: time.Hour}, over...)
	x.pressure, err = NewPressure(PressureConfig{Cluster: "main", Batch: 2}, x.root.Usage, x.catalog,
		x.lines.logger(), prometheus.NewRegistry())
	must(t, err)
	return x
}

// fill brings the volume to the used fraction with a file of somebody else's.
func (x *tight) fill(fraction float64) {
	x.tb.Helper()
	if err := os.Remove(x.filler); err != nil && !errors.Is(err, os.ErrNotExist) {
		x.tb.Fatal(err)
	}
	u, err := x.root.Usage(x.tb.Context())
	must(x.tb, err)
	f, err := os.Create(x.filler)
	must(x.tb, err)
	_, err = io.CopyN(f, zeros{}, int64(fraction*float64(u.Total))-(u.Total-u.Free))
	must(x.tb, errors.Join(err, f.Close()))
}

// relieve lets pressure and archiver work until nothing is due.
func (x *tight) relieve() {
	x.tb.Helper()
	for range 3 * len(x.ids) {
		must(x.tb, x.pressure.Step(x.tb.Context()))
		for {
			did, err := x.archiver.Step(x.tb.Context())
			if err != nil && !errors.Is(err, errFault) {
				x.tb.Fatal(err)
			}
			if !did {
				break
			}
		}
	}
}

// states counts the recordings by state, and the local ones.
func (x *tight) states() (states map[media.State]int, local int) {
	states = make(map[media.State]int)
	for _, x.id = range x.ids {
		row := x.row()
		states[row.State]++
		if row.Local {
			local++
		}
		if files := x.localFiles(); row.Local != (len(files) == len(x.original[x.id])) || !row.Local && len(files) > 0 {
			x.tb.Errorf("recording %s is local %v, and has %d files", x.id, row.Local, len(files))
		}
	}
	return states, local
}

func (x *tight) wantLevel(level, lines int, says string) {
	x.tb.Helper()
	if got := int(testutil.ToFloat64(x.pressure.metrics.level)); got != level {
		x.tb.Errorf("level %d, want %d", got, level)
	}
	if x.lines.n != lines || !strings.Contains(x.lines.last, says) {
		x.tb.Errorf("%d lines, want %d; the last is %s", x.lines.n, lines, x.lines.last)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestPressureLadderOnARealVolume(t *testing.T) {
	const n = 4
	x := mustTight(t, n)
	kept := x.ids[0]
	_, err := x.catalog.ChangeRecording(t.Context(), kept, media.RecordingChange{Keep: new(true)})
	must(t, err)

	x.fill(0.5)
	x.relieve()
	x.wantLevel(pressureNone, 0, "")
	x.fill(0.82)
	x.relieve()
	x.wantLevel(pressureAlarm, 1, "level=alarm")
	if states, _ := x.states(); states[media.Ended] != n {
		t.Errorf("after the alarm: %v", states)
	}

	x.fill(0.87)
	x.relieve()
	x.wantLevel(pressureArchive, 2, "level=archive_early")
	if states, local := x.states(); states[media.Archived] != 2 || local != n { // a batch, the oldest; later steps do more
		t.Errorf("archiving early: %v, %d local", states, local)
	}
	if x.id = kept; x.row().State != media.Archived {
		t.Errorf("a kept recording is %s", x.row().State)
	}

	x.fill(0.925)
	must(t, x.pressure.Step(t.Context()))
	x.wantLevel(pressureDrop, 3, "level=drop")
	x.relieve()
	if states, local := x.states(); states[media.Archived] != n || local != 2 { // a batch was enough
		t.Errorf("dropping: %v, %d local", states, local)
	}
	x.wantLevel(pressureArchive, 4, "level=archive_early")
	if x.id = kept; x.row().Local {
		t.Error("the local copy of the kept recording, the oldest, is still there")
	}
	for _, x.id = range x.ids {
		x.checkArchive(x.original[x.id])
	}
	if x.id = kept; !x.row().Keep {
		t.Error("the kept recording is not")
	}

	x.fill(0.97)
	must(t, x.pressure.Step(t.Context()))
	if full, u, err := x.root.Full(t.Context(), 0.95); !full || err != nil {
		t.Errorf("full is %v, %s, %v", full, u, err)
	}
	if x.pressure.level != pressureRefuse || !strings.Contains(x.lines.last, "level=refuse") {
		t.Errorf("level %d, the last line %s", x.pressure.level, x.lines.last)
	}
	must(t, os.Remove(x.filler))
	must(t, x.pressure.Step(t.Context()))
	if x.pressure.level != pressureNone || !strings.Contains(x.lines.last, "level=normal") {
		t.Errorf("level %d, the last line %s", x.pressure.level, x.lines.last)
	}
	if full, _, err := x.root.Full(t.Context(), 0.95); full || err != nil {
		t.Errorf("full is %v, %v", full, err)
	}
}

func TestPressureDropsNothingThatIsNotArchived(t *testing.T) {
	f := deadFaults()
	objects, err := objstore.OpenDir(t.TempDir())
	must(t, err)
	x := mustTight(t, 4, &faultyObjects{objects, f})
	x.fill(0.99)
	x.relieve()
	states, local := x.states()
	if states[media.Ended] != 4 || local != 4 || x.pressure.level != pressureRefuse {
		t.Errorf("%v, %d local, level %d", states, local, x.pressure.level)
	}
	if got := testutil.ToFloat64(x.pressure.metrics.hastened.WithLabelValues("archive")); got != 4 {
		t.Errorf("%v were hastened into the archive", got)
	}
	for _, x.id = range x.ids {
		if row := x.row(); row.Attempts != 1 {
			t.Errorf("row %+v", row)
		}
		for name, data := range x.localFiles() {
			if string(data) != string(x.original[x.id][name]) {
				t.Errorf("%s changed", name)
			}
		}
	}
}
