package test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// clusterShow is one stream of a fleet with its encoder and its viewers, one at each edge.
type clusterShow struct {
	f       *fleet
	stream  string
	key     string
	encoder *encoder
	viewers []*witness
	// outages are when the recordings' volume took nothing: what was sent or listed then may be in no archive.
	outages []outage
}

// outage is a span of time.
type outage struct{ from, to time.Time }

// inOutage says whether something may be missing for when it happened.
func (s *clusterShow) inOutage(at time.Time) bool {
	return slices.ContainsFunc(s.outages, func(o outage) bool { return at.After(o.from) && at.Before(o.to) })
}

// excused says whether what was listed was listed in an outage.
func (s *clusterShow) excused(w *witness, path string) bool {
	w.mu.Lock()
	listed := w.objects[path].listed
	w.mu.Unlock()
	return s.inOutage(listed)
}

// unexcused leaves out of what was sent what was sent in an outage and is not recorded.
func (s *clusterShow) unexcused(connections []connection, recorded []int) []connection {
	for i := range connections {
		connections[i].sent = slices.DeleteFunc(connections[i].sent, func(p sentPicture) bool {
			return s.inOutage(p.at) && !slices.Contains(recorded, p.number)
		})
	}
	return connections
}

const (
	faultPart    = 500 * time.Millisecond
	faultSegment = time.Second
	// underWay is what an encoder may have sent that a node had not read yet, on a busy machine.
	underWay     = 400 * time.Millisecond
	archiveLimit = time.Minute
)

// faultSettings are those of every stream of the suite, with changes.
func faultSettings(changes map[string]any) map[string]any {
	settings := map[string]any{
		"segment_duration": faultSegment.String(), "part_duration": faultPart.String(), "reconnect_window": "20s",
		"archive_delay": "0s",
	}
	maps.Copy(settings, changes)
	return settings
}

// newShow makes a stream, and viewers of it at every edge, who wait for it to begin.
func (f *fleet) newShow(stream string, settings map[string]any) *clusterShow {
	f.tb.Helper()
	key := f.api.createStream(stream, "live", faultSettings(settings))
	s := &clusterShow{f: f, stream: "/" + stream + "/live", key: key}
	for e := range f.config.edges {
		edge := f.member(fmt.Sprintf("edge%d", e+1))
		s.viewers = append(s.viewers, startWitness(f.tb, stream+" at "+edge.name, s.stream, "http://"+edge.http))
	}
	return s
}

// begin publishes to the first of the nodes, with the others to go to, and waits until the show is watched.
func (s *clusterShow) begin(delay time.Duration, nodes ...string) {
	s.f.tb.Helper()
	s.encoder = startEncoder(s.f.tb, faultFilm(s.f.tb), delay, s.f.targets(s.key, nodes...)...)
	s.watched(12)
}

// watched waits until every viewer has loaded so many things more.
func (s *clusterShow) watched(more int) {
	s.f.tb.Helper()
	for _, w := range s.viewers {
		w.awaitListed(more, 40*time.Second)
	}
}

// showVerdict is what became of a show.
type showVerdict struct {
	recordings []string
	frames     frameCount
	connected  []connection
	breaks     int
	gaps       int
	gapSeconds float64
	longest    time.Duration // that viewers waited for something new
	archived   time.Time
}

// judgeEnded waits for the end of a show at all its viewers, and holds what they saw against each other's.
func judgeEnded(viewers []*witness) {
	for i, w := range viewers {
		w.tb.Helper()
		w.awaitEnd(40 * time.Second)
		w.awaitAllLoaded(20 * time.Second)
		w.stop()
		w.judgeAll()
		if i > 0 {
			w.agreeWith(viewers[0])
		}
	}
}

// finish ends the show as its publisher does, and holds everything that was seen and sent against what is left: live,
// and once it is archived, through every edge and in the bucket.
func (s *clusterShow) finish() showVerdict {
	s.f.tb.Helper()
	s.encoder.finish()
	for _, w := range s.viewers {
		w.awaitEnd(40 * time.Second)
	}
	return s.conclude()
}

// conclude is finish once the show has ended.
func (s *clusterShow) conclude() showVerdict {
	s.f.tb.Helper()
	tb := s.f.tb
	v := showVerdict{connected: s.encoder.connected()}
	for i, w := range s.viewers {
		w.awaitAllLoaded(20 * time.Second)
		w.stop()
		w.excuse = s.inOutage
		w.judgeAll()
		if i > 0 {
			w.agreeWith(s.viewers[0])
		}
		v.longest = max(v.longest, w.longestWait())
	}
	first := s.viewers[0]
	v.recordings = first.recordings()
	v.breaks = first.breaks()
	v.gaps, v.gapSeconds = first.gaps()
	s.archived(v.recordings)
	v.archived = time.Now()
	fresh := s.freshEdge()
	var pictures []int
	for _, id := range v.recordings {
		first.verifyBucket(s.f.bucketFolder(), id, func(p string) bool { return s.excused(first, p) })
		pictures = append(pictures, decodeStamps(tb, fresh+s.stream+"/"+id+"/index.m3u8")...)
	}
	for _, w := range s.viewers {
		for _, p := range w.verifyBut(w.name+", archived", fresh) {
			if !s.excused(w, p) {
				tb.Errorf("%s: %s was listed and is not in the archive", w.name, p)
			}
		}
	}
	v.connected = s.unexcused(v.connected, pictures)
	v.frames = judgeFrames(tb, v.connected, pictures)
	return v
}

