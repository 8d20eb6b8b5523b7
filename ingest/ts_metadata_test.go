package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Sections from SCTE 35, 14.1 and 14.2.
const (
	cueSignal = "/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg=="
	cueInsert = "/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo="
)

// cueOf takes a section, changes it and mends its checksum.
func cueOf(tb testing.TB, text string, change func(section []byte)) []byte {
	tb.Helper()
	section, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	if crcMPEG(section) != 0 {
		tb.Fatal("wrong checksum")
	}
	change(section)
	end := len(section) - 4
	return binary.BigEndian.AppendUint32(section[:end:end], crcMPEG(section[:end]))
}

func id3(frames string) []byte {
	return append([]byte{'I', 'D', '3', 4, 0, 0, 0, 0, byte(len(frames) >> 7), byte(len(frames) & 0x7f)}, frames...)
}

func klv(value string) []byte {
	label := []byte{0x06, 0x0e, 0x2b, 0x34, 2, 11, 1, 1, 14, 1, 3, 1, 1, 0, 0, 0}
	return append(append(label, byte(len(value))), value...)
}

// cell is a metadata access unit cell.
func cell(number, fragment byte, data []byte) []byte {
	return append([]byte{0, number, fragment<<6 | 0x1f, byte(len(data) >> 8), byte(len(data))}, data...)
}

func TestTSMetadata(t *testing.T) {
	const pid, pictures = 0x105, 0x101
	now := int64(1_000_000)
	signal := cueOf(t, cueSignal, func([]byte) {})
	insert := cueOf(t, cueInsert, func([]byte) {})
	adjusted := cueOf(t, cueSignal, func(s []byte) { s[4] |= 1; binary.BigEndian.PutUint32(s[5:], ^uint32(0)) }) // one tick back
	immediate := cueOf(t, cueInsert, func(s []byte) { s[14+5] |= 0x10 })
	encrypted := cueOf(t, cueSignal, func(s []byte) { s[4] |= 0x80 })
	wrong := bytes.Clone(signal)
	wrong[20] ^= 1
	asID3 := descriptor(tagMetadata, "\xff\xffID3 \xffID3 \x00\x0f")
	asCells := descriptor(tagMetadata, "\x01\x00\xffKLVA\x00\x0f")
	asKLV := descriptor(tagRegistration, "KLVA")
	long := id3(string(bytes.Repeat([]byte{7}, 3000)))
	type piece struct {
		kind    media.MetadataKind
		pts     int64
		payload []byte
	}
	for _, tt := range []struct {
		name   string
		stream tsMuxed
		write  func(m *tsMux)
		want   []piece
		faults map[string]int
	}{
		{"a cue at its time", tsMuxed{tsTypeSCTE35, pid, nil}, func(m *tsMux) {
			m.packets(pid, true, append([]byte{0}, signal...))
			m.packets(pid, true, append([]byte{0}, insert...))
			m.packets(pid, true, append([]byte{0}, adjusted...))
		}, []piece{{media.SCTE35, 0x072bd0050, signal}, {media.SCTE35, 0x07369c02e, insert}, {media.SCTE35, 0x072bd004f, adjusted}}, nil},
		{"a cue again", tsMuxed{tsTypeSCTE35, pid, nil}, func(m *tsMux) {
			m.packets(pid, true, append([]byte{0}, signal...))
			m.packets(pid, true, append([]byte{0}, signal...))
		}, []piece{{media.SCTE35, 0x072bd0050, signal}}, nil},
		{"a cue without a time", tsMuxed{tsTypeSCTE35, pid, nil}, func(m *tsMux) {
			m.packets(pid, true, append([]byte{0}, immediate...))
			m.packets(pid, true, append([]byte{0}, encrypted...))
		}, []piece{{media.SCTE35, now + 3600, immediate}, {media.SCTE35, now + 3600, encrypted}}, nil},
		{"a cue with a wrong checksum", tsMuxed{tsTypeSCTE35, pid, nil}, func(m *tsMux) {
			m.packets(pid, true, append([]byte{0}, wrong...))
		}, nil, map[string]int{repairTSTable: 1}},
		{"tags", tsMuxed{tsTypeMetadata, pid, asID3}, func(m *tsMux) {
			m.sized(pid, now+90, append(id3("one"), id3("two")...))
			m.sized(pid, now+180, long[:1000])
			m.sized(pid, -1, long[1000:])
		}, []piece{{media.ID3, now + 90, id3("one")}, {media.ID3, now + 90, id3("two")}, {media.ID3, now + 180, long}}, nil},
		{"tags that are none", tsMuxed{tsTypeMetadata, pid, asID3}, func(m *tsMux) {
			m.sized(pid, now, []byte("not a tag at all"))
			m.sized(pid, now, []byte{'I', 'D', '3', 4, 0, 0, 0x7f, 0x7f, 0x7f, 0x7f})
			m.sized(pid, now, long[:1000])
			m.sized(pid, now, id3("one"))
		}, []piece{{media.ID3, now, id3("one")}}, map[string]int{repairBadMetadata: 3}},
		{"key-length-value", tsMuxed{tsTypePrivate, pid, asKLV}, func(m *tsMux) {
			m.sized(pid, -1, klv("a"))
			m.sized(pid, now+5, klv("b"))
			m.sized(pid, now+6, []byte("none"))
		}, []piece{{media.KLV, now + 3600, klv("a")}, {media.KLV, now + 5, klv("b")}}, map[string]int{repairBadMetadata: 1}},
		{"key-length-value in cells", tsMuxed{tsTypeMetadata, pid, asCells}, func(m *tsMux) {
			m.sized(pid, now+5, slices.Concat(cell(0, 3, klv("a")), cell(1, 3, klv("b"))))
			m.sized(pid, now+6, cell(2, 2, klv("cd")[:9]))
			m.sized(pid, now+7, slices.Concat(cell(3, 0, klv("cd")[9:15]), cell(4, 1, klv("cd")[15:])))
			m.sized(pid, now+8, cell(5, 2, klv("ef")[:9]))
			m.sized(pid, now+9, cell(7, 1, klv("ef")[9:]))
			m.sized(pid, now+9, klv("g"))
		}, []piece{
			{media.KLV, now + 5, klv("a")}, {media.KLV, now + 5, klv("b")}, {media.KLV, now + 6, klv("cd")}, {media.KLV, now + 9, klv("g")},
		}, map[string]int{repairBadMetadata: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m tsMux
			m.pat(0x100)
			m.pmtOf(0x100, 1, 0, tsMuxed{kind: tsTypeH264, pid: pictures}, tt.stream)
			m.pes(pictures, now, now, annexB(testSPS, testPPS, []byte{0x65, 0x88, 1}))
			m.pes(pictures, now+3600, now+3600, annexB([]byte{0x61, 0x88, 1}))
			tt.write(&m)
			got, _, l := demuxTS(t, m.out)
			var pieces []piece
			for _, p := range got.metadata {
				pieces = append(pieces, piece{p.Kind, media.Ticks(p.PTS, 90000), p.Payload})
			}
			if diff := cmp.Diff(tt.want, pieces, cmp.AllowUnexported(piece{})); diff != "" {
				t.Error(diff)
			}
			for _, what := range []string{repairTSTable, repairBadMetadata, repairTSDamaged, repairTSUntimed, repairTSContinuity} {
				if n := repairs(l, what); n != tt.faults[what] {
					t.Errorf("%d %s", n, what)
				}
			}
		})
	}
}

