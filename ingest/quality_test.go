package ingest

import (
	"bytes"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

// synthetic is a publisher on a synthetic clock, whose faults a test sets and takes back. Without any it sends 25
// pictures a second, every 50th of them a key frame, and audio in units of 20 ms.
type synthetic struct {
	l     *lineup
	out   *sinkhole
	log   *bytes.Buffer
	start time.Time
	wall  time.Duration // since start
	media time.Duration // of the next picture

	keyEvery   func(picture int) bool
	size       func(picture int) int
	pace       float64 // seconds of media in a second; zero is 1
	videoLate  time.Duration
	videoJump  time.Duration
	drop       func(picture int) bool
	noVideo    bool
	noAudio    bool
	changing   bool // the configuration changes every 10 s
	faulty     bool // a damaged packet a second
	transport  media.IngestTransport
	perSecond  func(*media.SRTReport)
	picture    int
	configured int
}

// sinkhole is a publication that takes everything.
type sinkhole struct{ repairs map[string]map[string]int64 }

func (sinkhole) SetTracks([]media.Track) error            { return nil }
func (sinkhole) WriteFrame(*media.Frame) error            { return nil }
func (sinkhole) WriteMetadata(*media.TimedMetadata) error { return nil }
func (sinkhole) Leave()                                   {}
func (sinkhole) Close(bool) error                         { return nil }

func (s sinkhole) Repairs() map[string]map[string]int64 { return s.repairs }

func newSynthetic(tb testing.TB, maxBitrate int64) *synthetic {
	tb.Helper()
	out := &sinkhole{repairs: map[string]map[string]int64{"audio": {"resync": 2}}}
	l := newLineup(Config{}.withDefaults(), out, newMetrics(prometheus.NewRegistry()))
	s := &synthetic{
		l: &l, out: out, log: &bytes.Buffer{}, start: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), pace: 1,
		media: time.Second,
	}
	l.quality.begin(media.IngestReport{Publisher: "acme", Stream: "show", StartedAt: s.start}, maxBitrate,
		slog.New(slog.NewTextHandler(s.log, nil)))
	l.quality.transport = func() media.IngestTransport {
		t := s.transport
		if t.SRT != nil {
			srt := *t.SRT
			t.SRT = &srt
		}
		return t
	}
	s.configure(tb, media.Video, 0)
	s.configure(tb, media.Audio, 0)
	return s
}

func (s *synthetic) configure(tb testing.TB, kind media.Kind, version byte) {
	tb.Helper()
	codec := map[media.Kind]media.Codec{media.Video: media.H264, media.Audio: media.AAC}[kind]
	if err := s.l.configure(trackID{kind: kind}, media.Track{Codec: codec, Config: []byte{1, version}}); err != nil {
		tb.Fatal(err)
	}
}

// run sends for so long, by the wall clock.
func (s *synthetic) run(tb testing.TB, d time.Duration) {
	tb.Helper()
	const step = 40 * time.Millisecond
	payload := make([]byte, 1<<20)
	for end := s.wall + d; s.wall < end; s.wall += time.Duration(float64(step) / s.pace) {
		if s.picture%25 == 0 {
			if s.perSecond != nil {
				s.perSecond(s.transport.SRT)
			}
			if s.faulty {
				s.l.repaired(repairTSDamaged)
			}
			if s.changing && s.picture%250 == 0 {
				s.configured++
				s.configure(tb, media.Video, byte(s.configured))
			}
		}
		for i := range time.Duration(2) {
			if !s.noAudio {
				at := s.media + i*step/2
				s.write(tb, media.Audio, media.Frame{DTS: at, PTS: at, Sync: true, Payload: payload[:240]})
			}
		}
		if !s.noVideo && (s.drop == nil || !s.drop(s.picture)) {
			at := s.media - s.videoLate + s.videoJump
			size, key := 10_000, s.picture%50 == 0
			if s.size != nil {
				size = s.size(s.picture)
			}
			if s.keyEvery != nil {
				key = s.keyEvery(s.picture)
			}
			s.write(tb, media.Video, media.Frame{DTS: at, PTS: at + 2*step, Sync: key, Payload: payload[:size]})
		}
		s.media += step
		s.picture++
	}
}

