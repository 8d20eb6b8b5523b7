package packager

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
