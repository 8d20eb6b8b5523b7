package packager

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
)

// mustClock is an audio clock of 48 kHz whose take begins at stamp zero.
func mustClock(t *testing.T, alone bool) audioClock {
	t.Helper()
	f, err := newFormat(audioTrack())
	if err != nil {
		t.Fatal(err)
	}
	return newAudioClock(f, 0, 0, alone)
}

func TestAACGridIgnoresMillisecondStamps(t *testing.T) {
	c := mustClock(t, false)
	for i := range 10_000 {
		at := c.place(ms(media.Duration(int64(i)*1024, 48000)))
		if at.off = 0; at != (landing{}) || c.next != int64(i)*1024 {
			t.Fatalf("unit %d: %+v at %d", i, at, c.next)
		}
		c.advance(1)
	}
}

// sound does with units what a take does, and remembers where they went.
type sound struct {
	clock              audioClock
	held               time.Duration
	places             []place
	silence, overlap   int
	settled, worstSkew time.Duration // the worst since a time of the publisher's
}

// place is where a unit went, in ticks, and its stamp.
type place struct {
	stamp time.Duration
	at    int64
}

func (s *sound) add(stamp time.Duration) {
	s.places = append(s.places, place{stamp, s.clock.next})
	if skew := media.Duration(s.clock.next-s.clock.base, s.clock.rate) - (stamp - s.clock.origin); stamp >= s.settled {
		if skew.Abs() > s.worstSkew.Abs() {
			s.worstSkew = skew
		}
	}
	s.clock.advance(1)
}

func (s *sound) write(stamps ...time.Duration) {
	for _, stamp := range stamps {
		at := s.clock.place(stamp)
		s.silence += at.fill
		s.clock.advance(at.fill)
		switch {
		case at.release:
			s.add(s.held)
		case at.reject:
			s.overlap++
		}
		switch {
		case at.hold:
			s.held = stamp
		case at.drop:
			s.overlap++
		default:
			s.add(stamp)
		}
	}
}

func newSound(rate, unit int64, settled time.Duration) *sound {
	f := &format{unit: unit}
	f.track.Timescale = rate
	return &sound{clock: newAudioClock(f, 0, 0, false), settled: settled}
}

func TestAudioBeginsOnItsStamp(t *testing.T) {
	c := mustClock(t, false)
	if at := c.place(-30 * time.Millisecond); !at.before {
		t.Errorf("audio before the take: %+v", at)
	}
	if at := c.place(50 * time.Millisecond); at.fill != 2 || at.drop {
		t.Errorf("late begin: %+v", at)
	}
	c.advance(3)
	if c.next != 3*1024+(2400-2*1024) {
		t.Errorf("the grid is not on the first unit's stamp: %d", c.next)
	}
}

func TestAudioHolesAndOverlaps(t *testing.T) {
	unit := media.Duration(1024, 48000)
	steady := func(n int, from time.Duration) (stamps []time.Duration) {
		for i := range n {
			stamps = append(stamps, ms(from+time.Duration(i)*unit))
		}
		return stamps
	}
	for _, tt := range []struct {
		name             string
		then             []time.Duration // behind 100 steady units
		silence, overlap int
		after            int64 // units from the hundredth to the end of the last that was sent
	}{
		{"three units are lost", steady(50, 103*unit), 3, 0, 53},
		{"one unit is lost", steady(50, 101*unit), 1, 0, 51},
		{"a second is lost", steady(50, 147*unit), 47, 0, 97},
		{"units are sent twice", steady(50, 97*unit), 0, 3, 47},
		{"one bad stamp ahead", append(append(steady(20, 100*unit), 125*unit), steady(29, 121*unit)...), 0, 0, 50},
		{"one bad stamp behind", append(append(steady(20, 100*unit), 110*unit), steady(29, 121*unit)...), 0, 0, 50},
		{"two losses in a row", append([]time.Duration{101 * unit, 103 * unit}, steady(48, 105*unit)...), 3, 0, 53},
		{"less than a unit", steady(50, 100*unit+9*time.Millisecond), 0, 0, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSound(48000, 1024, 0)
			s.write(steady(100, 0)...)
			s.write(tt.then...)
			if s.silence != tt.silence || s.overlap != tt.overlap || s.clock.next != (100+tt.after)*1024 {
				t.Errorf("%d filled, %d dropped, %.2f units", s.silence, s.overlap, float64(s.clock.next)/1024)
			}
		})
	}
}

func TestUnitsThatSilenceStoodInForAreDropped(t *testing.T) {
	unit := media.Duration(1024, 48000)
	s := newSound(48000, 1024, 0)
	for i := range 100 {
		s.write(ms(time.Duration(i) * unit))
	}
	s.clock.advance(3) // as lane.fillTo does
	s.clock.stoodIn = true
	for i := range 100 {
		s.write(ms(time.Duration(100+i) * unit))
	}
	if s.overlap != 3 || s.silence != 0 || s.worstSkew.Abs() > time.Millisecond {
		t.Errorf("%d dropped, %d filled, skew %v", s.overlap, s.silence, s.worstSkew)
	}
}

