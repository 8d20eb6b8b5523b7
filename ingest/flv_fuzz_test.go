package ingest

import (
	"errors"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// FuzzFLV: no sequence of messages panics, holds more than its limits, or hands over a frame that is not units behind
// 4-byte lengths with a picture among them.
func FuzzFLV(f *testing.F) {
	for _, tt := range flvCases {
		var seed []byte
		for _, t := range tt.tags {
			if len(t.body) > 255 {
				continue
			}
			seed = append(seed, t.kind, byte(len(t.body)), byte(t.ms>>8), byte(t.ms))
			seed = append(seed, t.body...)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed []byte) {
		rec := newRecorder()
		p := &recPublication{rec: rec}
		rec.onFrame = func(frame *media.Frame) error {
			if p.tracks[len(p.tracks)-1][frame.Track].Kind == media.Video {
				return checkUnits(frame.Payload)
			}
			return nil
		}
		d, l := newTestDemuxer(t, p)
		d.maxFrame = 1 << 10
		for len(seed) >= 4 {
			head := seed[:4]
			n := min(int(head[1]), len(seed)-4)
			var body []byte
			body, seed = seed[4:4+n], seed[4+n:]
			ms := uint32(head[2])<<24 | uint32(head[3])
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
	})
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
