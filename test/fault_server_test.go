package test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// storedRequests asks a node, at once and again and again until stop is called, for what only its storage has. It
// counts the answers by status, and notes the slowest.
type storedRequests struct {
	done    sync.WaitGroup
	stopped chan struct{}

	mu      sync.Mutex
	counts  map[int]int
	slowest time.Duration
}

func askForStored(tb testing.TB, many int, url func(n int) string) *storedRequests {
	r := &storedRequests{stopped: make(chan struct{}), counts: map[int]int{}}
	for i := range many {
		r.done.Go(func() {
			for n := i; ; n += many {
				select {
				case <-r.stopped:
					return
				default:
				}
				begun := time.Now()
				status, _, _ := fetch(url(n), nil)
				took := time.Since(begun)
				r.mu.Lock()
				r.counts[status]++
				r.slowest = max(r.slowest, took)
				r.mu.Unlock()
				if status != http.StatusOK {
					<-time.After(100 * time.Millisecond)
				}
			}
		})
	}
	return r
}

func (r *storedRequests) stop() {
	close(r.stopped)
	r.done.Wait()
}

// unknownRecording gives the playlist of a recording that only a look at storage can tell to be missing.
func unknownRecording(base string) func(n int) string {
	return func(n int) string { return fmt.Sprintf("%s/volume/live/01k%023d/video.m3u8", base, n) }
}

// TestFaultVolumeHangs has the volume's server hang, for who writes, reads, opens or asks for the room. Meanwhile many
// ask for recordings of before, and the publisher comes back to the same node.
func TestFaultVolumeHangs(t *testing.T) {
	onlyFull(t)
	const lasts = 30 * time.Second
	dir := filepath.Join(t.TempDir(), "volume")
	volume := newFaultVolume(t, dir)
	var asked *storedRequests
	volumeShow(t, dir, volumeFault{
		name: "hangs", lasts: lasts, kept: true, away: time.Second + underWay, fail: volume.hang,
		heal: func() {
			volume.heal()
			asked.stop()
			asked.mu.Lock()
			defer asked.mu.Unlock()
			if asked.counts[http.StatusServiceUnavailable] == 0 || asked.slowest > 10*time.Second {
				t.Errorf("answers for what storage has: %v, the slowest after %v", asked.counts, asked.slowest)
			}
			t.Logf("answers for what storage has: %v, the slowest after %v", asked.counts, asked.slowest)
		},
		during: func(f *fleet, s *clusterShow) {
			asked = askForStored(t, 200, unknownRecording("http://"+f.member("a1").internal.address))
			s.encoder.move(false)
			s.encoder.await(1, 5*time.Second)
		},
	})
}

// TestFaultVolumeReadOnly has the volume take nothing more, as a file system that is mounted anew to read only.
func TestFaultVolumeReadOnly(t *testing.T) {
	onlyFull(t)
	dir := filepath.Join(t.TempDir(), "volume")
	volume := newFaultVolume(t, dir)
	volumeShow(t, dir, volumeFault{
		name: "read-only", lasts: 8 * time.Second, heal: volume.heal, fail: func() { volume.fail(syscall.EROFS) },
	})
}

// TestFaultVolumeSlow has the volume do 200 kB in a second for a stream of 800 kbit/s and those who read another
// recording at the same time, which is 1 MB/s for one of 4 Mbit/s.
func TestFaultVolumeSlow(t *testing.T) {
	onlyFull(t)
	dir := filepath.Join(t.TempDir(), "volume")
	volume := newFaultVolume(t, dir)
	var readers *storedRequests
	volumeShow(t, dir, volumeFault{
		name: "slow", lasts: 20 * time.Second, mild: true, fail: func() { volume.throttle(200_000) },
		heal: func() { volume.heal(); readers.stop() },
		during: func(f *fleet, s *clusterShow) {
			first := s.viewers[0].recordings()[0]
			base := "http://" + f.member("a1").internal.address + s.stream + "/" + first
			readers = askForStored(t, 8, func(n int) string { return fmt.Sprintf("%s/1/video/%d.m4s", base, n%8+1) })
		},
	})
}

// hangingServer is a server of all roles whose recordings are on a volume that can hang.
func hangingServer(t *testing.T) (*oxbow, *faultVolume) {
	t.Helper()
	server := newOxbow(t)
	return server, newFaultVolume(t, filepath.Join(server.data, "recordings"))
}

