package test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// alertWorld is a fleet with shows, a volume that fails on demand, and a Prometheus beside.
type alertWorld struct {
	t      *testing.T
	f      *fleet
	volume *faultVolume
	watch  *watch
	shows  []*clusterShow
	lone   *member // an edge that never reaches its directory
	tokens string  // a folder with each process's file of tokens
	asking []func()
	lost   float64 // segments, before the fault
}

const alertShows = 4

func newAlertWorld(t *testing.T) *alertWorld {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "volume")
	w := &alertWorld{t: t, volume: newFaultVolume(t, dir)}
	files := newCertificateFiles(t, "edge.example.com") // for an hour
	disk := filepath.Join(t.TempDir(), "disk")
	w.tokens = t.TempDir()
	w.f = startFleet(t, clusterConfig{
		nodes: 2, edges: 2, recordings: map[string]string{"a": filepath.Join(dir, "recordings")},
		ingestFlags: w.token("ingest"), apiFlags: w.token("api"),
		edgeFlags: func(name, _ string) []string {
			flags := w.token(name)
			switch name {
			case "edge1":
				flags = append(flags, "--https", "127.0.0.1:0", "--tls-cert", files.cert, "--tls-key", files.key, "--capacity", "64k")
			case "edge2":
				flags = append(flags, "--disk-cache", disk)
			}
			return flags
		},
	})
	w.f.newEdge("lone", w.f.member("api"))
	w.lone = w.f.member("lone")
	w.lone.toDirectory.refuse()
	for n := range alertShows {
		name := fmt.Sprintf("alert%d", n)
		key := w.f.api.createStream(name, "live", faultSettings(nil))
		s := &clusterShow{f: w.f, stream: "/" + name + "/live", key: key}
		s.encoder = startEncoder(t, faultFilm(t), time.Second, w.f.targets(key, "a1", "a2")...)
		w.shows = append(w.shows, s)
	}
	for _, s := range w.shows {
		s.encoder.awaitPictures(20, time.Minute)
	}
	w.watch = startWatch(t, w.f, skewed(t, w.f.member("edge2").admin, 5))
	t.Cleanup(w.stopAsking)
	return w
}

// token gives a process a file with the cluster's token, which is also what ask shows.
func (w *alertWorld) token(name string) []string {
	w.tell(name, adminToken)
	return []string{"--cluster-token-file", filepath.Join(w.tokens, name)}
}

// tell puts another text in the place of a process's file of tokens.
func (w *alertWorld) tell(name, text string) {
	file := filepath.Join(w.tokens, name)
	if err := errors.Join(os.WriteFile(file+".new", []byte(text+"\n"), 0o600), os.Rename(file+".new", file)); err != nil {
		w.t.Fatal(err)
	}
}

// ask has something asked again and again, that many times a second, until stopAsking.
func (w *alertWorld) ask(rate int, url func(n int64) string) {
	header := http.Header{"Authorization": {"Bearer " + adminToken}} // edges do not mind
	w.asking = append(w.asking, asks(rate, url, header))
}

// asks has something asked until its answer is called.
func asks(rate int, url func(n int64) string, header http.Header) (stop func()) {
	var n atomic.Int64
	stopped := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-tick.C:
				done.Go(func() { _, _, _ = fetch(url(n.Add(1)), header) })
			}
		}
	})
	return func() { close(stopped); done.Wait() }
}

func (w *alertWorld) stopAsking() {
	for _, stop := range w.asking {
		stop()
	}
	w.asking = nil
}

// ended ends a show, and has it begin again: a recording that is due for the archive is left.
func (w *alertWorld) ended(s *clusterShow) {
	w.rejoin([]*clusterShow{s})
	s.encoder.finish()
	s.encoder = startEncoder(w.t, faultFilm(w.t), time.Second, w.f.targets(s.key, "a1", "a2")...)
}

// rejoin has new encoders go on with shows: the film of the old ones ends after a while.
func (w *alertWorld) rejoin(shows []*clusterShow) {
	for _, s := range shows {
		s.encoder.leave()
		s.encoder = startEncoder(w.t, faultFilm(w.t), time.Second, w.f.targets(s.key, "a1", "a2")...)
	}
	for _, s := range shows {
		s.encoder.awaitPictures(20, time.Minute)
	}
}

// fight has two encoders at two nodes for each key, until stopAsking.
func (w *alertWorld) fight() {
	for _, s := range w.shows {
		s.encoder.leave()
		for _, node := range []string{"a1", "a2"} {
			rival := startEncoder(w.t, faultFilm(w.t), 500*time.Millisecond, w.f.targets(s.key, node)...)
			w.asking = append(w.asking, rival.leave)
		}
	}
}

// ingest sums a metric of the ingest nodes.
func (w *alertWorld) ingest(metric string) float64 {
	return w.f.member("a1").metric(metric) + w.f.member("a2").metric(metric)
}

