package test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFaultRedisDown kills Redis: live goes on, a new publish is refused with the reason, nobody takes over; Redis comes
// back without what it knew, leases are asserted again, nothing ends, and the next fault is borne as before.
func TestFaultRedisDown(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{})
	s := f.newShow("redis", nil)
	other := f.newShow("later", nil)
	s.begin(time.Second, "a1", "a2")
	f.redis.kill()
	down := time.Now()
	other.encoder = startEncoder(t, faultFilm(t), time.Second, f.targets(other.key, "a1", "a2")...)
	eventually(t, 20*time.Second, "a new publish is refused", func() bool { return len(other.encoder.refused()) > 0 })
	refusal := other.encoder.refused()[0]
	if !strings.Contains(refusal, "registry is away") || !strings.Contains(refusal, "try again") {
		t.Errorf("the refusal does not tell the reason: %q", refusal)
	}
	long := time.NewTimer(time.Until(down.Add(8 * time.Second))) // leases would have expired
	<-long.C
	s.watched(10)
	if n := len(s.encoder.connected()); n != 1 {
		t.Errorf("the live publisher was disconnected while Redis was down: %s", s.encoder)
	}
	f.redis.startEmpty()
	other.encoder.await(0, 10*time.Second)
	s.watched(10)
	wait := s.viewers[0].longestWait()
	f.member("a1").kill()
	s.watched(20)
	v := s.finish()
	v.oneRecording(t)
	v.brokeOff(t, 1)
	v.lostAtMost(t, faultPart+underWay, 0)
	if len(v.connected) != 2 {
		t.Errorf("%d connections, want the first until a1 was killed and one to a2", len(v.connected))
	}
	w := other.finish()
	w.oneRecording(t)
	figure(t, "Redis down for 8 s, back empty, then the owner killed", "longest wait while it was down %d ms; refused: %q; %s",
		wait.Milliseconds(), refusal, v.frames)
}

// TestFaultSQLDown kills PostgreSQL: live goes on, a known key publishes, another one is refused with the reason, and
// rows are written when it returns. In make test it is TestRecoveryOfLostSQL where live goes on, and the catalog's
// TestKeyCacheWithoutSQL where keys are known and refused.
func TestFaultSQLDown(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1})
	s, known := f.newShow("sql", nil), f.newShow("known", nil)
	a1 := f.member("a1")
	a1.drain() // it learns the keys that there are when it starts, and others within seconds
	a1.start()
	s.begin(time.Second, "a1")
	f.sql.kill()
	began := time.Now()
	known.begin(time.Second, "a1")
	took := known.encoder.connected()[0].opened.Sub(began)
	stranger := startEncoder(t, faultFilm(t), time.Second, f.targets("nobodys-key", "a1")...)
	eventually(t, 20*time.Second, "an unknown key is refused", func() bool { return len(stranger.refused()) > 0 })
	refusal := stranger.refused()[0]
	stranger.leave()
	if !strings.Contains(refusal, "catalog is away") || !strings.Contains(refusal, "try again") {
		t.Errorf("the refusal does not tell the reason: %q", refusal)
	}
	s.watched(10)
	wait := s.viewers[0].longestWait()
	s.encoder.finish() // this one ends before SQL is back, the other one after
	for _, w := range s.viewers {
		w.awaitEnd(20 * time.Second)
	}
	f.sql.start()
	back := time.Now()
	known.watched(4)
	known.encoder.finish()
	for _, show := range []*clusterShow{s, known} {
		for _, w := range show.viewers {
			w.awaitEnd(20 * time.Second)
		}
		v := show.conclude()
		v.oneRecording(t)
		v.lostAtMost(t, 0)
		v.brokeOff(t, 0)
		if len(v.connected) != 1 {
			t.Errorf("%s: %d connections, want the first to stay", show.stream, len(v.connected))
		}
		figure(t, "SQL down, "+show.stream, "longest wait %d ms, while it was away %d ms; a known key publishes after %d ms; "+
			"an unknown one is refused: %q; archived %d ms after it is back; %s", v.longest.Milliseconds(), wait.Milliseconds(),
			took.Milliseconds(), refusal, v.archived.Sub(back).Milliseconds(), v.frames)
	}
}

