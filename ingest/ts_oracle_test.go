package ingest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"testing"

	"github.com/asticode/go-astits"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// oracleUnit is an access unit as mediacommon reads it. Times are in ticks of 90 kHz.
type oracleUnit struct {
	pts, dts int64
	payload  []byte
}

// oracleTS reads a stream with mediacommon: the access units of each track, in the order of the PMT.
func oracleTS(tb testing.TB, stream []byte) (tracks [][]oracleUnit) {
	tb.Helper()
	r := &mpegts.Reader{R: bytes.NewReader(stream)}
	if err := r.Initialize(); err != nil {
		tb.Fatal(err)
	}
	r.OnDecodeError(func(err error) { tb.Errorf("oracle: %v", err) })
	tracks = make([][]oracleUnit, len(r.Tracks()))
	for i, track := range r.Tracks() {
		add := func(pts, dts int64, payload []byte) error {
			tracks[i] = append(tracks[i], oracleUnit{pts: pts, dts: dts, payload: bytes.Clone(payload)})
			return nil
		}
		// units are several of one PES packet, each so long.
		units := func(pts int64, units [][]byte, length func(unit []byte) (samples, rate int64)) error {
			at, rate := int64(0), int64(1)
			for _, unit := range units {
				t := pts + media.Ticks(media.Duration(at, rate), 90000)
				_ = add(t, t, unit)
				var samples int64
				samples, rate = length(unit)
				at += samples
			}
			return nil
		}
		switch codec := track.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(track, func(pts, dts int64, units [][]byte) error {
				return add(pts, dts, sampleOf(units, func(unit []byte) bool { k := unit[0] & 0x1f; return k < 7 || k > 9 }))
			})
		case *codecs.H265:
			r.OnDataH265(track, func(pts, dts int64, units [][]byte) error {
				return add(pts, dts, sampleOf(units, func(unit []byte) bool { k := unit[0] >> 1; return k < 32 || k > 35 }))
			})
		case *codecs.MPEG4Audio:
			r.OnDataMPEG4Audio(track, func(pts int64, list [][]byte) error {
				return units(pts, list, func([]byte) (int64, int64) { return 1024, int64(codec.SampleRate) })
			})
		case *codecs.MPEG4AudioLATM:
			var latm bitstream.LATM
			var samples, rate int64
			r.OnDataMPEG4AudioLATM(track, func(pts int64, list [][]byte) error {
				var found [][]byte
				for _, element := range list {
					loas := append([]byte{0x56, 0xe0 | byte(len(element)>>8), byte(len(element))}, element...)
					inside, config, changed, err := latm.Read(loas)
					if changed {
						samples, rate, _ = bitstream.AACTiming(config.Config)
					}
					if err != nil || len(inside) != 1 {
						tb.Fatalf("oracle: %d units, %v", len(inside), err)
					}
					found = append(found, bytes.Clone(inside[0]))
				}
				return units(pts, found, func([]byte) (int64, int64) { return samples, rate })
			})
		case *codecs.Opus:
			r.OnDataOpus(track, func(pts int64, list [][]byte) error {
				return units(pts, list, func(packet []byte) (int64, int64) {
					samples, _ := bitstream.OpusSamples(packet)
					return samples, 48000
				})
			})
		case *codecs.MPEG1Audio:
			r.OnDataMPEG1Audio(track, func(pts int64, list [][]byte) error {
				return units(pts, list, func(frame []byte) (int64, int64) {
					f, _ := bitstream.ParseMPEGAudio(frame)
					return f.Samples, f.Rate
				})
			})
		}
	}
	for r.Read() == nil {
	}
	return tracks
}

// oraclePES reads the AC-3 and E-AC-3 of a stream with astits, since mediacommon takes one frame to a PES packet only: the
// frames of each PID, in the order of the PMT.
func oraclePES(tb testing.TB, stream []byte) (tracks [][]oracleUnit) {
	tb.Helper()
	demuxer := astits.NewDemuxer(context.Background(), bytes.NewReader(stream))
	index := map[uint16]int{}
	for {
		data, err := demuxer.NextData()
		if errors.Is(err, astits.ErrNoMorePackets) {
			return tracks
		} else if err != nil {
			tb.Fatal(err)
		}
		if data.PMT != nil && tracks == nil {
			tracks = make([][]oracleUnit, len(data.PMT.ElementaryStreams))
			for i, s := range data.PMT.ElementaryStreams {
				index[s.ElementaryPID] = i
			}
		}
		if data.PES == nil {
			continue
		}
		at, i := int64(0), index[data.PID]
		for rest := data.PES.Data; len(rest) > 0; {
			f, ok := bitstream.ParseAC3(rest)
			if !ok || f.Size > len(rest) {
				break // of another codec
			}
			pts := data.PES.Header.OptionalHeader.PTS.Base + media.Ticks(media.Duration(at, f.Rate), 90000)
			tracks[i] = append(tracks[i], oracleUnit{pts: pts, dts: pts, payload: rest[:f.Size]})
			rest, at = rest[f.Size:], at+f.Samples
		}
	}
}

// sampleOf puts the units that are kept behind lengths.
func sampleOf(units [][]byte, keep func(unit []byte) bool) (sample []byte) {
	for _, unit := range units {
		if keep(unit) {
			sample = binary.BigEndian.AppendUint32(sample, uint32(len(unit)))
			sample = append(sample, unit...)
		}
	}
	return sample
}

// encodedTS is what ffmpeg makes of a test picture and tones.
func encodedTS(tb testing.TB, args ...string) []byte {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "a.ts")
	out, err := MustFFmpeg(tb, append(append([]string{"-v", "error"}, args...), "-f", "mpegts", "-y", file)...).wait()
	if err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	return mustRead(tb, file)
}

