package packager

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// atom is a box of a file.
type atom struct {
	kind     string
	at, size int
	body     []byte
}

// atoms lists the boxes that bytes are made of.
func atoms(tb rapid.TB, b []byte) []atom {
	tb.Helper()
	var list []atom
	for at := 0; at < len(b); {
		if len(b)-at < 8 || int(binary.BigEndian.Uint32(b[at:])) < 8 || at+int(binary.BigEndian.Uint32(b[at:])) > len(b) {
			tb.Fatalf("no box at %d of %d", at, len(b))
		}
		size := int(binary.BigEndian.Uint32(b[at:]))
		list = append(list, atom{string(b[at+4 : at+8]), at, size, b[at+8 : at+size]})
		at += size
	}
	return list
}

// child finds the only box of a kind, down a path.
func (a atom) child(tb rapid.TB, path ...string) atom {
	tb.Helper()
	for _, kind := range path {
		found := slices.DeleteFunc(atoms(tb, a.body), func(c atom) bool { return c.kind != kind })
		if len(found) != 1 {
			tb.Fatalf("%d boxes %s in %s", len(found), kind, a.kind)
		}
		a = found[0]
	}
	return a
}

func (a atom) u32(at int) uint32 { return binary.BigEndian.Uint32(a.body[at:]) }

// producedPart is a part as it lies in a track's file.
type producedPart struct {
	at, size   int // emsg, moof and mdat
	events     []atom
	moof, mdat atom
	// theirs is what a parser that is not ours makes of it.
	theirs *fmp4.Part
}

func (p *producedPart) msn() media.MSN {
	msn, _ := reclog.SplitSequenceNumber(p.theirs.SequenceNumber)
	return msn
}

// producedTrack is a track's file.
type producedTrack struct {
	init  []atom // the boxes before the first part
	raw   []byte // of the init section
	parts []producedPart
}

func readTrack(tb rapid.TB, file string) producedTrack {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	var t producedTrack
	var p producedPart
	for _, a := range atoms(tb, b) {
		switch {
		case a.kind == "emsg" || a.kind == "moof":
			if p.size == 0 {
				p.at = a.at
			}
			p.size += a.size
			if a.kind == "emsg" {
				p.events = append(p.events, a)
			} else if p.moof.kind == "" {
				p.moof = a
			} else {
				tb.Fatal("CMF-4: two moof in a part")
			}
		case a.kind == "mdat" && p.moof.kind != "":
			p.mdat = a
			p.size += a.size
			var parts fmp4.Parts
			if err := parts.Unmarshal(b[p.moof.at : p.at+p.size]); err != nil || len(parts) != 1 {
				tb.Fatalf("part at %d: %v", p.at, err)
			}
			p.theirs = parts[0]
			t.parts = append(t.parts, p)
			p = producedPart{}
		case len(t.parts) == 0 && p.size == 0:
			t.init = append(t.init, a)
			t.raw = b[:a.at+a.size]
		default:
			tb.Fatalf("box %s at %d", a.kind, a.at)
		}
	}
	return t
}

// producedShow is a recording of two takes with two tracks: 12 s with B-frames, a change of level at 5 s, and ID3.
type producedShow struct {
	rec    *reclog.Recording
	tracks map[int]map[string]producedTrack // by take
}

func produceShow(t *testing.T) (p producedShow) {
	onStage(t, func(s *stage) {
		pub, src := s.open()
		src.start = time.Hour
		sps := slices.Clone(testSPS)
		sps[3] = 31
		told, n := false, 0
		src.until(time.Hour+12*time.Second, func(f *media.Frame) {
			if f.Track == 0 {
				if f.Sync && f.DTS > time.Hour+5*time.Second && !told {
					told = true
					s.tracks(pub, videoTrackOf(sps), audioTrack())
				}
				// I B B P B B P..., in the order of decoding I P B B P B B..., with the last two in order.
				frame := time.Second / 30
				f.PTS += 2 * frame
				if k := n % 30; k > 0 && k < 28 && k%3 == 1 {
					f.PTS += 2 * frame
				} else if k > 0 && k < 28 {
					f.PTS -= frame
				}
				n++
				if f.Sync {
					s.tell(pub, media.ID3, f.PTS, "ID3 at a key frame")
					s.tell(pub, media.SCTE35, f.PTS, "no event of the media")
				}
			}
			s.write(pub)(f)
			s.look()
		})
		show := s.show()
		s.close(pub, true)
		p.rec = s.stored(show.ID())
		if len(p.rec.Takes) != 2 || len(p.rec.Damage) > 0 {
			t.Fatalf("%+v", p.rec.Manifest)
		}
		p.tracks = make(map[int]map[string]producedTrack)
		for _, take := range p.rec.Takes {
			p.tracks[take.Number] = make(map[string]producedTrack)
			for _, tr := range take.Tracks {
				p.tracks[take.Number][tr.Name] = readTrack(t, s.file(show, take.Number, tr.Name))
			}
		}
	})
	return p
}