// sql runs a statement in the catalog.
func (w *alertWorld) sql(statement string) {
	if _, err := w.f.sql.Query(w.t.Context(), database, statement); err != nil {
		w.t.Errorf("%s: %v", statement, err)
	}
}

// faults are the rows, those that last first.
func (w *alertWorld) faults() []alertFault {
	rows := append(w.lastingFaults(), w.storageFaults()...)
	return append(append(rows, w.serviceFaults()...), w.processFaults()...)
}

func (w *alertWorld) lastingFaults() []alertFault {
	return []alertFault{
		{
			name: "an edge that does not reach its directory", lasts: true, limit: 2 * time.Minute,
			alerts: []string{"OxbowNotReady", "OxbowEdgeUnlisted", "OxbowEdgeEventsLost"}, begin: w.lone.launch,
		},
		{
			name: "a node that asks without a token", lasts: true, limit: 4 * time.Minute,
			alerts: []string{"OxbowInternalTokenless"}, begin: func() {
				w.tell("api", adminToken+"\noptional")
				stop := asks(1, func(int64) string { return "http://" + w.f.member("api").internal.address + "/internal/v1/directory" }, nil)
				w.t.Cleanup(stop)
			},
		},
		{
			name: "a clock that is 5 s off", lasts: true, limit: time.Minute, alerts: []string{"OxbowClockSkew"}, begin: func() {},
		},
		{
			name: "a certificate for another hour", lasts: true, limit: 4 * time.Minute,
			alerts: []string{"OxbowCertificateExpires"}, begin: func() {},
		},
		{
			name: "an encoder with a key frame every 8 s", lasts: true, limit: 4 * time.Minute,
			alerts: []string{"OxbowEncoderWarnings"}, begin: w.publishSlowKeys,
		},
		{
			name: "a webhook that nobody answers", lasts: true, limit: 4 * time.Minute,
			alerts: []string{"OxbowWebhookBacklog"}, begin: func() {
				w.f.api.addHook("http://127.0.0.1:1/hook")
				w.ended(w.shows[3])
			},
		},
	}
}

func (w *alertWorld) publishSlowKeys() {
	key := w.f.api.createStream("slow", "live", faultSettings(nil))
	encoder := newChild(w.t, "ffmpeg")
	if err := encoder.start(exec.Command(needTool(w.t, "ffmpeg"), "-loglevel", "error", "-re", "-f", "lavfi", "-i",
		"testsrc=size=160x90:rate=10", "-c:v", "libx264", "-preset", "ultrafast", "-g", "80", "-keyint_min", "80",
		"-sc_threshold", "0", "-f", "flv", w.f.targets(key, "a1")[0])); err != nil {
		w.t.Fatal(err)
	}
}

func (w *alertWorld) processFaults() []alertFault {
	a2, edge1, edge2 := w.f.member("a2"), w.f.member("edge1"), w.f.member("edge2")
	return []alertFault{
		{
			name: "an ingest node that is gone", limit: time.Minute, alerts: []string{"OxbowTargetDown"}, begin: a2.kill, heal: a2.start,
		},
		{
			name: "three publishers that leave", limit: time.Minute,
			alerts: []string{"OxbowStreamInterrupted", "OxbowManyStreamsInterrupted"},
			begin: func() {
				w.rejoin(w.shows)
				for _, s := range w.shows[:3] {
					s.encoder.leave()
				}
			},
			heal: func() { w.rejoin(w.shows[:3]) },
		},
		{
			name: "two encoders for each key", limit: 2 * time.Minute, alerts: []string{"OxbowLeaseChurn"},
			begin: func() { w.fight() }, heal: func() { w.stopAsking(); w.rejoin(w.shows) },
		},
		{
			name: "an edge with another token", limit: time.Minute, alerts: []string{"OxbowInternalRefused"},
			begin: func() { w.tell("edge2", "token-of-before-the-change") }, heal: func() { w.tell("edge2", adminToken) },
		},
		{
			name: "an edge that sends all it can", limit: 2 * time.Minute, alerts: []string{"OxbowEdgeOverCapacity"},
			begin: func() {
				w.ask(40, func(int64) string { return "http://" + edge1.http + w.shows[0].stream + "/index.m3u8" })
			},
			heal: w.stopAsking,
		},
		{
			name: "an edge that is asked for what nobody has", limit: 2 * time.Minute, alerts: []string{"OxbowEdgeHitRatio"},
			begin: func() {
				w.ask(40, func(n int64) string { return fmt.Sprintf("http://%s/alert0/live/01k%023d/video.m3u8", edge2.http, n) })
			},
			heal: w.stopAsking,
		},
		{
			name: "a disk cache with a file in the place of its directory", limit: 2 * time.Minute, alerts: []string{"OxbowEdgeDiskCache"},
			begin: func() {
				dir := edge2.flags("--disk-cache")[1]
				edge2.drain()
				if err := os.RemoveAll(dir); err != nil {
					w.t.Fatal(err)
				}
				edge2.start()
				if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
					w.t.Fatal(err)
				}
				rows := w.shows[3].rows() // it was ended, and archived
				w.ask(1, func(int64) string {
					return "http://" + edge2.http + w.shows[3].stream + "/" + rows[len(rows)-1].ID + "/recording.mp4"
				})
			},
			heal: func() {
				w.stopAsking()
				if err := os.Remove(edge2.flags("--disk-cache")[1]); err != nil {
					w.t.Error(err)
				}
			},
		},
	}
}

