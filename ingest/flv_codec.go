package ingest

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// FourCCs of Enhanced RTMP v2 (VideoFourCc, AudioFourCc), as big-endian numbers: metadata has them so.
const (
	fourAVC  = 'a'<<24 | 'v'<<16 | 'c'<<8 | '1'
	fourHEVC = 'h'<<24 | 'v'<<16 | 'c'<<8 | '1'
	fourAV1  = 'a'<<24 | 'v'<<16 | '0'<<8 | '1'
	fourVP9  = 'v'<<24 | 'p'<<16 | '0'<<8 | '9'
	fourAAC  = 'm'<<24 | 'p'<<16 | '4'<<8 | 'a'
	fourOpus = 'O'<<24 | 'p'<<16 | 'u'<<8 | 's'
	fourFLAC = 'f'<<24 | 'L'<<16 | 'a'<<8 | 'C'
	fourAC3  = 'a'<<24 | 'c'<<16 | '-'<<8 | '3'
	fourEAC3 = 'e'<<24 | 'c'<<16 | '-'<<8 | '3'
	fourMP3  = '.'<<24 | 'm'<<16 | 'p'<<8 | '3'
)

// codecOf finds the codec of a FourCC; ok is false for what is not taken.
func codecOf(kind media.Kind, fourCC uint32) (codec media.Codec, ok bool) {
	if kind == media.Video {
		switch fourCC {
		case fourAVC:
			return media.H264, true
		case fourHEVC:
			return media.HEVC, true
		case fourAV1:
			return media.AV1, true
		case fourVP9:
			return media.VP9, true
		}
		return "", false
	}
	switch fourCC {
	case fourAAC:
		return media.AAC, true
	case fourOpus:
		return media.Opus, true
	case fourFLAC:
		return media.FLAC, true
	case fourAC3:
		return media.AC3, true
	case fourEAC3:
		return media.EAC3, true
	case fourMP3:
		return media.MP3, true
	}
	return "", false
}

// fourCCsOf lists what is taken of a kind.
func fourCCsOf(kind media.Kind) []string {
	if kind == media.Video {
		return []string{"avc1", "hvc1", "av01", "vp09"}
	}
	return []string{"mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"}
}

// newVideo makes the reader of a codec's coded video.
func newVideo(codec media.Codec) bitstream.Video {
	switch codec {
	case media.HEVC:
		return &bitstream.HEVC{}
	case media.AV1:
		return &bitstream.AV1{}
	case media.VP9:
		return &bitstream.VP9{}
	default:
		return &bitstream.AVC{}
	}
}

// composed says that coded frames of a codec come behind a composition time.
func composed(codec media.Codec) bool { return codec == media.H264 || codec == media.HEVC }

// legacyVideo finds the codec of an FLV codec id. HEVC has none in the standard; 12 is what many encoders agreed on
// before E-RTMP.
func legacyVideo(id byte) (codec media.Codec, ok bool) {
	const flvAVC, flvHEVC = 7, 12
	switch id {
	case flvAVC:
		return media.H264, true
	case flvHEVC:
		return media.HEVC, true
	}
	return "", false
}

// legacyAudio finds the codec of an FLV sound format.
func legacyAudio(format byte) (codec media.Codec, ok bool) {
	const flvMP3, flvAAC, flvMP3Of8k = 2, 10, 14
	switch format {
	case flvAAC:
		return media.AAC, true
	case flvMP3, flvMP3Of8k:
		return media.MP3, true
	}
	return "", false
}

// unsupported refuses a codec by its name and says what to set.
func unsupported(kind media.Kind, codec string) error {
	use := "H.264, HEVC, AV1 or VP9"
	if kind == media.Audio {
		use = "AAC, Opus, FLAC, AC-3, E-AC-3 or MP3"
	}
	return fmt.Errorf("%w: %s %s is not supported: set the encoder to %s", media.ErrUnsupported, codec, kind, use)
}

func legacyVideoName(codec byte) string {
	names := [16]string{
		1: "JPEG", 2: "Sorenson H.263", 3: "Screen Video", 4: "VP6", 5: "VP6 with alpha", 6: "Screen Video 2",
		8: "H.263", 9: "MPEG-4 Part 2", 13: "AV1 without an E-RTMP header", 14: "VVC (H.266)",
	}
	if name := names[codec&15]; name != "" {
		return name
	}
	return fmt.Sprintf("FLV codec %d", codec)
}

func legacyAudioName(format byte) string {
	names := [16]string{
		0: "PCM", 1: "ADPCM", 3: "PCM", 4: "Nellymoser", 5: "Nellymoser", 6: "Nellymoser",
		7: "G.711 A-law", 8: "G.711 mu-law", 11: "Speex", 13: "Opus without an E-RTMP header",
	}
	if name := names[format&15]; name != "" {
		return name
	}
	return fmt.Sprintf("FLV sound format %d", format)
}

// fourCCName names for people what is not taken.
func fourCCName(fourCC uint32) string {
	text := string([]byte{byte(fourCC >> 24), byte(fourCC >> 16), byte(fourCC >> 8), byte(fourCC)})
	switch text {
	case "vvc1":
		return "VVC (H.266)"
	case "vp08":
		return "VP8"
	}
	return fmt.Sprintf("codec %q", text)
}