// TestFaultS3Down lets a show end while the store is away: it plays from the cluster, archiving is tried again, and
// nothing is deleted before it is in the store. What was archived before plays where it was watched before.
func TestFaultS3Down(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1})
	old, s := f.newShow("old", nil), f.newShow("store", nil)
	old.begin(time.Second, "a1")
	watched := old.finish().recordings[0]
	lists := []string{old.url(0, watched), strings.Replace(old.url(0, watched), "index", "video", 1)}
	watch := func(when string) (texts string) {
		old.viewers[0].verify(when, old.viewers[0].bases[0])
		for _, list := range lists {
			status, text, _ := fetch(list, nil)
			if status != http.StatusOK {
				t.Errorf("%s: %s: status %d %.120s", when, list, status, text)
			}
			texts += string(text)
		}
		return texts
	}
	before := watch("archived")
	s.begin(time.Second, "a1")
	f.s3.Kill(t)
	if watch("archived, store away") != before {
		t.Error("playlists of what is archived are others while the store is away")
	}
	s.watched(10)
	s.encoder.finish()
	for _, w := range s.viewers {
		w.awaitEnd(20 * time.Second)
	}
	id := s.viewers[0].recordings()[0]
	eventually(t, time.Minute, "the store's absence is in the row", func() bool { return s.rows()[0].LastError != "" })
	failure := s.rows()[0].LastError
	for _, w := range s.viewers {
		w.awaitAllLoaded(10 * time.Second)
		w.verify("ended, store away", w.bases[0])
	}
	judgeFrames(t, s.encoder.connected(), decodeStamps(t, s.url(1, id)))
	if len(s.folders()) != 1 {
		t.Errorf("on storage while the store is away: %v", s.folders())
	}
	f.s3.MustStart(t)
	back := time.Now()
	v := s.conclude()
	v.oneRecording(t)
	v.lostAtMost(t, 0)
	figure(t, "S3 down", "the row says %q; archived %d ms after it is back; %s", failure, v.archived.Sub(back).Milliseconds(), v.frames)
}

// TestFaultArchiverKilled kills the archiver in mid-upload: another one leaves one complete copy, and nothing beside it.
func TestFaultArchiverKilled(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1})
	s := f.newShow("upload", nil)
	archiver := f.member("a-archiver")
	archiver.toS3.set(proxyLine{rate: 200 << 10})
	s.begin(time.Second, "a1")
	s.watched(10)
	s.encoder.finish()
	before := archiver.toS3.sent.Load()
	eventually(t, 20*time.Second, "the upload is under way", func() bool { return archiver.toS3.sent.Load() > before+300<<10 })
	archiver.kill()
	id := s.viewers[0].recordings()[0]
	if len(s.folders()) != 1 {
		t.Errorf("on storage in mid-upload: %v", s.folders())
	}
	archiver.toS3.pass()
	archiver.start()
	back := time.Now()
	for _, w := range s.viewers {
		w.awaitEnd(20 * time.Second)
	}
	v := s.conclude()
	v.oneRecording(t)
	v.lostAtMost(t, 0)
	took := v.archived.Sub(back) // the grace of a second after it is archived is in it
	if took > 20*time.Second {
		t.Errorf("archived %v after the archiver is back: it waits for its own claim", took)
	}
	var left []string
	_ = filepath.WalkDir(f.s3.Dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(name, "multipart") {
			left = append(left, name)
		}
		return nil
	})
	if len(left) > 0 {
		t.Errorf("uploads that nobody will finish: %v", left)
	}
	figure(t, "archiver killed in mid-upload", "recording %s is archived %d ms after it is back; %s", id, took.Milliseconds(), v.frames)
}