func (s *synthetic) write(tb testing.TB, kind media.Kind, f media.Frame) {
	f.Wall = s.start.Add(s.wall)
	if err := s.l.write(trackID{kind: kind}, &f); err != nil {
		tb.Fatal(err)
	}
}

func (s *synthetic) report() media.IngestReport {
	return s.l.quality.snapshot(s.start.Add(s.wall))
}

func (s *synthetic) codes() []string {
	var codes []string
	for _, w := range s.report().Warnings {
		codes = append(codes, w.Code)
	}
	return codes
}

func every(n int) func(int) bool { return func(picture int) bool { return picture%n == 0 } }

// TestWarnings has each fault begin in a good stream: its warning comes, alone, once, with what to do; and goes when the
// fault does.
func TestWarnings(t *testing.T) {
	srt := func() *media.SRTReport { return &media.SRTReport{RTTMS: 20, LatencyMS: 500} }
	for _, tt := range []struct {
		code       string
		fault      func(*synthetic)
		mend       func(*synthetic)
		within     time.Duration // of its warning
		text       string
		maxBitrate int64
		also       []string // warnings that the same fault earns
	}{
		{
			code: "keyframe_interval_long", within: 13 * time.Second, text: "key-frame interval 12 s: set 2 s",
			fault: func(s *synthetic) { s.keyEvery = every(300) },
			mend:  func(s *synthetic) { s.keyEvery = nil },
			also:  []string{"keyframe_interval_irregular"}, // while the interval changes
		}, {
			code: "no_keyframes", within: 32 * time.Second, text: "no key frame came for",
			fault: func(s *synthetic) { s.keyEvery = func(int) bool { return false } },
			mend:  func(s *synthetic) { s.keyEvery = nil },
			also:  []string{"keyframe_interval_long"},
		}, {
			code: "keyframe_interval_irregular", within: 20 * time.Second, text: "scenecut=0",
			fault: func(s *synthetic) { s.keyEvery = func(n int) bool { return n%50 == 0 || n%170 == 0 } },
			mend:  func(s *synthetic) { s.keyEvery = nil },
		}, {
			code: "fps_unstable", within: 20 * time.Second, text: "constant frame rate",
			fault: func(s *synthetic) { s.drop = func(n int) bool { return n%7 == 3 && n%50 != 0 } },
			mend:  func(s *synthetic) { s.drop = nil },
		}, {
			code: "bitrate_too_high", within: 30 * time.Second, text: "kbit/s of the 3000 kbit/s that are allowed",
			maxBitrate: 3_000_000,
			fault:      func(s *synthetic) { s.size = func(int) int { return 14_000 } },
			mend:       func(s *synthetic) { s.size = nil },
		}, {
			code: "bitrate_unstable", within: 60 * time.Second, text: "constant bitrate",
			fault: func(s *synthetic) { s.size = func(n int) int { return 5_000 + 20_000*(n/250%2) } },
			mend:  func(s *synthetic) { s.size = nil },
		}, {
			code: "falling_behind", within: 20 * time.Second, text: "carries 90 % of what",
			fault: func(s *synthetic) { s.pace = 0.9 },
			mend:  func(s *synthetic) { s.pace = 1 },
		}, {
			code: "faster_than_realtime", within: 20 * time.Second, text: "-re",
			fault: func(s *synthetic) { s.pace = 4 },
			mend:  func(s *synthetic) { s.pace = 1 },
		}, {
			code: "data_gaps", within: 2 * time.Second, text: "nothing came for up to 3.0 s",
			fault: func(s *synthetic) { s.wall, s.media = s.wall+3*time.Second, s.media+3*time.Second },
			mend:  func(*synthetic) {},
		}, {
			code: "av_skew", within: 15 * time.Second, text: "video comes 260 ms later than the audio",
			fault: func(s *synthetic) { s.videoLate = 240 * time.Millisecond },
			mend:  func(s *synthetic) { s.videoLate = 0 },
		}, {
			code: "audio_missing", within: 7 * time.Second, text: "no audio came for 5 s: check the microphone",
			fault: func(s *synthetic) { s.noAudio = true },
			mend:  func(s *synthetic) { s.noAudio = false },
		}, {
			code: "video_missing", within: 7 * time.Second, text: "no video came for 5 s",
			fault: func(s *synthetic) { s.noVideo = true },
			mend:  func(s *synthetic) { s.noVideo = false },
		}, {
			code: "timestamps_jump", within: 2 * time.Second, text: "timestamps of video jumped, 1 times",
			fault: func(s *synthetic) { s.media += time.Hour },
			mend:  func(*synthetic) {},
		}, {
			code: "timestamps_jump", within: 2 * time.Second, text: "timestamps of video jumped, 1 times",
			fault: func(s *synthetic) { s.media -= time.Hour },
			mend:  func(*synthetic) {},
		}, {
			code: "config_unstable", within: 31 * time.Second, text: "video changed its configuration",
			fault: func(s *synthetic) { s.changing = true },
			mend:  func(s *synthetic) { s.changing = false },
		}, {
			code: "stream_damaged", within: 6 * time.Second, text: "loss is before this connection",
			fault: func(s *synthetic) { s.faulty = true },
			mend:  func(s *synthetic) { s.faulty = false },
		}, {
			code: "unsupported_streams", within: 2 * time.Second, text: "not taken: DTS audio",
			fault: func(s *synthetic) { s.transport.NotTaken = []string{"DTS audio"} },
			mend:  func(s *synthetic) { s.transport.NotTaken = nil },
		}, {
			code: "packet_loss", within: 11 * time.Second, text: "% of the packets are lost at first",
			fault: func(s *synthetic) {
				s.transport.SRT = srt()
				s.perSecond = func(r *media.SRTReport) { r.Received, r.Lost = r.Received+300, r.Lost+9 }
			},
			mend: func(s *synthetic) { s.perSecond = func(r *media.SRTReport) { r.Received += 300 } },
		}, {
			code: "packets_missing", within: 3 * time.Second, text: "set the encoder's latency to 1000 ms",
			fault: func(s *synthetic) {
				s.transport.SRT = srt()
				s.perSecond = func(r *media.SRTReport) { r.Missing++ }
			},
			mend: func(s *synthetic) { s.perSecond = nil },
		}, {
			code: "srt_latency_low", within: 8 * time.Second, text: "set the encoder's latency to 800 ms",
			fault: func(s *synthetic) { s.transport.SRT = &media.SRTReport{RTTMS: 200, LatencyMS: 500} },
			mend:  func(s *synthetic) { s.transport.SRT = srt() },
		}, {
			code: "server_overloaded", within: 3 * time.Second, text: "tell its operator",
			fault: func(s *synthetic) {
				s.transport.SRT = srt()
				s.perSecond = func(r *media.SRTReport) { r.Overflow += 5 }
			},
			mend: func(s *synthetic) { s.perSecond = nil },
		},
	} {
		t.Run(tt.code, func(t *testing.T) {
			s := newSynthetic(t, tt.maxBitrate)
			s.run(t, 40*time.Second)
			if codes := s.codes(); len(codes) > 0 {
				t.Fatalf("a good stream is warned of %v: %+v", codes, s.report().Warnings)
			}
			tt.fault(s)
			allowed := append(tt.also, tt.code)
			for waited := time.Duration(0); !slices.Contains(s.codes(), tt.code); waited += time.Second {
				if s.run(t, time.Second); waited > tt.within {
					t.Fatalf("no warning within %v: %+v", tt.within, s.report())
				}
			}
			report := s.report()
			warning := report.Warnings[slices.IndexFunc(report.Warnings, func(w media.IngestWarning) bool { return w.Code == tt.code })]
			if warning.Severity == "" || warning.Since.IsZero() {
				t.Errorf("%+v", warning)
			}
			gauge := s.l.metrics.warnings.WithLabelValues(tt.code)
			if n := testutil.ToFloat64(gauge); n != 1 {
				t.Errorf("%v publishers are warned", n)
			}
			s.run(t, 30*time.Second)
			texts := s.log.String()
			for _, w := range s.report().Warnings {
				texts += w.Text
			}
			if !strings.Contains(texts, tt.text) {
				t.Errorf("the text %q is not in %s", tt.text, texts)
			}
			tt.mend(s)
			s.run(t, 3*time.Minute)
			if codes := s.codes(); len(codes) > 0 {
				t.Errorf("mended, but warned of %v: %+v", codes, s.report().Warnings)
			}
			if n := testutil.ToFloat64(gauge); n != 0 {
				t.Errorf("mended, but %v publishers are warned", n)
			}
			for line := range strings.Lines(s.log.String()) {
				if !slices.ContainsFunc(allowed, func(code string) bool { return strings.Contains(line, "code="+code+" ") }) {
					t.Errorf("logged beside it: %s", line)
				}
			}
			log := s.log.String()
			raised := strings.Count(log, `msg="ingest warning" code=`+tt.code)
			cleared := strings.Count(log, `msg="ingest warning over" code=`+tt.code)
			if raised != 1 || cleared != 1 {
				t.Errorf("logged %d times, and its end %d times:\n%s", raised, cleared, log)
			}
		})
	}
}

