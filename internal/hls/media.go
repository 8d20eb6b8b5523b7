package hls

import (
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
	SkipV2        // _HLS_skip=v2: as YES, and leaves out date ranges too
)

// Versions of the protocol that the playlists ask for (SYN-2, SYN-5). AVPlayer was reported to refuse SERVER-CONTROL
// below 9, and CAN-SKIP-DATERANGES is of 10, so full and delta playlists both say 10 (DLT-4).
const (
	versionLive = 10
	versionVOD  = 6

	versionRanges   = 4 // byte ranges, without MAP: subtitles in a bucket
	versionIFrames  = 5 // MAP in an I-frame playlist
	versionServices = 7 // INSTREAM-ID of CEA-708 services
)

// archived says that the Whole playlist is of type VOD.
func (s *Snapshot) archived() bool {
	return !s.State.Growing() && s.State != media.Ended && s.State != media.Archiving
}

// finished says that a playlist has ENDLIST and nothing for live clients.
func (s *Snapshot) finished(p Playlist) bool {
	return p.To > 0 || p.Kind == Whole && s.archived()
}

// growing says that a playlist may get longer yet.
func (s *Snapshot) growing(p Playlist) bool { return p.To == 0 && s.State.Growing() }

// Has says whether the recording has such a playlist: subtitles if their language is known, I-frames of video.
func (s *Snapshot) Has(p Playlist) bool {
	switch p.Form {
	case Media:
		return p.Rendition < len(s.Renditions)
	case Subtitles:
		return p.Rendition == 0 && s.HasSubtitles()
	case IFrames:
		return p.Rendition < len(s.Renditions) && s.Renditions[p.Rendition].IFrameBandwidth > 0
	}
	return false
}

// Skippable says whether a delta update of a playlist would leave out anything: if not, the answer to _HLS_skip is the
// full playlist (DLT-6).
func Skippable(s *Snapshot, p Playlist, c *Cache) bool {
	if !s.growing(p) || s.canSkipUntil() == 0 {
		return false
	}
	at := orNew(c).look(s, p)
	return s.skippable(at.first, &at.view) > 0
}

// Render gives a media playlist of any form, ready to be sent. The cache must be of this recording; with nil everything
// is formatted anew. What it costs does not depend on how long the recording is, if the cache knows an earlier
// version: finished entries and their compressed form are shared with it. The snapshot must have the playlist, and
// the first segment of a clip.
func Render(s *Snapshot, p Playlist, skip Skip, c *Cache) *Body {
	c = orNew(c)
	if s.finished(p) {
		return NewBody(s.appendFinished(nil, p, c), c.compressor)
	}
	return newBody(s.render(p, skip, c), c.compressor)
}

// AppendMedia appends the text of the playlist that Render gives.
func AppendMedia(dst []byte, s *Snapshot, p Playlist, skip Skip, c *Cache) []byte {
	for _, chunk := range Render(s, p, skip, c).Plain() {
		dst = append(dst, chunk...)
	}
	return dst
}

func (s *Snapshot) render(p Playlist, skip Skip, c *Cache) []piece {
	at := c.look(s, p)
	v := &at.view
	skipped := 0
	if skip != SkipNone {
		skipped = s.skippable(at.first, v)
	}
	if skipped == 0 {
		skip = SkipNone
	}
	from := at.first + skipped
	// Header, tail, parts and what is in no chunk fit for usual settings.
	out := pieces{text: make([]byte, 0, 4096+2*chunkEntries*128)}
	out.text = appendHeader(out.text, s, p)
	out.text = p.appendStart(out.text)
	out.text = appendInt(out.text, "#EXT-X-MEDIA-SEQUENCE:", int64(at.first)+1)
	out.text = appendInt(out.text, "#EXT-X-DISCONTINUITY-SEQUENCE:", int64(v.breaksBefore(at.first)))
	s.addTags(&out, p, skip, skipped, c, &at)
	if from < len(v.marks) && v.breaksBefore(from) == int(v.marks[from].breaks) && from > 0 {
		// The text in the cache has the MAP only where a take begins.
		out.text = at.list.lines.appendMap(out.text, at.rend.Segments[v.marks[from].segment].Take)
	}
	s.addEntries(&out, p, &at, from)
	if !s.State.Growing() {
		out.text = append(out.text, "#EXT-X-ENDLIST\n"...)
	} else {
		if p.Form == Media {
			out.text = s.appendOpen(out.text, p.Rendition, p.Kind)
		}
		out.text = s.appendReports(out.text, p)
	}
	out.flush()
	return out.list
}

// addEntries writes the entries from an index on: up to whole chunks, those that are far enough from the live edge to
// be as they stay, and the rest with its parts.
func (s *Snapshot) addEntries(out *pieces, p Playlist, at *sight, from int) {
	v, parts := &at.view, len(at.view.marks)
	if p.Form == Media {
		parts = s.withParts(at.rend, v, from)
	}
	a, b := (from+chunkEntries-1)/chunkEntries, parts/chunkEntries
	if a < b {
		out.text = append(out.text, v.slice(from, a*chunkEntries)...)
		out.add(at.list.lines.run(v, a, b))
		from = b * chunkEntries
	}
	out.text = append(out.text, v.slice(from, parts)...)
	for i := parts; i < len(v.marks); i++ {
		out.text = append(out.text, v.head(i)...)
		seg := &at.rend.Segments[i]
		out.text = s.appendParts(out.text, at.rend, p.Kind, seg.Take, seg.MSN, at.rend.SegmentParts(seg.MSN))
		out.text = append(out.text, v.tail(i)...)
	}
}

