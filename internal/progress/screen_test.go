package progress

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func columns(n int) func() int { return func() int { return n } }

// show runs work of a length that counts a unit every second of it, and gives what was written.
func show(t *testing.T, width func() int, length time.Duration) string {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := NewScreen(&out, width)
		stop := s.Show("work", func() State {
			return State{Done: int64(time.Since(begun) / time.Second), Total: 100, Unit: "steps"}
		})
		time.Sleep(length)
		stop()
		stop()
	})
	return out.String()
}

func TestShortWorkShowsNothing(t *testing.T) {
	for _, width := range []func() int{nil, columns(80)} {
		if got := show(t, width, 999*time.Millisecond); got != "" {
			t.Errorf("%q is shown", got)
		}
	}
}

func TestTerminalHasOneLineThatIsGoneAtTheEnd(t *testing.T) {
	got := show(t, columns(80), 20*time.Second+100*time.Millisecond)
	lines := strings.Split(got, erase)
	if lines[len(lines)-1] != "" || strings.Contains(got, "\n") {
		t.Errorf("the line is left: %q", got)
	}
	if want := 4*19 + 1 + 2; len(lines) != want { // from 1 s to 20 s, what is before the first, and the end
		t.Errorf("%d renewals, want %d", len(lines), want)
	}
	if want := "work: 20 of 100 steps (20%), 1.0/s, 1m20s left"; lines[len(lines)-2] != want {
		t.Errorf("the last line is %q, want %q", lines[len(lines)-2], want)
	}
}

func TestStreamHasALineEveryTenSeconds(t *testing.T) {
	got := show(t, nil, 39*time.Second)
	want := "work: 10 of 100 steps (10%), 1.0/s, 1m30s left\nwork: 20 of 100 steps (20%), 1.0/s, 1m20s left\n" +
		"work: 30 of 100 steps (30%), 1.0/s, 1m10s left\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLineFitsTheTerminal(t *testing.T) {
	for line := range strings.SplitSeq(show(t, columns(20), 5*time.Second), erase) {
		if len(line) > 19 {
			t.Errorf("%q is wider than 19", line)
		}
	}
}

func TestNameOfAFileMovesNoCursor(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		stop := NewScreen(&out, columns(80)).Show("work", func() State { return State{Text: "a\x1b[2Jb\nc"} })
		time.Sleep(1100 * time.Millisecond)
		stop()
	})
	if want := erase + "work: 1s, a [2Jb c" + erase; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func TestOtherWordsAreNotMixedIntoTheLine(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		s := NewScreen(&out, columns(80))
		stop := s.Show("work", func() State { return State{} })
		time.Sleep(1100 * time.Millisecond)
		if _, err := io.WriteString(s, "a warning\n"); err != nil {
			t.Error(err)
		}
		time.Sleep(250 * time.Millisecond)
		stop()
	})
	if want := erase + "work: 1s" + erase + "a warning\n" + erase + "work: 1s" + erase; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// After stop the work's counters may go.
func TestStoppedIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		stop := NewScreen(io.Discard, columns(80)).Show("work", func() State { asked.Add(1); return State{} })
		time.Sleep(2 * time.Second)
		stop()
		before := asked.Load()
		time.Sleep(time.Minute)
		if before == 0 || asked.Load() != before {
			t.Errorf("asked %d times, then %d", before, asked.Load())
		}
	})
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestBrokenStreamStopsNoWork(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		stop := NewScreen(brokenWriter{}, columns(80)).Show("work", func() State { return State{} })
		time.Sleep(time.Minute)
		stop()
	})
}

func TestNilScreenShowsNothing(t *testing.T) {
	var s *Screen
	s.Show("work", func() State { panic("asked") })()
}

func TestLines(t *testing.T) {
	for _, c := range []struct {
		state   State
		elapsed time.Duration
		rate    float64
		want    string
	}{
		{State{}, 83 * time.Second, -1, "w: 1m23s"},
		{State{Text: "directory"}, time.Second, -1, "w: 1s, directory"},
		{State{Done: 7, Unit: "objects"}, time.Second, 12.6, "w: 7 objects, 13/s"},
		{State{Done: 7, Total: 9, Unit: "objects"}, time.Second, 0, "w: 7 of 9 objects (78%), 0.0/s"},
		{State{Done: 9, Total: 9, Unit: "objects"}, time.Second, 3, "w: 9 of 9 objects (100%), 3.0/s"},
		{State{Done: 3e9, Total: 12e9, Unit: Bytes}, time.Second, 1e9, "w: 3.00 GB of 12.0 GB (25%), 1.00 GB/s, 9s left"},
		{State{Done: 1, Total: 1e12, Unit: Bytes}, time.Second, 1, "w: 1 B of 1.00 TB (0%), 1 B/s"},
		{State{Done: 1, Total: 3 * 3600, Unit: "s"}, time.Second, 1, "w: 1 of 10800 s (0%), 1.0/s, 3h0m left"},
		{State{Of: 90 * time.Second, For: 2 * time.Minute, Text: "5 of 5"}, time.Second, -1, "w: 1m30s of 2m0s, 5 of 5"},
		{State{Of: 3 * time.Minute, For: 2 * time.Minute}, time.Second, -1, "w: 2m0s of 2m0s"},
	} {
		if got := c.state.line("w", c.elapsed, c.rate); got != c.want {
			t.Errorf("%+v: %q, want %q", c.state, got, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.00 kB", 9_996: "10.0 kB", 99_960: "100 kB", 999_600: "1.00 MB",
		12_345_678: "12.3 MB", 5e15: "5 PB",
	} {
		if got := Size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

// A new phase has a rate of its own.
func TestRatesAreOfOnePhase(t *testing.T) {
	var r rates
	at := time.Unix(0, 0)
	for _, step := range []struct {
		state State
		want  float64
	}{
		{State{Done: 0, Unit: "objects"}, -1}, {State{Done: 100, Unit: "objects"}, 100},
		{State{Done: 3, Unit: "recordings"}, -1}, {State{Done: 5, Unit: "recordings"}, 2},
		{State{Done: 0, Unit: "recordings"}, -1}, {State{Done: 1, Unit: "recordings"}, 1},
	} {
		if got := r.add(at, step.state); got != step.want {
			t.Errorf("%+v: %v, want %v", step.state, got, step.want)
		}
		at = at.Add(time.Second)
	}
}
