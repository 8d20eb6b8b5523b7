package origin

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testID   media.RecordingID = "01m9zv8q0000000000000000aa"
	otherID  media.RecordingID = "01m9zv8q0000000000000000bb"
	perPart                    = 45000 // ticks of 90 kHz
	testBase                   = "/acme/show/" + string(testID)
)

var testPath = media.StreamPath{Publisher: "acme", Stream: "show"}

// studio records a show as the packager does: bytes to reclog, snapshots to its Show, newest parts in memory.
type studio struct {
	tb     testing.TB
	dir    string
	root   *reclog.Root
	writer *reclog.Writer
	take   *reclog.TakeWriter
	names  []string

	mu struct {
		sync.Mutex
		current bool // Live has the stream
		shown   bool // Live has the show
		snap    *hls.Snapshot
		changed chan struct{}
		memory  map[string][]byte
	}

	next  hls.Snapshot
	dts   []int64
	bytes map[string][]byte // every part, by track/msn.index, and init by take/track
}

// files wraps a storage: it counts and may fail.
type countingFiles struct {
	reclog.Files
	mu    sync.Mutex
	reads int
	fail  error
}

func (f *countingFiles) ReadFile(ctx context.Context, name string) ([]byte, error) {
	f.mu.Lock()
	f.reads++
	err := f.fail
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.Files.ReadFile(ctx, name)
}

func (f *countingFiles) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	f.mu.Lock()
	err := f.fail
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.Files.OpenRange(ctx, name, offset, size)
}

func (f *countingFiles) setFail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func constants(part time.Duration) media.Constants {
	return media.Constants{
		TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second, PartTarget: part,
		PartHoldBack: 1800 * time.Millisecond, HoldBack: 6 * time.Second, CanSkipUntil: 12 * time.Second,
	}
}

func newStudio(tb testing.TB) *studio {
	tb.Helper()
	dir := tb.TempDir()
	root, err := reclog.OpenRoot(reclog.Config{Dir: dir, Sync: reclog.SyncNever}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	s := &studio{tb: tb, dir: dir, root: root, names: []string{"video", "audio"}, bytes: map[string][]byte{}}
	settings := media.DefaultSettings()
	settings.DVRWindow = media.Span(time.Minute)
	s.next = hls.Snapshot{
		State: media.Live, Constants: constants(500 * time.Millisecond), Window: time.Minute, Bandwidth: 5e6,
		AverageBandwidth: 4e6, Independent: true,
	}
	for _, name := range s.names {
		s.next.Renditions = append(s.next.Renditions, hls.Rendition{Name: name})
	}
	s.dts = make([]int64, len(s.names))
	s.writer, err = root.Create(reclog.Manifest{
		ID: testID, Publisher: "acme", Stream: "show", State: media.Live, StartedAt: time.Now().UTC(),
		Settings: settings, Constants: s.next.Constants,
	})
	if err != nil {
		tb.Fatal(err)
	}
	s.mu.current, s.mu.shown = true, true
	s.mu.changed = make(chan struct{})
	s.mu.memory = map[string][]byte{}
	tb.Cleanup(func() {
		if s.take != nil {
			s.finish()
			if err := s.take.Seal(); err != nil {
				tb.Error(err)
			}
		}
		if err := root.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func (s *studio) Current(path media.StreamPath) (media.RecordingID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return testID, s.mu.current && path == testPath
}

func (s *studio) Show(path media.StreamPath, id media.RecordingID) (Show, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.mu.shown && path == testPath && id == testID
}

func (s *studio) Snapshot() (*hls.Snapshot, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.snap, s.mu.changed
}

func (s *studio) Part(take int, track string, msn media.MSN, index int) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.mu.memory[partKey(take, track, msn, index)]
	return data, ok
}

func partKey(take int, track string, msn media.MSN, index int) string {
	return fmt.Sprintf("%d/%s/%d.%d", take, track, msn, index)
}

// leave takes the show out of Live, as the packager does some time after its end.
func (s *studio) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.current, s.mu.shown = false, false
}

func (s *studio) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.mu.memory)
}

func (s *studio) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

// startTake begins the next take.
func (s *studio) startTake() {
	s.tb.Helper()
	number := len(s.next.Takes) + 1
	take := media.Take{Number: number, StartedAt: time.Now().UTC(), Anchor: time.Unix(1_795_000_000, 0).UTC(),
		FirstMSN: s.next.Renditions[0].Last() + 1, Tracks: []media.Track{
			{Name: "video", Kind: media.Video, Codec: media.H264, Timescale: 90000, CodecString: "avc1.64001f", Width: 640,
				Height: 360, FrameRate: 30},
			{Name: "audio", Kind: media.Audio, Codec: media.AAC, Timescale: 90000, CodecString: "mp4a.40.2", Channels: 2},
		}}
	var inits [][]byte
	for _, name := range s.names {
		init := makeInit(name, number)
		inits = append(inits, init)
		s.bytes[fmt.Sprintf("%d/%s", number, name)] = init
	}
	var err error
	s.take, err = s.writer.StartTake(take, inits)
	s.must(err)
	s.next.Takes = append(slices.Clone(s.next.Takes), s.take.Take())
	s.next.State = media.Live
}

func (s *studio) open(whole bool) {
	for i := range s.next.Renditions {
		r := &s.next.Renditions[i]
		take := s.next.Takes[len(s.next.Takes)-1]
		r.Open = &hls.OpenSegment{
			MSN: r.Last() + 1, Take: take.Number, Whole: whole, Date: take.Anchor.Add(media.Duration(s.dts[i], 90000)),
		}
	}
}

