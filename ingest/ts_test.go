package ingest

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// smallTS is 20 pictures, two of them IDR and some of them B, with AAC, as ffmpeg writes them.
//
//go:embed testdata/small.ts
var smallTS []byte

func newTestTS(tb testing.TB, out Publication) (*tsDemuxer, *lineup) {
	tb.Helper()
	l := newLineup(Config{}.withDefaults(), out, newMetrics(prometheus.NewRegistry()))
	return newTSDemuxer(&l, 1<<20, 0), &l
}

// tsFrames is what a stream is found to carry.
type tsFrames struct {
	tracks       []media.Track
	video, audio []media.Frame
	sets         [][]media.Track // as they were set, the last of them being tracks
	metadata     []media.TimedMetadata
}

// demuxTS feeds the pieces and gives what came out. An empty piece stands for a gap that was told.
func demuxTS(tb testing.TB, pieces ...[]byte) (tsFrames, *tsDemuxer, *lineup) {
	tb.Helper()
	p := &recPublication{rec: newRecorder()}
	d, l := newTestTS(tb, p)
	for _, piece := range pieces {
		if len(piece) == 0 {
			d.gap()
		}
		if err := d.feed(piece, time.Unix(1000, 0)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := d.flush(); err != nil {
		tb.Fatal(err)
	}
	if err := l.flush(); err != nil {
		tb.Fatal(err)
	}
	got := tsFrames{sets: p.tracks, metadata: p.metadata}
	if len(p.tracks) > 0 {
		got.tracks = p.tracks[len(p.tracks)-1]
	}
	for _, f := range p.frames {
		if got.tracks[f.Track].Kind == media.Video {
			got.video = append(got.video, f)
		} else {
			got.audio = append(got.audio, f)
		}
	}
	return got, d, l
}

// sameUnits compares frames with what another reader read: of each track, in order.
func sameUnits(tb testing.TB, what string, got []media.Frame, want []oracleUnit) {
	tb.Helper()
	if len(got) != len(want) || len(want) == 0 {
		tb.Fatalf("%s: %d frames, want %d", what, len(got), len(want))
	}
	for i, f := range got {
		pts, dts := media.Ticks(f.PTS, 90000), media.Ticks(f.DTS, 90000)
		if pts-want[i].pts > 1 || want[i].pts-pts > 1 || dts-want[i].dts > 1 || want[i].dts-dts > 1 {
			tb.Errorf("%s %d: PTS %d, DTS %d, want %d, %d", what, i, pts, dts, want[i].pts, want[i].dts)
		}
		if !bytes.Equal(f.Payload, want[i].payload) {
			tb.Errorf("%s %d: %d bytes, want %d", what, i, len(f.Payload), len(want[i].payload))
		}
	}
}

func split(stream []byte, size int) (pieces [][]byte) {
	return slices.Collect(slices.Chunk(stream, size))
}

func TestTSAgainstOracle(t *testing.T) {
	oracle := oracleTS(t, smallTS)
	video, audio := oracle[0], oracle[1]
	for _, size := range []int{len(smallTS), 7 * tsPacket, tsPacket, 1000, 189, 187, 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			got, _, l := demuxTS(t, split(smallTS, size)...)
			sameUnits(t, "video", got.video, video)
			sameUnits(t, "audio", got.audio, audio)
			if len(got.tracks) != 2 || got.tracks[0].Config[0] != 1 || !bytes.Equal(got.tracks[1].Config, []byte{0x11, 0x88}) {
				t.Errorf("tracks %x", got.tracks)
			}
			sync := 0
			for _, f := range got.video {
				if f.Sync {
					sync++
				}
			}
			if sync != 2 {
				t.Errorf("%d sync frames", sync)
			}
			for _, what := range []string{repairTSSync, repairTSContinuity, repairTSDamaged, repairAudioSync} {
				if n := repairs(l, what); n != 0 {
					t.Errorf("%d %s", n, what)
				}
			}
		})
	}
}

// identity is equal for frames that are the same in all that counts.
func identity(f media.Frame) string {
	return fmt.Sprintf("%d %d %v %x", f.DTS, f.PTS, f.Sync, f.Payload)
}

