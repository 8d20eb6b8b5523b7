package media

import "time"

// Kind says what a track carries.
type Kind string

// The kinds of track.
const (
	Video Kind = "video"
	Audio Kind = "audio"
)

// Codec names a coding format.
type Codec string

// The codecs that Oxbow takes.
const (
	H264 Codec = "h264"
	HEVC Codec = "hevc"
	AV1  Codec = "av1"
	VP9  Codec = "vp9"
	AAC  Codec = "aac"
	Opus Codec = "opus"
	FLAC Codec = "flac"
	AC3  Codec = "ac3"
	EAC3 Codec = "eac3"
	MP3  Codec = "mp3"
	MP2  Codec = "mp2"
)

// Track describes one elementary stream of a take. A Track is never modified once shared.
type Track struct {
	// Name is the track's file and URL name: "video", "audio", then "video2", "audio2". Unique in its take.
	Name  string `json:"name"`
	Kind  Kind   `json:"kind"`
	Codec Codec  `json:"codec"`
	// Config is the decoder configuration: the body of the MP4 box that holds it. H.264 AVCDecoderConfigurationRecord
	// (avcC), HEVC HEVCDecoderConfigurationRecord (hvcC), AV1 AV1CodecConfigurationRecord (av1C), VP9
	// VPCodecConfigurationRecord (vpcC behind version and flags), AAC AudioSpecificConfig (of esds), Opus
	// OpusSpecificBox (dOps), FLAC the 34 bytes of STREAMINFO, AC-3 dac3, E-AC-3 dec3, MP3 and MP2 the four bytes of a
	// frame's header with bit rate, padding, private bit and mode extension zero, and joint stereo as stereo.
	Config []byte `json:"config"`
	// Unit is the samples in an access unit of audio, at SampleRate ticks; zero for AAC, whose Config says it.
	Unit int64 `json:"unit,omitempty"`
	// Language is an ISO 639 or BCP 47 tag and Label a name for people, where the publisher told them.
	Language string `json:"language,omitempty"`
	Label    string `json:"label,omitempty"`
	// Display is what else the publisher's side knows of showing the pictures.
	Display Display `json:"display,omitzero"`

	// What follows is read out of Config by the packager. Of VP9, whose Config does not say it, the publisher's side sets
	// Width and Height.

	// Timescale is the number of ticks in a second: 90000 for video, the sample rate for audio.
	Timescale int64 `json:"timescale"`
	// CodecString is the RFC 6381 name for CODECS: "avc1.64001f", "mp4a.40.2".
	CodecString string `json:"codec_string"`
	// Width and Height are those of the picture as it is shown: cropped, stretched, turned.
	Width     int     `json:"width,omitempty"`
	Height    int     `json:"height,omitempty"`
	FrameRate float64 `json:"frame_rate,omitempty"`
	// VideoRange is "PQ" or "HLG"; empty is SDR.
	VideoRange string `json:"video_range,omitempty"`
	SampleRate int    `json:"sample_rate,omitempty"`
	Channels   int    `json:"channels,omitempty"`
	// InitSize is the length in bytes of the init section (ftyp and moov) at the head of the track's file.
	InitSize int64 `json:"init_size"`
}

// Frame is one access unit as its publisher sent it.
type Frame struct {
	// Track indexes the tracks that the publication announced last.
	Track int
	// DTS and PTS are the publisher's clock, unwrapped, on one zero for all tracks of the connection.
	DTS, PTS time.Duration
	// Sync marks a random access point.
	Sync bool
	// Recovery marks a picture that is none, but where decoding may begin and is right a little later: intra refresh.
	Recovery bool
	// Leading marks a picture that can't be decoded when decoding began at the random access point before it.
	Leading bool
	// Payload is the sample as an MP4 file has it: for H.264 and HEVC NAL units each behind a 4-byte length, without
	// delimiters and the parameter sets of the track's Config; for AV1 OBUs without temporal delimiters; for AAC a raw
	// access unit without ADTS. It is borrowed: valid only until the call that takes the frame returns.
	Payload []byte
	// Wall is when the frame arrived.
	Wall time.Time
}

// Duration turns ticks of a timescale into time, rounded to the nearest nanosecond.
func Duration(ticks, timescale int64) time.Duration {
	whole, rest := ticks/timescale, ticks%timescale
	return time.Duration(whole)*time.Second + time.Duration(divRound(rest*int64(time.Second), timescale))
}

// Ticks turns time into ticks of a timescale, rounded to the nearest tick.
func Ticks(d time.Duration, timescale int64) int64 {
	whole, rest := int64(d/time.Second), int64(d%time.Second)
	return whole*timescale + divRound(rest*timescale, int64(time.Second))
}

func divRound(n, d int64) int64 {
	if n < 0 {
		return -((-n + d/2) / d)
	}
	return (n + d/2) / d
}
