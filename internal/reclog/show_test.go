package reclog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const testID media.RecordingID = "01kafzq7s8e5gv9mxw2ctr4n6b"

func testPath() media.StreamPath { return media.StreamPath{Publisher: "acme", Stream: "show"} }

func testManifest() Manifest {
	return Manifest{
		ID: testID, Publisher: "acme", Stream: "show", State: media.Live,
		StartedAt: testStart(), Settings: media.DefaultSettings(),
		Constants: media.Constants{TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second},
	}
}

func testStart() time.Time { return time.Date(2026, 11, 20, 10, 38, 0, 823_456_789, time.UTC) }

func testTake(number int, first media.MSN) media.Take {
	return media.Take{
		Number: number, Epoch: uint64(number), StartedAt: testStart(), Anchor: testStart(), FirstMSN: first,
		Tracks: []media.Track{
			{Name: "video", Kind: media.Video, Codec: media.H264, Config: []byte{1}, Timescale: 90000},
			{Name: "audio", Kind: media.Audio, Codec: media.AAC, Config: []byte{2}, Timescale: 48000},
		},
	}
}

func testInits() [][]byte {
	return [][]byte{box("ftyp", []byte("init of video")), box("ftyp", []byte("audio's"))}
}

func box(kind string, payload ...[]byte) []byte {
	data := bytes.Join(payload, nil)
	head := binary.BigEndian.AppendUint32(nil, uint32(len(data)+8))
	return append(append(head, kind...), data...)
}