// Whatever packets are missing: what is given is what was sent, and less of it.
func TestTSLoss(t *testing.T) {
	whole, _, _ := demuxTS(t, smallTS)
	sent := map[string]bool{}
	for _, f := range append(whole.video, whole.audio...) {
		sent[identity(f)] = true
	}
	check := func(name string, pieces [][]byte) {
		t.Helper()
		got, _, l := demuxTS(t, pieces...)
		for _, f := range append(got.video, got.audio...) {
			if !sent[identity(f)] {
				t.Errorf("%s: a frame of %d bytes at %v was never sent so", name, len(f.Payload), f.DTS)
			}
		}
		// What lacks at a stream's very beginning or end can't be known to lack.
		inside := func(got, whole []media.Frame) bool {
			return len(got) > 0 && len(got) < len(whole) && got[0].DTS == whole[0].DTS &&
				got[len(got)-1].DTS == whole[len(whole)-1].DTS
		}
		if (inside(got.video, whole.video) || inside(got.audio, whole.audio)) && repairs(l, repairTSContinuity) == 0 {
			t.Errorf("%s: no loss was counted", name)
		}
	}
	packets := split(smallTS, tsPacket)
	for first := 3; first+1 < len(packets); first++ {
		for _, run := range []int{1, 2, 5} {
			if first+run < len(packets) {
				check(fmt.Sprintf("%d packets from %d", run, first),
					slices.Concat(packets[:first], packets[first+run:]))
			}
		}
	}
	for n := 2; n < 20; n++ {
		var kept [][]byte
		for i, p := range packets {
			if i < 3 || i%n != 0 {
				kept = append(kept, p)
			}
		}
		check(fmt.Sprintf("every packet number %d", n), kept)
	}
	// Datagrams across packet boundaries, whose loss the transport tells.
	for _, size := range []int{500, 1316, 1000, 3008} {
		datagrams := split(smallTS, size)
		for lost := 1; lost+1 < len(datagrams); lost++ {
			pieces := slices.Concat(datagrams[:lost], [][]byte{{}}, datagrams[lost+1:])
			got, _, _ := demuxTS(t, pieces...)
			for _, f := range append(got.video, got.audio...) {
				if !sent[identity(f)] {
					t.Errorf("datagram %d of %d bytes lost: a frame at %v was never sent so", lost, size, f.DTS)
				}
			}
		}
	}
}

func TestTSResync(t *testing.T) {
	whole, _, _ := demuxTS(t, smallTS)
	garbage := bytes.Repeat([]byte{0x47, 1, 2, 0x47, 0x47}, 100)
	got, _, _ := demuxTS(t, garbage, smallTS)
	if len(got.video) != len(whole.video) || len(got.audio) < len(whole.audio) {
		t.Errorf("%d and %d frames", len(got.video), len(got.audio))
	}
	at := 20*tsPacket + 50
	torn := slices.Concat(smallTS[:at], []byte{1, 2, 3}, smallTS[at:])
	got, _, l := demuxTS(t, torn)
	if n := len(got.video); n < len(whole.video)-3 || repairs(l, repairTSSync) != 1 {
		t.Errorf("%d pictures, %d times out of sync", n, repairs(l, repairTSSync))
	}
}

func TestTSClockWraps(t *testing.T) {
	const wrap = int64(1) << 33
	var m tsMux
	m.pat(0x100)
	m.pmt(0x100, 1, 0, tsTypeH264, 0x101, tsTypeADTS, 0x102)
	picture := annexB([]byte{9, 0xf0}, testSPS, testPPS, []byte{0x65, 0x88, 1})
	start := wrap - 3600
	for i := range int64(3) {
		dts := start + i*3600
		m.pes(0x101, (dts+1800)%wrap, dts%wrap, picture)
		m.pes(0x102, dts%wrap, dts%wrap, slices.Concat(adts([]byte{1, 2}), adts([]byte{3, 4})))
	}
	got, _, _ := demuxTS(t, m.out)
	var dts, pts, sound []int64
	for _, f := range got.video {
		dts, pts = append(dts, media.Ticks(f.DTS, 90000)-start), append(pts, media.Ticks(f.PTS, 90000)-start)
	}
	for _, f := range got.audio {
		sound = append(sound, media.Ticks(f.DTS, 90000)-start)
	}
	if diff := cmp.Diff([][]int64{{0, 3600, 7200}, {1800, 5400, 9000}, {0, 1920, 3600, 5520, 7200, 9120}},
		[][]int64{dts, pts, sound}); diff != "" {
		t.Error(diff)
	}
}

