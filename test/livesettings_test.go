package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// heeded is how long a change of settings may take until a live show follows it.
const heeded = 3 * time.Second

// settingsWorld is a server with a real store whose live shows' settings are changed.
type settingsWorld struct {
	*oxbow
	store  *objstoretest.Gateway
	source string // two seconds, to be published again and again
}

// liveShow is a stream that a real encoder publishes.
type liveShow struct {
	*tenant
	w       settingsWorld
	name    string
	key     string
	id      string
	cmd     *exec.Cmd
	encoder *process
}

// show makes a publisher with the settings, and a stream of it that is live.
func (w settingsWorld) show(t *testing.T, publisher string, settings map[string]any) *liveShow {
	t.Helper()
	p := &tenant{t: t, name: publisher}
	p.oxbow = &oxbow{tb: t, data: w.data, http: w.http, rtmp: w.rtmp, admin: w.admin, out: w.out}
	body := map[string]any{"name": publisher, "segment_duration": "1s", "thumbnail_interval": "0s"}
	for k, v := range settings {
		body[k] = v
	}
	p.must(http.MethodPost, "/v1/publishers", body, nil)
	s := &liveShow{tenant: p, w: w, name: "show"}
	s.key = p.stream(s.name, nil)
	s.publish()
	awaitLive(t, p.oxbow, publisher, s.name)
	s.id = p.recordings(publisher, s.name)[0].ID
	return s
}

// publish starts the encoder.
func (s *liveShow) publish() {
	s.t.Helper()
	s.cmd = exec.Command(needTool(s.t, "ffmpeg"), "-hide_banner", "-loglevel", "info", "-nostdin", "-re",
		"-stream_loop", "-1", "-i", s.w.source, "-c", "copy", "-f", "flv", "rtmp://"+s.rtmp+"/live/"+s.key)
	s.encoder = startProcess(s.t, s.cmd)
}

// change sets settings of the publisher, and waits until the live show follows them.
func (s *liveShow) change(settings map[string]any) {
	s.t.Helper()
	followed := func() (n int) {
		for line := range strings.Lines(s.out.String()) {
			if strings.Contains(line, "settings of the live show changed") && strings.Contains(line, "recording="+s.id) {
				n++
			}
		}
		return n
	}
	before := followed()
	s.set(settings)
	eventually(s.t, heeded, "the live show follows its settings", func() bool { return followed() > before })
}

// goodbye has the encoder end as it should.
func (s *liveShow) goodbye() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.t.Fatal(err)
	}
	_ = s.encoder.wait(10 * time.Second) // of ffmpeg an interrupt is an error
}

// sliding gives the first number and the length of the sliding playlist.
func (s *liveShow) sliding() (first int, length time.Duration) {
	s.t.Helper()
	for line := range strings.Lines(string(s.get("/" + s.tenant.name + "/show/" + s.id + "/live/video.m3u8"))) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "#EXT-X-MEDIA-SEQUENCE:"); ok {
			first, _ = strconv.Atoi(text)
		} else if text, ok := strings.CutPrefix(line, "#EXTINF:"); ok {
			seconds, err := strconv.ParseFloat(strings.TrimSuffix(text, ","), 64)
			if err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			length += time.Duration(seconds * float64(time.Second))
		}
	}
	return first, length
}

// state insists on the recording's.
func (s *liveShow) state(what, want string) {
	s.t.Helper()
	if r := s.row(s.id); r.State != want {
		s.t.Errorf("%s: the recording is %s, want %s", what, r.State, want)
	}
}

// stored lists the files of the recording in a bucket.
func (s *liveShow) stored(bucket string) []string {
	return filesOf(s.t, filepath.Join(s.w.store.Dir, bucket), s.id)
}

// secondBucket is that of the archive "second".
const secondBucket = "second"

