package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// seedOf makes one input of several messages.
func seedOf(tags []tag) (seed []byte) {
	for _, t := range tags {
		if len(t.body) > 0xffff {
			continue
		}
		seed = append(seed, t.kind, byte(len(t.body)>>8), byte(len(t.body)), byte(t.ms>>8), byte(t.ms))
		seed = append(seed, t.body...)
	}
	return seed
}

// FuzzFLV: no sequence of messages panics, holds more than its limits, or hands over a frame of H.264 that is not units
// behind 4-byte lengths with a picture among them, a frame without bytes, or metadata past its limit.
func FuzzFLV(f *testing.F) {
	for _, tt := range flvCases {
		f.Add(seedOf(tt.tags))
	}
	for _, tt := range exCases {
		f.Add(seedOf(tt.tags))
	}
	for _, tt := range dataCases {
		f.Add(seedOf(tt.tags))
	}
	f.Fuzz(fuzzFLV)
}

// FuzzERTMP begins with what real encoders made: HEVC, AV1 and VP9 pictures, Opus, FLAC, AC-3, E-AC-3 and MP3 sound.
func FuzzERTMP(f *testing.F) {
	for _, track := range MustEncodeAll(f, "-s", "64x64") {
		kind := byte(typeAudio)
		if track.isVideo() {
			kind = typeVideo
		}
		for number := range 2 {
			tags := []tag{data(exTracks)}
			if track.start != nil {
				tags = append(tags, tag{kind: kind, body: track.exBody(number, packetStart, true, track.start)})
			}
			for _, s := range track.samples[:min(3, len(track.samples))] {
				tags = append(tags, tag{kind: kind, ms: uint32(s.dts), body: track.frame(number, s)})
			}
			f.Add(seedOf(tags))
		}
	}
	f.Fuzz(fuzzFLV)
}

func fuzzFLV(t *testing.T, seed []byte) {
	defer fuzztest.Bound(t, 8<<20+512*len(seed))()
	rec := newRecorder()
	p := &recPublication{rec: rec}
	rec.onFrame = func(frame *media.Frame) error {
		if len(frame.Payload) == 0 {
			return errors.New("an empty frame")
		}
		if p.tracks[len(p.tracks)-1][frame.Track].Codec == media.H264 {
			return checkUnits(frame.Payload)
		}
		return nil
	}
	d, l := newTestDemuxer(t, p)
	d.maxFrame = 4 << 10
	for len(seed) >= 5 {
		head := seed[:5]
		n := min(int(head[1])<<8|int(head[2]), len(seed)-5)
		var body []byte
		body, seed = seed[5:5+n], seed[5+n:]
		ms := uint32(head[3])<<24 | uint32(head[4])
		if err := d.feed(tag{kind: head[0], ms: ms, body: body}); err != nil {
			if !errors.Is(err, media.ErrUnsupported) && !errors.Is(err, media.ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		if len(l.held) > maxHeldFrames {
			t.Fatalf("%d frames held", len(l.held))
		}
	}
	for _, m := range p.metadata {
		if err := checkMetadata(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, tracks := range p.tracks {
		for i, track := range tracks {
			if len(track.Config) == 0 || slices.ContainsFunc(tracks[:i], func(o media.Track) bool { return o.Name == track.Name }) {
				t.Fatalf("tracks %v", tracks)
			}
		}
	}
}

func checkMetadata(m media.TimedMetadata) error {
	isJSON := m.Kind == media.OnMeta || m.Kind == media.Text || m.Kind == media.CuePoint
	if len(m.Payload) == 0 || len(m.Payload) > media.MaxMetadata || isJSON && !json.Valid(m.Payload) {
		return fmt.Errorf("%s of %d bytes: %q", m.Kind, len(m.Payload), m.Payload)
	}
	return nil
}

func checkUnits(payload []byte) error {
	picture := false
	for len(payload) > 0 {
		if len(payload) < 5 {
			return errors.New("torn length")
		}
		n := int(payload[0])<<24 | int(payload[1])<<16 | int(payload[2])<<8 | int(payload[3])
		if n == 0 || n > len(payload)-4 {
			return errors.New("wrong length")
		}
		kind := payload[4] & 0x1f
		picture = picture || kind >= 1 && kind <= 5
		payload = payload[4+n:]
	}
	if !picture {
		return errors.New("no picture")
	}
	return nil
}