// each calls fn for every track of every take.
func (p *producedShow) each(fn func(take *media.Take, track media.Track, f producedTrack)) {
	for i := range p.rec.Takes {
		for _, tr := range p.rec.Takes[i].Tracks {
			fn(&p.rec.Takes[i], tr, p.tracks[p.rec.Takes[i].Number][tr.Name])
		}
	}
}

// segments gives the recording's segments of a track in a take.
func (p *producedShow) segments(take int, track string) (list []media.Segment) {
	for _, tr := range p.rec.Tracks {
		for _, seg := range tr.Segments {
			if tr.Name == track && seg.Take == take {
				list = append(list, seg)
			}
		}
	}
	return list
}

func TestCMF_ProducedBytes(t *testing.T) {
	p := produceShow(t)
	for name, check := range map[string]func(*testing.T, *producedShow){
		"CMF-1 CMF-2 CMF-13 init sections":                 checkInits,
		"CMF-14 CMF-15 CMF-16 sample entries":              checkEntries,
		"CMF-3 CMF-4 CMF-6 CMF-18 CMF-19 boxes of parts":   checkBoxes,
		"CMF-7 CMF-17 CMF-8 key frames":                    checkKeyFrames,
		"CMF-5 CMF-9 CMF-11 times":                         checkTimes,
		"CMF-12 CMF-20 CMF-23 one clock":                   checkClock,
		"CMF-21 ID3 in front of the part that it falls in": checkEvents,
		"IFR-1 byte ranges of I-frames":                    checkIFrames,
	} {
		t.Run(name, func(t *testing.T) { check(t, &p) })
	}
}

func checkInits(t *testing.T, p *producedShow) {
	p.each(func(_ *media.Take, tr media.Track, f producedTrack) {
		if len(f.init) != 2 || f.init[0].kind != "ftyp" || f.init[1].kind != "moov" || int64(len(f.raw)) != tr.InitSize {
			t.Fatalf("CMF-1: %v in %d bytes", f.init, len(f.raw))
		}
		ftyp, moov := f.init[0], f.init[1]
		if string(ftyp.body[:4]) != "iso6" || !bytes.Contains(ftyp.body[8:], []byte("cmfc")) {
			t.Errorf("CMF-1: brands %q", ftyp.body)
		}
		// CMF-13: child fails unless there is one trak and one trex.
		trak, trex := moov.child(t, "trak"), moov.child(t, "mvex", "trex")
		if id := trak.child(t, "tkhd").u32(12); id != trex.u32(4) {
			t.Errorf("CMF-2: track %d, trex of %d", id, trex.u32(4))
		}
		if a, b := moov.child(t, "mvhd").u32(16), trak.child(t, "tkhd").u32(20); a != 0 || b != 0 {
			t.Errorf("CMF-2: durations %d and %d", a, b)
		}
		stbl := trak.child(t, "mdia", "minf", "stbl")
		for kind, at := range map[string]int{"stts": 4, "stsc": 4, "stsz": 8, "stco": 4} {
			if n := stbl.child(t, kind).u32(at); n != 0 {
				t.Errorf("CMF-2: %s of %d", kind, n)
			}
		}
		if bytes.Contains(f.raw, []byte("elst")) {
			t.Errorf("CMF-19, CMF-20: %s has an edit list", tr.Name)
		}
	})
}

func checkEntries(t *testing.T, p *producedShow) {
	p.each(func(take *media.Take, tr media.Track, f producedTrack) {
		mdia := f.init[1].child(t, "trak", "mdia")
		scale := int64(mdia.child(t, "mdhd").u32(12))
		stsd := mdia.child(t, "minf", "stbl", "stsd")
		entry := atoms(t, stsd.body[8:])
		if len(entry) != 1 || scale != tr.Timescale {
			t.Fatalf("%d entries, timescale %d", len(entry), scale)
		}
		if tr.Kind == media.Audio {
			if rate := int64(entry[0].u32(24) >> 16); entry[0].kind != "mp4a" || rate != scale {
				t.Errorf("CMF-15: %s at %d Hz, timescale %d", entry[0].kind, rate, scale)
			}
			return
		}
		if boxes := atoms(t, entry[0].body[78:]); entry[0].kind != "avc1" || !bytes.Equal(boxes[0].body, tr.Config) {
			t.Errorf("CMF-14: %s with %x, the publisher's %x", entry[0].kind, boxes[0].body, tr.Config)
		}
		if level := tr.Config[3]; level != []byte{30, 31}[take.Number-1] {
			t.Errorf("CMF-16: take %d has level %d", take.Number, level)
		}
	})
	if bytes.Equal(p.tracks[1]["video"].raw, p.tracks[2]["video"].raw) {
		t.Error("CMF-16: the change has no init section of its own")
	}
}

