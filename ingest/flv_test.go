package ingest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

var testWall = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// newTestDemuxer makes a demuxer that feeds a publication.
func newTestDemuxer(tb testing.TB, out Publication) (*flvDemuxer, *lineup) {
	tb.Helper()
	l := newLineup(Config{}.withDefaults(), out, newMetrics(prometheus.NewRegistry()))
	return &flvDemuxer{sink: &l, maxFrame: 1 << 20}, &l
}

func repairs(l *lineup, what string) int {
	return int(testutil.ToFloat64(l.metrics.repairs.WithLabelValues(what)))
}

// tag is one message for the demuxer.
type tag struct {
	kind byte
	ms   uint32
	body []byte
	wall time.Duration // after testWall
}

func video(ms uint32, body []byte) tag { return tag{kind: typeVideo, ms: ms, body: body} }
func audio(ms uint32, body []byte) tag { return tag{kind: typeAudio, ms: ms, body: body} }
func data(body []byte) tag             { return tag{kind: typeDataAMF0, body: body} }

func (d *flvDemuxer) feed(tags ...tag) error {
	for _, t := range tags {
		var err error
		switch body := bytes.Clone(t.body); t.kind {
		case typeVideo:
			err = d.video(t.ms, body, testWall.Add(t.wall))
		case typeAudio:
			err = d.audio(t.ms, body, testWall.Add(t.wall))
		default:
			err = d.data(t.ms, body, testWall.Add(t.wall))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var (
	testRecord  = recordOf(testSPS, testPPS)
	otherPPS    = []byte{0x68, 0xcb, 0x83, 0xcb, 0x21}
	otherSPS    = append(bytes.Clone(testSPS[:len(testSPS)-1]), 0x21)
	otherRecord = recordOf(otherSPS, testPPS)
	aud         = []byte{0x09, 0xf0}
	both        = metadata(amfProperty{"videocodecid", 7.0}, amfProperty{"audiocodecid", "mp4a"})
	onlyVideo   = metadata(amfProperty{"videocodecid", 7.0}, amfProperty{"width", 1280.0}, amfProperty{"audiocodecid", 0.0})
	onlyAudio   = metadata(amfProperty{"audiosamplerate", 48000.0})
)

// describe says what a publication was told: tracks, and frames as track@dts.
func describe(p *recPublication) string {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	var b strings.Builder
	for _, f := range p.frames {
		b.WriteString(" ")
		b.WriteString(f.DTS.String())
		if f.Sync {
			b.WriteString("*")
		}
	}
	return strings.Join(p.rec.events, ", ") + ":" + b.String()
}

var flvCases = []struct {
	name   string
	tags   []tag
	want   string
	repair string // counted once or more
}{
	{name: "both tracks at once", tags: []tag{
		data(both), video(0, videoConfig(testRecord)), audio(0, audioConfig(testASC)),
		video(0, videoUnit(0, idr(1))), audio(0, audioUnit(1)), video(40, videoUnit(0, slice(1))),
	}, want: "tracks video+audio: 0s* 0s* 40ms"},
	{name: "audio's configuration first: video still comes first", tags: []tag{
		audio(0, audioConfig(testASC)), video(0, videoConfig(testRecord)), audio(0, audioUnit(1)), video(0, videoUnit(0, idr(1))),
	}, want: "tracks video+audio: 0s* 0s*"},
	{name: "only video announced: no wait", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))),
	}, want: "tracks video: 0s*"},
	{name: "only audio announced: no wait", tags: []tag{
		data(onlyAudio), audio(0, audioConfig(testASC)), audio(0, audioUnit(1)),
	}, want: "tracks audio: 0s*"},
	{name: "audio announced that never comes: 500 ms of media", tags: []tag{
		data(both), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))), video(460, videoUnit(0, slice(1))),
		video(500, videoUnit(0, slice(2))), video(540, videoUnit(0, slice(3))),
	}, want: "tracks video: 0s* 460ms 500ms 540ms"},
	{name: "held frames wait for audio that comes in time", tags: []tag{
		data(both), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))), video(40, videoUnit(0, slice(1))),
		audio(0, audioConfig(testASC)), audio(20, audioUnit(1)),
	}, want: "tracks video+audio: 0s* 40ms 20ms*"},
	{name: "audio announced that never comes: 500 ms of wall time", tags: []tag{
		data(both), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))),
		{kind: typeVideo, ms: 1, body: videoUnit(0, slice(1)), wall: 499 * time.Millisecond},
		{kind: typeVideo, ms: 2, body: videoUnit(0, slice(1)), wall: 500 * time.Millisecond},
	}, want: "tracks video: 0s* 1ms 2ms"},
	{name: "without metadata both are awaited", tags: []tag{
		video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))), audio(0, audioConfig(testASC)), audio(0, audioUnit(1)),
	}, want: "tracks video+audio: 0s* 0s*"},
	{name: "metadata without tracks says nothing", tags: []tag{
		data(metadata(amfProperty{"encoder", "x"})), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))),
		audio(0, audioConfig(testASC)), audio(0, audioUnit(1)),
	}, want: "tracks video+audio: 0s* 0s*"},
	{name: "late audio sets the tracks anew", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))),
		audio(0, audioUnit(9)), // of no use yet
		audio(40, audioConfig(testASC)), video(40, videoUnit(0, slice(1))), audio(40, audioUnit(1)),
	}, want: "tracks video, tracks video+audio: 0s* 40ms 40ms*", repair: repairNoConfig},
	{name: "late video moves audio to the second place", tags: []tag{
		data(onlyAudio), audio(0, audioConfig(testASC)), audio(0, audioUnit(1)), video(0, videoConfig(testRecord)),
		audio(20, audioUnit(2)), video(20, videoUnit(0, idr(1))),
	}, want: "tracks audio, tracks video+audio: 0s* 20ms* 20ms*"},

	{name: "the same configuration again is absorbed", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))), video(0, videoConfig(testRecord)),
		video(40, videoUnit(0, slice(1))),
	}, want: "tracks video: 0s* 40ms", repair: repairRepeatedConfig},
	{name: "the same audio configuration again is absorbed", tags: []tag{
		data(onlyAudio), audio(0, audioConfig(testASC)), audio(0, audioUnit(1)), audio(0, audioConfig(testASC)), audio(20, audioUnit(1)),
	}, want: "tracks audio: 0s* 20ms*", repair: repairRepeatedConfig},
	{name: "a new configuration sets the tracks anew", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))), video(40, videoConfig(otherRecord)),
		video(40, videoUnit(0, idr(1))),
	}, want: "tracks video, tracks video: 0s* 40ms*"},
	{name: "configurations that change together set the tracks once", tags: []tag{
		video(0, videoConfig(testRecord)), audio(0, audioConfig(testASC)), video(0, videoUnit(0, idr(1))),
		video(40, videoConfig(otherRecord)), audio(40, audioConfig([]byte{0x11, 0x90})), video(40, videoUnit(0, idr(1))),
	}, want: "tracks video+audio, tracks video+audio: 0s* 40ms*"},
	{name: "an empty AAC configuration is passed over", tags: []tag{
		data(both), video(0, videoConfig(testRecord)), audio(0, audioConfig(nil)), audio(0, audioConfig(testASC)),
		video(0, videoUnit(0, idr(1))),
	}, want: "tracks video+audio: 0s*", repair: string(bitstream.BadConfig)},
	{name: "a torn record is passed over", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord[:20])), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))),
	}, want: "tracks video: 0s*", repair: string(bitstream.BadConfig)},

	{name: "the same parameter sets in the stream change nothing", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, aud, testSPS, testPPS, idr(1))),
		video(40, videoUnit(0, append(bytes.Clone(testSPS), 0, 0), testPPS, idr(1))),
	}, want: "tracks video: 0s* 40ms*"},
	{name: "new parameter sets hold from the next IDR", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1))), video(40, videoUnit(0, otherPPS)),
		video(80, videoUnit(0, slice(1))), video(120, videoUnit(0, idr(1))),
	}, want: "tracks video, tracks video: 0s* 80ms 120ms*", repair: string(bitstream.InBandConfig)},
	{name: "the first record again does not undo them", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, otherPPS, idr(1))),
		video(40, videoConfig(testRecord)), video(40, videoUnit(0, otherPPS, idr(1))),
	}, want: "tracks video: 0s* 40ms*", repair: repairRepeatedConfig},
	{name: "parameter sets only in the stream", tags: []tag{
		data(onlyVideo), video(0, videoConfig([]byte{1, 0x42, 0, 10, 0xff, 0xe0, 0})), video(0, videoUnit(0, testSPS, testPPS, slice(1))),
	}, want: "tracks video: 0s", repair: string(bitstream.BadConfig)},

	{name: "units of length zero are taken out", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, nil, idr(1), nil)),
	}, want: "tracks video: 0s*", repair: string(bitstream.EmptyUnit)},
	{name: "access units without a picture are dropped", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0)), video(0, videoUnit(0, aud, testSPS)),
		video(40, videoUnit(0, idr(1))),
	}, want: "tracks video: 40ms*", repair: string(bitstream.NoPicture)},
	{name: "a torn unit is cut off", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, append(videoUnit(0, idr(1)), 0, 0, 0, 9, 0x41)),
	}, want: "tracks video: 0s*", repair: string(bitstream.TornUnit)},
	{name: "FLV says key frame and the NAL units say no", tags: []tag{
		data(onlyVideo), video(0, videoConfig(testRecord)), video(0, append([]byte{0x17}, videoUnit(0, slice(1))[1:]...)),
		video(40, append([]byte{0x27}, videoUnit(0, idr(1))[1:]...)),
	}, want: "tracks video: 0s 40ms*"},
	{name: "empty messages, end of sequence, commands, torn heads", tags: []tag{
		data(onlyVideo), video(0, nil), audio(0, nil), video(0, []byte{0x17}), audio(0, []byte{0xaf}), video(0, []byte{0x17, 2, 0, 0, 0}),
		video(0, []byte{0x57, 0}), video(0, []byte{0x17, 9, 0, 0, 0}), audio(0, []byte{0xaf, 9}), data([]byte{0xff}), data(nil),
		audio(0, audioUnit()), video(0, []byte{0x90}), audio(0, []byte{0x97, 0xff}),
	}, want: ":", repair: repairEmptyFrame},
	{name: "AAC with ADTS is bared", tags: []tag{
		data(onlyAudio), audio(0, audioConfig(testASC)), audio(0, audioUnit(0xff, 0xf1, 0x50, 0x80, 0x01, 0x3f, 0xfc, 1, 2)),
	}, want: "tracks audio: 0s*", repair: repairADTS},

	{name: "timestamps wrap for both tracks alike", tags: []tag{
		video(0xffffff00, videoConfig(testRecord)), audio(0, audioConfig(testASC)),
		video(0xfffffff0, videoUnit(0, idr(1))), audio(0x10, audioUnit(1)), video(0xfffffff8, videoUnit(0, slice(1))), video(0x20, videoUnit(0, slice(1))),
	}, want: "tracks video+audio: 1193h2m47.28s* 1193h2m47.312s* 1193h2m47.288s 1193h2m47.328s"},
	{name: "negative timestamps", tags: []tag{
		video(0, videoConfig(testRecord)), audio(0, audioConfig(testASC)), video(0, videoUnit(0, idr(1))), audio(0xffffffe9, audioUnit(1)),
	}, want: "tracks video+audio: 0s* -23ms*"},

	{name: "H.264 and AAC by FourCC", tags: []tag{
		data(both), video(0, append([]byte("\x90avc1"), testRecord...)), audio(0, append([]byte("\x90mp4a"), testASC...)),
		video(0, append([]byte("\x91avc1\xff\xff\xd8"), unitsOf(idr(1))...)), // CTS -40
		video(40, append([]byte("\xa3avc1"), unitsOf(slice(1))...)),
		audio(40, []byte("\x91mp4a\x01\x02")), video(40, []byte("\x94avc1")), video(40, []byte("\x92avc1")),
		video(80, append([]byte("\xa7\x02\x01\x02\x03\x03avc1"), unitsOf(slice(1))...)), // ModEx before coded frames X
	}, want: "tracks video+audio: 0s* 40ms 40ms* 80.066051ms", repair: repairBadMetadata},
}

