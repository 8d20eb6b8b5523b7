package packager

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// mustMount mounts a file system of its own for a test, or skips it.
func mustMount(t *testing.T, args ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// feeder sends a stream of 6 Mbit/s to a studio as fast as it is taken.
type feeder struct {
	*studio
	p          *Publication
	src        *source
	at         time.Duration
	idr, slice []byte
	longest    time.Duration // that a frame took
}

func mustFeed(t *testing.T, st *studio) *feeder {
	t.Helper()
	f := &feeder{studio: st, p: st.publish(1, nil), src: &source{fps: 30, gop: 30}, idr: benchFrame(true), slice: benchFrame(false)}
	st.tracks(f.p, videoTrack(), audioTrack())
	return f
}

func (f *feeder) feed(d time.Duration) {
	f.tb.Helper()
	f.at += d
	f.src.until(f.at, func(frame *media.Frame) {
		f.tb.Helper()
		if frame.Track == 0 {
			frame.Payload = f.slice
			if frame.Sync {
				frame.Payload = f.idr
			}
		}
		begun := time.Now()
		if err := f.p.WriteFrame(frame); err != nil {
			f.tb.Fatal(err)
		}
		f.longest = max(f.longest, time.Since(begun))
	})
}

// recover feeds until the show is recorded again.
func (f *feeder) recover() {
	f.tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for testutil.ToFloat64(f.metrics.degraded) > 0 {
		select {
		case <-limit:
			f.tb.Fatal("the recording does not go on")
		case <-tick.C:
			f.feed(20 * time.Millisecond)
		}
	}
}

// end ends the show and gives video's segments as storage has them.
func (f *feeder) end() (segments []media.Segment, gaps int) {
	f.tb.Helper()
	show := f.show()
	if err := f.p.Close(true); err != nil {
		f.tb.Fatal(err)
	}
	<-show.recorder.exited
	rec, err := reclog.Load(f.tb.Context(), f.root.Files(), testPath, show.ID())
	if err != nil {
		f.tb.Fatal(err)
	}
	if len(rec.Damage) > 0 || len(rec.Takes) != 1 {
		f.tb.Errorf("%d takes, damage %v", len(rec.Takes), rec.Damage)
	}
	snap, _ := show.Snapshot()
	if a, b := len(snap.Renditions[0].Segments), len(rec.Tracks[0].Segments); a != b {
		f.tb.Errorf("%d segments live, %d on storage", a, b)
	}
	for i := range rec.Tracks[0].Segments {
		if rec.Tracks[0].Segments[i].Gap {
			gaps++
		}
	}
	return rec.Tracks[0].Segments, gaps
}

func TestFullVolume(t *testing.T) {
	dir := mustMount(t, "-t", "tmpfs", "-o", "size=16m", "tmpfs")
	st := mustStudio(t, dir)
	f := mustFeed(t, st)
	f.feed(6 * time.Second)
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(filler, zeros{}, 16<<20); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the volume is not full: %v", err)
	}
	before := len(st.snapshotSegments())
	f.feed(6 * time.Second)
	if got := testutil.ToFloat64(st.metrics.degraded); got != 1 {
		t.Errorf("%v shows are degraded", got)
	}
	if n := len(st.snapshotSegments()) - before; n != 3 {
		t.Errorf("%d segments were listed on a full volume", n)
	}
	if err := errors.Join(filler.Close(), os.Remove(filler.Name())); err != nil {
		t.Fatal(err)
	}
	f.feed(6 * time.Second)
	f.recover()
	if segments, gaps := f.end(); gaps < 2 || gaps > 4 || segments[len(segments)-1].Gap {
		t.Errorf("%d gaps, the last segment %+v", gaps, segments[len(segments)-1])
	}
}

func TestFrozenVolume(t *testing.T) {
	needTool(t, "fsfreeze")
	needTool(t, "mkfs.ext4")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "mkfs.ext4", "-q", image)
	dir := mustMount(t, "-o", "loop", image)
	st := mustStudio(t, dir)
	f := mustFeed(t, st)
	f.feed(6 * time.Second)
	if err := exec.Command("fsfreeze", "-f", dir).Run(); err != nil {
		t.Skipf("fsfreeze: %v", err)
	}
	thaw := func() { _ = exec.Command("fsfreeze", "-u", dir).Run() }
	defer thaw() // whatever happens: nobody can end a process that writes there
	before := len(st.snapshotSegments())
	f.longest = 0
	begun := time.Now()
	f.feed(10 * time.Second)
	took := time.Since(begun)
	t.Logf("10 s of media took %v, the longest frame %v", took, f.longest)
	// Many times the patience, since the machine may stand still.
	if took < storagePatience || f.longest > storagePatience+20*time.Second {
		t.Errorf("10 s of media took %v, the longest frame %v", took, f.longest)
	}
	if got := testutil.ToFloat64(st.metrics.degraded); got != 1 {
		t.Errorf("%v shows are degraded", got)
	}
	if n := len(st.snapshotSegments()) - before; n != 5 {
		t.Errorf("%d segments were listed on a frozen volume", n)
	}
	thaw()
	f.recover()
	if segments, gaps := f.end(); gaps != 0 {
		t.Errorf("%d gaps in %d segments", gaps, len(segments))
	}
}

// snapshotSegments are video's segments in the newest playlists.
func (st *studio) snapshotSegments() []media.Segment {
	st.tb.Helper()
	snap, _ := st.show().Snapshot()
	return snap.Renditions[0].Segments
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
