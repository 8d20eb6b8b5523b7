package ingest

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// encodedSeeds is a little of every codec as ffmpeg writes it.
//
//go:embed testdata/ts/*.ts
var encodedSeeds embed.FS

// FuzzTS: no bytes panic, are held past the limits, or become a frame that is not units behind 4-byte lengths.
func FuzzTS(f *testing.F) {
	f.Add(smallTS[:20*tsPacket], uint16(1316))
	f.Add(smallTS[:10*tsPacket], uint16(100))
	f.Add(slices.Concat(smallTS[:4*tsPacket], smallTS[5*tsPacket:9*tsPacket]), uint16(188))
	var m tsMux
	m.pat(0x100, 0x110)
	m.pmt(0x110, 2, 0, tsTypeADTS, 0x102, 0x24, 0x103)
	m.pmt(0x100, 1, 0, tsTypeH264, 0x101)
	m.pes(0x101, 0, 0, annexB(testSPS, testPPS, []byte{0x65, 0x88, 1}))
	m.pes(0x102, 0, 0, adts([]byte{1, 2, 3}))
	f.Add(m.out, uint16(4))
	files, err := encodedSeeds.ReadDir("testdata/ts")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(mustRead(f, "testdata/ts/"+file.Name()), uint16(1316))
	}
	var data tsMux
	data.pat(0x100)
	data.pmtOf(0x100, 1, 0, tsMuxed{kind: tsTypeH264, pid: 0x101}, tsMuxed{kind: tsTypeSCTE35, pid: 0x102},
		tsMuxed{tsTypeMetadata, 0x103, descriptor(tagMetadata, "\xff\xffID3 \xffID3 \x00\x0f")},
		tsMuxed{tsTypePrivate, 0x104, descriptor(tagRegistration, "KLVA")},
		tsMuxed{tsTypeMetadata, 0x105, descriptor(tagMetadata, "\x01\x00\xffKLVA\x00\x0f")})
	data.pes(0x101, 0, 0, annexB(testSPS, testPPS, []byte{0x65, 0x88, 1}))
	for _, text := range []string{cueSignal, cueInsert} {
		data.packets(0x102, true, append([]byte{0}, cueOf(f, text, func([]byte) {})...))
	}
	data.sized(0x103, 1, id3("one"))
	data.sized(0x104, -1, klv("a"))
	data.sized(0x105, 1, append(cell(0, 2, klv("a")[:9]), cell(1, 1, klv("a")[9:])...))
	f.Add(data.out, uint16(188))
	f.Fuzz(func(t *testing.T, stream []byte, size uint16) {
		rec := newRecorder()
		p := &recPublication{rec: rec}
		rec.onFrame = func(frame *media.Frame) error {
			if p.tracks[len(p.tracks)-1][frame.Track].Codec == media.H264 {
				return checkUnits(frame.Payload)
			}
			return nil
		}
		d, l := newTestTS(t, p)
		d.maxFrame = 1 << 10
		// Chance does not find checksums: tables are tried without.
		if len(stream) >= 12 {
			section := bytes.Clone(stream[:min(len(stream), maxTable)])
			section[0] = tableIDPAT
			if err := d.programTable(section); err != nil {
				t.Fatal(err)
			}
			d.programs = append(d.programs, d.program(1, 0x100))
			section[0], section[3], section[4] = tableIDPMT, 0, 1
			if err := d.mapTable(0x100, section); err != nil {
				t.Fatal(err)
			}
			section[0] = 0xfc
			if err := d.cue(&tsData{}, section, time.Unix(1000, 0)); err != nil {
				t.Fatal(err)
			}
		}
		for piece := range slices.Chunk(stream, int(size)+1) {
			if err := d.feed(piece, time.Unix(1000, 0)); err != nil {
				t.Fatal(err)
			}
			if what := pastLimit(d); what != "" || len(l.held) > maxHeldFrames {
				t.Fatalf("past a limit: %s", what)
			}
		}
		if err := d.flush(); err != nil {
			t.Fatal(err)
		}
	})
}

// pastLimit says what a demuxer with a limit of 1 KiB to an access unit holds too much of.
func pastLimit(d *tsDemuxer) string {
	if len(d.carry) >= tsPacket || cap(d.units) > 8<<10 || cap(d.pat.buf) > 4*maxTable {
		return "buffers"
	}
	if len(d.programs) > maxPrograms+2 || len(d.streams) > 2*maxTracksOfKind+maxDataStreams {
		return "programs or streams"
	}
	for _, s := range d.streams {
		if cap(s.buf) > 8<<10 || s.audio != nil && len(s.audio.buf) > maxAudioFrame ||
			s.section != nil && cap(s.section.buf) > 4*maxSection || s.data != nil && cap(s.data.buf) > 2*media.MaxMetadata {
			return fmt.Sprintf("stream %+v", s.form)
		}
	}
	return ""
}

// tsDiscard is a sink that takes everything.
type tsDiscard struct{}

func (tsDiscard) announce(int, int)                    {}
func (tsDiscard) configure(trackID, media.Track) error { return nil }
func (tsDiscard) remove(trackID)                       {}
func (tsDiscard) write(trackID, *media.Frame) error    { return nil }
func (tsDiscard) metadata(*media.TimedMetadata) error  { return nil }
func (tsDiscard) repaired(string)                      {}

// BenchmarkTS is one datagram of seven packets of a 6 Mbps stream.
func BenchmarkTS(b *testing.B) {
	var m tsMux
	m.pat(0x100)
	m.pmt(0x100, 1, 0, tsTypeH264, 0x101, tsTypeADTS, 0x102)
	m.pes(0x101, 0, 0, annexB(testSPS, testPPS, append([]byte{0x65, 0x88}, bytes.Repeat([]byte{7}, 100_000)...)))
	head := len(m.out)
	for i := range int64(16 * 3) { // whole rounds of the counters of both streams
		m.pes(0x101, i*3600, i*3600, annexB([]byte{9, 0xf0}, append([]byte{0x61}, bytes.Repeat([]byte{7}, 16*184-40)...)))
		m.pes(0x102, i*3600, i*3600, adts(bytes.Repeat([]byte{1}, 140)))
	}
	d := newTSDemuxer(tsDiscard{}, 16<<20, 0)
	if err := d.feed(m.out, time.Time{}); err != nil {
		b.Fatal(err)
	}
	datagrams := split(m.out[head:], 7*tsPacket)
	b.SetBytes(7 * tsPacket)
	b.ReportAllocs()
	before := d.emitted
	i := 0
	for ; b.Loop(); i++ {
		if err := d.feed(datagrams[i%len(datagrams)], time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
	// A round of all datagrams has 96 frames, whose last picture is finished in the next round.
	if rounds := int64(i / len(datagrams)); d.emitted-before < 96*rounds-1 {
		b.Errorf("%d frames of %d rounds", d.emitted-before, rounds)
	}
}
