package ingest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Where an access unit ends, and what is said of it.
func TestTSAccessUnits(t *testing.T) {
	const pid = 0x101
	sets := annexB([]byte{9, 0xf0}, testSPS, testPPS)
	idr, slice := []byte{0x65, 0x88, 1, 2, 3, 4, 5, 6, 7}, []byte{0x61, 0x9a, 1, 2, 3, 4, 5, 6, 7}
	recovery := annexB([]byte{9, 0xf0}, []byte{6, 6, 1, 0x84, 0x80}, slice)
	picture := slices.Concat(sets, annexB(idr))
	next := annexB([]byte{9, 0xf0}, slice)
	// randomly marks the packet that was written last as one where decoding may begin.
	randomly := func(m *tsMux) {
		m.out[len(m.out)-tsPacket+5] |= 0x40
	}
	for _, tt := range []struct {
		name   string
		write  func(m *tsMux)
		want   string // of each frame: DTS, PTS, whether it is sync or recovery, bytes
		faults map[string]int
	}{
		{"one to a PES packet", func(m *tsMux) {
			m.pes(pid, 2, 1, picture)
			m.pes(pid, 4, 3, next)
		}, "1 2 s 13, 3 4  13, ", nil},
		{"packets of known length", func(m *tsMux) {
			m.sized(pid, 1, picture)
			m.sized(pid, 3, next)
		}, "1 1 s 13, 3 3  13, ", nil},
		{"over several packets", func(m *tsMux) {
			m.sized(pid, 1, picture[:len(picture)-6])
			m.sized(pid, -1, picture[len(picture)-6:len(picture)-3])
			m.sized(pid, -1, picture[len(picture)-3:])
			m.sized(pid, 3, next[:9])
			m.sized(pid, -1, next[9:])
		}, "1 1 s 13, 3 3  13, ", nil},
		{"a part of several is lost", func(m *tsMux) {
			m.sized(pid, 1, picture[:len(picture)-6])
			m.sized(pid, -1, picture[len(picture)-6:len(picture)-3])
			m.out = m.out[:len(m.out)-tsPacket]
			m.sized(pid, -1, picture[len(picture)-3:])
			m.sized(pid, 3, picture)
		}, "3 3 s 13, ", map[string]int{repairTSContinuity: 1, repairTSDamaged: 1}},
		{"one without a time", func(m *tsMux) {
			m.sized(pid, 1, picture)
			m.sized(pid, -1, next)
			m.sized(pid, 5, next)
		}, "1 1 s 13, 3 3  13, 5 5  13, ", map[string]int{repairTSSplit: 1}},
		{"several to a PES packet", func(m *tsMux) {
			m.pes(pid, 18, 10, slices.Concat(picture, next, annexB(slice), next))
			m.pes(pid, 22, 14, slices.Concat(next, annexB(slice)))
		}, "10 18 s 13, 11 19  13, 12 20  13, 13 21  13, 14 22  13, 15 23  13, ", map[string]int{repairTSSplit: 2}},
		{"several without what follows", func(m *tsMux) {
			m.pes(pid, 10, 10, slices.Concat(picture, annexB(slice)))
		}, "10 10 s 13, 3610 3610  13, ", map[string]int{repairTSSplit: 1}},
		{"several before a jump", func(m *tsMux) {
			m.pes(pid, 10, 10, picture)
			m.pes(pid, 13, 13, picture)
			m.pes(pid, 16, 16, slices.Concat(picture, annexB(slice)))
			m.pes(pid, 900000, 900000, picture)
		}, "10 10 s 13, 13 13 s 13, 16 16 s 13, 19 19  13, 900000 900000 s 13, ", map[string]int{repairTSSplit: 1}},
		{"a begin without a time", func(m *tsMux) {
			m.sized(pid, -1, picture)
			m.sized(pid, 5, picture)
		}, "5 5 s 13, ", map[string]int{repairTSUntimed: 1}},
		{"the transport's random access", func(m *tsMux) {
			m.pes(pid, 1, 1, annexB(testSPS, testPPS, slice))
			randomly(m)
			m.pes(pid, 2, 2, next)
			m.pes(pid, 3, 3, next)
			randomly(m)
		}, "1 1 r 13, 2 2  13, 3 3 r 13, ", nil},
		{"is not heard beside the stream's own", func(m *tsMux) {
			m.pes(pid, 1, 1, slices.Concat(sets, recovery))
			m.pes(pid, 2, 2, next)
			randomly(m)
			m.pes(pid, 3, 3, picture)
		}, "1 1 r 22, 2 2  13, 3 3 s 13, ", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m tsMux
			m.pat(0x100)
			m.pmt(0x100, 1, 0, tsTypeH264, pid)
			tt.write(&m)
			got, _, l := demuxTS(t, split(m.out, 1316)...)
			var frames string
			for _, f := range got.video {
				mark := ""
				if f.Sync {
					mark = "s"
				} else if f.Recovery {
					mark = "r"
				}
				frames += fmt.Sprintf("%d %d %s %d, ", media.Ticks(f.DTS, 90000), media.Ticks(f.PTS, 90000), mark, len(f.Payload))
			}
			if diff := cmp.Diff(tt.want, frames); diff != "" {
				t.Error(diff)
			}
			for _, what := range []string{repairTSDamaged, repairTSUntimed, repairTSContinuity, repairTSTooLarge, repairTSSplit} {
				if n := repairs(l, what); n != tt.faults[what] {
					t.Errorf("%d %s", n, what)
				}
			}
		})
	}
}