// TestLiveSettings changes settings while real encoders publish: the shows that are running follow.
func TestLiveSettings(t *testing.T) {
	t.Parallel()
	store := objstoretest.MustStartGateway(t)
	place := func(bucket string) string {
		store.MustMakeBucket(t, bucket)
		return "s3://" + bucket + "/live?region=us-east-1&endpoint=" + store.Endpoint
	}
	server := newOxbow(t, "--archive-grace", "1h", "--archive", place(bucket), "--archives", "second="+place(secondBucket),
		"--archives", "forgotten="+place("forgotten"))
	server.env = []string{"AWS_ACCESS_KEY_ID=" + store.AccessKey, "AWS_SECRET_ACCESS_KEY=" + store.SecretKey}
	server.start("serve")
	w := settingsWorld{oxbow: server, store: store, source: shortSource(t)}
	for name, try := range map[string]func(*testing.T, settingsWorld){
		"DVRWindow":               tryDVRWindow,
		"ReconnectWindow":         tryReconnectWindow,
		"ReconnectWindowThatRuns": tryReconnectWindowThatRuns,
		"EndOnUnpublish":          tryEndOnUnpublish,
		"RecordOn":                tryRecordOn,
		"RecordOff":               tryRecordOff,
		"ArchiveMode":             tryArchiveMode,
		"Mirror":                  tryMirror,
		"Keep":                    tryKeep,
	} {
		t.Run(name, func(t *testing.T) {
			// A window is a minute at least. In make test it is the packager's settings_test.go that changes it while a
			// show runs, and archiver/continuous_test.go that has one no longer recorded.
			if name == "DVRWindow" || name == "RecordOff" {
				onlyFull(t)
			} else {
				t.Parallel()
			}
			try(t, w)
		})
	}
}

