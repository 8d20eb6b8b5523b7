package hls

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// AppendMultivariant writes the multivariant playlist: a variant per video track and audio codec, whose audio is always
// a rendition of its own where there is video; without video a variant per audio codec. Base leads from the playlist's
// URL to the folder of the media playlists: "", "live/" or "{recording}/live/".
func AppendMultivariant(dst []byte, s *Snapshot, base string) []byte {
	return AppendClip(dst, s, base, Extent{})
}

// AppendClip writes the multivariant playlist of a clip, whose URIs say what the clip is.
//
// Its order is that of use: renditions, variants, I-frame variants. The first variant is the one nearest to 2 Mb/s,
// where most players begin, and the others follow by bandwidth (MV-18). Variants have a SCORE where two of one size are
// of different codecs, which nothing else tells players how to choose between: more pixels are better, then the codec
// that needs fewer bits for a picture, then more bits (MV-19).
func AppendClip(dst []byte, s *Snapshot, base string, e Extent) []byte {
	dst = slices.Grow(dst, 2048)
	l := s.lineup()
	l.base = base
	if query := e.Clip.Query(); query != "" {
		l.query = "?" + query
	}
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", l.version())
	if s.Independent {
		dst = append(dst, "#EXT-X-INDEPENDENT-SEGMENTS\n"...)
	}
	dst = l.appendAudio(dst)
	dst = l.appendSubtitles(dst)
	dst = l.appendCaptions(dst)
	for i := range l.variants {
		dst = l.appendVariant(dst, &l.variants[i])
	}
	for i := range l.videos {
		dst = l.appendIFrames(dst, &l.videos[i])
	}
	return dst
}

// offersIFrames says that players are told of a rendition's I-frame playlist: its every segment so far began with a
// random access point. Else much of it is gaps, and it stays for those who have it.
func (s *Snapshot) offersIFrames(r int) bool {
	return s.Independent && s.Renditions[r].IFrameBandwidth > 0
}

// HasSubtitles says that the recording has a playlist of subtitles.
func (s *Snapshot) HasSubtitles() bool { return s.Subtitles != "" && len(s.Renditions) > 0 }

// lineup is what a multivariant playlist tells of: the last take's tracks that have a rendition.
type lineup struct {
	snap     *Snapshot
	base     string
	query    string // behind each URI
	videos   []entry
	groups   []audioGroup
	variants []variant
	hdr      bool // some video is not SDR, so that all must say what they are (MV-16)
	scored   bool
}

// entry is a track of the last take with its rendition's rates.
type entry struct {
	media.Track
	index         int // of the rendition
	peak, average int64
}

func (s *Snapshot) lineup() *lineup {
	l := &lineup{snap: s}
	if len(s.Takes) == 0 {
		return l
	}
	take := &s.Takes[len(s.Takes)-1]
	var sounds []entry
	for i := range s.Renditions {
		r := &s.Renditions[i]
		track, ok := take.Track(r.Name)
		if !ok {
			continue
		}
		e := entry{Track: track, index: i, peak: r.Bandwidth, average: r.AverageBandwidth}
		if track.Kind == media.Video {
			l.videos = append(l.videos, e)
			l.hdr = l.hdr || track.VideoRange != ""
		} else {
			sounds = append(sounds, e)
		}
	}
	l.groups = audioGroups(sounds)
	l.variants = variantsOf(l.videos, l.groups)
	if len(l.videos) <= 1 && len(sounds) <= 1 {
		for i := range l.variants { // measured together, which is less than the sum of two peaks
			l.variants[i].peak, l.variants[i].average = s.Bandwidth, s.AverageBandwidth
		}
	}
	l.score()
	l.order()
	return l
}

// version is that of the playlist (SYN-2, SYN-5): what its tags need, and no less than the media playlists that it
// names do, so that a client too old for those learns it here.
func (l *lineup) version() int64 {
	for i := range l.captions() {
		if strings.HasPrefix(l.snap.Captions[i].ID, "SERVICE") {
			return versionServices
		}
	}
	return versionVOD
}

// score ranks the variants, if there is a choice that bandwidth and size do not tell.
func (l *lineup) score() {
	for i := range l.variants {
		for j := range i {
			a, b := l.variants[i].track, l.variants[j].track
			l.scored = l.scored || (a.Width == b.Width && a.Height == b.Height && a.Codec != b.Codec && a.Width > 0)
		}
	}
	if !l.scored {
		return
	}
	slices.SortStableFunc(l.variants, func(a, b variant) int {
		return cmp.Or(cmp.Compare(a.track.Width*a.track.Height, b.track.Width*b.track.Height),
			cmp.Compare(thrift(a.track.Codec), thrift(b.track.Codec)), cmp.Compare(a.bandwidth(), b.bandwidth()))
	})
	for i := range l.variants {
		l.variants[i].score = i + 1
	}
}

// thrift ranks video codecs by how few bits they need for a picture.
func thrift(c media.Codec) int {
	return slices.Index([]media.Codec{media.H264, media.VP9, media.HEVC, media.AV1}, c)
}

