package hls

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// archive is the life of a show, archived, with two random access points in each segment of video, an event and
// subtitles.
func archive(c media.Constants, tracks ...media.Track) *Snapshot {
	s := life(c, tracks...)
	s.snap.State = media.Archived
	s.snap.Subtitles = "en"
	s.snap.Metadata = []media.Metadata{
		{Number: 1, Take: 1, Kind: media.Text, Date: s.anchor, Payload: []byte(`{"text":"a"}`)},
		instant(2, s.anchor),
	}
	for i := range s.snap.Renditions {
		if s.take().Tracks[i].Kind != media.Video {
			continue
		}
		for j := range s.snap.Renditions[i].Segments {
			if seg := &s.snap.Renditions[i].Segments[j]; !seg.Gap {
				half := seg.Duration / 2
				seg.IFrames = []media.IFrame{{Size: 9000}, {Time: uint32(half), Offset: uint32(seg.Size / 2), Size: 8000}}
			}
		}
	}
	s.snap.Measure()
	return s.publish()
}

// withTag gives the values of a tag.
func withTag(text []byte, tag string) []string {
	var values []string
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, tag+":"); ok {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

func seconds(t *testing.T, infs []string) float64 {
	t.Helper()
	sum := 0.0
	for _, inf := range infs {
		sum += number(t, strings.TrimSuffix(inf, ","))
	}
	return sum
}

func TestIFR1_LIF5_SYN5_StaticIFramePlaylist(t *testing.T) {
	v := archive(lowConstants(), videoTrack(), audioTrack())
	files := Static(v, "")
	text, all := files["video.iframes.m3u8"], files["video.m3u8"]
	if got := string(text); !strings.HasPrefix(got, "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-TARGETDURATION:2\n"+
		"#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MEDIA-SEQUENCE:1\n") || !strings.HasSuffix(got, "#EXT-X-ENDLIST\n") {
		t.Errorf("%.200s", got)
	}
	if files["audio.iframes.m3u8"] != nil {
		t.Error("an I-frame playlist of audio")
	}
	if !strings.Contains(string(files["index.m3u8"]), `URI="video.iframes.m3u8"`) {
		t.Errorf("not named:\n%s", files["index.m3u8"])
	}
	infs, ranges := withTag(text, "#EXTINF"), withTag(text, "#EXT-X-BYTERANGE")
	want := strings.Count(string(text), "#EXT-X-GAP\n")
	if want != 1 {
		t.Errorf("GAP-1: %d gaps, one segment was lost", want)
	}
	var at []string
	for _, seg := range v.Renditions[0].Segments {
		for _, f := range seg.IFrames {
			at = append(at, fmt.Sprintf("%d@%d", f.Size, seg.Offset+int64(f.Offset)))
			want++
		}
	}
	if len(infs) != want || !slices.Equal(ranges, at) {
		t.Errorf("%d entries, want %d", len(infs), want)
	}
	// It is as long as the video's playlist, what was lost included, breaks where that does, and names its events.
	if a, b := seconds(t, infs), seconds(t, withTag(all, "#EXTINF")); math.Abs(a-b) > 0.001 {
		t.Errorf("%f s of I-frames, %f s of video", a, b)
	}
	for _, tag := range []string{"#EXT-X-MAP", "#EXT-X-DATERANGE"} {
		if !slices.Equal(withTag(text, tag), withTag(all, tag)) || len(withTag(text, tag)) == 0 {
			t.Errorf("%s: %v, of the video %v", tag, withTag(text, tag), withTag(all, tag))
		}
	}
	if a, b := strings.Count(string(text), "DISCONTINUITY\n"), strings.Count(string(all), "DISCONTINUITY\n"); a != b || a != 2 {
		t.Errorf("%d discontinuities, video has %d", a, b)
	}
	// PDT of the second entry is half a segment later.
	if dates := withTag(text, "#EXT-X-PROGRAM-DATE-TIME"); len(dates) != want || dates[1] != "2026-11-20T10:38:01.823Z" {
		t.Errorf("%d dates, %v", len(dates), dates[:2])
	}
}

func TestSUB1_DR1_StaticSubtitlesHaveASegmentForEachOfVideo(t *testing.T) {
	v := archive(lowConstants(), videoTrack(), audioTrack())
	files := Static(v, "")
	text, all := files["subtitles.m3u8"], files["video.m3u8"]
	for _, tag := range []string{
		"#EXTINF", "#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-TARGETDURATION", "#EXT-X-DISCONTINUITY", "#EXT-X-DATERANGE",
	} {
		if !slices.Equal(withTag(text, tag), withTag(all, tag)) {
			t.Errorf("%s: %v, of the video %v", tag, withTag(text, tag), withTag(all, tag))
		}
	}
	at := int64(0)
	for _, r := range withTag(text, "#EXT-X-BYTERANGE") {
		var size, offset int64
		if _, err := fmt.Sscanf(r, "%d@%d", &size, &offset); err != nil || offset != at || size < 8 {
			t.Errorf("%s does not follow %d: %v", r, at, err)
		}
		if !strings.HasPrefix(string(files["subtitles.vtt"][offset:]), "WEBVTT\n") {
			t.Errorf("%s is no WebVTT segment", r)
		}
		at = offset + size
	}
	if at != int64(len(files["subtitles.vtt"])) || at == 0 {
		t.Errorf("%d bytes of %d are listed", at, len(files["subtitles.vtt"]))
	}
	v.Subtitles = ""
	if files = Static(v, ""); files["subtitles.m3u8"] != nil || files["subtitles.vtt"] != nil {
		t.Error("subtitles of a show without")
	}
}
