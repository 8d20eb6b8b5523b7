package ingest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// manyTS gives streams in which every codec is.
func manyTS(tb testing.TB, more ...string) map[string][]byte {
	tb.Helper()
	inputs := []string{"-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", lavfiStereo}
	encode := func(args ...string) []byte {
		return encodedTS(tb, append(append(append([]string{}, inputs...), append(args, "-t", "2")...), more...)...)
	}
	return map[string][]byte{
		"h264": encode("-map", "0", "-map", "1", "-map", "1", "-map", "1", "-map", "1", "-map", "1", "-c:v", "libx264", "-preset", "ultrafast",
			"-pix_fmt", "yuv420p", "-g", "10", "-bf", "2", "-c:a:0", "aac", "-c:a:1", "ac3", "-c:a:2", "libopus", "-c:a:3", "libmp3lame", "-c:a:4", "eac3"),
		"hevc": encode("-map", "0", "-map", "1", "-map", "1", "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none:keyint=10",
			"-c:a:0", "aac", "-c:a:1", "mp2", "-mpegts_flags", "+latm"),
	}
}

// framesTS gives what every frame is, with the name that its track had then.
func framesTS(tb testing.TB, pieces ...[]byte) (frames []string, l *lineup) {
	tb.Helper()
	rec := newRecorder()
	p := &recPublication{rec: rec}
	rec.onFrame = func(f *media.Frame) error {
		frames = append(frames, p.tracks[len(p.tracks)-1][f.Track].Name+" "+identity(*f))
		return nil
	}
	d, l := newTestTS(tb, p)
	for _, piece := range pieces {
		if len(piece) == 0 {
			d.gap()
		}
		if err := d.feed(piece, time.Unix(1000, 0)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(d.flush(), l.flush()); err != nil {
		tb.Fatal(err)
	}
	return frames, l
}

// Whatever is lost of any codec: what is given is what was sent, and less of it. At the very end a loss can't be known.
func TestTSLossOfEveryCodec(t *testing.T) {
	for name, stream := range manyTS(t) {
		whole, _ := framesTS(t, split(stream, 1316)...)
		for seed := range uint64(60) {
			random := rand.New(rand.NewPCG(seed, 1))
			datagram, told := 1316, seed%2 == 0
			if !told {
				datagram = tsPacket // the counters tell of less than sixteen
			}
			var pieces [][]byte
			lost := 0
			packets := split(stream, datagram)
			for i, piece := range packets {
				switch {
				case i < 3, i > len(packets)*9/10, random.IntN(20) > 0:
					pieces = append(pieces, piece)
				case told:
					pieces = append(pieces, nil)
					fallthrough
				default:
					lost++
				}
			}
			frames, l := framesTS(t, pieces...)
			for _, f := range frames {
				if !slices.Contains(whole, f) {
					t.Fatalf("%s, seed %d: a frame was never sent so: %.60s", name, seed, f)
				}
			}
			if len(frames) < len(whole)/10 || lost > 0 && repairs(l, repairTSContinuity)+repairs(l, repairTSDamaged) == 0 {
				t.Errorf("%s, seed %d: %d of %d frames after %d losses", name, seed, len(frames), len(whole), lost)
			}
		}
	}
}

// The clock of 33 bits wraps in all tracks at once, and to the tick.
func TestTSClockWrapsOfEveryCodec(t *testing.T) {
	plain := manyTS(t, "-bitexact")
	for name, wrapped := range manyTS(t, "-bitexact", "-output_ts_offset", fmt.Sprintf("%.6f", float64(1<<33)/90000-2.2)) {
		want, _, _ := demuxTS(t, split(plain[name], 1316)...)
		got, _, _ := demuxTS(t, split(wrapped, 1316)...)
		if len(got.video) != len(want.video) || len(got.audio) != len(want.audio) || len(got.video) != 50 {
			t.Fatalf("%s: %d and %d frames, want %d and %d", name, len(got.video), len(got.audio), len(want.video), len(want.audio))
		}
		offset := media.Ticks(got.video[0].DTS, 90000) - media.Ticks(want.video[0].DTS, 90000)
		ticks := func(f media.Frame, offset int64) [3]int64 {
			return [3]int64{int64(f.Track), media.Ticks(f.DTS, 90000) - offset, media.Ticks(f.PTS, 90000) - offset}
		}
		after := 0
		for i, f := range append(got.video, got.audio...) {
			was := append(want.video, want.audio...)[i]
			if ticks(f, offset) != ticks(was, 0) {
				t.Errorf("%s: frame %d at %v, want %v", name, i, ticks(f, offset), ticks(was, 0))
			}
			if media.Ticks(f.DTS, 90000) >= 1<<33 {
				after++
			}
		}
		if after == 0 || after == len(got.video)+len(got.audio) {
			t.Errorf("%s: %d frames after the wrap", name, after)
		}
	}
}

// A time of 90 kHz is the same after it was one of nanoseconds, wherever on the clock.
func TestTSTicksAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1_000_000 {
		ticks := random.Int64N(1<<36) - 1<<35
		if got := media.Ticks(media.Duration(ticks, 90000), 90000); got != ticks {
			t.Fatalf("%d becomes %d", ticks, got)
		}
	}
}