// freshEdge starts an edge that has nothing in its cache, and gives its URL.
func (s *clusterShow) freshEdge() string {
	s.f.tb.Helper()
	name := "fresh edge of " + s.stream
	s.f.newEdge(name, s.f.member("api"))
	s.f.member(name).start()
	return "http://" + s.f.member(name).http
}

// url is a recording's at an edge.
func (s *clusterShow) url(edge int, recording string) string {
	return s.viewers[edge].bases[0] + s.stream + "/" + recording + "/index.m3u8"
}

// rows gives the stream's recordings as the API lists them.
func (s *clusterShow) rows() []recording {
	s.f.tb.Helper()
	parts := strings.Split(s.stream, "/")
	return s.f.api.recordings(parts[1], parts[2])
}

// archived waits until the stream has these recordings and no others, each archived once and no longer on the
// cluster's storage.
func (s *clusterShow) archived(ids []string) {
	s.f.tb.Helper()
	eventually(s.f.tb, archiveLimit, fmt.Sprintf("%s has archived recordings %v", s.stream, ids), func() bool {
		rows := s.rows()
		return len(rows) >= len(ids) && !slices.ContainsFunc(rows, func(r recording) bool { return r.State != "archived" })
	})
	var have []string
	for _, r := range s.rows() {
		have = append(have, r.ID)
	}
	slices.Sort(have)
	if want := slices.Sorted(slices.Values(ids)); !slices.Equal(have, want) {
		s.f.tb.Errorf("%s: rows of recordings %v, viewers saw %v", s.stream, have, want)
	}
	eventually(s.f.tb, 30*time.Second, s.stream+" has left the cluster's storage", func() bool { return len(s.folders()) == 0 })
}

// folders gives the stream's recordings on the clusters' storage.
func (s *clusterShow) folders() (found []string) {
	for _, dir := range s.f.config.recordings {
		entries, _ := os.ReadDir(filepath.Join(dir, s.stream))
		for _, entry := range entries {
			if !strings.HasPrefix(entry.Name(), ".") {
				found = append(found, entry.Name())
			}
		}
	}
	return found
}

// oneRecording fails the test unless the whole show is one recording.
func (v *showVerdict) oneRecording(tb testing.TB) {
	tb.Helper()
	if len(v.recordings) != 1 {
		tb.Errorf("%d recordings %v, want the one show", len(v.recordings), v.recordings)
	}
}

// lostAtMost fails the test where a connection lost pictures that were sent longer than that before its end, or lost
// any though it ended in peace.
func (v *showVerdict) lostAtMost(tb testing.TB, span time.Duration, connections ...int) {
	tb.Helper()
	for i, t := range v.frames.tails {
		if t.missing > 0 && !slices.Contains(connections, i) {
			tb.Errorf("connection %d: its last %d pictures are missing, and it should have lost none", i, t.missing)
		} else if t.span > span {
			tb.Errorf("connection %d: its last %d pictures are missing, sent within %v; want at most %v", i, t.missing, t.span, span)
		}
	}
}

// brokeOff fails the test unless the show has so many discontinuities.
func (v *showVerdict) brokeOff(tb testing.TB, times int) {
	tb.Helper()
	if v.breaks != times {
		tb.Errorf("%d discontinuities, want %d", v.breaks, times)
	}
}

// waitedAtMost fails the test where a viewer waited longer than that for something new.
func (v *showVerdict) waitedAtMost(tb testing.TB, limit time.Duration) {
	tb.Helper()
	if v.longest > limit {
		tb.Errorf("viewers waited %v for something new, want %v at most", v.longest, limit)
	}
}

// resumed gives how long after a connection's first picture new media was listed: the first part and the first segment.
func (s *clusterShow) resumed(n int) (part, segment time.Duration) {
	s.f.tb.Helper()
	c := s.encoder.connected()[n]
	for _, w := range s.viewers {
		p, seg := w.firstListed(c.first)
		part, segment = max(part, p.Sub(c.first)), max(segment, seg.Sub(c.first))
	}
	return part, segment
}

// ffmpegInALoop publishes a file again and again with ffmpeg, in real time; when ffmpeg fails it is started again after
// the delay, to the next of the targets. It says goodbye when it is killed.
func ffmpegInALoop(tb testing.TB, delay time.Duration, source string, targets ...string) *process {
	tb.Helper()
	ffmpeg := needTool(tb, "ffmpeg")
	return startTask(tb, "ffmpeg in a loop", func(ctx context.Context) error {
		for i := 0; ; i++ {
			cmd := exec.CommandContext(ctx, ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-re", "-stream_loop", "-1",
				"-i", source, "-c", "copy", "-f", "flv", targets[i%len(targets)])
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			cmd.WaitDelay = 5 * time.Second
			_ = cmd.Run()
			pause := time.NewTimer(delay)
			select {
			case <-ctx.Done():
				pause.Stop()
				return nil
			case <-pause.C:
			}
		}
	})
}
