package test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestServeLosesNothingInKillNine is the fault suite's smallest row: one process with all roles is killed in mid-part
// and started again, and the encoder comes back after a second. It proves the witness and the count of frames as well.
func TestServeLosesNothingInKillNine(t *testing.T) {
	t.Parallel()
	film := faultFilm(t)
	server := newOxbow(t, "--archive-grace", "1s")
	server.http, server.rtmp = steadyAddress(t), steadyAddress(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{
		"reconnect_window": "10s", "archive_delay": "0s", "segment_duration": "1s",
	})
	line := newFaultProxy(t, server.rtmp)
	viewers := []*witness{
		startWitness(t, "first", "/acme/show", "http://"+server.http), startWitness(t, "second", "/acme/show", "http://"+server.http),
	}
	encoder := startEncoder(t, film, time.Second, "rtmp://"+line.address+"/live/"+key)
	viewers[0].awaitListed(20, 30*time.Second)
	encoder.awaitPictures(7, 5*time.Second)
	killed := time.Now()
	server.stop(syscall.SIGKILL)
	server.start("serve")
	second := encoder.await(1, 10*time.Second)
	viewers[0].awaitListed(20, 30*time.Second)
	line.cut() // and once more, without a kill
	third := encoder.await(2, 10*time.Second)
	viewers[0].awaitListed(20, 30*time.Second)
	encoder.finish()
	judgeEnded(viewers)
	if ids := viewers[0].recordings(); len(ids) != 1 {
		t.Fatalf("%d recordings were seen, want the one show", len(ids))
	}
	id := viewers[0].recordings()[0]
	server.waitState(id, "archived", time.Minute)
	eventually(t, 20*time.Second, "the local files are gone", func() bool {
		_, err := os.Stat(filepath.Join(server.data, "recordings", "acme", "show", id))
		return os.IsNotExist(err)
	})
	viewers[0].verify("from the archive", "http://"+server.http)
	viewers[0].verifyBucket(filepath.Join(server.data, "archive"), id, func(string) bool { return false })
	count := judgeFrames(t, encoder.connected(), decodeStamps(t, server.url("/acme/show/"+id+"/index.m3u8")))
	for i, c := range []connection{second, third} {
		part, segment := viewers[0].firstListed(c.first)
		t.Logf("reconnect %d: first part after %v, first segment after %v", i+1, part.Sub(c.first), segment.Sub(c.first))
	}
	gaps, seconds := viewers[0].gaps()
	figure(t, "serve killed with -9 and started again", "%s; new media is listed after %d ms; %d gaps of %.1f s; longest wait %d ms",
		count, msUntil(viewers[0], killed), gaps, seconds, viewers[0].longestWait().Milliseconds())
}