// audioCodecs are lengths of units in samples.
var audioCodecs = []struct {
	name       string
	rate, unit int64
}{
	{"Opus 2.5 ms", 48000, 120}, {"AAC 48 kHz", 48000, 1024}, {"AAC 44.1 kHz", 44100, 1024}, {"Opus 20 ms", 48000, 960},
	{"AC-3", 48000, 1536}, {"MP3", 44100, 1152}, {"FLAC 96 ms", 48000, 4608},
}

// TestSkewStaysSmallWhateverIsLostOrDrifts holds that what is heard lies within a unit and driftSlack of its stamp: a
// clock may be off by 5 %, or by 2 % where units are lost besides, up to every fourth. Where both are worse, what was
// lost and what drifted can't always be told apart at once, and a repair may be a unit or two too large for a moment.
func TestSkewStaysSmallWhateverIsLostOrDrifts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		codec := rapid.SampledFrom(audioCodecs[1:]).Draw(rt, "codec")
		loss := rapid.SampledFrom([]float64{0, 0, 0.001, 0.01, 0.05}).Draw(rt, "loss")
		most := 0.05
		if loss > 0 {
			most = 0.02
		}
		drift := rapid.Float64Range(-most, most).Draw(rt, "drift")
		run := rapid.IntRange(1, 10).Draw(rt, "run")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		s := newSound(codec.rate, codec.unit, 2*time.Second)
		const end = time.Minute
		for i := int64(0); ; i++ {
			at := media.Duration(i*codec.unit, codec.rate)
			if at > end {
				break
			}
			if rng.Float64() < loss {
				i += int64(1 + rng.IntN(run))
			}
			s.write(ms(at + time.Duration(drift*float64(at))))
		}
		if worst := max(media.Duration(codec.unit, codec.rate), 20*time.Millisecond) + driftSlack; s.worstSkew.Abs() > worst {
			rt.Fatalf("skew %v, %d units filled, %d dropped", s.worstSkew, s.silence, s.overlap)
		}
	})
}

// TestSoundThatNeedsNoRepairGetsNone plays an hour of each codec with the stamps of publishers.
func TestSoundThatNeedsNoRepairGetsNone(t *testing.T) {
	var rng *rand.Rand
	for name, stamp := range map[string]func(i int64, at time.Duration, unit time.Duration) time.Duration{
		"exact":              func(_ int64, at, _ time.Duration) time.Duration { return at },
		"rounded":            func(_ int64, at, _ time.Duration) time.Duration { return ms(at) },
		"cut off":            func(_ int64, at, _ time.Duration) time.Duration { return at.Truncate(time.Millisecond) },
		"90 kHz":             func(_ int64, at, _ time.Duration) time.Duration { return media.Duration(media.Ticks(at, 90000), 90000) },
		"jitter of 5 ms":     func(_ int64, at, _ time.Duration) time.Duration { return ms(at + time.Duration(rng.NormFloat64()*5e6)) },
		"in bundles of two":  func(i int64, at, unit time.Duration) time.Duration { return ms(at - time.Duration(i%2)*unit) },
		"in bundles of four": func(i int64, at, unit time.Duration) time.Duration { return ms(at - time.Duration(i%4)*unit) },
	} {
		t.Run(name, func(t *testing.T) {
			rng = rand.New(rand.NewPCG(1, 2))
			for _, codec := range audioCodecs {
				if strings.HasSuffix(name, "four") && codec.unit > 2000 {
					continue // longer than what is remembered
				}
				unit := media.Duration(codec.unit, codec.rate)
				s := newSound(codec.rate, codec.unit, 0)
				for i := int64(0); ; i++ {
					at := media.Duration(i*codec.unit, codec.rate)
					if at > time.Duration(long*float64(time.Hour)) {
						break
					}
					s.write(max(0, stamp(i, at, unit)))
				}
				allowed := 0
				if strings.HasPrefix(name, "in bundles") {
					allowed = 4 // once: to where the stamps are on average
				}
				if s.silence+s.overlap > allowed {
					t.Errorf("%s: %d units filled, %d dropped", codec.name, s.silence, s.overlap)
				}
			}
		})
	}
}

func TestAudioClockThatJumpsAloneIsReanchored(t *testing.T) {
	c := mustClock(t, false)
	c.place(0)
	c.advance(1)
	next := c.next
	unit := media.Duration(1024, 48000)
	for i := range 200 {
		at := c.place(time.Hour + time.Duration(i)*unit)
		if at.shift {
			if i < 40 || c.next != next {
				t.Errorf("re-anchored at unit %d, grid %d", i, c.next)
			}
			c.advance(1)
			if again := c.place(time.Hour + time.Duration(i+1)*unit); again.stray || again.drop || again.fill > 0 {
				t.Errorf("after it: %+v", again)
			}
			return
		}
		if !at.stray {
			t.Fatalf("unit %d: %+v", i, at)
		}
	}
	t.Error("never re-anchored")
}

func TestAudioClockThatLeadsJumps(t *testing.T) {
	c := mustClock(t, true)
	c.place(0)
	c.advance(1)
	if at := c.place(time.Minute); !at.jump {
		t.Errorf("%+v", at)
	}
	if at := c.place(-time.Minute); !at.jump {
		t.Errorf("%+v", at)
	}
}
