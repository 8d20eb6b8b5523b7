package hls

import (
	"slices"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Kind is one of the two playlists of a rendition.
type Kind uint8

// The kinds of media playlist.
const (
	Sliding Kind = iota // live/{track}.m3u8: the last part of the recording
	Whole               // {track}.m3u8: all of it
)

// base leads from the playlist's URL to the recording's.
func (k Kind) base() string {
	if k == Sliding {
		return "../"
	}
	return ""
}

// Form is what a media playlist lists.
type Form uint8

// The forms of media playlist.
const (
	Media     Form = iota // {track}.m3u8: segments and parts
	IFrames               // {track}.iframes.m3u8: byte ranges of random access points
	Subtitles             // subtitles.m3u8: WebVTT, a file for each of the first rendition's segments
)

// Playlist names one media playlist of a snapshot.
type Playlist struct {
	// Rendition indexes the snapshot's; it is 0 for Subtitles.
	Rendition int
	Kind      Kind
	Form      Form
	// From and To bound a Whole playlist to a clip, both included. Zero From is the recording's begin. Zero To is the end;
	// otherwise the playlist is a finished one.
	From, To media.MSN
	// Query is the clip's, which URIs of other playlists carry too (RR-1), and Offset where it begins in From.
	Query  string
	Offset time.Duration
}

// Playlist names a rendition's playlist of the clip.
func (e *Extent) Playlist(rendition int, kind Kind, form Form) Playlist {
	return Playlist{
		Rendition: rendition, Kind: kind, Form: form, From: e.From, To: e.To, Query: e.Clip.Query(), Offset: e.Offset,
	}
}

// Skip is the delta update that a request asks for (d§6.2.5.1).
type Skip uint8

// The kinds of delta update.
const (
	SkipNone Skip = iota
	SkipYes       // _HLS_skip=YES
	SkipV2        // _HLS_skip=v2: as YES, and names removed date ranges, of which we have none
)

// Versions of the protocol that the playlists ask for (SYN-2, SYN-5). AVPlayer was reported to refuse SERVER-CONTROL
// below 9, so full and delta playlists both say 9.
const (
	versionLive = 9
	versionV2   = 10
	versionVOD  = 6

	versionRanges   = 4 // byte ranges, without MAP
	versionIFrames  = 5 // MAP in an I-frame playlist
	versionServices = 7 // INSTREAM-ID of CEA-708 services
)

// archived says that the Whole playlist is of type VOD.
func (s *Snapshot) archived() bool {
	return !s.State.Growing() && s.State != media.Ended && s.State != media.Archiving
}

// Skippable says whether a delta update of a playlist would leave out anything: if not, the answer to _HLS_skip is the
// full playlist (DLT-6).
func Skippable(s *Snapshot, p Playlist, lines *Lines) bool {
	if !s.State.Growing() || s.Constants.CanSkipUntil <= 0 || p.To > 0 {
		return false
	}
	rend := &s.Renditions[p.Rendition]
	if lines == nil {
		lines = NewLines(rend.Name, p.Kind)
	}
	v := lines.view(s, rend)
	return s.skippable(max(s.first(p.Kind, rend, &v), int(p.From)-1), &v) > 0
}

// AppendMedia writes a media playlist. Lines must be of that rendition and kind, and of this recording; nil formats
// everything anew.
func AppendMedia(dst []byte, s *Snapshot, p Playlist, skip Skip, lines *Lines) []byte {
	r, kind := p.Rendition, p.Kind
	rend := &s.Renditions[r]
	if kind == Whole && (s.archived() || p.To > 0) {
		return appendVOD(dst, s, rend, &p)
	}
	if lines == nil {
		lines = NewLines(rend.Name, kind)
	}
	v := lines.view(s, rend)
	first := max(s.first(kind, rend, &v), int(p.From)-1)
	skipped := 0
	if skip != SkipNone {
		skipped = s.skippable(first, &v)
	}
	if skipped == 0 {
		skip = SkipNone
	}
	from := first + skipped
	parts := s.withParts(rend, &v, from)
	// Header, tail and parts of some four target durations fit in the constant for usual settings.
	dst = slices.Grow(dst, len(v.text)-v.start(from)+4096)

	dst = appendHeader(dst, s, kind, skip)
	dst = p.appendStart(dst)
	dst = appendInt(dst, "#EXT-X-MEDIA-SEQUENCE:", int64(first)+1)
	dst = appendInt(dst, "#EXT-X-DISCONTINUITY-SEQUENCE:", int64(breaksBefore(&v, first)))
	if skipped > 0 {
		dst = append(dst, "#EXT-X-SKIP:SKIPPED-SEGMENTS="...)
		dst = strconv.AppendInt(dst, int64(skipped), 10)
		if skip == SkipV2 {
			dst = append(dst, `,RECENTLY-REMOVED-DATERANGES=""`...)
		}
		dst = append(dst, '\n')
	}
	if from > 0 && from < len(v.marks) && breaksBefore(&v, from) == v.marks[from].breaks {
		// The text in the cache has the MAP only where a take begins.
		dst = appendMap(dst, kind.base(), rend.Segments[from].Take, rend.Name)
	}
	dst = append(dst, v.text[v.start(from):v.start(parts)]...)
	for i := parts; i < len(v.marks); i++ {
		dst = append(dst, v.head(i)...)
		seg := &rend.Segments[i]
		dst = s.appendParts(dst, rend, kind, seg.Take, seg.MSN, rend.SegmentParts(seg.MSN))
		dst = append(dst, v.tail(i)...)
	}
	if !s.State.Growing() {
		return append(dst, "#EXT-X-ENDLIST\n"...)
	}
	dst = s.appendOpen(dst, r, kind)
	return s.appendReports(dst, &p)
}

// breaksBefore counts the discontinuities that stand before segment i.
func breaksBefore(v *view, i int) int {
	if i == 0 {
		return 0
	}
	return v.marks[i-1].breaks
}

func appendHeader(dst []byte, s *Snapshot, kind Kind, skip Skip) []byte {
	version := int64(versionLive)
	if skip == SkipV2 {
		version = versionV2
	}
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", version)
	dst = appendTargetDuration(dst, s)
	if kind == Whole {
		dst = append(dst, "#EXT-X-PLAYLIST-TYPE:EVENT\n"...)
	}
	c := &s.Constants
	dst = append(dst, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES"...)
	if c.PartTarget > 0 {
		// Three times the printed PART-TARGET at least (SC-3).
		partTarget := time.Duration(partTargetUnits(c)) * 10 * time.Microsecond
		dst = append(dst, ",PART-HOLD-BACK="...)
		dst = appendSeconds(dst, max(c.PartHoldBack, 3*partTarget))
	}
	dst = append(dst, ",HOLD-BACK="...)
	dst = appendSeconds(dst, max(c.HoldBack, 3*c.TargetDuration))
	if until := s.canSkipUntil(); until > 0 {
		dst = append(dst, ",CAN-SKIP-UNTIL="...)
		dst = appendSeconds(dst, until)
	}
	dst = append(dst, '\n')
	if c.PartTarget > 0 {
		dst = append(dst, "#EXT-X-PART-INF:PART-TARGET="...)
		dst = appendDecimal(dst, partTargetUnits(c), 1e5)
		dst = append(dst, '\n')
	}
	return dst
}

func appendTargetDuration(dst []byte, s *Snapshot) []byte {
	d := s.Constants.TargetDuration
	return appendInt(dst, "#EXT-X-TARGETDURATION:", int64((d+1e9-1)/1e9))
}

// appendParts writes the EXT-X-PARTs of one segment (PRT-9, PRT-16).
func (s *Snapshot) appendParts(
	dst []byte, r *Rendition, kind Kind, take int, msn media.MSN, parts []media.Part,
) []byte {
	if len(parts) == 0 {
		return dst
	}
	timescale := s.timescale(take, r.Name)
	for i := range parts {
		dst = append(dst, "#EXT-X-PART:DURATION="...)
		dst = appendDecimal(dst, partUnits(parts[i].Duration, timescale), 1e5)
		dst = append(dst, `,URI="`...)
		dst = appendPartURI(dst, kind.base(), take, r.Name, msn, parts[i].Index)
		dst = append(dst, '"')
		if parts[i].Independent {
			dst = append(dst, ",INDEPENDENT=YES"...)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// appendOpen writes what is listed of the open segment, its tags before its first part (PRT-13), and the hint (HNT-1).
func (s *Snapshot) appendOpen(dst []byte, r int, kind Kind) []byte {
	rend := &s.Renditions[r]
	msn, next, ok := s.Hint(r)
	if !ok {
		return dst
	}
	open := rend.Open
	if len(open.Parts) > 0 {
		n := len(rend.Segments)
		if n == 0 || rend.Segments[n-1].Take != open.Take {
			if n > 0 {
				dst = append(dst, "#EXT-X-DISCONTINUITY\n"...)
			}
			dst = appendMap(dst, kind.base(), open.Take, rend.Name)
		}
		dst = appendDate(dst, open.Date)
		dst = s.appendParts(dst, rend, kind, open.Take, msn, open.Parts)
	} else if n := len(rend.Segments); n > 0 && rend.Segments[n-1].Take != open.Take {
		// The hinted part needs another init section (HNT-8).
		dst = append(dst, `#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="`...)
		dst = appendDir(dst, kind.base(), open.Take, rend.Name)
		dst = append(dst, "init.mp4\"\n"...)
	}
	dst = append(dst, `#EXT-X-PRELOAD-HINT:TYPE=PART,URI="`...)
	dst = appendPartURI(dst, kind.base(), open.Take, rend.Name, msn, next)
	return append(dst, "\"\n"...)
}

// appendReports writes one report per other rendition (RR-1, RR-2). LAST-PART of a segment that is listed whole is 0: a
// request for the part behind it is then one for the next segment (BLK-6).
func (s *Snapshot) appendReports(dst []byte, p *Playlist) []byte {
	for i := range s.Renditions {
		if i == p.Rendition {
			continue
		}
		other := &s.Renditions[i]
		msn, last := other.Last(), max(len(other.SegmentParts(other.Last()))-1, 0)
		if parts := s.openParts(other); len(parts) > 0 {
			msn, last = other.Open.MSN, len(parts)-1
		}
		if msn == 0 {
			continue
		}
		dst = append(dst, `#EXT-X-RENDITION-REPORT:URI="`...)
		dst = append(dst, other.Name...)
		dst = append(dst, ".m3u8"...)
		if p.Query != "" {
			dst = append(dst, '?')
			dst = append(dst, p.Query...)
		}
		dst = append(dst, `",LAST-MSN=`...)
		dst = strconv.AppendInt(dst, int64(msn), 10)
		if s.Constants.PartTarget > 0 {
			dst = append(dst, ",LAST-PART="...)
			dst = strconv.AppendInt(dst, int64(last), 10)
		}
		dst = append(dst, '\n')
	}
	return dst
}