func checkBoxes(t *testing.T, p *producedShow) {
	p.each(func(_ *media.Take, tr media.Track, f producedTrack) {
		var sequence uint32
		for _, part := range f.parts {
			if part.theirs.SequenceNumber <= sequence {
				t.Fatalf("CMF-6: %d after %d", part.theirs.SequenceNumber, sequence)
			}
			sequence = part.theirs.SequenceNumber
			traf := part.moof.child(t, "traf")
			tfhd, tfdt, trun := traf.child(t, "tfhd"), traf.child(t, "tfdt"), traf.child(t, "trun")
			if tfdt.body[0] != 1 || trun.body[0] != 1 {
				t.Fatalf("CMF-3, CMF-19: tfdt version %d, trun version %d", tfdt.body[0], trun.body[0])
			}
			if flags := tfhd.u32(0); flags&0x020000 == 0 || flags&1 != 0 {
				t.Fatalf("CMF-4: tfhd flags %06x", flags)
			}
			if offset := int(trun.u32(8)); offset != part.moof.size+8 || part.mdat.at != part.moof.at+part.moof.size {
				t.Fatalf("CMF-4: data at %d, moof of %d", offset, part.moof.size)
			}
			size := 0
			for _, s := range part.theirs.Tracks[0].Samples {
				if s.Duration == 0 && tr.Kind == media.Video || len(s.Payload) == 0 {
					t.Fatalf("CMF-18: sample of %d ticks, %d bytes", s.Duration, len(s.Payload))
				}
				size += len(s.Payload)
			}
			if size != len(part.mdat.body) {
				t.Fatalf("CMF-4: samples of %d bytes in an mdat of %d", size, len(part.mdat.body))
			}
		}
	})
}

func checkKeyFrames(t *testing.T, p *producedShow) {
	for take, tracks := range p.tracks {
		last := media.MSN(0)
		for _, part := range tracks["video"].parts {
			trun := part.moof.child(t, "traf", "trun")
			for i, s := range part.theirs.Tracks[0].Samples {
				idr := s.Payload[4]&31 == 5
				want := uint32(0x01010000)
				if idr {
					want = 0x02000000
				}
				if got := trun.u32(12 + 16*i + 8); got != want {
					t.Fatalf("CMF-8: IDR %v has flags %08x", idr, got)
				}
				if i == 0 && part.msn() != last && !idr {
					t.Errorf("CMF-7, CMF-17: segment %d of take %d begins without an IDR", part.msn(), take)
				}
			}
			last = part.msn()
		}
	}
}

func checkTimes(t *testing.T, p *producedShow) {
	p.each(func(take *media.Take, tr media.Track, f producedTrack) {
		parts := f.parts
		end, shown := int64(-1), int64(-1)
		for _, seg := range p.segments(take.Number, tr.Name) {
			var duration, first, last int64 = 0, 1 << 62, 0
			for ; len(parts) > 0 && parts[0].msn() == seg.MSN; parts = parts[1:] {
				track := parts[0].theirs.Tracks[0]
				dts := int64(track.BaseTime)
				if end >= 0 && dts != end {
					t.Fatalf("CMF-5: %s: a part begins at %d, the one before ends at %d", tr.Name, dts, end)
				}
				for _, s := range track.Samples {
					length := int64(s.Duration)
					if tr.Kind == media.Audio {
						length = 1024
					}
					pts := dts + int64(s.PTSOffset)
					first, last = min(first, pts), max(last, pts+length)
					dts, duration = dts+length, duration+length
				}
				end = dts
			}
			if duration != seg.Duration {
				t.Errorf("CMF-9: %s segment %d of %d has samples of %d", tr.Name, seg.MSN, seg.Duration, duration)
			}
			frame := tr.Timescale/30 + tr.Timescale/1000
			if shown >= 0 && (first-shown > frame || shown-first > frame) {
				t.Errorf("CMF-11: %s segment %d is shown from %d, the one before to %d", tr.Name, seg.MSN, first, shown)
			}
			shown = last
		}
		if len(parts) > 0 {
			t.Errorf("%s: %d parts of no segment", tr.Name, len(parts))
		}
	})
}

