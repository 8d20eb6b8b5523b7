package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/oxbow-video/oxbow/internal/media"
)

// coded is one track that ffmpeg encoded.
type coded struct {
	fourCC  string
	legacy  byte   // FLV codec id to send it by; zero sends the FourCC
	start   []byte // body of the sequence start; nil if the codec has none
	samples []codedSample
}

type codedSample struct {
	dts, composition int64 // ms
	sync             bool
	payload          []byte
}

// MustEncode has ffmpeg encode one track for two seconds, with a fragment for every key frame. box is the MP4 box of its configuration.
func MustEncode(tb testing.TB, fourCC, box string, args ...string) coded {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "track.mp4")
	args = append(args, "-t", "2", "-movflags", "frag_keyframe+delay_moov+default_base_moof", "-f", "mp4", file)
	if out, err := MustFFmpeg(tb, args...).wait(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	body := func(name string) []byte {
		at := bytes.Index(data, []byte(name))
		if at < 4 {
			tb.Fatalf("no box %s", name)
		}
		return data[at+4 : at-4+int(binary.BigEndian.Uint32(data[at-4:]))]
	}
	timescale := int64(binary.BigEndian.Uint32(body("mdhd")[12:]))
	t := coded{fourCC: fourCC}
	if box != "" {
		t.start = startOf(fourCC, body(box))
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(data); err != nil {
		tb.Fatal(err)
	}
	for _, part := range parts {
		for _, track := range part.Tracks {
			at := int64(track.BaseTime)
			for i, s := range track.Samples {
				t.samples = append(t.samples, codedSample{
					dts: at * 1000 / timescale, composition: int64(s.PTSOffset) * 1000 / timescale,
					sync: i == 0 || !t.isVideo(), payload: s.Payload,
				})
				at += int64(s.Duration)
			}
		}
	}
	return t
}

// MustEncodeAll encodes a track of every codec that E-RTMP carries, H.264, HEVC, AV1, VP9, AAC, Opus, FLAC, AC-3, E-AC-3
// and MP3, pictures with more arguments.
func MustEncodeAll(tb testing.TB, more ...string) []coded {
	tb.Helper()
	video := func(fourCC, box string, args ...string) coded {
		args = append([]string{"-f", "lavfi", "-i", lavfiVideo, "-pix_fmt", "yuv420p", "-g", "25", "-c:v"}, args...)
		return MustEncode(tb, fourCC, box, append(args, more...)...)
	}
	audio := func(fourCC, box string, args ...string) coded {
		return MustEncode(tb, fourCC, box, append([]string{"-f", "lavfi", "-i", lavfiAudio, "-ar", "48000", "-c:a"}, args...)...)
	}
	return []coded{
		video("avc1", "avcC", "libx264", "-preset", "ultrafast", "-bf", "2"),
		video("hvc1", "hvcC", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-tag:v", "hvc1"),
		video("av01", "av1C", "libsvtav1", "-preset", "12"),
		video("vp09", "vpcC", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
		audio("mp4a", "esds", "aac", "-b:a", "96k"),
		audio("Opus", "dOps", "libopus"),
		audio("fLaC", "dfLa", "flac", "-strict", "-2"),
		audio("ac-3", "", "ac3"),
		audio("ec-3", "", "eac3"),
		audio(".mp3", "", "libmp3lame"),
	}
}

// startOf makes the body of a sequence start of what an MP4 box has.
func startOf(fourCC string, box []byte) []byte {
	switch fourCC {
	case "vp09":
		return box[4:] // version and flags
	case "fLaC":
		return append([]byte("fLaC"), box[4:]...)
	case "mp4a":
		return testASC48k
	case "Opus": // the same in the byte order of Ogg
		head := append([]byte("OpusHead\x01"), box[1])
		head = binary.LittleEndian.AppendUint16(head, binary.BigEndian.Uint16(box[2:]))
		head = binary.LittleEndian.AppendUint32(head, binary.BigEndian.Uint32(box[4:]))
		head = binary.LittleEndian.AppendUint16(head, binary.BigEndian.Uint16(box[8:]))
		return append(head, box[10:]...)
	default:
		return box
	}
}

var testASC48k = []byte{0x11, 0x88} // AAC LC, 48000 Hz, mono

// exBody makes the E-RTMP message of a packet: of track 0 the plain form, of another one's the multitrack form.
func (t coded) exBody(number int, packet byte, key bool, body []byte) []byte {
	if t.legacy != 0 && packet == packetStart {
		return ex(0x10|t.legacy, "\x00\x00\x00\x00", body)
	}
	isVideo := t.isVideo()
	flags, multitrack := byte(0x90), byte(packetAudioTracks)
	if isVideo {
		multitrack = packetVideoTracks
		if !key {
			flags = 0xa0
		}
	}
	if number == 0 {
		return ex(flags|packet, t.fourCC, body)
	}
	return ex(flags|multitrack, string([]byte{packet})+t.fourCC+string([]byte{byte(number)}), body)
}

func (t coded) isVideo() bool {
	return t.fourCC == "avc1" || t.fourCC == "hvc1" || t.fourCC == "av01" || t.fourCC == "vp09"
}

// frame makes the E-RTMP message of a sample.
func (t coded) frame(number int, s codedSample) []byte {
	switch {
	case t.legacy != 0:
		head := byte(0x20)
		if s.sync {
			head = 0x10
		}
		c := s.composition
		return ex(head|t.legacy, string([]byte{packetFrames, byte(c >> 16), byte(c >> 8), byte(c)}), s.payload)
	case t.fourCC != "avc1" && t.fourCC != "hvc1":
		return t.exBody(number, packetFrames, s.sync, s.payload)
	case s.composition == 0:
		return t.exBody(number, packetFramesX, s.sync, s.payload)
	default:
		c := s.composition
		return t.exBody(number, packetFrames, s.sync, append([]byte{byte(c >> 16), byte(c >> 8), byte(c)}, s.payload...))
	}
}

// publishCoded sends tracks as an E-RTMP encoder does: metadata, sequence starts, frames in the order of their time.
func (c *testClient) publishCoded(key string, tracks ...coded) {
	c.tb.Helper()
	c.publish(key)
	kinds := map[bool]byte{true: typeVideo, false: typeAudio}
	numbers, counts := make([]int, len(tracks)), map[bool]int{}
	infos := map[bool]amfObject{}
	for i, t := range tracks {
		numbers[i] = counts[t.isVideo()]
		counts[t.isVideo()]++
		if numbers[i] > 0 {
			infos[t.isVideo()] = append(infos[t.isVideo()], amfProperty{fmt.Sprint(numbers[i]), amfObject{}})
		}
	}
	c.send(typeDataAMF0, 1, 0, metadata(
		amfProperty{"videocodecid", counts[true] > 0}, amfProperty{"audiocodecid", counts[false] > 0},
		amfProperty{"videoTrackIdInfoMap", infos[true]}, amfProperty{"audioTrackIdInfoMap", infos[false]},
	))
	for i, t := range tracks {
		if t.start != nil {
			c.send(kinds[t.isVideo()], 1, 0, t.exBody(numbers[i], packetStart, true, t.start))
		}
	}
	next := make([]int, len(tracks))
	for {
		first := -1
		for i, t := range tracks {
			if next[i] < len(t.samples) && (first < 0 || t.samples[next[i]].dts < tracks[first].samples[next[first]].dts) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		t, s := tracks[first], tracks[first].samples[next[first]]
		next[first]++
		c.send(kinds[t.isVideo()], 1, uint32(s.dts), t.frame(numbers[first], s))
	}
	c.command(0, "deleteStream", 4.0, nil, 1.0)
}

// Real encoders' output arrives as it left: every frame, its bytes, its times, its key frames.
func TestEnhancedPublish(t *testing.T) {
	all := MustEncodeAll(t)
	avc, hevc, av1, vp9, aac, opus, flac, ac3, eac3, mp3 := all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7], all[8], all[9]
	legacyHEVC := hevc
	legacyHEVC.legacy = 12
	for _, tt := range []struct {
		name   string
		tracks []coded
		codecs []media.Codec
	}{
		{"HEVC and Opus", []coded{hevc, opus}, []media.Codec{media.HEVC, media.Opus}},
		{"HEVC by the legacy id", []coded{legacyHEVC, aac}, []media.Codec{media.HEVC, media.AAC}},
		{"AV1 and FLAC", []coded{av1, flac}, []media.Codec{media.AV1, media.FLAC}},
		{"VP9 and AC-3", []coded{vp9, ac3}, []media.Codec{media.VP9, media.AC3}},
		{"only E-AC-3", []coded{eac3}, []media.Codec{media.EAC3}},
		{"four pictures and four sounds", []coded{avc, hevc, av1, vp9, mp3, aac, opus, eac3}, []media.Codec{
			media.H264, media.HEVC, media.AV1, media.VP9, media.MP3, media.AAC, media.Opus, media.EAC3,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := MustServe(t, Config{}, newRecorder())
			MustDial(t, s.addr).publishCoded(s.rec.key, tt.tracks...)
			p := s.rec.publication(t, 0)
			if !p.clean || len(p.tracks) != 1 || len(p.tracks[0]) != len(tt.tracks) {
				t.Fatalf("clean=%v, tracks %v", p.clean, p.tracks)
			}
			for i, want := range tt.tracks {
				track := p.tracks[0][i]
				if track.Codec != tt.codecs[i] || len(track.Config) == 0 {
					t.Errorf("track %d is %s with a configuration of %d bytes", i, track.Codec, len(track.Config))
				}
				if track.Codec == media.VP9 && (track.Width != 320 || track.Height != 180) {
					t.Errorf("%dx%d", track.Width, track.Height)
				}
				checkCoded(t, want, i, p.frames)
			}
		})
	}
}

func checkCoded(t *testing.T, want coded, track int, frames []media.Frame) {
	t.Helper()
	n := 0
	for _, f := range frames {
		if f.Track != track {
			continue
		}
		if n == len(want.samples) {
			t.Fatalf("%s: more than %d frames", want.fourCC, n)
		}
		s := want.samples[n]
		dts := time.Duration(s.dts) * time.Millisecond
		if f.DTS != dts || f.PTS != dts+time.Duration(s.composition)*time.Millisecond || f.Sync != s.sync {
			t.Errorf("%s: frame %d is at %v/%v sync=%v, sent was %+v", want.fourCC, n, f.DTS, f.PTS, f.Sync, s.dts)
		}
		// Delimiters and parameter sets leave AVC, HEVC and AV1.
		if same := bytes.Equal(f.Payload, s.payload); !same && (n > 0 || !want.isVideo()) {
			t.Errorf("%s: frame %d has %d bytes, sent were %d", want.fourCC, n, len(f.Payload), len(s.payload))
		}
		n++
	}
	if n != len(want.samples) {
		t.Errorf("%s: %d frames of %d", want.fourCC, n, len(want.samples))
	}
}
