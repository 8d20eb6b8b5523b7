package packager

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// H.264 High 4.0 640x360 and its PPS, from x264.
var (
	testSPS = []byte{
		0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x2f, 0xf9, 0x61, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03, 0x00,
		0x3c, 0x0f, 0x16, 0x2d, 0x96,
	}
	testPPS = []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0}
)

func videoTrack() media.Track { return videoTrackOf(testSPS) }

func videoTrackOf(sps []byte) media.Track {
	config := []byte{1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, byte(len(sps))}
	config = append(config, sps...)
	config = append(config, 1, 0, byte(len(testPPS)))
	config = append(config, testPPS...)
	return media.Track{Name: "video", Kind: media.Video, Codec: media.H264, Config: config}
}

// audioTrack is AAC LC, 48 kHz, stereo.
func audioTrack() media.Track {
	return media.Track{Name: "audio", Kind: media.Audio, Codec: media.AAC, Config: []byte{0x11, 0x90}}
}

func nals(units ...[]byte) []byte {
	var b []byte
	for _, u := range units {
		b = binary.BigEndian.AppendUint32(b, uint32(len(u)))
		b = append(b, u...)
	}
	return b
}

func idrPayload(n int) []byte   { return nals(append([]byte{0x65}, make([]byte, n)...)) }
func slicePayload(n int) []byte { return nals(append([]byte{0x41}, make([]byte, n)...)) }

// videoFrame makes a frame of track 0.
func videoFrame(dts time.Duration, idr bool) *media.Frame {
	f := &media.Frame{DTS: dts, PTS: dts, Sync: idr, Payload: slicePayload(200)}
	if idr {
		f.Payload = idrPayload(900)
	}
	return f
}

// audioFrame makes a frame of track 1.
func audioFrame(track int, pts time.Duration) *media.Frame {
	return &media.Frame{Track: track, DTS: pts, PTS: pts, Sync: true, Payload: []byte{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c}}
}

// ms rounds to the millisecond as RTMP does.
func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// source makes the frames of a publisher in the order of their times.
type source struct {
	fps   int64
	gop   int64 // frames
	video int64
	audio int64 // -1 without audio
	start time.Duration
}

// until calls write with every frame before a time.
func (s *source) until(t time.Duration, write func(*media.Frame)) {
	for {
		v := s.start + ms(time.Duration(s.video)*time.Second/time.Duration(s.fps))
		a := s.start + ms(time.Duration(s.audio)*1024*time.Second/48000)
		if s.audio >= 0 && a <= v && a < t {
			write(audioFrame(1, a))
			s.audio++
			continue
		}
		if v >= t {
			return
		}
		write(videoFrame(v, s.video%s.gop == 0))
		s.video++
	}
}

// sink is a catalog and an event bus that remember.
type sink struct {
	mu     sync.Mutex
	rows   map[media.RecordingID]media.Recording
	order  []media.RecordingID
	events []media.Event
	logged []media.LogEvent
	fail   error
}

func (s *sink) SaveRecording(_ context.Context, r media.Recording, events ...media.LogEvent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if _, ok := s.rows[r.ID]; !ok {
		s.order = append(s.order, r.ID)
	}
	s.rows[r.ID] = r
	s.logged = append(s.logged, events...)
	return nil
}

func (s *sink) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *sink) Publish(_ context.Context, e media.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	return nil
}

func (s *sink) eventTypes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var types []string
	for _, e := range s.events {
		types = append(types, e.Type)
	}
	return types
}

// studio is a packager over a temporary directory.
type studio struct {
	*Packager
	tb   testing.TB
	sink *sink
	root *reclog.Root
	dir  string
	ids  int
}

func mustStudio(tb testing.TB, dir string) *studio {
	tb.Helper()
	return mustStudioOf(tb, reclog.Config{Dir: dir, Sync: reclog.SyncNever}, Config{})
}

func mustStudioOf(tb testing.TB, storage reclog.Config, cfg Config) *studio {
	tb.Helper()
	root, err := reclog.OpenRoot(storage, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = root.Close() })
	st := &studio{tb: tb, root: root, dir: storage.Dir, sink: &sink{rows: make(map[media.RecordingID]media.Recording)}}
	level := slog.LevelError + 4
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: level}))
	st.Packager = New(cfg, root, st.sink, st.sink, func() media.RecordingID {
		st.ids++
		return media.RecordingID(fmt.Sprintf("01k%023d", st.ids))
	}, logger, prometheus.NewRegistry())
	return st
}

var testPath = media.StreamPath{Publisher: "acme", Stream: "show"}

func (st *studio) publish(epoch uint64, change func(*media.Settings)) *Publication {
	st.tb.Helper()
	settings := media.DefaultSettings()
	if change != nil {
		change(&settings)
	}
	p, err := st.Publish(context.Background(), media.Stream{Path: testPath, Settings: settings}, epoch)
	if err != nil {
		st.tb.Fatal(err)
	}
	return p
}