// addTags writes EXT-X-SKIP of a delta, and the date ranges.
//
// A sliding playlist lists the ranges that have not ended before its window begins, others all, a clip those that reach
// into it. A delta of version 2 leaves out what was there before the skip boundary already. When a range was told
// of is not known to a snapshot: what counts is when the cache first saw it, which is never earlier. So the delta of
// a node that joined later may name more than it must.
func (s *Snapshot) addTags(out *pieces, p Playlist, skip Skip, skipped int, c *Cache, at *sight) {
	v := &at.view
	edge := at.date(s, len(v.marks))
	var begin time.Time
	if p.Kind == Sliding || p.From > at.rend.First() {
		begin = at.date(s, at.first)
	}
	if skip == SkipNone {
		s.addBlock(out, p, c, at, edge, begin)
		return
	}
	out.text = append(out.text, "#EXT-X-SKIP:SKIPPED-SEGMENTS="...)
	out.text = strconv.AppendInt(out.text, int64(skipped), 10)
	if skip == SkipYes {
		out.text = append(out.text, '\n')
		s.addBlock(out, p, c, at, edge, begin)
		return
	}
	around := span{boundary: at.date(s, at.first+skipped), from: begin, before: begin}
	if p.Kind == Sliding {
		old := view{text: v.text, cut: v.cut, marks: v.marks[:at.first+skipped]}
		around.before = at.date(s, s.first(p, &old))
	}
	text, removed := c.tags.recent(s, edge, around)
	out.text = append(out.text, `,RECENTLY-REMOVED-DATERANGES="`...)
	for i, id := range removed {
		if i > 0 {
			out.text = append(out.text, '\t')
		}
		out.text = append(out.text, id...)
	}
	out.text = append(out.text, "\"\n"...)
	out.text = append(out.text, text...)
}

func (s *Snapshot) addBlock(out *pieces, p Playlist, c *Cache, at *sight, edge, begin time.Time) {
	if p.From > at.rend.First() {
		out.text = c.tags.clip(out.text, s, edge, begin, time.Time{})
		return
	}
	list, rest := c.tags.block(&at.list.tags, s, edge, begin)
	for i := range list {
		out.add(list[i])
	}
	out.text = append(out.text, rest...)
}

// date is the wall clock at which entry i begins; behind the last, that at which it ends.
func (at *sight) date(s *Snapshot, i int) time.Time {
	v := &at.view
	n := len(v.marks)
	if n == 0 {
		return time.Time{}
	}
	m := &v.marks[min(i, n-1)]
	seg := &at.rend.Segments[m.segment]
	if i < n {
		return seg.Date.Add(v.begin(i) - v.begin(v.find(int(m.segment))))
	}
	return s.endDate(at.rend, int(m.segment))
}

func appendHeader(dst []byte, s *Snapshot, p Playlist) []byte {
	dst = appendInt(dst, "#EXTM3U\n#EXT-X-VERSION:", versionLive)
	dst = appendTargetDuration(dst, s)
	if p.Kind == Whole {
		dst = append(dst, "#EXT-X-PLAYLIST-TYPE:EVENT\n"...)
	}
	c := &s.Constants
	// The same in all media playlists, those without parts too (SC-6).
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
		// Always, since no tag of the header may change when the first date range comes (SC-7).
		dst = append(dst, ",CAN-SKIP-DATERANGES=YES"...)
	}
	dst = append(dst, '\n')
	if p.Form == IFrames {
		dst = append(dst, "#EXT-X-I-FRAMES-ONLY\n"...)
	}
	if c.PartTarget > 0 && p.Form == Media {
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
		if parts[i].Gap {
			dst = append(dst, ",GAP=YES"...)
		}
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
		dst = s.appendParts(dst, rend, kind, open.Take, open.MSN, open.Parts)
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

// appendReports writes one report for each other playlist of segments (RR-1, RR-2); those of I-frames get none, as the
// draft allows. LAST-PART of a segment that is listed whole is 0: a request for the part behind it is then one for the
// next segment (BLK-6).
func (s *Snapshot) appendReports(dst []byte, p Playlist) []byte {
	report := func(name string, msn media.MSN) {
		dst = append(dst, `#EXT-X-RENDITION-REPORT:URI="`...)
		dst = append(dst, name...)
		dst = append(dst, ".m3u8"...)
		if p.Query != "" {
			dst = append(append(dst, '?'), p.Query...)
		}
		dst = append(dst, `",LAST-MSN=`...)
		dst = strconv.AppendInt(dst, int64(msn), 10)
	}
	for i := range s.Renditions {
		if i == p.Rendition && p.Form == Media {
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
		report(other.Name, msn)
		if s.Constants.PartTarget > 0 {
			dst = append(dst, ",LAST-PART="...)
			dst = strconv.AppendInt(dst, int64(last), 10)
		}
		dst = append(dst, '\n')
	}
	if msn := s.Renditions[0].Last(); s.Subtitles != "" && p.Form != Subtitles && msn > 0 {
		report(subtitleTrack, msn)
		dst = append(dst, '\n')
	}
	return dst
}