func TestTSTables(t *testing.T) {
	picture := annexB(testSPS, testPPS, []byte{0x65, 0x88, 1})
	publish := func(m *tsMux, pid, n int) {
		for range n {
			at := int64(len(m.out)) * 10
			m.pes(pid, at, at, picture)
		}
	}
	for _, tt := range []struct {
		name         string
		write        func(m *tsMux)
		pictures     int
		skipped      []string
		brokenTables int
	}{
		{name: "a PMT that comes late", pictures: 2, write: func(m *tsMux) {
			publish(m, 0x101, 3)
			m.pat(0x100)
			publish(m, 0x101, 3)
			m.pmt(0x100, 1, 0, tsTypeH264, 0x101)
			publish(m, 0x101, 2)
		}},
		{name: "a PMT that changes", pictures: 4, write: func(m *tsMux) {
			m.pat(0x100)
			m.pmt(0x100, 1, 0, tsTypeH264, 0x101)
			publish(m, 0x101, 2)
			m.packets(0x101, true, nil) // ends the picture
			m.pmt(0x100, 1, 1, tsTypeH264, 0x201)
			publish(m, 0x101, 2)
			publish(m, 0x201, 2)
		}},
		{name: "the first program with media", pictures: 3, skipped: []string{"program 3"}, write: func(m *tsMux) {
			m.pat(0x100, 0x110, 0x120)
			m.pmt(0x100, 1, 0, 0x86, 0x101)
			m.pmt(0x110, 2, 0, tsTypeH264, 0x111)
			m.pmt(0x120, 3, 0, tsTypeH264, 0x121)
			publish(m, 0x121, 2)
			publish(m, 0x111, 3)
		}},
		{name: "a declared stream that never sends", pictures: 2, write: func(m *tsMux) {
			m.pat(0x100)
			m.pmt(0x100, 1, 0, tsTypeADTS, 0x102, tsTypeH264, 0x101)
			publish(m, 0x101, 2)
		}},
		{name: "a table with a wrong checksum", pictures: 1, brokenTables: 1, write: func(m *tsMux) {
			m.pat(0x100)
			m.pmt(0x100, 1, 0, tsTypeH264, 0x101)
			m.out[len(m.out)-1] ^= 1
			publish(m, 0x101, 1)
			m.pmt(0x100, 1, 0, tsTypeH264, 0x101)
			publish(m, 0x101, 1)
		}},
		{name: "streams that are not supported", pictures: 1, skipped: []string{"DTS", "VVC (H.266)", "stream type 0xfe"},
			write: func(m *tsMux) {
				m.pat(0x100)
				m.pmt(0x100, 1, 0, 0x82, 0x105, 0x33, 0x106, 0xfe, 0x107, tsTypeH264, 0x101)
				m.pes(0x106, 1, 1, []byte{1, 2, 3})
				publish(m, 0x101, 1)
			}},
		{name: "a table of several packets", pictures: 1, write: func(m *tsMux) {
			m.pat(0x100)
			streams := []int{tsTypeH264, 0x101}
			for i := range 100 {
				streams = append(streams, 0x33, 0x300+i)
			}
			m.pmt(0x100, 1, 0, streams...)
			publish(m, 0x101, 1)
		}, skipped: []string{"VVC (H.266)"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m tsMux
			tt.write(&m)
			got, d, l := demuxTS(t, m.out)
			if len(got.video) != tt.pictures {
				t.Errorf("%d pictures, want %d", len(got.video), tt.pictures)
			}
			if diff := cmp.Diff(tt.skipped, d.skipped); diff != "" {
				t.Error(diff)
			}
			if n := repairs(l, repairTSTable); n != tt.brokenTables {
				t.Errorf("%d broken tables", n)
			}
		})
	}
}

func TestTSAudioAcrossPackets(t *testing.T) {
	var m tsMux
	m.pat(0x100)
	m.pmt(0x100, 1, 0, tsTypeADTS, 0x102)
	units := make([][]byte, 6)
	var stream []byte
	for i := range units {
		units[i] = bytes.Repeat([]byte{byte(i), 0xff, 0xf1}, 40)
		stream = append(stream, adts(units[i])...)
	}
	at := int64(90000)
	for i, n := range []int{190, 300} { // in the second and in the fourth unit
		m.pes(0x102, at+int64(i)*1920*2, at, stream[:n])
		stream = stream[n:]
	}
	m.pes(0x102, at+1920*4, at, stream)
	got, _, l := demuxTS(t, m.out)
	if len(got.audio) != 6 || repairs(l, repairAudioSync) != 0 {
		t.Fatalf("%d units, %d out of sync", len(got.audio), repairs(l, repairAudioSync))
	}
	for i, f := range got.audio {
		if ticks := media.Ticks(f.PTS, 90000); ticks != at+int64(i)*1920 || !bytes.Equal(f.Payload, units[i]) {
			t.Errorf("unit %d at %d: % .8x", i, ticks, f.Payload)
		}
	}
}

func TestTSTooLarge(t *testing.T) {
	var m tsMux
	m.pat(0x100)
	m.pmt(0x100, 1, 0, tsTypeH264, 0x101)
	m.pes(0x101, 0, 0, annexB(testSPS, testPPS, []byte{0x65, 0x88, 1}))
	m.pes(0x101, 3600, 3600, annexB(append([]byte{0x61}, bytes.Repeat([]byte{1}, 2<<20)...)))
	m.pes(0x101, 7200, 7200, annexB([]byte{0x61, 1}))
	got, d, l := demuxTS(t, m.out)
	if len(got.video) != 2 || repairs(l, repairTSTooLarge) != 1 {
		t.Errorf("%d pictures, %d too large", len(got.video), repairs(l, repairTSTooLarge))
	}
	if cap(d.streams[0].buf) > 4<<20 {
		t.Errorf("%d bytes are held", cap(d.streams[0].buf))
	}
}

func mustRead(tb testing.TB, file string) []byte {
	tb.Helper()
	out, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
