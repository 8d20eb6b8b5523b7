package packager

import (
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// benchFrame is a frame of a 6 Mbit/s stream of 30 pictures a second: 25 kB in two slices.
func benchFrame(idr bool) []byte {
	slice := make([]byte, 12_500)
	slice[0] = 0x41
	if idr {
		slice[0] = 0x65
	}
	return nals(slice, slice)
}

// BenchmarkFrameToPart is the path from a frame to a part's bytes in the reused buffer: timeline,
// segmenter, sample, moof and mdat. One iteration is a part of 15 frames. The copy that memory keeps of each part is
// not in it: that is one allocation of the part's size (BenchmarkPartToMemory).
func BenchmarkFrameToPart(b *testing.B) {
	c := newConstants(media.DefaultSettings(), observed{gop: time.Second})
	frag := &fragment{video: true}
	lead := leader{rules: newRules(c, videoTimescale, 0)}
	var clock videoClock
	idr, slice := benchFrame(true), benchFrame(false)
	frame, open, bytes := 0, 0, 0
	feed := func() {
		for range 15 {
			payload, sync := slice, frame%30 == 0
			if sync {
				payload = idr
			}
			dts := time.Duration(frame) * time.Second / 30
			var at stamp
			if lead.held {
				at = clock.place(dts, dts)
				held := &frag.samples[open]
				held.duration = at.dts - held.dts
			} else {
				at = clock.start(0, dts, dts, aheadLimit)
			}
			had := lead.held
			before, after := lead.push(at.dts, at.dts, sync, false)
			if before.cut != noCut {
				bytes += len(frag.cut(1, open))
				open = 0
			}
			if had {
				open++
			}
			if after.cut != noCut {
				bytes += len(frag.cut(1, open))
				open = 0
			}
			frag.add(append(frag.next(), payload...), sample{dts: at.dts, cto: at.cto, sync: sync})
			frame++
		}
	}
	for range 10 {
		feed() // buffers reach their size
	}
	b.ReportAllocs()
	bytes = 0
	for b.Loop() {
		feed()
	}
	b.SetBytes(int64(bytes / b.N))
}

// BenchmarkPartToMemory is the copy of a part that viewers are served from.
func BenchmarkPartToMemory(b *testing.B) {
	m := newMemory([]string{"video"}, 8*time.Second, 128<<20)
	data := make([]byte, 375_000)
	msn, part := media.MSN(1), 0
	m.open(0, 1, msn)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		m.add(0, append([]byte(nil), data...))
		if part++; part == 4 {
			m.finish(0, 2*time.Second, false, 0)
			msn, part = msn+1, 0
			m.open(0, 1, msn)
		}
	}
}

// noLog is a volume that takes no time.
type noLog struct{ end int64 }

func (l *noLog) StartTake(media.Take, [][]byte) (takeLog, error) { return l, nil }
func (l *noLog) AppendGap(int, media.Segment) error              { return nil }
func (l *noLog) AppendMetadata(media.Metadata) error             { return nil }
func (l *noLog) Update(func(*reclog.Manifest)) error             { return nil }
func (l *noLog) FinishSegment(int, media.Segment) error          { return nil }
func (l *noLog) Abandon() error                                  { return nil }
func (l *noLog) Seal() error                                     { return nil }

func (l *noLog) AppendPart(_ int, data []byte) (int64, error) {
	at := l.end
	l.end += int64(len(data))
	return at, nil
}

// mustRecorder makes a recorder with a take of one track.
func mustRecorder(tb testing.TB, log showLog) *recorder {
	tb.Helper()
	m := &reclog.Manifest{Constants: newConstants(media.DefaultSettings(), observed{gop: time.Second})}
	show := newShow(m, log, 128<<20, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry()))
	if err := show.recorder.startTake(media.Take{Number: 1}, [][]byte{{0}}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		show.recorder.close()
		<-show.recorder.exited
	})
	return show.recorder
}

// BenchmarkPartToRecorder is what the goroutine between the live path and storage costs: a part is handed over, and its
// answer waited for. The volume takes no time.
func BenchmarkPartToRecorder(b *testing.B) {
	r := mustRecorder(b, &noLog{})
	var o openSegment
	data := make([]byte, 375_000)
	b.ReportAllocs()
	for b.Loop() {
		if r.appendPart(0, &o, data, true) < 0 {
			b.Fatal("the part was not written")
		}
	}
}

func TestHandOverAllocatesNothing(t *testing.T) {
	r := mustRecorder(t, &noLog{})
	var o openSegment
	data := make([]byte, 1000)
	if n := testing.AllocsPerRun(1000, func() { r.appendPart(0, &o, data, true) }); n != 0 {
		t.Errorf("%v allocations per part", n)
	}
}

// BenchmarkPublication is a whole show: 30 frames of video and 47 of audio a second, through parts, files and
// snapshots. One iteration is a second of media.
func BenchmarkPublication(b *testing.B) {
	st := mustStudio(b, b.TempDir())
	p := st.publish(1, nil)
	st.tracks(p, videoTrack(), audioTrack())
	idr, slice := benchFrame(true), benchFrame(false)
	src := &source{fps: 30, gop: 30}
	second := 0
	feed := func() {
		second++
		src.until(time.Duration(second)*time.Second, func(f *media.Frame) {
			if f.Track == 0 {
				f.Payload = slice
				if f.Sync {
					f.Payload = idr
				}
			}
			if err := p.WriteFrame(f); err != nil {
				b.Fatal(err)
			}
		})
	}
	for range 4 {
		feed()
	}
	b.ReportAllocs()
	for b.Loop() {
		feed()
	}
	b.StopTimer()
	if err := p.Close(true); err != nil {
		b.Fatal(err)
	}
}

// TestFrameToPartAllocatesThePartAlone keeps the benchmark's promise in every run: one allocation in 15 frames is none.
func TestFrameToPartAllocatesThePartAlone(t *testing.T) {
	frag := &fragment{video: true}
	lead := leader{rules: rules{target: 180000, limit: 220000, part: 45000, floor: 38250, least: 1, early: 45000, listed: true}}
	payload := benchFrame(false)
	frame, open, part := int64(0), 0, []byte(nil)
	step := func() {
		had := lead.held
		if had {
			frag.samples[open].duration = 3000
		}
		before, after := lead.push(frame*3000, frame*3000, frame%60 == 0, false)
		for i, at := range []boundary{before, after} {
			if at.cut != noCut {
				part = frag.cut(reclog.SequenceNumber(1, 1), open)
				open = 0
			}
			if i == 0 && had {
				open++
			}
		}
		frag.add(append(frag.next(), payload...), sample{dts: frame * 3000, sync: frame%60 == 0})
		frame++
	}
	for range 300 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
	if got := binary.BigEndian.Uint32(part); int(got) > len(part) || cap(part) > len(part)+8<<10 {
		t.Errorf("moof of %d bytes in a part of %d, for which %d are allocated", got, len(part), cap(part))
	}
}
