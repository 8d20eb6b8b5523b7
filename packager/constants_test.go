package packager

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestTD3ConstantsFollowFromSettingsAndFirstGOPs(t *testing.T) {
	const milli = time.Millisecond
	video := func(gop, frame time.Duration) observed {
		o := observed{gop: gop}
		for at := time.Duration(0); at < 3*time.Second; at += frame {
			o.stamps = append(o.stamps, ms(at))
		}
		return o
	}
	sound := func(o observed) observed {
		o.unit, o.rate = 1024, 48000
		return o
	}
	tests := []struct {
		name    string
		change  func(*media.Settings)
		seen    observed
		segment time.Duration
		target  time.Duration
		part    time.Duration
	}{
		{"GOP 1 s", nil, video(time.Second, time.Second/30), 2 * time.Second, 2 * time.Second, 500 * milli},
		{"GOP 2 s", nil, video(2*time.Second, time.Second/25), 2 * time.Second, 2 * time.Second, 500 * milli},
		{"GOP 1.001 s", nil, video(1001*milli, time.Second*1001/30000), 2002 * milli, 2 * time.Second, 500 * milli},
		{"GOP 0.999 s", nil, video(999*milli, time.Second/30), 1998 * milli, 2 * time.Second, 500 * milli},
		{"GOP 1.5 s", nil, video(1500*milli, time.Second/30), 3 * time.Second, 3 * time.Second, 500 * milli},
		{"GOP 8.33 s", nil, video(8333*milli, time.Second/30), 8333 * milli, 9 * time.Second, 500 * milli},
		{"no GOP ended", nil, video(0, time.Second/30), 2 * time.Second, 2 * time.Second, 500 * milli},
		{"audio only", nil, observed{}, 2 * time.Second, 2 * time.Second, 500 * milli},
		{"5 frames a second", nil, video(time.Second, 200*milli), 2 * time.Second, 2 * time.Second, 402 * milli},
		{"a frame a second", nil, video(2*time.Second, time.Second), 2 * time.Second, 2 * time.Second, 0},
		{"standard", func(s *media.Settings) { s.Latency = media.LatencyStandard },
			video(time.Second, time.Second/30), 4 * time.Second, 4 * time.Second, 0},
		{"29.97 frames a second in parts of 0.2 s", func(s *media.Settings) { s.PartDuration = media.Span(200 * milli) },
			video(1001*milli, time.Second*1001/30000), 2002 * milli, 2 * time.Second, 169 * milli},
		{"parts of 0.2 s", func(s *media.Settings) { s.PartDuration = media.Span(200 * milli) },
			video(time.Second, time.Second/30), 2 * time.Second, 2 * time.Second, 200 * milli},
		{"parts of 0.2 s: 10 units of AAC", func(s *media.Settings) { s.PartDuration = media.Span(200 * milli) },
			sound(video(time.Second, time.Second/30)), 2 * time.Second, 2 * time.Second, 213333334},
		{"parts of 1 s: 47 units of AAC", func(s *media.Settings) { s.PartDuration = media.Span(time.Second) },
			sound(video(time.Second, time.Second/30)), 2 * time.Second, 2 * time.Second, 1002666667},
		{"parts of 0.5 s: 24 units of AAC", nil, sound(video(time.Second, time.Second/30)), 2 * time.Second, 2 * time.Second, 512 * milli},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := media.DefaultSettings()
			if test.change != nil {
				test.change(&s)
			}
			want := media.Constants{
				TargetDuration: test.target, SegmentDuration: test.segment, PartTarget: test.part,
				HoldBack: 3 * test.target, CanSkipUntil: 6 * test.target, // SC-4, SC-5
			}
			if test.part > 0 {
				want.PartHoldBack = 3*test.part + 300*milli // SC-3
			}
			if diff := cmp.Diff(want, newConstants(s, test.seen)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