func checkClock(t *testing.T, p *producedShow) {
	unit := media.Duration(1024, 48000)
	for _, take := range p.rec.Takes {
		video, audio := p.segments(take.Number, "video"), p.segments(take.Number, "audio")
		for i := range video {
			v, a := media.Duration(video[i].DTS, videoTimescale), media.Duration(audio[i].DTS, 48000)
			if d := a - v; d < 0 || d >= unit {
				t.Errorf("CMF-23: audio of segment %d begins %v behind video's cut", video[i].MSN, d)
			}
			for _, x := range []struct {
				at   time.Duration
				date time.Time
			}{{v, video[i].Date}, {a, audio[i].Date}} {
				if d := x.date.Sub(take.Anchor.Add(x.at)).Abs(); d > time.Millisecond {
					t.Errorf("CMF-12: segment %d has date %v, %v off its time", video[i].MSN, x.date, d)
				}
			}
		}
		// CMF-20: sound that was sent with the first picture is heard with it.
		if d := media.Duration(audio[0].DTS, 48000) - media.Duration(video[0].DTS, videoTimescale); d < 0 || d >= unit {
			t.Errorf("CMF-20: take %d: audio begins %v behind video", take.Number, d)
		}
	}
}

func checkEvents(t *testing.T, p *producedShow) {
	numbers := make(map[uint32]media.Metadata)
	for _, m := range p.rec.Metadata {
		numbers[uint32(m.Number)] = m
	}
	count := 0
	p.each(func(_ *media.Take, tr media.Track, f producedTrack) {
		for _, part := range f.parts {
			if tr.Kind == media.Audio && len(part.events) > 0 {
				t.Fatal("CMF-21: events beside the leading track")
			}
			track := part.theirs.Tracks[0]
			end := int64(track.BaseTime)
			for _, s := range track.Samples {
				end += int64(s.Duration)
			}
			for _, e := range part.events {
				count++
				at := int64(binary.BigEndian.Uint64(e.body[8:]))
				m := numbers[e.u32(20)]
				delete(numbers, e.u32(20)) // ids are unique
				if e.u32(0) != 1<<24 || int64(e.u32(4)) != tr.Timescale || e.u32(16) != 0xffffffff || m.Kind != media.ID3 {
					t.Errorf("CMF-21: emsg %x of %+v", e.body[:24], m)
				}
				if want := "https://aomedia.org/emsg/ID3\x00\x00ID3 at a key frame"; string(e.body[24:]) != want {
					t.Errorf("CMF-21: %q", e.body[24:])
				}
				if at >= end || at != media.Ticks(m.Time, tr.Timescale) {
					t.Errorf("CMF-21: event at %d in a part from %d to %d", at, track.BaseTime, end)
				}
			}
		}
	})
	if count < 10 {
		t.Errorf("CMF-21: %d events", count)
	}
}

func checkIFrames(t *testing.T, p *producedShow) {
	for _, take := range p.rec.Takes {
		parts := p.tracks[take.Number]["video"].parts
		for _, seg := range p.segments(take.Number, "video") {
			if !slices.ContainsFunc(parts, func(part producedPart) bool { return int64(part.at) == seg.Offset }) {
				t.Errorf("segment %d does not begin with a part", seg.MSN)
			}
			if want := iframesOf(parts, seg); !slices.Equal(want, seg.IFrames) || len(want) == 0 {
				t.Errorf("IFR-1: segment %d: %+v, want %+v", seg.MSN, seg.IFrames, want)
			}
		}
		for _, seg := range p.segments(take.Number, "audio") {
			if seg.IFrames != nil {
				t.Errorf("audio has I-frames: %+v", seg)
			}
		}
	}
}

// iframesOf says what a segment's I-frames should be by the bytes of a track's parts. A segment that storage was late
// with is announced without an offset: its first part says where it is.
func iframesOf(parts []producedPart, seg media.Segment) (list []media.IFrame) {
	begin := -1
	for _, part := range parts {
		track := part.theirs.Tracks[0]
		if part.msn() == seg.MSN && begin < 0 {
			begin = part.at
		}
		if part.msn() != seg.MSN || track.Samples[0].IsNonSyncSample || len(list) == reclog.MaxIFrames {
			continue
		}
		list = append(list, media.IFrame{
			Time: uint32(int64(track.BaseTime) - seg.DTS), Offset: uint32(part.at - begin),
			Size: uint32(part.mdat.at + 8 - part.at + len(track.Samples[0].Payload)),
		})
	}
	return list
}