func TestFLV(t *testing.T) {
	for _, tt := range flvCases {
		t.Run(tt.name, func(t *testing.T) {
			p := &recPublication{rec: newRecorder()}
			d, l := newTestDemuxer(t, p)
			if err := d.feed(tt.tags...); err != nil {
				t.Fatal(err)
			}
			if got := describe(p); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tt.repair != "" && repairs(l, tt.repair) == 0 {
				t.Errorf("no %s was counted", tt.repair)
			}
		})
	}
}

func TestCompositionTimeIsSigned(t *testing.T) {
	for want, b := range map[int32][]byte{0: {0, 0, 0}, 80: {0, 0, 80}, -40: {0xff, 0xff, 0xd8}, -1 << 23: {0x80, 0, 0}, 1<<23 - 1: {0x7f, 0xff, 0xff}} {
		if got := signed24(b); got != want {
			t.Errorf("% x: %d, want %d", b, got, want)
		}
	}
}

func TestNoConfigurationEver(t *testing.T) {
	d, _ := newTestDemuxer(t, &recPublication{rec: newRecorder()})
	unit := videoUnit(0, idr(1))
	err := d.feed(tag{kind: typeVideo, body: unit}, tag{kind: typeVideo, ms: 9999, body: unit, wall: 9999 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	err = d.feed(tag{kind: typeVideo, ms: 10000, body: unit, wall: 10 * time.Second})
	if !errors.Is(err, media.ErrUnsupported) || !strings.Contains(err.Error(), "sequence header") {
		t.Errorf("got %v", err)
	}
}

// Frames that wait for a second track are few and small.
func TestHeldFramesAreBounded(t *testing.T) {
	p := &recPublication{rec: newRecorder()}
	d, l := newTestDemuxer(t, p)
	if err := d.feed(data(both), video(0, videoConfig(testRecord))); err != nil {
		t.Fatal(err)
	}
	for range maxHeldFrames + 1 {
		if err := d.feed(video(0, videoUnit(0, idr(1)))); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.frames) != maxHeldFrames+1 || len(l.held) != 0 {
		t.Errorf("%d frames written, %d held", len(p.frames), len(l.held))
	}
}

func TestHeldFramesAreWrittenAtTheEnd(t *testing.T) {
	p := &recPublication{rec: newRecorder()}
	d, l := newTestDemuxer(t, p)
	if err := d.feed(data(both), video(0, videoConfig(testRecord)), video(0, videoUnit(0, idr(1)))); err != nil {
		t.Fatal(err)
	}
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := describe(p), "tracks video: 0s*"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Invariant 7: the payload is the message's own memory when nothing had to be repaired.
func TestPayloadIsNotCopied(t *testing.T) {
	var payload []byte
	rec := newRecorder()
	rec.onFrame = func(f *media.Frame) error {
		payload = f.Payload
		return nil
	}
	d, _ := newTestDemuxer(t, &recPublication{rec: rec})
	if err := d.feed(data(onlyVideo), video(0, videoConfig(testRecord))); err != nil {
		t.Fatal(err)
	}
	body := videoUnit(0, idr(1), slice(2))
	if err := d.video(0, body, testWall); err != nil {
		t.Fatal(err)
	}
	if &payload[0] != &body[5] {
		t.Error("it was copied")
	}
}

func TestH264LengthSizes(t *testing.T) {
	for _, size := range []int{1, 2, 3} {
		record := bytes.Clone(testRecord)
		record[4] = 0xfc | byte(size-1)
		p := &recPublication{rec: newRecorder()}
		d, l := newTestDemuxer(t, p)
		body := []byte{0x17, 1, 0, 0, 0}
		for _, unit := range [][]byte{aud, idr(1), {}, slice(2)} {
			body = append(body, make([]byte, size-1)...)
			body = append(append(body, byte(len(unit))), unit...)
		}
		if err := d.feed(data(onlyVideo), video(0, videoConfig(record)), video(0, body)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(unitsOf(idr(1), slice(2)), p.frames[0].Payload); diff != "" {
			t.Errorf("length size %d: %s", size, diff)
		}
		if diff := cmp.Diff(testRecord, p.tracks[0][0].Config); diff != "" {
			t.Errorf("length size %d: %s", size, diff)
		}
		// A torn last unit.
		if err := d.feed(video(40, append(body, append(make([]byte, size-1), 9, 0x41)...))); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(unitsOf(idr(1), slice(2)), p.frames[1].Payload); diff != "" || repairs(l, string(bitstream.TornUnit)) != 1 {
			t.Errorf("length size %d: %s", size, diff)
		}
	}
}
