package test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mountVolume mounts a file system of its own until the test is over, if that may be done here.
func mountVolume(tb testing.TB, args ...string) (dir string, err error) {
	tb.Helper()
	if os.Geteuid() != 0 {
		return "", errors.New("mounting needs root")
	}
	dir = tb.TempDir()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("mount: %w: %s", err, out)
	}
	tb.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			tb.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir, nil
}

// mustMountVolume is mountVolume, or skips the test.
func mustMountVolume(t *testing.T, args ...string) (dir string) {
	t.Helper()
	dir, err := mountVolume(t, args...)
	if err != nil {
		t.Skip(err)
	}
	return dir
}

// fillVolume leaves no room on a volume until the ballast is removed.
func fillVolume(tb testing.TB, dir string) (ballast string) {
	tb.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		tb.Fatal(err)
	}
	for err == nil { // until nothing more fits
		_, err = f.Write(make([]byte, 64<<10))
	}
	_ = f.Close()
	return ballast
}

// volumeFault is a fault of the recordings' volume for a while.
type volumeFault struct {
	name       string
	fail, heal func()
	lasts      time.Duration
	// during, if it is not nil, is done in the middle of it.
	during func(f *fleet, s *clusterShow)
	// away is how long viewers may see nothing new because of that.
	away time.Duration
	// kept says that the recording loses nothing, since what could not be written waited in memory.
	kept bool
	// mild says that an alarm may be raised, or none.
	mild bool
}

// volumeShow runs a show over a fault of the recordings' volume. Viewers see nothing of it; what the recording lost is
// marked in it as gaps and counted, and nothing else is lost.
func volumeShow(t *testing.T, dir string, v volumeFault) {
	t.Helper()
	f := startFleet(t, clusterConfig{
		nodes: 1, recordings: map[string]string{"a": filepath.Join(dir, "recordings")},
		ingestFlags: []string{"--min-free", "0%"},
	})
	s := f.newShow("volume", nil)
	s.begin(time.Second, "a1")
	s.watched(10)
	a1 := f.member("a1")
	v.fail()
	failed := time.Now()
	over := time.NewTimer(v.lasts)
	degraded := 0.0
	live := func() {
		t.Helper()
		before := s.viewers[0].edgeOf("video")
		eventually(t, 10*time.Second, "live goes on during the fault", func() bool { return before.before(s.viewers[0].edgeOf("video")) })
		degraded = max(degraded, a1.metric("oxbow_packager_degraded_shows"))
	}
	for waiting := true; waiting; {
		select {
		case <-over.C:
			waiting = false
		default:
			live()
			if v.during != nil && time.Since(failed) > v.lasts/3 {
				v.during(f, s)
				v.during = nil
			}
		}
	}
	v.heal()
	healed := time.Now()
	eventually(t, 30*time.Second, "the show is recorded again", func() bool { return a1.metric("oxbow_packager_degraded_shows") == 0 })
	recovered := time.Since(healed)
	s.watched(10)
	if degraded == 0 && !v.mild {
		t.Error("no alarm was raised")
	}
	for _, told := range []string{"recording fails, live goes on from memory", "recording goes on"} {
		if n := strings.Count(a1.out.String(), "\""+told+"\""); n != 1 && !v.mild {
			t.Errorf("%q is logged %d times, want once", told, n)
		}
	}
	s.encoder.finish()
	longest := time.Duration(0)
	for _, w := range s.viewers {
		w.awaitEnd(20 * time.Second)
		w.awaitAllLoaded(10 * time.Second)
		w.stop()
		w.judgeAll()
		longest = max(longest, w.longestWait())
	}
	if limit := faultPart + 2*faultSlack + v.away; longest > limit {
		t.Errorf("viewers waited %v for new media, want %v at most", longest, limit)
	}
	s.viewers[0].agreeWith(s.viewers[1])
	first := s.viewers[0]
	if ids := first.recordings(); len(ids) != 1 {
		t.Fatalf("%d recordings %v, want the one show", len(ids), ids)
	}
	id := first.recordings()[0]
	s.archived(first.recordings())
	fresh := s.freshEdge()
	folder := fresh + s.stream + "/" + id
	_, text, _ := fetch(folder+"/video.m3u8", nil)
	gaps := strings.Count(string(text), "#EXT-X-GAP")
	lost := 0
	for _, w := range s.viewers {
		lost = max(lost, len(w.verifyBut(w.name+", archived", fresh)))
	}
	if lost > 0 && (gaps == 0 || v.kept) {
		t.Errorf("%d things are lost, %d gaps are marked", lost, gaps)
	}
	sent, recorded := 0, map[int]bool{}
	for _, n := range decodeStamps(t, folder+"/index.m3u8") {
		if n < 0 || recorded[n] {
			t.Errorf("picture %d is damaged or recorded twice", n)
		}
		recorded[n] = true
	}
	for _, c := range s.encoder.connected() {
		for _, p := range c.sent {
			sent++
			if !recorded[p.number] && (p.at.Before(failed.Add(-3*faultSegment)) || p.at.After(healed.Add(recovered+3*faultSegment))) {
				t.Errorf("picture %d, sent while all was well at %s, is missing", p.number, p.at.Format("15:04:05.000"))
			}
		}
	}
	figure(t, "volume "+v.name+" for "+v.lasts.String(),
		"longest wait of viewers %d ms; recorded again %d ms after; %d pictures sent, %d recorded; %d gaps; %d URLs lost with them",
		longest.Milliseconds(), recovered.Milliseconds(), sent, len(recorded), gaps, lost)
}

// TestFaultVolumeFull fills the recordings' volume for a while.
func TestFaultVolumeFull(t *testing.T) {
	onlyFull(t)
	dir := mustMountVolume(t, "-t", "tmpfs", "-o", "size=24m", "tmpfs")
	ballast := ""
	volumeShow(t, dir, volumeFault{name: "full", lasts: 8 * time.Second, fail: func() {
		ballast = fillVolume(t, dir)
	}, heal: func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}})
}

// TestFaultVolumeFrozen has writes to the recordings' volume stall for 30 s; readings go on.
func TestFaultVolumeFrozen(t *testing.T) {
	onlyFull(t)
	needTool(t, "fsfreeze")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	dir := mustMountVolume(t, "-o", "loop", image)
	freeze := func(how string) error { return exec.Command("fsfreeze", how, dir).Run() }
	frozen := false
	t.Cleanup(func() {
		if frozen {
			_ = freeze("-u")
		}
	})
	volumeShow(t, dir, volumeFault{name: "frozen", lasts: 30 * time.Second, kept: true, fail: func() {
		if err := freeze("-f"); err != nil {
			t.Skipf("fsfreeze: %v", err)
		}
		frozen = true
	}, heal: func() {
		if err := freeze("-u"); err != nil {
			t.Errorf("fsfreeze -u: %v", err)
		}
		frozen = false
	}})
}