// TestFaultVolumeHangsAtStart starts a server on a volume that hangs: it says what it waits for, ends when it is told
// to, and goes on when the volume does.
func TestFaultVolumeHangsAtStart(t *testing.T) {
	t.Parallel()
	server, volume := hangingServer(t)
	child := newChild(t, "server")
	launch := func() {
		t.Helper()
		if err := child.start(server.command("serve")); err != nil {
			t.Fatal(err)
		}
	}
	waits := func(times int) func() bool {
		return func() bool {
			return strings.Count(child.out.String(), "the start waits for the recordings' volume") >= times
		}
	}
	volume.hang()
	launch()
	eventually(t, 10*time.Second, "the server says what it waits for", waits(1))
	if status, _, _ := fetch("http://"+server.admin+"/readyz", nil); status != http.StatusServiceUnavailable {
		t.Errorf("readyz answers %d while the volume hangs", status)
	}
	if took := child.stop(syscall.SIGTERM, 10*time.Second); took > leeway(5*time.Second) {
		t.Errorf("the stop took %v", took)
	}
	launch()
	eventually(t, 10*time.Second, "the server says it again", waits(2))
	volume.heal()
	child.awaitReady(10*time.Second, func() error {
		if status, _, _ := fetch("http://"+server.admin+"/readyz", nil); status != http.StatusOK {
			return fmt.Errorf("readyz: %d", status)
		}
		return nil
	})
}

// TestFaultVolumeHangsAtStop stops a server whose volume hangs: live goes on until then, it ends within its bound, and
// the next one takes the show up where storage has it. What was announced from memory alone ends with the process, so
// viewers of before are not asked.
func TestFaultVolumeHangsAtStop(t *testing.T) {
	onlyFull(t)
	server, volume := hangingServer(t)
	server.http, server.rtmp = steadyAddress(t), steadyAddress(t)
	server.start("serve")
	key := server.createStream("acme", "show", faultSettings(nil))
	before := startWitness(t, "viewer of before", "/acme/show", "http://"+server.http)
	encoder := startEncoder(t, faultFilm(t), time.Second, "rtmp://"+server.rtmp+"/live/"+key)
	before.awaitListed(12, 30*time.Second)
	volume.hang()
	before.awaitListed(6, 10*time.Second)
	before.awaitAllLoaded(5 * time.Second)
	before.stop()
	before.judgeAll()
	begun := time.Now()
	server.stop(syscall.SIGTERM)
	took := time.Since(begun)
	if took > 15*time.Second {
		t.Errorf("the stop took %v", took)
	}
	volume.heal()
	server.start("serve")
	encoder.await(1, 15*time.Second)
	after := startWitness(t, "viewer of after", "/acme/show", "http://"+server.http)
	after.awaitListed(12, 30*time.Second)
	encoder.finish()
	after.awaitEnd(20 * time.Second)
	after.awaitAllLoaded(10 * time.Second)
	after.stop()
	after.judgeAll()
	if a, b := before.recordings(), after.recordings(); len(a) != 1 || len(b) != 1 || a[0] != b[0] {
		t.Errorf("recordings %v before the stop, %v after it, want one", a, b)
	}
	figure(t, "stop while the volume hangs", "the server ends %d ms after SIGTERM", took.Milliseconds())
}

// TestFaultVolumeFullRefuses fills the volume under a show: the ladder is climbed and told, a new show is refused with
// the reason, the one that is live may come back, and all of that ends when there is room again.
func TestFaultVolumeFullRefuses(t *testing.T) {
	onlyFull(t)
	server, volume := hangingServer(t)
	server.start("serve")
	rtmp := "rtmp://" + server.rtmp + "/live/"
	key, other := server.createStream("acme", "show", faultSettings(nil)), server.createStream("other", "show", faultSettings(nil))
	viewer := startWitness(t, "viewer", "/acme/show", "http://"+server.http)
	live := startEncoder(t, faultFilm(t), 500*time.Millisecond, rtmp+key)
	viewer.awaitListed(8, 30*time.Second)
	volume.fail(syscall.ENOSPC)
	level := func(want float64) func() bool {
		return func() bool { return server.metrics("oxbow_archiver_pressure_level") == want }
	}
	eventually(t, 15*time.Second, "the pressure is at its highest", level(4))
	late := startEncoder(t, faultFilm(t), 500*time.Millisecond, rtmp+other)
	eventually(t, 10*time.Second, "a new show is refused with the reason", func() bool {
		return strings.Contains(strings.Join(late.refused(), "\n"), "recording volume is full")
	})
	if n := len(late.connected()); n > 0 {
		t.Errorf("%d connections of a new show were taken", n)
	}
	live.move(false)
	live.await(1, 10*time.Second)
	viewer.awaitListed(8, 20*time.Second)
	if n := server.metrics("oxbow_packager_degraded_shows"); n != 1 {
		t.Errorf("%v shows are degraded, want the one that is live", n)
	}
	volume.heal()
	late.await(0, 10*time.Second)
	eventually(t, 15*time.Second, "the pressure is gone", level(0))
	eventually(t, 20*time.Second, "the show is recorded again", func() bool {
		return server.metrics("oxbow_packager_degraded_shows") == 0
	})
	if n := server.metrics("oxbow_packager_lost_segments_total"); n == 0 {
		t.Error("no lost segment is counted")
	}
	late.finish()
	live.finish()
	viewer.awaitEnd(20 * time.Second)
	viewer.stop()
	viewer.judgeAll()
	if ids := viewer.recordings(); len(ids) != 1 {
		t.Errorf("%d recordings were seen, want the one show", len(ids))
	}
}