func words(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// testPart makes a part of samples of equal length.
func testPart(seq uint32, dts, each int64, samples int, sync bool, payload []byte) []byte {
	flags := uint32(nonSync)
	if sync {
		flags = 0x02000000
	}
	trun := words(0x1|0x4|0x100|0x200, uint32(samples), 0, flags)
	for range samples {
		trun = append(trun, words(uint32(each), uint32(len(payload)/samples))...)
	}
	moof := box("moof",
		box("mfhd", words(0, seq)),
		box("traf",
			box("tfhd", words(0x020000|0x20, 1, nonSync)),
			box("tfdt", words(1<<24, uint32(dts>>32), uint32(dts))),
			box("trun", trun)))
	binary.BigEndian.PutUint32(moof[bytes.Index(moof, []byte("trun"))+12:], uint32(len(moof)+8))
	return append(moof, box("mdat", payload)...)
}

// testEvents makes emsg boxes, which may stand in front of a part.
func testEvents(messages ...string) []byte {
	var b []byte
	for i, m := range messages {
		b = append(b, box("emsg", words(1<<24, 90000, 0, 7, 1<<32-1, uint32(i+1)), []byte("urn:x\x00\x00"+m))...)
	}
	return b
}

// told is something that a playlist may have announced: it must be there ever after.
type told struct {
	at     int // entries of the journal by then
	take   int
	track  int
	msn    media.MSN
	gap    bool
	part   int
	offset int64
	data   []byte
}

// show plays a packager: it writes a recording and remembers what it may have announced.
type show struct {
	tb     testing.TB
	fsys   *memFS
	root   *Root
	writer *Writer
	take   *TakeWriter
	number int
	next   media.MSN
	dts    [2]int64
	told   []told
	pieces []piece // those that were tried, by number
	async  bool    // lines are left to the background
	failed []error
}

func testRoot(tb testing.TB, fsys fileSystem, policy SyncPolicy) *Root {
	tb.Helper()
	r, err := newRoot(Config{Dir: "/", Sync: policy}, fsys, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func newShow(tb testing.TB, fsys *memFS, policy SyncPolicy) *show {
	s := &show{tb: tb, fsys: fsys, root: testRoot(tb, fsys, policy), next: 1}
	return s
}

// begin creates the recording; a failure is tried again once.
func (s *show) begin() bool {
	for range 2 {
		w, err := s.root.Create(testManifest())
		if err == nil {
			s.writer = w
			return true
		}
		s.failed = append(s.failed, err)
	}
	return false
}

// startTake starts the next take, again if it fails.
func (s *show) startTake() bool {
	for range 2 {
		t, err := s.writer.StartTake(testTake(s.number+1, s.next), testInits())
		if err == nil {
			s.take, s.number = t, s.number+1
			return true
		}
		s.failed = append(s.failed, err)
	}
	return false
}

func (s *show) now() int {
	s.fsys.mu.Lock()
	defer s.fsys.mu.Unlock()
	return len(s.fsys.journal)
}

// part appends one part of half a second to a track; false if it could not.
func (s *show) part(track, index int) bool {
	scale := testTake(1, 1).Tracks[track].Timescale
	payload := bytes.Repeat([]byte(fmt.Sprintf("%d/%d/%d;", track, s.next, index)), 4)
	data := testPart(SequenceNumber(s.next, index), s.dts[track], scale/4, 2, index == 0 || track == 1, payload)
	if track == 0 && s.next%2 == 1 && index < 2 {
		data = append(testEvents("one", "another"), data...)
	}
	offset, err := s.take.AppendPart(track, data)
	if err != nil {
		s.failed = append(s.failed, err)
		return false
	}
	s.dts[track] += scale / 2
	s.told = append(s.told, told{
		at: s.now(), take: s.number, track: track, msn: s.next, part: index, offset: offset, data: data,
	})
	return true
}

// segment writes a segment's parts to both tracks, in turn, and finishes it. What can't be written is a gap.
func (s *show) segment(parts int) {
	start := s.dts
	good := [2]bool{true, true}
	for index := range parts {
		for track := range 2 {
			good[track] = good[track] && s.part(track, index)
		}
	}
	for track := range 2 {
		if !good[track] {
			s.dts[track] = start[track]
			s.gapOn(track, int64(parts), false)
			continue
		}
		seg := media.Segment{MSN: s.next, DTS: start[track], Duration: s.dts[track] - start[track], Sync: true}
		for _, part := range s.told {
			if part.take == s.number && part.track == track && part.msn == s.next && part.data != nil {
				if part.part == 0 {
					seg.Offset = part.offset
				}
				seg.Size += int64(len(part.data))
			}
		}
		seg.IFrames = s.iframes(track, seg)
		if err := s.take.FinishSegment(track, seg); err != nil {
			s.tb.Fatalf("finish segment %d: %v", s.next, err)
		}
		s.settle()
	}
	s.next++
}

// iframes is what an index should say: each segment of video begins with its only random access point.
func (s *show) iframes(track int, seg media.Segment) []media.IFrame {
	for _, what := range s.told {
		if track == 0 && what.track == 0 && what.msn == seg.MSN && what.take == s.number && what.offset == seg.Offset {
			return []media.IFrame{{Size: firstSampleEnd(what.data)}}
		}
	}
	return nil
}

// firstSampleEnd is where the first of the two samples of a testPart ends.
func firstSampleEnd(part []byte) uint32 {
	at := bytes.Index(part, []byte("mdat")) + 4
	return uint32(at) + (binary.BigEndian.Uint32(part[at-8:])-8)/2
}

// piece is a piece of metadata that was tried.
type piece struct {
	media.Metadata
	at     int  // entries of the journal by then
	kept   bool // AppendMetadata said so
	synced bool
}

// tell appends a piece of metadata.
func (s *show) tell() {
	n := int64(len(s.pieces) + 1)
	m := media.Metadata{
		Number: n, Take: s.number, Kind: media.SCTE35, Time: time.Duration(n) * time.Second,
		Date: testStart().Add(time.Duration(n) * time.Second).Truncate(time.Millisecond), Payload: []byte{0xfc, byte(n), '\n'},
	}
	if n%2 == 0 {
		m.Kind, m.Payload = media.CuePoint, fmt.Appendf(nil, `{"n": %d}`, n)
	}
	err := s.writer.AppendMetadata(m)
	if err != nil {
		s.failed = append(s.failed, err)
	}
	s.pieces = append(s.pieces, piece{m, s.now(), err == nil, s.take.isClosed()})
}

// settle waits for the background, so that the journal is the same each time.
func (s *show) settle() {
	if s.async {
		return
	}
	s.failed = append(s.failed, s.take.drainForTest())
}

// drainForTest waits for the background without starting it.
func (t *TakeWriter) drainForTest() error {
	t.mu.Lock()
	for t.mu.running {
		step := t.mu.step
		t.mu.Unlock()
		<-step
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	return errors.Join(t.mu.unsynced, t.mu.err)
}

// gap writes a gap to both tracks.
func (s *show) gap(filler bool) {
	for track := range 2 {
		s.gapOn(track, 4, filler)
	}
	s.next++
}

func (s *show) gapOn(track int, halves int64, filler bool) {
	duration := testTake(1, 1).Tracks[track].Timescale / 2 * halves
	err := s.writer.AppendGap(track, media.Segment{
		MSN: s.next, DTS: s.dts[track], Duration: duration, Filler: filler,
	})
	s.dts[track] += duration
	if err != nil && !errors.Is(err, ErrPending) {
		s.tb.Fatalf("append gap %d: %v", s.next, err)
	}
	if err != nil {
		s.failed = append(s.failed, err)
		return // of a pending line nothing is promised to a crash
	}
	s.told = append(s.told, told{at: s.now(), take: s.number, track: track, msn: s.next, gap: true})
}

func (s *show) seal() {
	if err := s.take.Seal(); err != nil {
		s.failed = append(s.failed, err)
	}
}

// script is the recording that the crash tests cut: two takes, gaps inside and between, an open segment at the end.
func (s *show) script() {
	if !s.begin() {
		return
	}
	if !s.startTake() {
		return
	}
	s.tell()
	s.segment(2)
	s.tell()
	s.segment(3)
	s.tell()
	s.gap(false)
	s.segment(1)
	s.gap(true)
	s.seal()
	s.tell()
	s.gap(true)
	s.tell()
	if err := s.writer.Update(func(m *Manifest) { m.State = media.Interrupted }); err != nil {
		s.failed = append(s.failed, err)
	}
	if !s.startTake() {
		return
	}
	s.segment(2)
	s.tell()
	s.segment(2)
	s.tell()
	_ = s.part(0, 0) && s.part(1, 0) && s.part(0, 1)
}
