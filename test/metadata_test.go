package test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
)

// spliceInsert is the section of SCTE 35, 14.2.
const spliceInsert = "/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo="

const timedMetadata = "oxbow_packager_timed_metadata_total"

// awaitMetadata waits until the packager took so many pieces of each kind.
func awaitMetadata(tb testing.TB, server *oxbow, want map[string]float64) {
	tb.Helper()
	for kind, n := range want {
		eventually(tb, 10*time.Second, fmt.Sprintf("%v pieces of %s", n, kind), func() bool {
			_, text := server.try("http://" + server.admin + "/metrics")
			series := fmt.Sprintf("%s{kind=%q}", timedMetadata, kind)
			return bytes.Contains(text, []byte(series)) && server.metrics(timedMetadata, `kind="`+kind+`"`) == n
		})
	}
}

// TestTimedMetadataOverRTMP sends what encoders tell beside their media as data messages.
func TestTimedMetadataOverRTMP(t *testing.T) {
	t.Parallel()
	tracks, samples := readClip(t, encodeSource(t, 2, "320x180", "200k"))
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	startTask(t, "publisher with metadata", func(ctx context.Context) error {
		client, err := ingest.DialRTMP(ctx, "rtmp://"+server.rtmp+"/live/"+key)
		if err != nil {
			return err
		}
		if err := client.Publish(ctx); err != nil {
			return err
		}
		if err := sendClip(ctx, client, tracks, samples, nil); err != nil {
			return err
		}
		for _, body := range [][]byte{
			amfMessage("onTextData", "text", "first"),
			amfMessage("onTextData", "text", "second", "language", "en"),
			amfMessage("onCuePoint", "name", "chapter", "type", "event"),
			amfMessage("onCuePoint", "name", "scte35", "parameters", spliceInsert),
			{2, 0, 10, 'o', 'n', 'T', 'e', 'x', 't', 'D', 'a', 't', 'a', 3, 0xff}, // torn
		} {
			if err := client.WriteMessage(ingest.RTMPData, 2000, body); err != nil {
				return err
			}
		}
		if err := client.Flush(); err != nil {
			return err
		}
		<-ctx.Done()
		return client.Close()
	})
	awaitMetadata(t, server, map[string]float64{"text": 2, "cue_point": 1, "scte35": 1})
}

// amfMessage is the AMF0 of an event with an object of strings, whose times are numbers.
func amfMessage(name string, pairs ...string) []byte {
	text := func(b []byte, s string) []byte { return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	b := append(text([]byte{2}, name), 3)
	for i := 0; i < len(pairs); i += 2 {
		b = append(text(b, pairs[i]), 2)
		b = text(b, pairs[i+1])
	}
	b = append(text(b, "time"), 0)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(2.5))
	return append(b, 0, 0, 9)
}

// TestTimedMetadataInTransportStream publishes a transport stream with cues of SCTE 35 and tags of ID3 among its
// pictures.
func TestTimedMetadataInTransportStream(t *testing.T) {
	t.Parallel()
	clip := filepath.Join(t.TempDir(), "clip.ts")
	run(t, time.Minute, "ffmpeg", "-v", "error", "-i", encodeSource(t, 2, "320x180", "200k"), "-c", "copy", "-f", "mpegts", clip)
	data, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	cue, err := base64.StdEncoding.DecodeString(spliceInsert)
	if err != nil {
		t.Fatal(err)
	}
	with := filepath.Join(t.TempDir(), "with.ts")
	if err := os.WriteFile(with, addMetadata(t, data, cue, 2*time.Second), 0o644); err != nil {
		t.Fatal(err)
	}
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	// As bytes: ffmpeg's own multiplexer would write neither.
	publisher := publish(t, "-f", "data", "-i", with, "-map", "0", "-c", "copy", "-f", "data",
		"srt://"+server.srt+"?linger=3&streamid=publish:acme/show:"+key)
	awaitMetadata(t, server, map[string]float64{"scte35": 1, "id3": 2})
	if err := publisher.wait(20 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
}

// addMetadata writes two streams more into a transport stream: a cue, and two tags for a time, in its middle.
func addMetadata(tb testing.TB, stream, cue []byte, at time.Duration) (out []byte) {
	tb.Helper()
	const packet, pmtPID, cuePID, tagPID = 188, 0x1000, 0x1f0, 0x1f1
	entries := []byte{
		0x86, 0xe0 | cuePID>>8, cuePID & 0xff, 0xf0, 6, 5, 4, 'C', 'U', 'E', 'I',
		0x15, 0xe0 | tagPID>>8, tagPID & 0xff, 0xf0, 15,
		0x26, 13, 0xff, 0xff, 'I', 'D', '3', ' ', 0xff, 'I', 'D', '3', ' ', 0, 0x0f,
	}
	middle, pts := len(stream)/packet/2, int(at.Seconds()*90000)
	for i := range len(stream) / packet {
		p := slices.Clone(stream[i*packet : (i+1)*packet])
		if pid := int(p[1]&0x1f)<<8 | int(p[2]); pid == pmtPID && p[1]&0x40 != 0 {
			section := p[5:]
			size := 3 + int(section[1]&0x0f)<<8 + int(section[2])
			body := append(slices.Clone(section[:size-4]), entries...)
			binary.BigEndian.PutUint16(body[1:], 0xb000|uint16(len(body)+4-3))
			body = binary.BigEndian.AppendUint32(body, crcOfSection(body))
			copy(p[5:], append(body, bytes.Repeat([]byte{0xff}, packet)...))
		}
		out = append(out, p...)
		if i == middle {
			out = append(out, onePacket(cuePID, 0, append([]byte{0}, cue...))...)
			for n, text := range []string{"one", "two"} {
				tag := append([]byte{'I', 'D', '3', 4, 0, 0, 0, 0, 0, byte(len(text))}, text...)
				pes := []byte{
					0, 0, 1, 0xbd, 0, byte(8 + len(tag)), 0x84, 0x80, 5,
					byte(pts>>29)&0xe | 0x21, byte(pts >> 22), byte(pts>>14) | 1, byte(pts >> 7), byte(pts<<1) | 1,
				}
				out = append(out, onePacket(tagPID, byte(n), append(pes, tag...))...)
			}
		}
	}
	return out
}

// onePacket is a transport packet that a payload begins in and ends.
func onePacket(pid int, counter byte, payload []byte) []byte {
	stuffing := 188 - 4 - 2 - len(payload)
	p := []byte{0x47, 0x40 | byte(pid>>8), byte(pid), 0x30 | counter, byte(1 + stuffing), 0}
	p = append(p, bytes.Repeat([]byte{0xff}, stuffing)...)
	return append(p, payload...)
}

// crcOfSection is the checksum of ISO/IEC 13818-1, annex A.
func crcOfSection(b []byte) uint32 {
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v) << 24
		for range 8 {
			carry := crc >> 31
			crc = crc<<1 ^ carry*0x04c11db7
		}
	}
	return crc
}
