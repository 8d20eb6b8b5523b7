package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/oxbow-video/oxbow/ingest"
)

// Our own Enhanced RTMP publisher: Debian's ffmpeg and OBS speak none. It takes an MP4 file apart and sends it in real
// time, a message for each sample.

// erTrack is one track of a file, as Enhanced RTMP v2 names it.
type erTrack struct {
	video     bool
	number    int // among its kind
	fourCC    string
	header    []byte // body of the sequence start; nil if the codec has none
	timescale int64
}

// erSample is one message to send.
type erSample struct {
	track    *erTrack
	dts, pts time.Duration
	sync     bool
	payload  []byte
}

// readClip takes an MP4 file apart.
func readClip(tb testing.TB, clip string) (tracks []*erTrack, samples []erSample) {
	tb.Helper()
	fragmented := filepath.Join(tb.TempDir(), "fragmented.mp4")
	run(tb, time.Minute, "ffmpeg", "-v", "error", "-i", clip, "-map", "0", "-c", "copy", "-strict", "-2",
		"-movflags", "+frag_keyframe+empty_moov+delay_moov+default_base_moof", "-use_editlist", "0", fragmented)
	data, err := os.ReadFile(fragmented)
	if err != nil {
		tb.Fatal(err)
	}
	byID := map[int]*erTrack{}
	counts := map[bool]int{}
	for _, trak := range boxes(data, "moov", "trak") {
		t := &erTrack{timescale: int64(binary.BigEndian.Uint32(boxes(trak, "mdia", "mdhd")[0][12:]))}
		entry := boxes(trak, "mdia", "minf", "stbl", "stsd")[0][8:]
		t.video = string(boxes(trak, "mdia", "hdlr")[0][8:12]) == "vide"
		t.number = counts[t.video]
		counts[t.video]++
		t.readEntry(tb, string(entry[4:8]), entry[8:])
		byID[int(binary.BigEndian.Uint32(boxes(trak, "tkhd")[0][12:]))] = t
		tracks = append(tracks, t)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(data[bytes.Index(data, []byte("moof"))-4:]); err != nil {
		tb.Fatal(err)
	}
	keys := beginWithKeys(data)
	for _, part := range parts {
		for _, track := range part.Tracks {
			t := byID[track.ID]
			at := int64(track.BaseTime)
			key := keys[0]
			keys = keys[1:]
			for i, s := range track.Samples {
				samples = append(samples, erSample{
					track: t, dts: time.Duration(at) * time.Second / time.Duration(t.timescale),
					pts:  time.Duration(at+int64(s.PTSOffset)) * time.Second / time.Duration(t.timescale),
					sync: !s.IsNonSyncSample || i == 0 && key, payload: s.Payload,
				})
				at += int64(s.Duration)
			}
		}
	}
	slices.SortStableFunc(samples, func(a, b erSample) int { return int(a.dts - b.dts) })
	return tracks, samples
}

// beginWithKeys says of each track of each fragment whether its run tells that the first sample is a key frame, which
// fmp4 does not read (ISO/IEC 14496-12, 8.8.8: first_sample_flags).
func beginWithKeys(data []byte) (keys []bool) {
	const dataOffset, firstFlags, nonSync = 0x1, 0x4, 0x10000
	for _, run := range boxes(data, "moof", "traf", "trun") {
		flags, rest := binary.BigEndian.Uint32(run), run[8:]
		if flags&dataOffset != 0 {
			rest = rest[4:]
		}
		keys = append(keys, flags&firstFlags != 0 && binary.BigEndian.Uint32(rest)&nonSync == 0)
	}
	return keys
}

// later gives the samples again, moved in time.
func later(samples []erSample, by time.Duration) []erSample {
	again := slices.Clone(samples)
	for i := range again {
		again[i].dts += by
		again[i].pts += by
	}
	return again
}

// boxes finds the bodies of the boxes at the end of a path.
func boxes(data []byte, path ...string) (found [][]byte) {
	for len(data) >= 8 {
		size := min(int(binary.BigEndian.Uint32(data)), len(data))
		if size < 8 {
			break
		}
		if string(data[4:8]) == path[0] {
			if body := data[8:size]; len(path) == 1 {
				found = append(found, body)
			} else {
				found = append(found, boxes(body, path[1:]...)...)
			}
		}
		data = data[size:]
	}
	return found
}

// readEntry reads a sample entry: which codec it is, and its configuration.
func (t *erTrack) readEntry(tb testing.TB, name string, body []byte) {
	tb.Helper()
	const videoHead, audioHead = 78, 28
	child := func(name string, head int) []byte {
		found := boxes(body[head:], name)
		if len(found) == 0 {
			tb.Fatalf("no %s box", name)
		}
		return found[0]
	}
	switch name {
	case "avc1":
		t.fourCC, t.header = "avc1", child("avcC", videoHead)
	case "hvc1":
		t.fourCC, t.header = "hvc1", child("hvcC", videoHead)
	case "av01":
		t.fourCC, t.header = "av01", child("av1C", videoHead)
	case "vp09":
		t.fourCC, t.header = "vp09", child("vpcC", videoHead)[4:]
	case "Opus":
		d := child("dOps", audioHead)
		head := append([]byte("OpusHead"), 1, d[1])
		head = binary.LittleEndian.AppendUint16(head, binary.BigEndian.Uint16(d[2:]))
		head = binary.LittleEndian.AppendUint32(head, binary.BigEndian.Uint32(d[4:]))
		t.fourCC, t.header = "Opus", append(head, 0, 0, 0)
	case "fLaC":
		t.fourCC, t.header = "fLaC", append([]byte("fLaC"), child("dfLa", audioHead)[4:]...)
	case "ac-3", "ec-3":
		t.fourCC = name
	case "mp4a":
		esds := child("esds", audioHead)
		if kind := esds[bytes.IndexByte(esds, 4)+5]; kind == 0x69 || kind == 0x6b {
			t.fourCC = ".mp3"
			return
		}
		at := bytes.Index(esds, []byte{5, 0x80, 0x80, 0x80})
		t.fourCC, t.header = "mp4a", esds[at+5:at+5+int(esds[at+4])]
	default:
		tb.Fatalf("sample entry %q", name)
	}
}

// message gives an E-RTMP message body. Tracks beside the first of their kind go as multitrack, one in a message.
func (t *erTrack) message(packet byte, key bool, rest ...[]byte) (kind byte, body []byte) {
	const audioMultitrack, videoMultitrack = 5, 6
	head, multitrack := byte(0x90), byte(audioMultitrack)
	kind = 8
	if t.video {
		kind, head, multitrack = 9, 0x80|2<<4, videoMultitrack
		if key {
			head = 0x80 | 1<<4
		}
	}
	if t.number == 0 {
		body = append([]byte{head | packet}, t.fourCC...)
	} else {
		body = append([]byte{head | multitrack, packet}, t.fourCC...)
		body = append(body, byte(t.number))
	}
	for _, r := range rest {
		body = append(body, r...)
	}
	return kind, body
}

// message gives the sample as an E-RTMP message body.
func (s *erSample) message() (kind byte, body []byte) {
	var composition []byte
	if s.track.fourCC == "hvc1" || s.track.fourCC == "avc1" {
		offset := (s.pts - s.dts).Round(time.Millisecond).Milliseconds()
		composition = []byte{byte(offset >> 16), byte(offset >> 8), byte(offset)}
	}
	return s.track.message(1, s.sync, composition, s.payload)
}

// publishClip sends a file in real time, once. stamp, if it is not nil, makes the timestamps that a faulty clock would.
func publishClip(
	ctx context.Context, url string, tracks []*erTrack, samples []erSample, stamp func(*erSample, time.Duration) time.Duration,
) error {
	client, err := ingest.DialRTMP(ctx, url)
	if err != nil {
		return err
	}
	if err := client.Publish(ctx); err != nil {
		return errors.Join(err, client.Close())
	}
	return errors.Join(sendClip(ctx, client, tracks, samples, stamp), client.Close())
}

// sendClip sends a file in real time on a connection that publishes.
func sendClip(
	ctx context.Context, client *ingest.RTMPClient, tracks []*erTrack, samples []erSample,
	stamp func(*erSample, time.Duration) time.Duration,
) error {
	for _, t := range tracks {
		if t.header == nil {
			continue
		}
		kind, body := t.message(0, true, t.header)
		if err := client.WriteMessage(kind, 0, body); err != nil {
			return err
		}
	}
	first, began := samples[0].dts, time.Now()
	for _, s := range samples {
		due := time.NewTimer(time.Until(began.Add(s.dts - first)))
		select {
		case <-due.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		kind, body := s.message()
		at := s.dts - first
		if stamp != nil {
			at = stamp(&s, at)
		}
		if err := client.WriteMessage(kind, uint32(at.Round(time.Millisecond).Milliseconds()), body); err != nil {
			return err
		}
		if err := client.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// enhancedRow publishes a clip with our own publisher.
func enhancedRow(video, audio string) matrixRow {
	return matrixRow{
		publisher: "own E-RTMP", protocol: "RTMP", video: video, audio: audio,
		publish: func(t *testing.T, to matrixTarget) *process {
			tracks, samples := readClip(t, to.clip)
			if audio == "HE-AAC" {
				for _, track := range tracks {
					if !track.video {
						// Explicit hierarchical signalling: SBR to 48 kHz over LC at 24 kHz, stereo.
						track.header = []byte{0x2b, 0x11, 0x88, 0x00}
					}
				}
			}
			return startTask(t, fmt.Sprintf("E-RTMP publisher of %s", to.stream), func(ctx context.Context) error {
				return publishClip(ctx, to.rtmp("rtmp", to.server.rtmp), tracks, samples, nil)
			})
		},
	}
}