func (w *alertWorld) storageFaults() []alertFault {
	a1 := w.f.member("a1")
	level := func(used float64) func() { return func() { w.volume.fill(used) } }
	return []alertFault{
		{
			name: "a volume at 87 %", limit: 2 * time.Minute, alerts: []string{"OxbowDiskArchivesEarly"}, begin: level(0.87),
		},
		{
			name: "a volume at 92 %", limit: 2 * time.Minute, alerts: []string{"OxbowDiskDropsCopies"}, begin: level(0.92),
		},
		{
			name: "a volume at 97 %", limit: time.Minute, alerts: []string{"OxbowDiskRefuses"}, begin: level(0.97), heal: w.volume.heal,
		},
		{
			name: "a volume that hangs", limit: 2 * time.Minute,
			alerts: []string{"OxbowVolumeStalled", "OxbowRecordingFails", "OxbowOriginErrors"},
			begin: func() {
				w.rejoin(w.shows)
				w.volume.hang()
				w.ask(10, func(n int64) string { return unknownRecording("http://" + a1.internal.address)(int(n)) })
			},
			heal: func() { w.stopAsking(); w.volume.heal() },
		},
		{
			name: "a volume that takes nothing", limit: 2 * time.Minute, alerts: []string{"OxbowRecordingGap"},
			begin: func() {
				w.lost = w.ingest("oxbow_packager_lost_segments_total")
				w.volume.fail(syscall.ENOSPC)
			},
			own: func() error {
				lost := w.ingest("oxbow_packager_lost_segments_total") - w.lost
				if failing := w.ingest("oxbow_packager_degraded_shows"); lost < 1 || failing < 1 {
					return fmt.Errorf("%v more segments are lost, %v shows are not recorded", lost, failing)
				}
				return nil
			},
			heal: w.volume.heal,
		},
		{
			name: "a store that is gone", limit: 4 * time.Minute, alerts: []string{"OxbowArchiveDown", "OxbowArchiveLag"},
			begin: func() { w.f.s3.Kill(w.t); w.ended(w.shows[1]) }, heal: func() { w.f.s3.MustStart(w.t) },
		},
	}
}

func (w *alertWorld) serviceFaults() []alertFault {
	api, edge2 := w.f.member("api"), w.f.member("edge2")
	return []alertFault{
		{
			name: "an audit log that can not be written", limit: time.Minute, alerts: []string{"OxbowAuditLost"},
			begin: func() {
				w.sql("ALTER TABLE audit RENAME TO audit_away")
				for range 3 {
					w.f.api.api(http.MethodPost, "/v1/publishers", map[string]any{"name": "no name"}, nil)
				}
			},
			heal: func() { w.sql("ALTER TABLE audit_away RENAME TO audit") },
		},
		{
			name: "ingest nodes that are gone for an edge", limit: 2 * time.Minute, alerts: []string{"OxbowEdgeErrors"},
			begin: func() {
				w.rejoin(w.shows)
				w.f.member("a1").internal.refuse()
				w.f.member("a2").internal.refuse()
				w.ask(5, func(int64) string { return "http://" + edge2.http + w.shows[2].stream + "/index.m3u8" })
			},
			heal: func() {
				w.stopAsking()
				w.f.member("a1").internal.pass()
				w.f.member("a2").internal.pass()
			},
		},
		{
			name: "Redis away", limit: 2 * time.Minute, alerts: []string{"OxbowRegistryAway", "OxbowIngestRefusing"},
			begin: func() {
				key := w.f.api.createStream("refused", "live", faultSettings(nil))
				w.f.redis.kill()
				startEncoder(w.t, faultFilm(w.t), 500*time.Millisecond, w.f.targets(key, "a1")...)
			},
			heal: w.f.redis.start,
		},
		{
			name: "SQL away", limit: 5 * time.Minute, alerts: []string{"OxbowCatalogAway", "OxbowAPIErrors", "OxbowRetentionStalled"},
			begin: func() {
				w.f.sql.kill()
				w.ask(5, func(int64) string { return "http://" + api.http + "/v1/publishers" })
			},
			heal: func() { w.stopAsking(); w.f.sql.start() },
		},
	}
}
