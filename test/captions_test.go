package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"
)

// Commands of CEA-608 in field 1, sent twice as it asks for: a line in CC1 by roll-up begins, and what is shown goes.
const (
	captionBegin = "\x14\x25\x14\x25\x14\x2d\x14\x2d\x14\x70\x14\x70"
	captionErase = "\x14\x2c\x14\x2c"
)

// captionData is cc_data of CEA-608 in field 1.
func captionData(text string) (data []byte) {
	if len(text)%2 == 1 {
		text += " "
	}
	for i := 0; i < len(text); i += 2 {
		data = append(data, 0xfc)
		for _, c := range []byte(text[i : i+2]) {
			data = append(data, c|byte(1-bits.OnesCount8(c)&1)<<7)
		}
	}
	return data
}

// captionSEI is a NAL unit of H.264 with cc_data as ATSC registered it (A/53 part 4, 6.2.3).
func captionSEI(data []byte) []byte {
	message := append([]byte("\xb5\x00\x31GA94\x03"), 0xc0|byte(len(data)/3), 0xff)
	message = append(append(message, data...), 0xff)
	unit := append([]byte{6, 4, byte(len(message))}, message...)
	return append(unit, 0x80)
}

// withUnit puts a NAL unit before those of a sample.
func withUnit(unit, sample []byte) []byte {
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(len(unit))), unit, sample)
}

// TestCC1_CaptionsInThePictures publishes pictures with captions of CEA-608: playlists tell of CC1, the pictures keep
// their bytes, and a browser shows the line.
func TestCC1_CaptionsInThePictures(t *testing.T) {
	parallelWithBrowser(t)
	tracks, samples := readClip(t, stampedClip(t, 320, 180, 60*time.Second))
	const line = "CAPTIONS HERE"
	units := [][]byte{captionSEI(captionData(captionBegin + line)), captionSEI(captionData(captionErase))}
	// A line each two seconds, so that who joins gets one, and gone within its part: hls.js 1.7 forgets at each part what
	// is on the screen, and tells of a line when it goes. There is no time stamp in captions: their order is that of
	// showing, so they stand on key frames and far enough behind, for what is coded next is not told apart by three
	// pictures.
	number := 0
	for i := range samples {
		if !samples[i].track.video {
			continue
		}
		switch number % 60 {
		case 0:
			samples[i].payload = withUnit(units[0], samples[i].payload)
		case 9:
			samples[i].payload = withUnit(units[1], samples[i].payload)
		}
		number++
	}
	sent := 0
	count := func(s *erSample, at time.Duration) time.Duration {
		if s.track.video && bytes.HasPrefix(s.payload, withUnit(units[0], nil)) {
			sent++
		}
		return at
	}
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "1h", "captions": "CC1=en"})
	publisher := startTask(t, "publisher with captions", func(ctx context.Context) error {
		return publishClip(ctx, "rtmp://"+server.rtmp+"/live/"+key, tracks, samples, count)
	})
	index := awaitLive(t, server, "acme", "show")
	declared := func(text string) bool {
		return strings.Contains(text, `TYPE=CLOSED-CAPTIONS`) && strings.Contains(text, `INSTREAM-ID="CC1"`) &&
			strings.Contains(text, `LANGUAGE="en"`) && !strings.Contains(text, "CLOSED-CAPTIONS=NONE")
	}
	if text := string(server.get(index)); !declared(text) {
		t.Errorf("CC-1: no CC1 in\n%s", text)
	}
	v := watchInBrowser(t, "hls.js", server.url(index), hlsSettings)
	eventually(t, 50*time.Second, "the line is shown live", func() bool {
		return len(captionCues(v, line)) > 0
	})
	v.stop()
	publisher.kill()
	folder := "/acme/show/" + server.recordings("acme", "show")[0].ID
	eventually(t, 20*time.Second, "the recording ended", func() bool {
		return strings.Contains(string(server.get(folder+"/video.m3u8")), "#EXT-X-ENDLIST")
	})
	if text := string(server.get(folder + "/index.m3u8")); !declared(text) {
		t.Errorf("CC-1: no CC1 with the recording in\n%s", text)
	}
	var media []byte
	for _, path := range readPlaylist(t, folder+"/video.m3u8", string(server.get(folder+"/video.m3u8"))).segments {
		media = append(media, server.get(path)...)
	}
	if kept := bytes.Count(media, withUnit(units[0], nil)); kept < sent-1 || kept > sent || kept == 0 {
		t.Errorf("%d captions were sent, %d are in the segments as they were sent", sent, kept)
	}
}

// captionCues gives the cues of captions that hold the line.
func captionCues(v *viewing, line string) []playerNews {
	return v.news("cue", func(n playerNews) bool { return n.Kind == "captions" && strings.Contains(n.Text, line) })
}