// part writes the next part of every track.
func (s *studio) part() {
	s.tb.Helper()
	for i, name := range s.names {
		r := &s.next.Renditions[i]
		open := *r.Open
		index := len(open.Parts)
		data := makePart(reclog.SequenceNumber(open.MSN, index), s.dts[i], perPart, 3000+100*i+index)
		offset, err := s.take.AppendPart(i, data)
		s.must(err)
		open.Parts = append(slices.Clone(open.Parts), media.Part{
			Index: index, Duration: perPart, Offset: offset, Size: int64(len(data)), Independent: index == 0 || i == 1,
		})
		r.Open = &open
		s.dts[i] += perPart
		key := partKey(open.Take, name, open.MSN, index)
		s.bytes[key] = data
		s.mu.Lock()
		s.mu.memory[key] = data
		s.mu.Unlock()
	}
}

// finish ends the open segments.
func (s *studio) finish() {
	s.tb.Helper()
	for i := range s.next.Renditions {
		r := &s.next.Renditions[i]
		open := r.Open
		r.Open = nil
		if open == nil || len(open.Parts) == 0 {
			continue
		}
		seg := media.Segment{MSN: open.MSN, Take: open.Take, Date: open.Date, Sync: true, Offset: open.Parts[0].Offset}
		for _, p := range open.Parts {
			seg.Duration += p.Duration
			seg.Size += p.Size
		}
		seg.DTS = s.dts[i] - seg.Duration
		s.must(s.take.FinishSegment(i, seg))
		r.Segments = append(r.Segments, seg)
		parts := open.Parts
		if open.Whole {
			parts = nil
		}
		r.Parts = append(r.Parts, parts)
	}
}

// publish makes what was done known.
func (s *studio) publish() {
	snap := s.next
	snap.Renditions = slices.Clone(s.next.Renditions)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.snap = &snap
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

// segments records whole segments of four parts, each part a version.
func (s *studio) segments(n int) {
	s.tb.Helper()
	for range n {
		if s.next.Renditions[0].Open == nil {
			s.open(false)
		}
		for range 4 {
			s.part()
			s.publish()
		}
		s.finish()
		s.open(false)
		s.publish()
	}
}

// interrupt loses the publisher.
func (s *studio) interrupt() {
	s.tb.Helper()
	s.finish()
	s.must(s.take.Seal())
	s.next.State = media.Interrupted
	s.publish()
}

// end ends the show, on storage too.
func (s *studio) end() {
	s.tb.Helper()
	s.finish()
	s.must(s.take.Seal())
	s.setState(media.Ended)
	s.next.State = media.Ended
	s.publish()
}

func (s *studio) setState(state media.State) {
	s.tb.Helper()
	s.must(s.writer.Update(func(m *reclog.Manifest) { m.State = state }))
}

// recorded gives the bytes of a segment.
func (s *studio) recorded(take int, track string, msn media.MSN) []byte {
	var all []byte
	for i := 0; ; i++ {
		data, ok := s.bytes[partKey(take, track, msn, i)]
		if !ok {
			return all
		}
		all = append(all, data...)
	}
}

// handler makes the handler under test.
func (s *studio) handler(cfg Config) (*Handler, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	return New(cfg, s.files(), s, s.root.Latest, slog.New(slog.DiscardHandler), reg), reg
}

// live starts a show of two takes: segments 1 to 5, an interruption, 6 whole and 7 to 8 of the next, two parts of 9.
func (s *studio) live() {
	s.tb.Helper()
	s.startTake()
	s.segments(5)
	s.interrupt()
	s.startTake()
	s.open(true)
	s.segments(3)
	s.part()
	s.part()
	s.publish()
}

// makeInit makes an init section whose sample entry tells of the take.
func makeInit(name string, take int) []byte {
	box := func(kind string, payload ...[]byte) []byte {
		body := bytes.Join(payload, nil)
		return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), []byte(kind), body)
	}
	entry := box("avc1", bytes.Repeat([]byte(fmt.Sprintf("init of %s, take %d. ", name, take)), 20))
	stsd := box("stsd", []byte{0, 0, 0, 0, 0, 0, 0, 1}, entry)
	mdia := box("mdia", box("mdhd", make([]byte, 24)), box("minf", box("stbl", stsd)))
	return slices.Concat(box("ftyp", []byte("iso6")), box("moov", box("trak", box("tkhd", make([]byte, 84)), mdia)))
}

// makePart makes a moof of one sample and its mdat, of size bytes of media.
func makePart(seq uint32, dts, duration int64, size int) []byte {
	u32 := func(v ...uint32) []byte {
		var b []byte
		for _, n := range v {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	box := func(kind string, payload ...[]byte) []byte {
		body := bytes.Join(payload, nil)
		return slices.Concat(u32(uint32(8+len(body))), []byte(kind), body)
	}
	tfdt := binary.BigEndian.AppendUint64(u32(1<<24), uint64(dts))
	moof := box("moof",
		box("mfhd", u32(0, seq)),
		box("traf", box("tfhd", u32(0x20000, 1)), box("tfdt", tfdt), box("trun", u32(0x000301, 1, 104, uint32(duration), uint32(size)))))
	return slices.Concat(moof, box("mdat", bytes.Repeat([]byte{byte(seq), byte(size)}, size/2+1)[:size]))
}

// metric gives the sum of a metric over its labels that contain all the words.
func metric(tb testing.TB, reg *prometheus.Registry, name string, words ...string) float64 {
	tb.Helper()
	families, err := reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if text := m.String(); !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