// publishTo opens a publication of another stream.
func (st *studio) publishTo(path media.StreamPath) *Publication {
	st.tb.Helper()
	p, err := st.Publish(context.Background(), media.Stream{Path: path, Settings: media.DefaultSettings()}, 1)
	if err != nil {
		st.tb.Fatal(err)
	}
	return p
}

// show gives the growing show.
func (st *studio) show() *Show {
	st.tb.Helper()
	id, ok := st.Current(testPath)
	if !ok {
		st.tb.Fatal("no show")
	}
	s, ok := st.Show(testPath, id)
	if !ok {
		st.tb.Fatalf("no show %s", id)
	}
	return s
}

func (st *studio) write(p *Publication) func(*media.Frame) {
	return func(f *media.Frame) {
		st.tb.Helper()
		if err := p.WriteFrame(f); err != nil {
			st.tb.Fatal(err)
		}
	}
}

func (st *studio) tracks(p *Publication, tracks ...media.Track) {
	st.tb.Helper()
	if err := p.SetTracks(tracks); err != nil {
		st.tb.Fatal(err)
	}
}

// file gives the path of a track's file.
func (st *studio) file(s *Show, take int, track string) string {
	return filepath.Join(st.dir, filepath.FromSlash(reclog.TrackName(s.path, s.id, take, track)))
}

// checkSnapshot holds the invariants of every snapshot.
func checkSnapshot(tb rapid.TB, snap *hls.Snapshot) {
	tb.Helper()
	if err := snap.Check(); err != nil {
		tb.Fatal(err)
	}
	c := snap.Constants
	for i := range snap.Renditions {
		r := &snap.Renditions[i]
		var before *media.Segment
		for j := range r.Segments {
			seg := &r.Segments[j]
			timescale := timescaleOf(snap, seg.Take, r.Name)
			d := media.Duration(seg.Duration, timescale)
			if d.Round(time.Second) > c.TargetDuration || d <= 0 {
				tb.Fatalf("TD-2: %s segment %d lasts %v, target %v", r.Name, seg.MSN, d, c.TargetDuration)
			}
			if before != nil {
				if before.Take == seg.Take && before.DTS+before.Duration != seg.DTS {
					tb.Fatalf("CMF-5: %s segment %d begins at %d, %d ends at %d", r.Name, seg.MSN, seg.DTS, before.MSN,
						before.DTS+before.Duration)
				}
				if seg.Date.Before(before.Date) {
					tb.Fatalf("%s segment %d has date %v after %v", r.Name, seg.MSN, seg.Date, before.Date)
				}
			}
			before = seg
		}
		for j, parts := range r.Parts {
			seg := &r.Segments[len(r.Segments)-len(r.Parts)+j]
			checkParts(tb, snap, r, seg.Take, parts, seg.Duration)
			// The parts of a gap are gaps, and nothing else is (GAP-1).
			if slices.ContainsFunc(parts, func(p media.Part) bool { return p.Gap != seg.Gap }) {
				tb.Fatalf("GAP-1: %s segment %d, a gap: %t, has parts %+v", r.Name, seg.MSN, seg.Gap, parts)
			}
		}
		if r.Open != nil {
			checkParts(tb, snap, r, r.Open.Take, r.Open.Parts, 0)
		}
	}
}

// checkParts holds the rules of one segment's parts; duration is the finished segment's, zero if it is open.
func checkParts(tb rapid.TB, snap *hls.Snapshot, r *hls.Rendition, take int, parts []media.Part, duration int64) {
	tb.Helper()
	timescale := timescaleOf(snap, take, r.Name)
	var sum int64
	for k, p := range parts {
		if p.Index != k {
			tb.Fatalf("part %d has index %d", k, p.Index)
		}
		d := media.Duration(p.Duration, timescale)
		if d > snap.Constants.PartTarget {
			tb.Fatalf("PRT-2: %s part %d lasts %v", r.Name, k, d)
		}
		last := duration > 0 && k == len(parts)-1
		if !p.Gap && !p.Independent && !last && duration > 0 && d < leastShare(snap.Constants.PartTarget) {
			tb.Fatalf("PRT-3: %s part %d of %d lasts %v", r.Name, k, len(parts), d)
		}
		sum += p.Duration
	}
	if duration > 0 && len(parts) > 0 && sum != duration {
		tb.Fatalf("PRT-5: %s parts last %d, the segment %d", r.Name, sum, duration)
	}
}

func timescaleOf(snap *hls.Snapshot, take int, name string) int64 {
	for i := range snap.Takes {
		if snap.Takes[i].Number == take {
			t, _ := snap.Takes[i].Track(name)
			return t.Timescale
		}
	}
	return 0
}

// needTool skips without a tool, or fails where everything is required.
func needTool(tb testing.TB, name string) {
	tb.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
			tb.Fatalf("%s is missing", name)
		}
		tb.Skipf("%s is missing", name)
	}
}

// mustRun runs a tool and gives its output.
func mustRun(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	needTool(tb, name)
	var out, errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}
