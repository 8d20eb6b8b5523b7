package media

import "time"

// IngestReport tells how well a live publisher's stream arrives. It is made once a second and never modified.
// Media time is the stream's own clock; arrivals are measured on the server's.
type IngestReport struct {
	Publisher string    `json:"publisher"`
	Stream    string    `json:"stream"`
	Group     string    `json:"group,omitempty" doc:"The stream whose show this one is a rendition of"`
	Node      string    `json:"node" doc:"The ingest node that it is connected to"`
	Protocol  string    `json:"protocol" doc:"rtmp, rtmps, rtmpt, srt"`
	Remote    string    `json:"remote" doc:"The other side's address"`
	Encoder   string    `json:"encoder" doc:"What it says that it is"`
	Epoch     uint64    `json:"epoch" doc:"Of the stream's lease: the higher came later; 0 of a standby"`
	Feed      string    `json:"feed" doc:"primary or backup"`
	Standby   bool      `json:"standby" doc:"It is kept ready to take over; another publisher's feed is live"`
	KeyID     string    `json:"key_id" doc:"Id of the stream key that it came with; empty of a source"`
	StartedAt time.Time `json:"started_at"`
	UpdatedAt time.Time `json:"updated_at" doc:"When this was measured: each second while data comes"`
	SilentMS  int64     `json:"silent_ms" doc:"Since the last frame came, in milliseconds"`

	Bytes         int64 `json:"bytes" doc:"Media received, in bytes"`
	Frames        int64 `json:"frames" doc:"Frames received, of all tracks"`
	BitrateBPS    int64 `json:"bitrate_bps" doc:"Media of the last second, in bits per second"`
	Bitrate10sBPS int64 `json:"bitrate_10s_bps" doc:"The same of the last 10 seconds"`
	MaxBitrateBPS int64 `json:"max_bitrate_bps" doc:"The limit, in bits per second; 0 is none"`

	LagMS    int64   `json:"lag_ms" doc:"Arrivals behind the stream's clock, against their best, in ms"`
	Pace     float64 `json:"pace" doc:"Seconds of media per second, over 10 seconds; below 1 it falls behind"`
	AVSkewMS int64   `json:"av_skew_ms" doc:"How much later video comes than its audio, in ms; below 0 audio is late"`

	DataGaps     int64 `json:"data_gaps" doc:"Times that nothing came for a second or longer"`
	LongestGapMS int64 `json:"longest_gap_ms" doc:"The longest of them, in milliseconds"`
	Bursts       int64 `json:"bursts" doc:"Seconds in which over half a second too much media came"`

	// Repairs counts the faults of the stream that were passed over, by what they are.
	Repairs   map[string]int64 `json:"repairs" nullable:"false" doc:"Faults passed over, by what they are"`
	Tracks    []IngestTrack    `json:"tracks" nullable:"false" doc:"Video first"`
	Transport IngestTransport  `json:"transport"`
	Warnings  []IngestWarning  `json:"warnings" nullable:"false" doc:"What the publisher should change, oldest first"`
}

// IngestTrack tells of one track of a publisher's stream.
type IngestTrack struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Codec  Codec  `json:"codec"`
	Width  int    `json:"width,omitempty" doc:"In pixels, where it is known"`
	Height int    `json:"height,omitempty" doc:"In pixels, where it is known"`

	Bytes         int64   `json:"bytes"`
	Frames        int64   `json:"frames"`
	BitrateBPS    int64   `json:"bitrate_bps" doc:"Of the last second, in bits per second"`
	Bitrate10sBPS int64   `json:"bitrate_10s_bps" doc:"The same of 10 seconds"`
	FPS           float64 `json:"fps" doc:"Frames per second of media, over 10 seconds"`
	UnevenRatio   float64 `json:"uneven_ratio" doc:"Share of frames out of step, 0 to 1, over 10 seconds"`
	LagMS         int64   `json:"lag_ms" doc:"Arrivals behind the track's clock, against their best, in ms"`
	JitterMS      float64 `json:"jitter_ms" doc:"Of arrivals, as RFC 3550 (6.4.1) has it, in ms"`

	TimestampJumps     int64 `json:"timestamp_jumps" doc:"Timestamps over a second off"`
	TimestampsBackward int64 `json:"timestamps_backward" doc:"Timestamps before the last one's"`
	ConfigChanges      int64 `json:"config_changes" doc:"Changes of the decoder configuration"`

	KeyFrames *KeyFrameReport `json:"key_frames,omitempty" doc:"Of video"`
	// Repairs is what the packager corrected in the track's timeline, by what it is.
	Repairs map[string]int64 `json:"repairs,omitempty" doc:"Corrections of its timeline, by what they are"`
}

// KeyFrameReport tells where decoding of a video track may begin: how far its random access points are apart.
type KeyFrameReport struct {
	Count          int64   `json:"count"`
	IntervalSec    float64 `json:"interval_seconds" doc:"Between the last two, in seconds of media"`
	IntervalFrames int64   `json:"interval_frames" doc:"Between the last two, in frames"`
	MaxSec         float64 `json:"max_interval_seconds" doc:"The longest of 60 seconds, with the one under way"`
	MaxFrames      int64   `json:"max_interval_frames" doc:"The most frames of one of the last 60 seconds"`
	UnevenRatio    float64 `json:"uneven_ratio" doc:"Share of the last 8, 0 to 1, over a quarter off their median"`
}

// IngestTransport tells of the connection below the media.
type IngestTransport struct {
	ReceivedBytes int64 `json:"received_bytes" doc:"All that came, in bytes"`
	// NotTaken names streams of the connection that are not taken.
	NotTaken []string   `json:"not_taken,omitempty" doc:"Streams that are not taken, by name"`
	SRT      *SRTReport `json:"srt,omitempty" doc:"Of SRT connections"`
}

// SRTReport tells of an SRT connection: counts are packets since its beginning.
type SRTReport struct {
	RTTMS         float64 `json:"rtt_ms" doc:"Round trip, smoothed, in milliseconds"`
	LatencyMS     int64   `json:"latency_ms" doc:"How long packets are held for those sent again, in milliseconds"`
	BufferBytes   int64   `json:"buffer_bytes" doc:"Held back now, in bytes"`
	BufferMS      int64   `json:"buffer_ms" doc:"Held back now, in milliseconds"`
	Received      int64   `json:"received_packets"`
	Lost          int64   `json:"lost_packets" doc:"Not there at first"`
	Retransmitted int64   `json:"retransmitted_packets" doc:"Sent again and received"`
	Discarded     int64   `json:"discarded_packets" doc:"Doubled, or too late"`
	Undecrypted   int64   `json:"undecrypted_packets"`
	Missing       int64   `json:"missing_packets" doc:"Lost for good"`
	Overflow      int64   `json:"overflow_packets" doc:"Dropped since the server did not keep up"`
	LossRatio     float64 `json:"loss_ratio" doc:"Share of packets, 0 to 1, lost at first, over 10 seconds"`
}

// Severities of warnings.
const (
	SeverityNotice  = "notice"  // better done otherwise
	SeverityWarning = "warning" // some viewers suffer, or soon will
	SeverityError   = "error"   // viewers see or hear it now
)

// IngestWarning is something that the publisher should change.
type IngestWarning struct {
	Code     string    `json:"code" doc:"Names it for programs"`
	Severity string    `json:"severity" doc:"notice, warning, or error: viewers see or hear it now"`
	Text     string    `json:"text" doc:"What is seen, and what to change"`
	Since    time.Time `json:"since"`
}
