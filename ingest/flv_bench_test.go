package ingest

import (
	"bytes"
	"testing"
)

// BenchmarkFLV is the way of a message's body to the publication, by codec, with what an encoder sends all the time.
func BenchmarkFLV(b *testing.B) {
	big := bytes.Repeat([]byte{7}, 30000)
	hevcSlice := append([]byte{0x02, 0x01}, big...) // TRAIL_R
	for _, bb := range []struct {
		name  string
		setup []tag
		frame tag
	}{
		{"h264", []tag{data(onlyVideo), video(0, videoConfig(testRecord))}, video(40, videoUnit(0, append(slice(1), big...)))},
		{"h264 multitrack", []tag{data(onlyVideo), video(0, ex(0x96, "\x00avc1\x00", testRecord))},
			video(40, ex(0xa6, "\x01avc1\x00\x00\x00\x50", unitsOf(append(slice(1), big...))))},
		{"hevc", nil, video(40, ex(0xa3, "hvc1", unitsOf(hevcSlice)))},
		{"vp9", nil, video(40, ex(0xa1, "vp09", append([]byte{0x86}, big...)))},
		{"aac", []tag{data(onlyAudio), audio(0, audioConfig(testASC))}, audio(23, audioUnit(big[:400]...))},
		{"opus", []tag{data(onlyAudio), audio(0, ex(0x90, "Opus", []byte(opusHead)))}, audio(20, ex(0x91, "Opus", []byte(opus20ms)))},
		{"mp3", []tag{data(onlyAudio)}, audio(26, ex(0x2f, "", mp3Frame))},
		{"ac3", []tag{data(onlyAudio)}, audio(32, ex(0x91, "ac-3", ac3Frame))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			d, l := newTestDemuxer(b, discard{})
			l.published = true // nothing is held
			if err := d.feed(append(bb.setup, bb.frame)...); err != nil {
				b.Fatal(err)
			}
			read := d.audio
			if bb.frame.kind == typeVideo {
				read = d.video
			}
			b.SetBytes(int64(len(bb.frame.body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := read(bb.frame.ms, bb.frame.body, testWall); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
