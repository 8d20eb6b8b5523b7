package hls

import (
	"slices"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// AppendMultivariant writes the multivariant playlist: one variant, whose audio is always a rendition of its own where
// there is video. Base leads from the playlist's URL to the folder of the media playlists: "", "live/" or
// "{recording}/live/".
func AppendMultivariant(dst []byte, s *Snapshot, base string) []byte {
	dst = slices.Grow(dst, 1024)
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", versionVOD)
	if s.Independent {
		dst = append(dst, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	tracks := s.tracks()
	if len(tracks) == 0 {
		return dst
	}
	// Without video the first audio track is the variant itself, and a lone track needs no group.
	variant := slices.IndexFunc(tracks, func(t media.Track) bool { return t.Kind == media.Video })
	group := len(tracks) > 1
	variant = max(variant, 0)
	if group {
		dst = appendAudio(dst, tracks, variant, base)
	}
	dst = appendVariant(dst, s, tracks, variant, group)
	dst = append(dst, base...)
	dst = append(dst, tracks[variant].Name...)
	return append(dst, ".m3u8\n"...)
}

// tracks gives the last take's that have a rendition.
func (s *Snapshot) tracks() []media.Track {
	if len(s.Takes) == 0 {
		return nil
	}
	var tracks []media.Track
	take := &s.Takes[len(s.Takes)-1]
	for i := range s.Renditions {
		if tr, ok := take.Track(s.Renditions[i].Name); ok {
			tracks = append(tracks, tr)
		}
	}
	return tracks
}

// appendAudio writes the audio group (MV-8, MV-9, MV-10). Its first member is the default.
func appendAudio(dst []byte, tracks []media.Track, variant int, base string) []byte {
	first := true
	for i := range tracks {
		tr := &tracks[i]
		if tr.Kind != media.Audio {
			continue
		}
		dst = append(dst, `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="`...)
		dst = append(dst, tr.Name...)
		dst = append(dst, `",LANGUAGE="`...)
		dst = append(dst, language(tr.Language)...)
		if first {
			dst = append(dst, `",DEFAULT=YES,AUTOSELECT=YES`...)
		} else {
			dst = append(dst, `",DEFAULT=NO,AUTOSELECT=YES`...)
		}
		if tr.Channels > 0 {
			dst = append(dst, `,CHANNELS="`...)
			dst = strconv.AppendInt(dst, int64(tr.Channels), 10)
			dst = append(dst, '"')
		}
		if i != variant { // a rendition without URI is in the variant's own playlist
			dst = append(dst, `,URI="`...)
			dst = append(dst, base...)
			dst = append(dst, tr.Name...)
			dst = append(dst, `.m3u8"`...)
		}
		dst = append(dst, '\n')
		first = false
	}
	return dst
}

func appendVariant(dst []byte, s *Snapshot, tracks []media.Track, variant int, group bool) []byte {
	dst = append(dst, "#EXT-X-STREAM-INF:BANDWIDTH="...)
	dst = strconv.AppendInt(dst, max(s.Bandwidth, s.AverageBandwidth, 1), 10)
	if s.AverageBandwidth > 0 {
		dst = append(dst, ",AVERAGE-BANDWIDTH="...)
		dst = strconv.AppendInt(dst, s.AverageBandwidth, 10)
	}
	dst = append(dst, `,CODECS="`...)
	dst = append(dst, codecs(tracks)...)
	dst = append(dst, '"')
	tr := &tracks[variant]
	if tr.Width > 0 && tr.Height > 0 {
		dst = append(dst, ",RESOLUTION="...)
		dst = strconv.AppendInt(dst, int64(tr.Width), 10)
		dst = append(dst, 'x')
		dst = strconv.AppendInt(dst, int64(tr.Height), 10)
	}
	if tr.FrameRate > 0 {
		dst = append(dst, ",FRAME-RATE="...)
		dst = strconv.AppendFloat(dst, tr.FrameRate, 'f', 3, 64)
	}
	if group {
		dst = append(dst, `,AUDIO="audio"`...)
	}
	return append(dst, ",CLOSED-CAPTIONS=NONE\n"...)
}

// codecs lists every sample entry once (MV-2).
func codecs(tracks []media.Track) string {
	var names []string
	for i := range tracks {
		if name := tracks[i].CodecString; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// language gives the tag, or "und" for none and for what could not be one: it comes from the publisher.
func language(tag string) string {
	if tag == "" || len(tag) > 35 {
		return "und"
	}
	for i := range len(tag) {
		c := tag[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "und"
		}
	}
	return tag
}
