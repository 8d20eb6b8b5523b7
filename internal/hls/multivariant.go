package hls

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/oxbow-video/oxbow/internal/media"
)

// AppendMultivariant writes the multivariant playlist: a variant per video track and audio codec, whose audio is always
// a rendition of its own where there is video; without video a variant per audio codec. Base leads from the playlist's
// URL to the folder of the media playlists: "", "live/" or "{recording}/live/".
func AppendMultivariant(dst []byte, s *Snapshot, base string) []byte {
	dst = slices.Grow(dst, 1024)
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", versionVOD)
	if s.Independent {
		dst = append(dst, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	videos, groups := s.lineup()
	variants := variantsOf(videos, groups)
	for i := range groups {
		inVariant := ""
		if len(videos) == 0 { // the first member is the variant itself, and a lone track needs no group
			if len(groups[i].members) == 1 {
				continue
			}
			inVariant = groups[i].members[0].Name
		}
		dst = groups[i].append(dst, inVariant, base)
	}
	hdr := slices.ContainsFunc(videos, func(e entry) bool { return e.VideoRange != "" })
	whole := len(videos)+len(groups) == 1 || (len(videos) == 1 && len(groups) == 1)
	for i := range groups {
		whole = whole && len(groups[i].members) == 1
	}
	for i := range variants {
		v := &variants[i]
		if whole { // measured together, which is less than the sum of two peaks
			v.peak, v.average = s.Bandwidth, s.AverageBandwidth
		}
		dst = v.append(dst, hdr)
		dst = append(dst, base...)
		dst = append(dst, v.track.Name...)
		dst = append(dst, ".m3u8\n"...)
	}
	return dst
}

// entry is a track of the last take with its rendition's rates.
type entry struct {
	media.Track
	peak, average int64
}

// audioGroup is the audio tracks of one codec.
type audioGroup struct {
	id      string
	codec   media.Codec
	members []entry
}

// lineup gives the last take's tracks that have a rendition: video, and audio by codec in the order of its tracks.
func (s *Snapshot) lineup() (videos []entry, groups []audioGroup) {
	if len(s.Takes) == 0 {
		return nil, nil
	}
	take := &s.Takes[len(s.Takes)-1]
	for i := range s.Renditions {
		r := &s.Renditions[i]
		track, ok := take.Track(r.Name)
		if !ok {
			continue
		}
		e := entry{Track: track, peak: r.Bandwidth, average: r.AverageBandwidth}
		if track.Kind == media.Video {
			videos = append(videos, e)
			continue
		}
		at := slices.IndexFunc(groups, func(g audioGroup) bool { return g.codec == track.Codec })
		if at < 0 {
			at = len(groups)
			groups = append(groups, audioGroup{id: "audio", codec: track.Codec})
		}
		groups[at].members = append(groups[at].members, e)
	}
	for i := range groups {
		if len(groups) > 1 {
			groups[i].id = "audio-" + string(groups[i].codec)
		}
	}
	return videos, groups
}

// append writes the group (MV-8, MV-9, MV-10). Its first member is the default. inVariant names the member that is in
// the variant's own playlist.
func (g *audioGroup) append(dst []byte, inVariant, base string) []byte {
	var names []string
	for i := range g.members {
		e := &g.members[i]
		name := uniqueName(displayName(&e.Track), names)
		names = append(names, name)
		dst = append(dst, `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="`...)
		dst = append(dst, g.id...)
		dst = append(dst, `",NAME="`...)
		dst = append(dst, name...)
		dst = append(dst, `",LANGUAGE="`...)
		dst = append(dst, language(e.Language)...)
		if i == 0 {
			dst = append(dst, `",DEFAULT=YES,AUTOSELECT=YES`...)
		} else {
			dst = append(dst, `",DEFAULT=NO,AUTOSELECT=YES`...)
		}
		if e.Channels > 0 {
			dst = append(dst, `,CHANNELS="`...)
			dst = strconv.AppendInt(dst, int64(e.Channels), 10)
			dst = append(dst, '"')
		}
		if e.Name != inVariant { // a rendition without URI is in the variant's own playlist
			dst = append(dst, `,URI="`...)
			dst = append(dst, base...)
			dst = append(dst, e.Name...)
			dst = append(dst, `.m3u8"`...)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// variant is a line of EXT-X-STREAM-INF.
type variant struct {
	track         *entry
	codecs        []string
	group         string // empty if there is none
	peak, average int64  // with the group's most expensive member (MV-1)
}

// variantsOf combines every video track with every group. Without video each group is one variant: its first member.
func variantsOf(videos []entry, groups []audioGroup) []variant {
	var list []variant
	for i := range videos {
		v := variant{track: &videos[i], peak: videos[i].peak, average: videos[i].average}
		v.addCodec(videos[i].CodecString)
		if len(groups) == 0 {
			list = append(list, v)
		}
		for j := range groups {
			list = append(list, v.with(&groups[j]))
		}
	}
	if len(videos) > 0 {
		return list
	}
	for j := range groups {
		v := variant{track: &groups[j].members[0]}.with(&groups[j])
		if len(groups[j].members) == 1 {
			v.group = ""
		}
		list = append(list, v)
	}
	return list
}

func (v *variant) addCodec(name string) {
	if name != "" && !slices.Contains(v.codecs, name) {
		v.codecs = append(v.codecs, name)
	}
}

// with gives the variant with a group. Its codecs are every member's (MV-2).
func (v variant) with(g *audioGroup) variant {
	v.codecs = slices.Clone(v.codecs)
	v.group = g.id
	var peak, average int64
	for i := range g.members {
		v.addCodec(g.members[i].CodecString)
		peak, average = max(peak, g.members[i].peak), max(average, g.members[i].average)
	}
	v.peak, v.average = v.peak+peak, v.average+average
	return v
}

// append writes the tag. ranges says that some variant is not SDR, so that all must say what they are (MV-16).
func (v *variant) append(dst []byte, ranges bool) []byte {
	dst = append(dst, "#EXT-X-STREAM-INF:BANDWIDTH="...)
	dst = strconv.AppendInt(dst, max(v.peak, v.average, 1), 10)
	if v.average > 0 {
		dst = append(dst, ",AVERAGE-BANDWIDTH="...)
		dst = strconv.AppendInt(dst, v.average, 10)
	}
	dst = append(dst, `,CODECS="`...)
	dst = append(dst, strings.Join(v.codecs, ",")...)
	dst = append(dst, '"')
	tr := v.track
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
	if ranges {
		dst = append(dst, ",VIDEO-RANGE="...)
		if tr.VideoRange == "" {
			dst = append(dst, "SDR"...)
		}
		dst = append(dst, tr.VideoRange...)
	}
	if v.group != "" {
		dst = append(dst, `,AUDIO="`...)
		dst = append(dst, v.group...)
		dst = append(dst, '"')
	}
	return append(dst, ",CLOSED-CAPTIONS=NONE\n"...)
}

// displayName is what people choose a track by: its label, its language, or its name for want of both. A label comes
// from the publisher.
func displayName(tr *media.Track) string {
	const most = 64 // runes
	label := strings.Map(func(r rune) rune {
		if r == '"' || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(tr.Label))
	if runes := []rune(label); len(runes) > most {
		label = string(runes[:most])
	}
	if label != "" {
		return label
	}
	if tag := language(tr.Language); tag != "und" {
		return tag
	}
	return tr.Name
}

// uniqueName gives the name, with a number if it is taken (MV-8).
func uniqueName(name string, taken []string) string {
	unique := name
	for n := 2; slices.Contains(taken, unique); n++ {
		unique = fmt.Sprintf("%s %d", name, n)
	}
	return unique
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