func TestAnnouncedAudioThatNeverComes(t *testing.T) {
	s := newSynthetic(t, 0)
	s.l.remove(trackID{kind: media.Audio})
	s.l.announce(1, 1)
	s.noAudio = true
	s.run(t, 10*time.Second)
	if codes := s.codes(); !slices.Equal(codes, []string{"audio_missing"}) {
		t.Errorf("warned of %v", codes)
	}
}

// SRT's silence is judged before the first frame: what comes late is no gap.
func TestSilenceBeforeTheFirstFrame(t *testing.T) {
	s := newSynthetic(t, 0)
	s.transport = media.IngestTransport{NotTaken: []string{"DTS audio"}, SRT: &media.SRTReport{RTTMS: 20, LatencyMS: 500}}
	for range 4 {
		s.l.tick(s.start.Add(s.wall))
		s.wall += time.Second
	}
	if codes := s.codes(); !slices.Equal(codes, []string{"unsupported_streams"}) {
		t.Errorf("warned of %v", codes)
	}
	s.transport.NotTaken = nil
	s.run(t, 20*time.Second)
	if r := s.report(); r.DataGaps != 0 || len(r.Warnings) != 0 {
		t.Errorf("%+v", r)
	}
}

// A condition that comes and goes is told once.
func TestWarningsDoNotFlap(t *testing.T) {
	s := newSynthetic(t, 0)
	s.run(t, 15*time.Second)
	for range 20 {
		s.videoLate = 300 * time.Millisecond
		s.run(t, 12*time.Second)
		s.videoLate = 0
		s.run(t, 6*time.Second)
	}
	if n := strings.Count(s.log.String(), "\n"); n > 1 {
		t.Errorf("%d lines:\n%s", n, s.log)
	}
}