// shortSource is two seconds with a key frame in each, small enough for many to be published.
func shortSource(tb testing.TB) string {
	tb.Helper()
	file := tb.TempDir() + "/source.flv"
	run(tb, time.Minute, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=30:duration=4",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=4", "-c:v", "libx264", "-preset", "ultrafast",
		"-g", "30", "-keyint_min", "30", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-b:v", "100k", "-c:a", "aac", file)
	return file
}

// filesOf lists the files below a directory whose names, or folders, have the text.
func filesOf(tb testing.TB, dir, text string) (files []string) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err == nil && !entry.IsDir() && strings.Contains(name, text):
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

func tryReconnectWindow(t *testing.T, w settingsWorld) {
	s := w.show(t, "window", map[string]any{"reconnect_window": "60s"})
	s.change(map[string]any{"reconnect_window": "2s"})
	lost := time.Now()
	s.encoder.kill()
	s.waitState(s.id, "ended", 5*time.Second)
	took := time.Since(lost)
	if took < 1900*time.Millisecond {
		t.Errorf("ended %s after its encoder was lost, want 2s", took)
	}
	figure(t, "live settings, reconnect_window 60s to 2s", "ended %d ms after the loss", took.Milliseconds())
}

// A window that runs gets its new length, counted from the loss.
func tryReconnectWindowThatRuns(t *testing.T, w settingsWorld) {
	s := w.show(t, "running", map[string]any{"reconnect_window": "15s"})
	lost := time.Now()
	s.encoder.kill()
	s.waitState(s.id, "interrupted", 5*time.Second)
	s.set(map[string]any{"reconnect_window": "60s"})
	sleepUntil(lost.Add(18 * time.Second))
	s.state("a window that became longer", "interrupted")
	s.publish()
	s.waitState(s.id, "live", 10*time.Second)
	s.encoder.kill()
	s.waitState(s.id, "interrupted", 5*time.Second)
	changed := time.Now()
	s.set(map[string]any{"reconnect_window": "1s"})
	s.waitState(s.id, "ended", heeded+time.Second)
	figure(t, "live settings, a running reconnect_window 60s to 1s", "ended %d ms after the change",
		time.Since(changed).Milliseconds())
}

// A shorter window is shorter at once, a longer one grows from where the playlist begins.
func tryDVRWindow(t *testing.T, w settingsWorld) {
	s := w.show(t, "dvr", map[string]any{"dvr_window": "2m"})
	eventually(t, 2*time.Minute, "the playlist has 75 s", func() bool {
		_, length := s.sliding()
		return length > 75*time.Second
	})
	changed := time.Now()
	s.set(map[string]any{"dvr_window": "1m"})
	eventually(t, heeded, "the playlist has a minute", func() bool {
		_, length := s.sliding()
		return length < 64*time.Second
	})
	figure(t, "live settings, dvr_window 2m to 1m", "shorter %d ms after the change", time.Since(changed).Milliseconds())
	first, length := s.sliding()
	if length < 57*time.Second {
		t.Errorf("the playlist has %s, want a minute", length)
	}
	s.set(map[string]any{"dvr_window": "2m"})
	grown := time.Now().Add(12 * time.Second)
	for time.Now().Before(grown) {
		now, _ := s.sliding()
		if now < first {
			t.Fatalf("the playlist went back from segment %d to %d", first, now)
		}
		first = now
		sleepUntil(time.Now().Add(250 * time.Millisecond))
	}
	if _, length := s.sliding(); length < 67*time.Second {
		t.Errorf("12 s after it may have two minutes the playlist has %s", length)
	}
}

func tryEndOnUnpublish(t *testing.T, w settingsWorld) {
	s := w.show(t, "goodbye", map[string]any{"end_on_unpublish": true})
	s.change(map[string]any{"end_on_unpublish": false})
	s.goodbye()
	s.waitState(s.id, "interrupted", 5*time.Second)
	sleepUntil(time.Now().Add(2 * time.Second))
	s.state("a goodbye that does not end it", "interrupted")
	s.publish()
	s.waitState(s.id, "live", 10*time.Second)
	if n := len(s.recordings(s.tenant.name, s.name)); n != 1 {
		t.Errorf("%d recordings, want the one that goes on", n)
	}
	s.change(map[string]any{"end_on_unpublish": true})
	said := time.Now()
	s.goodbye()
	s.waitState(s.id, "ended", 5*time.Second)
	figure(t, "live settings, end_on_unpublish false to true", "ended %d ms after the goodbye began",
		time.Since(said).Milliseconds())
}

// What is recorded from the middle on is archived whole.
func tryRecordOn(t *testing.T, w settingsWorld) {
	s := w.show(t, "recorded", map[string]any{"record": "off", "dvr_window": "1m", "archive_delay": "0s"})
	sleepUntil(time.Now().Add(3 * time.Second))
	s.change(map[string]any{"record": "on"})
	s.goodbye()
	s.waitState(s.id, "archived", 30*time.Second)
	if r := s.row(s.id); !r.ExpireDue.IsZero() || len(s.stored(bucket)) == 0 {
		t.Errorf("recorded since its middle: due for deletion at %s, in the bucket %v", r.ExpireDue, s.stored(bucket))
	}
}

// What is no longer recorded goes when its end was seen, also what the archive has got while it was live.
func tryRecordOff(t *testing.T, w settingsWorld) {
	s := w.show(t, "forgotten", map[string]any{"dvr_window": "1m", "archive_mode": "continuous", "archive": "forgotten"})
	all := func() []string { return filesOf(t, filepath.Join(w.store.Dir, "forgotten"), "") } // parts of uploads too
	eventually(t, 30*time.Second, "the bucket has what was live", func() bool { return len(all()) > 0 })
	s.change(map[string]any{"record": "off"})
	s.goodbye()
	s.waitState(s.id, "ended", 10*time.Second)
	r := s.row(s.id)
	if r.ExpireReason != "record" || !about(r.ExpireDue, r.EndedAt.Add(time.Minute)) || !r.ArchiveDue.IsZero() {
		t.Errorf("due at %s by %q, for archiving at %s; it ended at %s", r.ExpireDue, r.ExpireReason, r.ArchiveDue, r.EndedAt)
	}
	index := s.url(fmt.Sprintf("/%s/show/%s/index.m3u8", s.tenant.name, s.id))
	sleepUntil(r.ExpireDue.Add(-2 * time.Second))
	if status, _ := s.try(index); status != http.StatusOK {
		t.Errorf("before its window is over: %d", status)
	}
	eventually(t, 2*time.Second+goneWithin, "410", func() bool {
		status, _ := s.try(index)
		return status == http.StatusGone
	})
	s.waitGone(s.id, 30*time.Second)
	if left := append(all(), filesOf(t, s.data, s.id)...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// To archive it continuously makes the delay needless, and the other way round.
func tryArchiveMode(t *testing.T, w settingsWorld) {
	soon := w.show(t, "soon", map[string]any{"archive_delay": "1h"})
	late := w.show(t, "late", map[string]any{"archive_delay": "1h", "archive_mode": "continuous"})
	sleepUntil(time.Now().Add(2 * time.Second))
	soon.change(map[string]any{"archive_mode": "continuous"})
	late.change(map[string]any{"archive_mode": "after_end"})
	said := time.Now()
	soon.goodbye()
	late.goodbye()
	soon.waitState(soon.id, "archived", 15*time.Second)
	figure(t, "live settings, archive_mode to continuous", "archived %d ms after the goodbye", time.Since(said).Milliseconds())
	sleepUntil(time.Now().Add(4 * time.Second))
	late.state("archive_mode after_end", "ended")
	if r := late.row(late.id); !about(r.ArchiveDue, r.EndedAt.Add(time.Hour)) {
		t.Errorf("due for archiving at %s, want an hour after %s", r.ArchiveDue, r.EndedAt)
	}
}

// Where a show goes may be changed until its archiving begins; a deletion reaches every store that has it.
func tryMirror(t *testing.T, w settingsWorld) {
	s := w.show(t, "mirror", map[string]any{"archive": "second", "mirror": "default", "archive_delay": "8s"})
	alone := w.show(t, "alone", map[string]any{"archive_delay": "0s", "mirror": "second"})
	alone.set(map[string]any{"mirror": ""})
	s.goodbye()
	s.set(map[string]any{"archive": "default", "mirror": "second"})
	alone.goodbye()
	s.waitState(s.id, "archived", 30*time.Second)
	alone.waitState(alone.id, "archived", 30*time.Second)
	first, second := s.stored(bucket), s.stored(secondBucket)
	if len(first) == 0 || len(first) != len(second) {
		t.Errorf("in the archive %v, in the mirror %v", first, second)
	}
	if r := s.row(s.id); r.Archive != "default" || r.Mirror != "second" {
		t.Errorf("in %q, with a copy in %q", r.Archive, r.Mirror)
	}
	if len(alone.stored(bucket)) == 0 || len(alone.stored(secondBucket)) > 0 {
		t.Errorf("without a mirror: %v, %v", alone.stored(bucket), alone.stored(secondBucket))
	}
	s.set(map[string]any{"archive": "second", "mirror": ""}) // of shows to come
	if r := s.row(s.id); r.Archive != "default" || r.Mirror != "second" {
		t.Errorf("what is archived moved to %q, with a copy in %q", r.Archive, r.Mirror)
	}
	s.set(map[string]any{"retention": "1s"})
	s.waitGone(s.id, 15*time.Second)
	if left := append(s.stored(bucket), s.stored(secondBucket)...); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func tryKeep(t *testing.T, w settingsWorld) {
	s := w.show(t, "keep", map[string]any{"retention": "1s", "archive_delay": "0s"})
	s.set(map[string]any{"keep": true})
	if r := s.row(s.id); !r.Held {
		t.Error("the live show is not held")
	}
	s.goodbye()
	s.waitState(s.id, "archived", 30*time.Second)
	sleepUntil(time.Now().Add(4 * time.Second))
	s.state("held since it was live", "archived")
	changed := time.Now()
	s.set(map[string]any{"keep": false})
	s.waitGone(s.id, 10*time.Second)
	figure(t, "live settings, keep to false", "deleted %d ms after the change", time.Since(changed).Milliseconds())
}

// TestSettingsOutliveTheirNode changes the window of a show, then kills its node: who adopts the show, or ends it,
// follows the change, and one that comes when no node has the show.
func TestSettingsOutliveTheirNode(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 2, edges: 1})
	key := f.api.createStream("acme", "show", map[string]any{
		"reconnect_window": "20m", "archive_delay": "1h", "end_on_unpublish": false, "segment_duration": "1s",
	})
	source := shortSource(t)
	set := func(settings map[string]any) {
		t.Helper()
		if status := f.api.api(http.MethodPatch, "/v1/publishers/acme", settings, nil); status != http.StatusOK {
			t.Fatalf("change %v: %d", settings, status)
		}
	}
	live := func(node string) (id string, encoder *process) {
		t.Helper()
		encoder = publish(t, "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv", f.targets(key, node)[0])
		eventually(t, 20*time.Second, "the show is live", func() bool {
			list := f.api.recordings("acme", "show")
			if len(list) == 0 || list[0].State != "live" {
				return false
			}
			id = list[0].ID
			return true
		})
		sleepUntil(time.Now().Add(2 * time.Second))
		return id, encoder
	}
	ended := func(what, id string, since time.Time) {
		t.Helper()
		f.api.waitState(id, "ended", 30*time.Second)
		figure(t, "live settings, "+what, "ended %d ms later", time.Since(since).Milliseconds())
	}

	// Noted by the owner, and followed by the node that adopts it.
	id, encoder := live("a1")
	set(map[string]any{"reconnect_window": "2s"})
	sleepUntil(time.Now().Add(heeded))
	lost := time.Now()
	f.member("a1").kill()
	encoder.kill()
	ended("reconnect_window 20m to 2s, and its node killed", id, lost)

	// Changed when no node is left: the archiver looks.
	set(map[string]any{"reconnect_window": "20m"})
	id, encoder = live("a2")
	f.member("a2").kill()
	encoder.kill()
	sleepUntil(time.Now().Add(12 * time.Second)) // the leases are over
	if r := (&tenant{oxbow: f.api, t: t}).row(id); r.State == "ended" {
		t.Fatal("the show has ended within its window")
	}
	changed := time.Now()
	set(map[string]any{"reconnect_window": "2s"})
	ended("reconnect_window 20m to 2s without any node", id, changed)
}
