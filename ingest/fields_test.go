package ingest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// paffFields are field pictures: of frames 0, 0, 1, 1, ..., each behind a delimiter.
func paffFields(tb testing.TB) (fields [][]byte) {
	tb.Helper()
	delimiter := []byte{0, 0, 0, 1, 9, 0xf0}
	for _, field := range bytes.Split(mustRead(tb, "../internal/bitstream/testdata/paff.h264"), delimiter)[1:] {
		fields = append(fields, slices.Concat(delimiter, field))
	}
	return fields
}

// lengthed gives a byte stream's NAL units behind lengths, without delimiters and parameter sets.
func lengthed(tb testing.TB, stream ...[]byte) []byte {
	tb.Helper()
	b, ok := bitstream.ByteStream(nil, slices.Concat(stream...), 1<<20)
	if !ok {
		tb.Fatal("too long")
	}
	unit, err := new(bitstream.AVC).Read(b, 1<<20, func(bitstream.Fault) {})
	if err != nil {
		tb.Fatal(err)
	}
	return unit.Payload
}

// Two fields are one sample with the times of the first, however they come.
func TestTSFields(t *testing.T) {
	const pid = 0x101
	f := paffFields(t)
	frame := func(i int) []byte { return slices.Concat(f[2*i], f[2*i+1]) }
	for _, tt := range []struct {
		name  string
		write func(m *tsMux)
		want  string // of each sample: PTS and the fields in it
		lone  int
	}{
		{"a PES packet each", func(m *tsMux) {
			for i := range 8 {
				m.pes(pid, int64(10*i+100), int64(10*i), f[i])
			}
		}, "100s[0 1] 120[2 3] 140[4 5] 160[6 7] ", 0},
		{"one for both", func(m *tsMux) {
			for i := range 3 {
				m.pes(pid, int64(20*i), int64(20*i), frame(i))
			}
		}, "0s[0 1] 20[2 3] 40[4 5] ", 0},
		{"the second without a time", func(m *tsMux) {
			for i := range 3 {
				m.sized(pid, int64(20*i), f[2*i])
				m.sized(pid, -1, f[2*i+1])
			}
		}, "0s[0 1] 20[2 3] 40[4 5] ", 0},
		{"several frames in one", func(m *tsMux) {
			m.pes(pid, 0, 0, slices.Concat(frame(0), frame(1)))
			m.pes(pid, 40, 40, slices.Concat(frame(2), frame(3)))
		}, "0s[0 1] 20[2 3] 40[4 5] 60[6 7] ", 0},
		{"torn between PES packets", func(m *tsMux) {
			m.pes(pid, 0, 0, f[0])
			m.pes(pid, 10, 10, slices.Concat(f[1], f[2]))
			m.pes(pid, 30, 30, f[3])
		}, "0s[0 1] 20[2 3] ", 0},
		{"a second one is lost", func(m *tsMux) {
			for i, field := range [][]byte{f[0], f[1], f[2], f[4], f[5]} {
				m.pes(pid, int64(10*i), int64(10*i), field)
			}
		}, "0s[0 1] 20[2] 30[4 5] ", 1},
		{"a first one is lost", func(m *tsMux) {
			for i, field := range [][]byte{f[0], f[1], f[3], f[4], f[5]} {
				m.pes(pid, int64(10*i), int64(10*i), field)
			}
		}, "0s[0 1] 20[3] 30[4 5] ", 1},
		{"the last one is missing", func(m *tsMux) {
			for i := range 3 {
				m.pes(pid, int64(10*i), int64(10*i), f[i])
			}
		}, "0s[0 1] 20[2] ", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m tsMux
			m.pat(0x100)
			m.pmt(0x100, 1, 0, tsTypeH264, pid)
			tt.write(&m)
			got, _, l := demuxTS(t, split(m.out, 1316)...)
			var samples string
			for _, s := range got.video {
				samples += describeFields(t, f, &s)
			}
			if diff := cmp.Diff(tt.want, samples); diff != "" {
				t.Error(diff)
			}
			if n := repairs(l, repairLoneField); n != tt.lone {
				t.Errorf("%d lone fields", n)
			}
		})
	}
}

// describeFields tells a sample's time, whether it is a sync sample, and the fields in it.
func describeFields(tb testing.TB, fields [][]byte, s *media.Frame) string {
	tb.Helper()
	var in []int
	rest := s.Payload
	for i, field := range fields {
		if after, ok := bytes.CutPrefix(rest, lengthed(tb, field)); ok {
			in, rest = append(in, i), after
		}
	}
	mark := ""
	if s.Sync {
		mark = "s"
	}
	if len(rest) > 0 {
		mark += "?"
	}
	return fmt.Sprintf("%d%s%v ", media.Ticks(s.PTS, 90000), mark, in)
}

// ffmpeg writes a message for each field.
func TestFLVFields(t *testing.T) {
	f := paffFields(t)
	p := &recPublication{rec: newRecorder()}
	d, l := newTestDemuxer(t, p)
	empty := []byte{1, 77, 0, 30, 0xff, 0xe0, 0}
	tags := []tag{data(onlyVideo), video(0, videoConfig(empty))}
	for i := range 6 {
		b, _ := bitstream.ByteStream(nil, f[i], 1<<20)
		tags = append(tags, video(uint32(20*i), append([]byte{0x27, 1, 0, 0, 80}, b...)))
	}
	if err := d.feed(tags...); err != nil {
		t.Fatal(err)
	}
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	var samples string
	for _, s := range p.frames {
		samples += describeFields(t, f, &s)
	}
	if want := "7200s[0 1] 10800[2 3] 14400[4 5] "; samples != want {
		t.Errorf("got %s, want %s", samples, want)
	}
}

// Fields that together are past the limit stay apart, and what is held never is.
func TestFieldsPastTheLimit(t *testing.T) {
	const limit = 100
	out := &recPublication{rec: newRecorder()}
	_, l := newTestDemuxer(t, out)
	id := trackID{kind: media.Video}
	l.announce(1, 0)
	if err := l.configure(id, media.Track{Codec: media.H264, Config: testRecord}); err != nil {
		t.Fatal(err)
	}
	var p fieldPair
	for i, parity := range []bitstream.Parity{bitstream.Top, bitstream.Bottom} {
		field := bitstream.Field{Parity: parity}
		frame := media.Frame{Payload: make([]byte, []int{40, limit - 39}[i])}
		if err := p.settle(l, id, field, len(frame.Payload), limit); err != nil {
			t.Fatal(err)
		}
		if err := p.write(l, id, field, &frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.settle(l, id, bitstream.Field{}, 0, limit); err != nil {
		t.Fatal(err)
	}
	if n := repairs(l, repairLoneField); n != 2 || len(out.frames) != 2 {
		t.Errorf("%d lone fields, %d samples", n, len(out.frames))
	}
}
