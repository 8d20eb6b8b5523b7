package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// tracksOf names tracks with what is known of them.
func tracksOf(sets [][]media.Track) (names [][]string) {
	for _, set := range sets {
		var list []string
		for _, track := range set {
			name := track.Name + " " + string(track.Codec)
			for _, s := range []string{track.Language, track.Label} {
				if s != "" {
					name += " " + s
				}
			}
			list = append(list, name)
		}
		names = append(names, list)
	}
	return names
}

// Which tracks a program's map makes, and what becomes of them when it changes.
func TestTSTracks(t *testing.T) {
	const pmt = 0x100
	language := func(code string, kind byte) []byte { return descriptor(tagLanguage, code+string(kind)) }
	video := tsMuxed{kind: tsTypeH264, pid: 0x101}
	english := tsMuxed{tsTypeADTS, 0x102, language("eng", 0)}
	german := tsMuxed{tsTypeADTS, 0x103, language("DEU", 3)}
	at := int64(0)
	// send has every stream send something.
	send := func(m *tsMux, streams ...tsMuxed) {
		for range 3 {
			for _, s := range streams {
				at += 900
				switch s.kind {
				case tsTypeH264:
					m.pes(s.pid, at, at, annexB(testSPS, testPPS, []byte{0x65, 0x88, 1}))
				case tsTypeADTS:
					m.pes(s.pid, at, at, adts([]byte{1, 2, 3}))
				default:
					m.sized(s.pid, at, append([]byte{0x7f, 0xe0, 3}, 0xfc, 1, 2))
				}
			}
		}
	}
	mapped := func(m *tsMux, version byte, streams ...tsMuxed) {
		m.pmtOf(pmt, 1, version, streams...)
		send(m, streams...)
	}
	for _, tt := range []struct {
		name    string
		program int
		write   func(m *tsMux)
		want    [][]string
		skipped []string
	}{
		{"languages", 0, func(m *tsMux) {
			mapped(m, 0, video, english, german)
		}, [][]string{{"video h264", "audio aac eng", "audio2 aac deu Visually impaired"}}, nil},
		{"a language that is none, and that of a supplementary audio descriptor", 0, func(m *tsMux) {
			mapped(m, 0, tsMuxed{tsTypeADTS, 0x102, language("und", 0)},
				tsMuxed{tsTypeADTS, 0x103, append(language("eng", 0), descriptor(tagExtension, "\x06\x0bfra")...)})
		}, [][]string{{"audio aac", "audio2 aac fra Hearing impaired"}}, nil},
		{"a track is added", 0, func(m *tsMux) {
			mapped(m, 0, video, english)
			mapped(m, 1, video, german, english)
		}, [][]string{{"video h264", "audio aac eng"}, {"video h264", "audio aac eng", "audio2 aac deu Visually impaired"}}, nil},
		{"the first of two goes, and its number is taken again", 0, func(m *tsMux) {
			french := tsMuxed{tsTypeADTS, 0x104, language("fra", 0)}
			mapped(m, 0, video, english, german)
			mapped(m, 1, video, german)
			mapped(m, 2, video, german, french)
		}, [][]string{
			{"video h264", "audio aac eng", "audio2 aac deu Visually impaired"},
			{"video h264", "audio2 aac deu Visually impaired"},
			{"video h264", "audio aac fra", "audio2 aac deu Visually impaired"},
		}, nil},
		{"a track moves to another PID", 0, func(m *tsMux) {
			mapped(m, 0, video, english)
			mapped(m, 1, tsMuxed{kind: tsTypeH264, pid: 0x201}, tsMuxed{tsTypeADTS, 0x202, language("eng", 0)})
		}, [][]string{{"video h264", "audio aac eng"}}, nil},
		{"a PID changes its type", 0, func(m *tsMux) {
			mapped(m, 0, video, english)
			opus := append(descriptor(tagRegistration, "Opus"), descriptor(tagExtension, "\x80\x02")...)
			mapped(m, 1, video, tsMuxed{tsTypePrivate, 0x102, opus})
		}, [][]string{{"video h264", "audio aac eng"}, {"video h264", "audio opus"}}, nil},
		{"a language changes", 0, func(m *tsMux) {
			mapped(m, 0, video, english)
			mapped(m, 1, video, tsMuxed{tsTypeADTS, 0x102, language("fra", 0)})
		}, [][]string{{"video h264", "audio aac eng"}, {"video h264", "audio aac fra"}}, nil},
		{"more than there may be", 0, func(m *tsMux) {
			streams := []tsMuxed{video}
			for i := range 10 {
				streams = append(streams, tsMuxed{kind: tsTypeADTS, pid: 0x200 + i})
			}
			mapped(m, 0, streams...)
		}, [][]string{{"video h264", "audio aac", "audio2 aac", "audio3 aac", "audio4 aac", "audio5 aac", "audio6 aac", "audio7 aac", "audio8 aac"}},
			[]string{"more AAC streams"}},
		{"what is not carried is named", 0, func(m *tsMux) {
			m.pmtOf(pmt, 1, 0, video,
				tsMuxed{kind: 0x02, pid: 0x110}, tsMuxed{kind: 0x33, pid: 0x111}, tsMuxed{kind: 0x82, pid: 0x112},
				tsMuxed{tsTypePrivate, 0x113, descriptor(tagRegistration, "AV01")}, tsMuxed{tsTypePrivate, 0x114, descriptor(tagTeletext, "")},
				tsMuxed{tsTypePrivate, 0x115, descriptor(tagSubtitling, "")}, tsMuxed{kind: tsTypePrivate, pid: 0x116},
				tsMuxed{kind: tsTypeMetadata, pid: 0x117}, tsMuxed{kind: 0x80, pid: 0x118},
				tsMuxed{tsTypePrivate, 0x119, descriptor(tagRegistration, "Opus")})
			send(m, video)
		}, [][]string{{"video h264"}}, []string{
			"MPEG-2 video", "VVC (H.266)", "DTS", "AV1", "teletext", "DVB subtitles", "private data",
			"timed metadata of an unknown form", "LPCM", "Opus of unusual channels",
		}},
		{"PIDs that can't be", 0, func(m *tsMux) {
			m.pmtOf(pmt, 1, 0, tsMuxed{kind: tsTypeH264, pid: pmt}, tsMuxed{kind: tsTypeH264, pid: 0}, video,
				tsMuxed{kind: tsTypeADTS, pid: 0x101}, tsMuxed{kind: tsTypeADTS, pid: 0x1fff})
			send(m, video)
		}, [][]string{{"video h264"}}, nil},
		{"a program that was asked for", 2, func(m *tsMux) {
			other := tsMuxed{kind: tsTypeADTS, pid: 0x301}
			mapped(m, 0, video, english)
			m.pmtOf(0x300, 2, 0, other)
			send(m, video, other)
			mapped(m, 1, video)
		}, [][]string{{"audio aac"}}, []string{"program 1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m tsMux
			m.pat(pmt, 0x300)
			tt.write(&m)
			p := &recPublication{rec: newRecorder()}
			d, l := newTestTS(t, p)
			d.wanted = tt.program
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
			if diff := cmp.Diff(tt.want, tracksOf(p.tracks)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.skipped, d.skipped); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A PMT that shares its PID with that of another program is known from it.
func TestTSProgramsOnOnePID(t *testing.T) {
	for program, want := range map[int]string{1: "[[audio aac]]", 2: "[[video h264]]"} {
		var m tsMux
		m.pat(0x100, 0x100)
		m.pmt(0x100, 1, 0, tsTypeADTS, 0x102)
		m.pmt(0x100, 2, 0, tsTypeH264, 0x101)
		m.pes(0x101, 0, 0, annexB(testSPS, testPPS, []byte{0x65, 0x88, 1}))
		m.pes(0x102, 0, 0, adts([]byte{1}))
		m.pes(0x102, 0, 0, adts([]byte{1}))
		p := &recPublication{rec: newRecorder()}
		d, l := newTestTS(t, p)
		d.wanted = program
		if err := d.feed(m.out, time.Unix(1000, 0)); err != nil {
			t.Fatal(err)
		}
		if err := d.flush(); err != nil {
			t.Fatal(err)
		}
		if err := l.flush(); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(tracksOf(p.tracks)); got != want {
			t.Errorf("program %d: %s, want %s", program, got, want)
		}
	}
}