// What another multiplexer writes.
func TestTSMetadataOfOtherWriter(t *testing.T) {
	for _, synchronous := range []bool{false, true} {
		var out bytes.Buffer
		picture := &mpegts.Track{PID: 0x101, Codec: &codecs.H264{}}
		data := &mpegts.Track{PID: 0x102, Codec: &codecs.KLV{Synchronous: synchronous}}
		w := &mpegts.Writer{W: &out, Tracks: []*mpegts.Track{picture, data}}
		if err := w.Initialize(); err != nil {
			t.Fatal(err)
		}
		for i := range int64(3) {
			if err := w.WriteH264(picture, i*3600, i*3600, [][]byte{testSPS, testPPS, {0x65, 0x88, 1}}); err != nil {
				t.Fatal(err)
			}
			if err := w.WriteKLV(data, i*3600, klv("abc")); err != nil {
				t.Fatal(err)
			}
		}
		got, d, _ := demuxTS(t, out.Bytes())
		if len(got.video) != 3 || len(got.metadata) != 3 || len(d.skipped) > 0 {
			t.Fatalf("synchronous %v: %d pictures, %d pieces, skipped %q", synchronous, len(got.video), len(got.metadata), d.skipped)
		}
		for _, p := range got.metadata {
			if p.Kind != media.KLV || !bytes.Equal(p.Payload, klv("abc")) {
				t.Errorf("synchronous %v: %s %x", synchronous, p.Kind, p.Payload)
			}
		}
	}
}