const (
	lavfiStereo = "aevalsrc=0.1*sin(440*t)|0.1*sin(550*t):s=44100"
	lavfiSix    = "aevalsrc=0.1*sin(440*t)|0|0|0|0|0:s=48000:c=5.1"
)

// What is found in the streams of real encoders is what another reader finds there.
func TestTSCodecsAgainstOracle(t *testing.T) {
	video := []string{"-f", "lavfi", "-i", lavfiVideo}
	sound := func(source string, codec ...string) []string {
		return append([]string{"-f", "lavfi", "-i", source, "-t", "2", "-c:a"}, codec...)
	}
	x264 := []string{"-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25"}
	for _, tt := range []struct {
		name   string
		args   []string
		codecs []media.Codec
		sync   int // of the pictures
	}{
		{"aac of 44.1 kHz", sound(lavfiStereo, "aac"), []media.Codec{media.AAC}, 0},
		{"aac of 5.1", sound(lavfiSix, "aac"), []media.Codec{media.AAC}, 0},
		{"aac in LATM", sound(lavfiStereo, "aac", "-mpegts_flags", "+latm"), []media.Codec{media.AAC}, 0},
		{"mp2", sound(lavfiAudio, "mp2"), []media.Codec{media.MP2}, 0},
		{"mp3", sound(lavfiStereo, "libmp3lame"), []media.Codec{media.MP3}, 0},
		{"ac-3", sound(lavfiSix, "ac3"), []media.Codec{media.AC3}, 0},
		{"ac-3 of 44.1 kHz", sound(lavfiStereo, "ac3"), []media.Codec{media.AC3}, 0},
		{"e-ac-3", sound(lavfiSix, "eac3"), []media.Codec{media.EAC3}, 0},
		{"e-ac-3 of dvb", sound(lavfiAudio, "eac3", "-mpegts_flags", "+system_b"), []media.Codec{media.EAC3}, 0},
		{"ac-3 of dvb", sound(lavfiAudio, "ac3", "-mpegts_flags", "+system_b"), []media.Codec{media.AC3}, 0},
		{"opus", sound(lavfiAudio, "libopus"), []media.Codec{media.Opus}, 0},
		{"opus of 5.1", sound(lavfiSix, "libopus", "-mapping_family", "1"), []media.Codec{media.Opus}, 0},
		{"opus of 10 ms", sound(lavfiAudio, "libopus", "-frame_duration", "10"), []media.Codec{media.Opus}, 0},
		{"h.264 with b-frames", append(append(video, x264...), "-bf", "3"), []media.Codec{media.H264}, 2},
		{"h.264 of slices", append(append(video, x264...), "-x264-params", "slices=4"), []media.Codec{media.H264}, 2},
		{"h.264 interlaced", append(append(video, x264...), "-flags", "+ilme+ildct", "-x264-params", "tff=1"), []media.Codec{media.H264}, 2},
		{"h.264 of intra refresh", append(append(video, x264...), "-x264-params", "intra-refresh=1"), []media.Codec{media.H264}, 1},
		{"h.264 with lengths of packets", append(append(video, x264...), "-omit_video_pes_length", "0"), []media.Codec{media.H264}, 2},
		{"hevc", append(video, "-t", "2", "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none:keyint=25:open-gop=0"), []media.Codec{media.HEVC}, 2},
		{"hevc of open gops", append(video, "-t", "2", "-c:v", "libx265", "-preset", "fast", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none:keyint=20:open-gop=1:bframes=3"), []media.Codec{media.HEVC}, 3},
		{"several tracks", append(append(append(append(video, "-f", "lavfi", "-i", lavfiAudio, "-f", "lavfi", "-i", lavfiStereo, "-map", "0", "-map", "1", "-map", "2", "-map", "0"), x264...), "-c:a:0", "aac", "-c:a:1", "ac3", "-metadata:s:a:0", "language=eng"), "-metadata:s:a:1", "language=ger"), []media.Codec{media.H264, media.H264, media.AAC, media.AC3}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stream := encodedTS(t, tt.args...)
			oracle, other := oracleTS(t, stream), oraclePES(t, stream)
			for i, units := range other {
				if len(units) > 0 {
					oracle[i] = units
				}
			}
			got, d, l := demuxTS(t, split(stream, 1316)...)
			var found []media.Codec
			var languages string
			byTrack := make([][]media.Frame, len(got.tracks))
			for _, track := range got.tracks {
				found = append(found, track.Codec)
				languages += track.Language
			}
			if diff := cmp.Diff(tt.codecs, found); diff != "" || len(oracle) != len(found) {
				t.Fatalf("%s\n%d tracks of the oracle", diff, len(oracle))
			}
			sync := 0
			for _, f := range append(got.video, got.audio...) {
				byTrack[f.Track] = append(byTrack[f.Track], f)
				if f.Sync && got.tracks[f.Track].Kind == media.Video {
					sync++
				}
			}
			if len(tt.codecs) == 4 { // the PMT has video, audio, audio, video
				oracle = [][]oracleUnit{oracle[0], oracle[3], oracle[1], oracle[2]}
				if languages != "engger" {
					t.Errorf("languages %q", languages)
				}
			}
			for i, frames := range byTrack {
				sameUnits(t, got.tracks[i].Name, frames, oracle[i])
			}
			if sync != tt.sync || len(d.skipped) > 0 {
				t.Errorf("%d sync pictures; skipped %q", sync, d.skipped)
			}
			for _, what := range []string{repairTSSync, repairTSContinuity, repairTSDamaged, repairAudioSync, repairTSUntimed} {
				if n := repairs(l, what); n != 0 {
					t.Errorf("%d %s", n, what)
				}
			}
		})
	}
}
