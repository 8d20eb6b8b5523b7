package packager

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestCMF5VideoTicksNeverAddUpRounding(t *testing.T) {
	var c videoClock
	c.start(0, 0, 0, aheadLimit)
	for i := 1; i < 100_000; i++ {
		at := ms(time.Duration(i) * time.Second / 30)
		if got, want := c.place(at, at).dts, int64(at/time.Millisecond)*90; got != want {
			t.Fatalf("frame %d is at %d, want %d", i, got, want)
		}
	}
}

func TestCMF19FirstFrameHasPTSEqualDTS(t *testing.T) {
	var c videoClock
	first := c.start(9000, 0, 80*time.Millisecond, aheadLimit)
	p := c.place(40*time.Millisecond, 200*time.Millisecond)
	b := c.place(80*time.Millisecond, 120*time.Millisecond)
	got := []stamp{first, p, b}
	want := []stamp{{dts: 9000}, {dts: 12600, cto: 7200}, {dts: 16200, cto: -3600}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(stamp{})); diff != "" {
		t.Error(diff)
	}
}

func TestEqualAndFallingDTSAreClampedByATick(t *testing.T) {
	var c videoClock
	c.start(0, time.Second, time.Second, aheadLimit)
	for i, dts := range []time.Duration{1040, 1040, 1000, 1080} {
		s := c.place(dts*time.Millisecond, dts*time.Millisecond)
		if want := []int64{3600, 3601, 3602, 7200}[i]; s.dts != want || s.clamped != (i == 1 || i == 2) {
			t.Errorf("stamp %d is %+v, want %d", i, s, want)
		}
		if s.dts+int64(s.cto) != int64(dts-1000)*90 {
			t.Errorf("stamp %d: presentation moved to %d", i, s.dts+int64(s.cto))
		}
	}
}

func TestJumpsOfVideo(t *testing.T) {
	var c videoClock
	c.start(0, 10*time.Second, 10*time.Second, 2*time.Second)
	for dts, want := range map[time.Duration]bool{
		9500 * time.Millisecond: false, 8 * time.Second: true, 11 * time.Second: false, 13 * time.Second: true,
	} {
		if got := c.jumps(dts); got != want {
			t.Errorf("jump to %v: %v", dts, got)
		}
	}
}

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

func TestAudioHolesAndOverlaps(t *testing.T) {
	unit := media.Duration(1024, 48000)
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
	end := media.Duration(c.next, 48000)
	if at := c.place(end + 90*time.Millisecond); at.fill != 0 || at.drop {
		t.Errorf("90 ms late: %+v", at)
	}
	if at := c.place(end + 10*unit); at.fill != 10 || at.drop {
		t.Errorf("ten units missing: %+v", at)
	}
	if at := c.place(end - 150*time.Millisecond); !at.drop || at.stray {
		t.Errorf("overlap: %+v", at)
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