func TestReport(t *testing.T) {
	s := newSynthetic(t, 8_000_000)
	s.run(t, 62*time.Second)
	s.l.repaired(repairEmptyFrame)
	s.run(t, 2*time.Second)
	r := s.report()
	if len(r.Tracks) != 2 || r.Tracks[0].Name != "video" || r.Tracks[1].Name != "audio" || r.Tracks[0].Codec != media.H264 {
		t.Fatalf("tracks: %+v", r.Tracks)
	}
	video, audio := r.Tracks[0], r.Tracks[1]
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"bitrate of 1 s", float64(r.BitrateBPS), 2_096_000},
		{"bitrate of 10 s", float64(r.Bitrate10sBPS), 2_096_000},
		{"limit", float64(r.MaxBitrateBPS), 8_000_000},
		{"video bitrate", float64(video.Bitrate10sBPS), 2_000_000},
		{"audio bitrate", float64(audio.Bitrate10sBPS), 96_000},
		{"video fps", video.FPS, 25},
		{"audio fps", audio.FPS, 50},
		{"pace", r.Pace, 1},
		{"key-frame interval", video.KeyFrames.IntervalSec, 2},
		{"key-frame interval in frames", float64(video.KeyFrames.IntervalFrames), 50},
		{"longest interval", video.KeyFrames.MaxSec, 2},
		{"longest interval in frames", float64(video.KeyFrames.MaxFrames), 50},
		{"key frames", float64(video.KeyFrames.Count), 32},
		{"silence", float64(r.SilentMS), 40},
		{"lag", float64(r.LagMS), 0},
		{"skew", float64(r.AVSkewMS), 20}, // the second audio frame comes with the first
		{"repairs", float64(r.Repairs[repairEmptyFrame]), 1},
		{"the packager's repairs", float64(audio.Repairs["resync"]), 2},
		{"jumps", float64(video.TimestampJumps), 0},
	} {
		if math.Abs(c.got-c.want) > c.want/50 {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if audio.KeyFrames != nil {
		t.Error("audio has key frames")
	}
}

// The clock of a report is the arrivals': a good stream's numbers stay good over a jump, a pause and a wrap.
func TestLagForgetsJumps(t *testing.T) {
	s := newSynthetic(t, 0)
	s.run(t, 15*time.Second)
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour, 10 * time.Second} {
		s.media += jump
		s.run(t, 15*time.Second)
		if r := s.report(); r.LagMS > 50 || r.Pace < 0.98 || r.Pace > 1.02 || r.AVSkewMS > 50 {
			t.Errorf("after a jump of %v: lag %d ms, pace %v, skew %d ms", jump, r.LagMS, r.Pace, r.AVSkewMS)
		}
	}
	if r := s.report(); r.Tracks[0].TimestampJumps != 3 || r.Tracks[0].TimestampsBackward != 1 {
		t.Errorf("%+v", r.Tracks[0])
	}
}

