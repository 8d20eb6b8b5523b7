package ingest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// hlsPlaylist is what is read of a playlist (RFC 8216bis): of a multivariant one the variants and the audio renditions,
// of a media playlist the segments. Parts and everything else that a player might use is passed over.
type hlsPlaylist struct {
	variants []hlsVariant
	audio    []hlsAudio

	target   time.Duration
	segments []hlsSegment
	ended    bool // EXT-X-ENDLIST
}

type hlsVariant struct {
	uri       string
	bandwidth int64
	audio     string // group
	video     bool   // it names a resolution or a video codec
}

type hlsAudio struct {
	group, uri, name, language string
}

type hlsSegment struct {
	msn           int64
	discontinuity int64 // Discontinuity Sequence Number
	duration      time.Duration
	gap           bool
	media         hlsResource
	init          hlsResource // no uri if there is none
}

// hlsResource is a URI and the bytes of it that count: all if length is 0.
type hlsResource struct {
	uri            string
	offset, length int64
}

// Limits of a playlist beside its bytes: a day of segments of two seconds, and attributes of a tag.
const (
	maxHLSSegments   = 50_000
	maxHLSAttributes = 64
)

// show names what a playlist that has ended was of, to know it again.
func (p *hlsPlaylist) show() string {
	if len(p.segments) == 0 {
		return "empty"
	}
	last := p.segments[len(p.segments)-1]
	return fmt.Sprintf("%d %s", last.msn, last.media.uri)
}

// parseHLS reads a playlist.
func parseHLS(text string) (*hlsPlaylist, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	if !strings.HasPrefix(text, "#EXTM3U") {
		return nil, fmt.Errorf("%w: what the source answers is no HLS playlist", media.ErrUnsupported)
	}
	p := hlsParser{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		var err error
		switch {
		case line == "":
		case line[0] != '#':
			err = p.uri(line)
		default:
			name, value, _ := strings.Cut(line, ":")
			err = p.tag(name, value)
		}
		if err != nil {
			return nil, err
		}
	}
	return &p.playlist, nil
}

type hlsParser struct {
	playlist hlsPlaylist
	variant  *hlsVariant // EXT-X-STREAM-INF: the URI follows
	next     hlsSegment  // what the tags before its URI said
	msn      int64
	sequence int64            // Discontinuity Sequence Number of the next segment
	ends     map[string]int64 // where the last byte range of a URI ended
}

func (p *hlsParser) tag(name, value string) error {
	if len(p.playlist.segments) > 0 && strings.HasSuffix(name, "-SEQUENCE") {
		return nil // they stand before the first segment (RFC 8216bis, 4.4.3)
	}
	var err error
	switch name {
	case "#EXT-X-STREAM-INF":
		attrs := hlsAttributes(value)
		bandwidth, _ := strconv.ParseInt(attrs["BANDWIDTH"], 10, 64)
		codecs := attrs["CODECS"]
		p.variant = &hlsVariant{
			bandwidth: bandwidth, audio: attrs["AUDIO"],
			video: attrs["RESOLUTION"] != "" || codecs == "" || strings.Contains(codecs, "avc") ||
				strings.Contains(codecs, "hvc") || strings.Contains(codecs, "hev") || strings.Contains(codecs, "av01"),
		}
	case "#EXT-X-MEDIA":
		if attrs := hlsAttributes(value); attrs["TYPE"] == "AUDIO" {
			p.playlist.audio = append(p.playlist.audio, hlsAudio{
				group: attrs["GROUP-ID"], uri: attrs["URI"],
				name: clip(attrs["NAME"], maxTrackName), language: clip(attrs["LANGUAGE"], maxTrackName),
			})
		}
	case "#EXT-X-TARGETDURATION":
		p.playlist.target, err = hlsDuration(value)
	case "#EXT-X-MEDIA-SEQUENCE":
		p.msn, err = hlsNumber(value)
	case "#EXT-X-DISCONTINUITY-SEQUENCE":
		p.sequence, err = hlsNumber(value)
	case "#EXT-X-DISCONTINUITY":
		p.sequence++
	case "#EXTINF":
		text, _, _ := strings.Cut(value, ",")
		p.next.duration, err = hlsDuration(text)
	case "#EXT-X-GAP":
		p.next.gap = true
	case "#EXT-X-BYTERANGE":
		p.next.media.length, p.next.media.offset, err = hlsByteRange(value)
	case "#EXT-X-MAP":
		attrs := hlsAttributes(value)
		p.next.init = hlsResource{uri: attrs["URI"]}
		if text := attrs["BYTERANGE"]; text != "" {
			p.next.init.length, p.next.init.offset, err = hlsByteRange(text)
			p.next.init.offset = max(p.next.init.offset, 0)
		}
	case "#EXT-X-KEY":
		if method := hlsAttributes(value)["METHOD"]; method != "NONE" {
			err = fmt.Errorf("%w: the source is encrypted (%.20q)", media.ErrUnsupported, method)
		}
	case "#EXT-X-ENDLIST":
		p.playlist.ended = true
	}
	return err
}

func (p *hlsParser) uri(uri string) error {
	if p.variant != nil {
		p.variant.uri = uri
		p.playlist.variants = append(p.playlist.variants, *p.variant)
		p.variant = nil
		return nil
	}
	if len(p.playlist.segments) == maxHLSSegments {
		return fmt.Errorf("%w: more than %d segments in the source's playlist", media.ErrTooLarge, maxHLSSegments)
	}
	s := p.next
	s.msn, s.discontinuity, s.media.uri = p.msn, p.sequence, uri
	if s.media.length > 0 {
		if p.ends == nil {
			p.ends = make(map[string]int64)
		}
		if s.media.offset < 0 { // it follows the range before (RFC 8216bis, 4.4.4.2)
			s.media.offset = p.ends[uri]
		}
		p.ends[uri] = s.media.offset + s.media.length
	}
	p.playlist.segments = append(p.playlist.segments, s)
	p.msn++
	p.next = hlsSegment{init: s.init}
	return nil
}

// hlsAttributes reads an attribute list (RFC 8216bis, 4.2).
func hlsAttributes(list string) map[string]string {
	attrs := make(map[string]string)
	for list != "" && len(attrs) < maxHLSAttributes {
		name, rest, ok := strings.Cut(list, "=")
		if !ok {
			break
		}
		var value string
		if quoted, found := strings.CutPrefix(rest, `"`); found {
			value, rest, _ = strings.Cut(quoted, `"`)
			_, list, _ = strings.Cut(rest, ",")
		} else {
			value, list, _ = strings.Cut(rest, ",")
		}
		attrs[strings.TrimSpace(name)] = value
	}
	return attrs
}

func hlsNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/2 {
		return 0, fmt.Errorf("%w: number in the source's playlist", media.ErrInvalid)
	}
	return n, nil
}

// hlsDuration reads seconds, of a day at most.
func hlsDuration(text string) (time.Duration, error) {
	s, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(s >= 0 && s <= 86400) {
		return 0, fmt.Errorf("%w: duration in the source's playlist", media.ErrInvalid)
	}
	return time.Duration(s * float64(time.Second)), nil
}

// hlsByteRange reads LENGTH[@OFFSET]; without an offset it is -1.
func hlsByteRange(text string) (length, offset int64, err error) {
	text, at, ok := strings.Cut(text, "@")
	if length, err = hlsNumber(text); err == nil && length == 0 {
		err = fmt.Errorf("%w: empty byte range in the source's playlist", media.ErrInvalid)
	}
	offset = -1
	if err == nil && ok {
		offset, err = hlsNumber(at)
	}
	return length, offset, err
}
