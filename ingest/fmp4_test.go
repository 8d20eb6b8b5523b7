package ingest

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4/codecs"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// mustMP4 gives an init section of H.264, AAC and Opus, and a segment.
func mustMP4(tb testing.TB) (init, segment []byte) {
	tb.Helper()
	i := fmp4.Init{Tracks: []*fmp4.InitTrack{
		{ID: 1, TimeScale: 90000, Codec: &codecs.H264{SPS: testSPS, PPS: testPPS}},
		{ID: 5, TimeScale: 48000, Codec: &codecs.MPEG4Audio{Config: mpeg4audio.AudioSpecificConfig{
			Type: mpeg4audio.ObjectTypeAACLC, SampleRate: 48000, ChannelConfig: 2,
		}}},
		{ID: 6, TimeScale: 48000, Codec: &codecs.Opus{ChannelCount: 2}},
	}}
	picture := binary.BigEndian.AppendUint32(nil, uint32(len(idr(1))))
	picture = append(picture, idr(1)...)
	p := fmp4.Part{Tracks: []*fmp4.PartTrack{
		{ID: 1, BaseTime: 90000, Samples: []*fmp4.Sample{
			{Duration: 3600, PTSOffset: 7200, Payload: picture},
			{Duration: 3600, PTSOffset: -3600, Payload: picture},
		}},
		{ID: 5, BaseTime: 48000, Samples: []*fmp4.Sample{{Duration: 1024, Payload: []byte{1, 2}}, {Duration: 1024, Payload: []byte{3}}}},
		{ID: 6, BaseTime: 1 << 40, Samples: []*fmp4.Sample{{Duration: 960, Payload: []byte{4}}}},
	}}
	var head, body seekablebuffer.Buffer
	if err := i.Marshal(&head); err != nil {
		tb.Fatal(err)
	}
	if err := p.Marshal(&body); err != nil {
		tb.Fatal(err)
	}
	return head.Bytes(), body.Bytes()
}

func TestFMP4(t *testing.T) {
	init, segment := mustMP4(t)
	q := &hlsQueue{number: -1, maxFrame: 1 << 20}
	if err := q.load(hlsChunk{init: init, data: segment}); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		id       trackID
		dts, pts time.Duration
		size     int
	}
	var frames []seen
	tracks := map[trackID]media.Track{}
	for _, e := range q.events {
		switch {
		case e.frame != nil:
			frames = append(frames, seen{e.id, e.frame.DTS, e.frame.PTS, len(e.frame.Payload)})
			if _, ok := tracks[e.id]; !ok {
				t.Errorf("a frame of %v before its configuration", e.id)
			}
		case e.track != nil:
			tracks[e.id] = *e.track
		case e.announce != nil && *e.announce != [2]int{1, 2}:
			t.Errorf("announced %v", *e.announce)
		}
	}
	video, aac, opus := trackID{media.Video, 0}, trackID{media.Audio, 0}, trackID{media.Audio, 1}
	size := 4 + len(idr(1))
	want := []seen{
		{video, time.Second, 1080 * time.Millisecond, size},
		{aac, time.Second, time.Second, 2},
		{aac, time.Second + media.Duration(1024, 48000), time.Second + media.Duration(1024, 48000), 1},
		{video, 1040 * time.Millisecond, time.Second, size},
		{opus, media.Duration(1<<40, 48000), media.Duration(1<<40, 48000), 1},
	}
	if !slices.Equal(frames, want) {
		t.Errorf("got  %v\nwant %v", frames, want)
	}
	if tracks[video].Codec != media.H264 || tracks[aac].Codec != media.AAC || len(tracks[aac].Config) < 2 ||
		tracks[opus].Codec != media.Opus || tracks[opus].Unit != 960 || len(tracks[opus].Config) != 11 {
		t.Errorf("%+v", tracks)
	}
	// The same again, then without the second audio.
	if err := q.load(hlsChunk{init: slices.Clone(init), data: segment}); err != nil || len(q.events) != len(want) {
		t.Errorf("%d events, %v", len(q.events), err)
	}
}

// emptySamples is a segment of so many samples of the first track, none of which has a byte.
func emptySamples(count uint32) []byte {
	box := func(kind string, bodies ...[]byte) []byte {
		body := slices.Concat(bodies...)
		return append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), append([]byte(kind), body...)...)
	}
	words := func(of ...uint32) (b []byte) {
		for _, w := range of {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		return b
	}
	header, run := box("tfhd", words(0x020000, 1)), box("trun", words(1, count, 0))
	return slices.Concat(box("moof", box("mfhd", words(0, 0)), box("traf", header, run)), box("mdat"))
}

func TestFMP4CountsEmptySamplesOnce(t *testing.T) {
	init, _ := mustMP4(t)
	q := &hlsQueue{number: -1, maxFrame: 1 << 20}
	if err := q.load(hlsChunk{init: init, data: emptySamples(maxFMP4Samples)}); err != nil {
		t.Fatal(err)
	}
	last := q.events[len(q.events)-1]
	if last.repair != repairEmptyFrame || last.times != maxFMP4Samples || len(q.events) > 8 {
		t.Errorf("%d events, the last %+v", len(q.events), last)
	}
}

func FuzzFMP4(f *testing.F) {
	init, segment := mustMP4(f)
	f.Add(init, segment)
	f.Add(init, segment[:len(segment)-1])
	f.Add(init[:len(init)/2], segment)
	f.Add(init, emptySamples(maxFMP4Samples))
	f.Fuzz(func(t *testing.T, init, segment []byte) {
		defer fuzztest.Bound(t, 8<<20+64*(len(init)+len(segment)))()
		q := &hlsQueue{number: -1, maxFrame: 1 << 20}
		_ = q.load(hlsChunk{init: init, data: segment})
		size := 0
		for _, e := range q.events {
			if e.frame != nil {
				size += len(e.frame.Payload)
			}
		}
		if size > 2*len(segment) { // parameter sets are cut off, and never more is put in
			t.Errorf("%d bytes of %d", size, len(segment))
		}
	})
}