// order sorts the variants by bandwidth and puts the one to begin with first (MV-18).
func (l *lineup) order() {
	const usual = 2_000_000 // bits per second
	if len(l.variants) == 0 {
		return
	}
	slices.SortStableFunc(l.variants, func(a, b variant) int { return cmp.Compare(a.bandwidth(), b.bandwidth()) })
	distance := func(v *variant) int64 { return max(v.bandwidth()-usual, usual-v.bandwidth()) }
	nearest := 0
	for i := range l.variants {
		if distance(&l.variants[i]) < distance(&l.variants[nearest]) {
			nearest = i
		}
	}
	first := l.variants[nearest]
	l.variants = slices.Insert(slices.Delete(l.variants, nearest, nearest+1), 0, first)
}

// appendURI writes where a playlist is: its file's name in front of ".m3u8".
func (l *lineup) appendURI(dst []byte, name ...string) []byte {
	dst = append(dst, l.base...)
	for _, n := range name {
		dst = append(dst, n...)
	}
	dst = append(dst, ".m3u8"...)
	return append(dst, l.query...)
}

// variant is a line of EXT-X-STREAM-INF.
type variant struct {
	track         *entry
	codecs        []string
	group         string // empty if there is none
	peak, average int64  // with the group's most expensive member (MV-1)
	score         int
}

func (v *variant) bandwidth() int64 { return max(v.peak, v.average, 1) }

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
		v := variant{track: &groups[j].members[0].entry}.with(&groups[j])
		if len(groups[j].members) == 1 {
			v.group = ""
		}
		list = append(list, v)
	}
	return list
}

// addCodec adds a sample entry. WebVTT segments have none: "wvtt" is for those in fMP4, and native players drop
// variants with codecs that they do not know (MV-2, MV-3).
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

func (l *lineup) appendVariant(dst []byte, v *variant) []byte {
	dst = append(dst, "#EXT-X-STREAM-INF:"...)
	dst = l.appendPicture(dst, v.track, v.bandwidth(), v.average, strings.Join(v.codecs, ","), v.score)
	if rate := v.track.FrameRate; rate > 0 {
		dst = append(dst, ",FRAME-RATE="...)
		dst = strconv.AppendFloat(dst, rate, 'f', 3, 64)
	}
	dst = appendQuoted(dst, "STABLE-VARIANT-ID", v.track.Name)
	if v.group != "" {
		dst = appendQuoted(dst, "AUDIO", v.group)
	}
	if l.snap.HasSubtitles() {
		dst = appendQuoted(dst, "SUBTITLES", subtitlesGroup)
	}
	if len(l.captions()) > 0 {
		dst = appendQuoted(dst, "CLOSED-CAPTIONS", captionsGroup)
	} else {
		dst = append(dst, ",CLOSED-CAPTIONS=NONE"...) // CC-1
	}
	dst = append(dst, '\n')
	dst = l.appendURI(dst, v.track.Name)
	return append(dst, '\n')
}

// appendIFrames writes the I-frame variant of a video track (IFR-1, MV-15).
func (l *lineup) appendIFrames(dst []byte, e *entry) []byte {
	if !l.snap.offersIFrames(e.index) {
		return dst
	}
	score := 0
	for i := range l.variants {
		if l.variants[i].track.Name == e.Name {
			score = max(score, l.variants[i].score)
		}
	}
	r := &l.snap.Renditions[e.index]
	dst = append(dst, "#EXT-X-I-FRAME-STREAM-INF:"...)
	peak, average := max(r.IFrameBandwidth, r.IFrameAverageBandwidth), r.IFrameAverageBandwidth
	dst = l.appendPicture(dst, e, peak, average, e.CodecString, score)
	dst = appendQuoted(dst, "STABLE-VARIANT-ID", e.Name+".iframes")
	dst = append(dst, `,URI="`...)
	dst = l.appendURI(dst, e.Name, ".iframes")
	return append(dst, "\"\n"...)
}

// appendPicture writes the attributes that variants and I-frame variants share.
func (l *lineup) appendPicture(dst []byte, e *entry, peak, average int64, codecs string, score int) []byte {
	dst = append(dst, "BANDWIDTH="...)
	dst = strconv.AppendInt(dst, peak, 10)
	if average > 0 {
		dst = append(dst, ",AVERAGE-BANDWIDTH="...)
		dst = strconv.AppendInt(dst, average, 10)
	}
	if l.scored {
		dst = append(dst, ",SCORE="...)
		dst = strconv.AppendInt(dst, int64(score), 10)
	}
	dst = appendQuoted(dst, "CODECS", codecs)
	if e.Width > 0 && e.Height > 0 {
		dst = append(dst, ",RESOLUTION="...)
		dst = strconv.AppendInt(dst, int64(e.Width), 10)
		dst = append(dst, 'x')
		dst = strconv.AppendInt(dst, int64(e.Height), 10)
	}
	if l.hdr {
		dst = append(dst, ",VIDEO-RANGE="...)
		dst = append(dst, cmp.Or(e.VideoRange, "SDR")...)
	}
	return dst
}

// appendQuoted writes a further attribute of a tag.
func appendQuoted(dst []byte, name, value string) []byte {
	dst = append(dst, ',')
	dst = append(dst, name...)
	dst = append(dst, `="`...)
	dst = append(dst, value...)
	return append(dst, '"')
}