// An access unit of nearly 16 MiB comes through whole.
func TestTSLargePicture(t *testing.T) {
	large := append([]byte{0x65, 0x88}, bytes.Repeat([]byte{7}, 16<<20-1000)...)
	var m tsMux
	m.pat(0x100)
	m.pmt(0x100, 1, 0, tsTypeH264, 0x101)
	m.pes(0x101, 1, 1, annexB(testSPS, testPPS, large))
	p := &recPublication{rec: newRecorder()}
	l := newLineup(Config{}.withDefaults(), p, newMetrics(prometheus.NewRegistry()))
	d := newTSDemuxer(&l, 16<<20, 0)
	for _, piece := range split(m.out, 1316) {
		if err := d.feed(piece, time.Unix(1000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	if len(p.frames) != 1 || !bytes.Equal(p.frames[0].Payload[4:], large) {
		t.Errorf("%d frames", len(p.frames))
	}
}

// The captions in use in the pictures of the first video track are told, and stay where they are.
func TestCC1_TSCaptions(t *testing.T) {
	// user_data_registered_itu_t_t35 of ATSC A/53: cc_data that begins pop-on captions, and writes "HI".
	caption := func(cc ...byte) []byte {
		b := append([]byte{6, 4, byte(11 + len(cc)), 0xb5, 0, 0x31, 'G', 'A', '9', '4', 3, 0x40 | byte(len(cc)/3), 0xff}, cc...)
		return append(b, 0xff, 0x80)
	}
	one, two := caption(0xfc, 0x94, 0x20, 0xfc, 0xc8, 0x49), caption(0xfd, 0x15, 0x25, 0xfd, 0xc8, 0x49)
	var m tsMux
	m.pat(0x100)
	m.pmt(0x100, 1, 0, tsTypeH264, 0x101, tsTypeH264, 0x102)
	m.pes(0x101, 7200, 3600, annexB(testSPS, testPPS, one, []byte{0x65, 0x88, 1}))
	m.pes(0x102, 7200, 3600, annexB(testSPS, testPPS, two, []byte{0x65, 0x88, 1}))
	got, _, _ := demuxTS(t, m.out)
	if len(got.metadata) != 1 || got.metadata[0].Kind != media.Captions || string(got.metadata[0].Payload) != "CC1" {
		t.Fatalf("%+v", got.metadata)
	}
	if len(got.video) != 2 || !bytes.Contains(got.video[0].Payload, one) || !bytes.Contains(got.video[1].Payload, two) {
		t.Errorf("%d frames, not all with their captions", len(got.video))
	}
}