// An encoder whose clock is off by what quartz is off is not late after hours.
func TestDriftIsNoLag(t *testing.T) {
	s := newSynthetic(t, 0)
	s.pace = 0.9998
	s.run(t, time.Hour)
	if r := s.report(); r.LagMS > 60 || len(s.log.String()) > 0 {
		t.Errorf("lag %d ms: %s", r.LagMS, s.log)
	}
}

func TestQualityAllocatesOnceASecondOnly(t *testing.T) {
	var m trackMeter
	q := newQuality(sinkhole{}, newMetrics(prometheus.NewRegistry()))
	f := media.Frame{Payload: make([]byte, 1000), Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	if n := testing.AllocsPerRun(1000, func() {
		f.DTS += 20 * time.Millisecond
		f.Sync = f.DTS%time.Second == 0
		f.Wall = f.Wall.Add(20 * time.Millisecond)
		q.frame(&m, &f)
		q.repaired(repairTSDamaged)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkQualityFrame(b *testing.B) {
	var m trackMeter
	q := newQuality(sinkhole{}, newMetrics(prometheus.NewRegistry()))
	f := media.Frame{Payload: make([]byte, 1000), Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.ReportAllocs()
	for b.Loop() {
		f.DTS += 20 * time.Millisecond
		f.Sync = f.DTS%time.Second == 0
		f.Wall = f.Wall.Add(20 * time.Millisecond)
		q.frame(&m, &f)
	}
}

// BenchmarkQualityReview is what a second of a stream costs.
func BenchmarkQualityReview(b *testing.B) {
	s := newSynthetic(b, 0)
	s.run(b, 15*time.Second)
	b.ReportAllocs()
	for b.Loop() {
		s.wall += time.Second
		s.l.review(s.start.Add(s.wall))
	}
}
