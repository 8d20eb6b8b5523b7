package origin

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// kind is what a URL names. Its text labels metrics.
type kind string

const (
	kindStream    kind = "stream"       // multivariant playlist of the stream
	kindRecording kind = "multivariant" // of one recording
	kindSliding   kind = "sliding"
	kindWhole     kind = "whole"
	kindIFrames   kind = "iframes"   // playlist of a video track's random access points, sliding or whole
	kindSubtitles kind = "subtitles" // playlist of the subtitles, sliding or whole
	kindInit      kind = "init"
	kindSegment   kind = "segment"
	kindPart      kind = "part"
	kindSubtitle  kind = "subtitle" // one WebVTT segment
	kindPicture   kind = "picture"  // a recording's thumbnail, sprite sheet or their track
	kindPoster    kind = "poster"   // a stream's thumbnail: of the show that is live, else of the latest recording
	kindDownload  kind = "download" // the recording as one MP4 file
	kindNone      kind = "none"     // no URL of the scheme
)

const (
	maxPath   = 256
	maxDigits = 9 // of a take, msn or part: past every limit, and far from overflow

	liveFolder     = "live"
	indexFile      = "index.m3u8"
	initFile       = "init.mp4"
	downloadFile   = "recording.mp4"
	subtitlesName  = "subtitles" // stands where a track's name does
	playlistSuffix = ".m3u8"
	iframesSuffix  = ".iframes"
	mediaSuffix    = ".m4s"
	subtitleSuffix = ".vtt"
)

// ref names a recording.
type ref struct {
	path media.StreamPath
	id   media.RecordingID
}

// target is a parsed URL path.
type target struct {
	ref
	kind  kind
	list  hls.Kind // of a playlist
	track string
	take  int
	msn   media.MSN
	part  int
	name  string // of a picture
}

// parsePath reads a URL path strictly: each thing has one spelling, and everything else is an ErrNotFound.
func parsePath(path string) (target, error) {
	t := target{kind: kindNone}
	if len(path) > maxPath || !strings.HasPrefix(path, "/") {
		return t, fmt.Errorf("%w: no such path", media.ErrNotFound)
	}
	var elems [6]string
	n := 0
	for rest, more := path[1:], true; more; n++ {
		if n == len(elems) {
			return t, fmt.Errorf("%w: no such path", media.ErrNotFound)
		}
		elems[n], rest, more = strings.Cut(rest, "/")
	}
	if !t.parse(elems[:n]) {
		return target{kind: kindNone}, fmt.Errorf("%w: no such path", media.ErrNotFound)
	}
	return t, nil
}

func (t *target) parse(elems []string) bool {
	if len(elems) < 3 || media.CheckPublisherName(elems[0]) != nil || media.CheckStreamName(elems[1]) != nil {
		return false
	}
	t.path = media.StreamPath{Publisher: elems[0], Stream: elems[1]}
	if len(elems) == 3 {
		if elems[2] == reclog.ThumbnailFile {
			t.kind, t.name = kindPoster, elems[2]
			return true
		}
		t.kind = kindStream
		return elems[2] == indexFile
	}
	id, err := media.ParseRecordingID(elems[2])
	if err != nil {
		return false
	}
	t.id = id
	switch file := elems[len(elems)-1]; len(elems) {
	case 4:
		if file == indexFile {
			t.kind = kindRecording
			return true
		}
		if reclog.IsPicture(file) {
			t.kind, t.name = kindPicture, file
			return true
		}
		if file == downloadFile {
			t.kind = kindDownload
			return true
		}
		t.kind, t.list = kindWhole, hls.Whole
		return t.parsePlaylist(file)
	case 5:
		t.kind, t.list = kindSliding, hls.Sliding
		return elems[3] == liveFolder && t.parsePlaylist(file)
	default:
		return t.parseMedia(elems[3], elems[4], file)
	}
}

func (t *target) parsePlaylist(file string) bool {
	track, ok := strings.CutSuffix(file, playlistSuffix)
	if track == subtitlesName {
		t.kind = kindSubtitles
		return ok
	}
	if name, iframes := strings.CutSuffix(track, iframesSuffix); iframes {
		t.kind, track = kindIFrames, name
	}
	t.track = track
	return ok && isTrack(track)
}

// isTrack says that a track may have the name.
func isTrack(name string) bool { return name != subtitlesName && media.CheckStreamName(name) == nil }

func (t *target) parseMedia(take, track, file string) bool {
	n, ok := decimal(take)
	if !ok || n == 0 {
		return false
	}
	t.take = n
	if track == subtitlesName {
		name, ok := strings.CutSuffix(file, subtitleSuffix)
		msn, isNumber := decimal(name)
		t.kind, t.msn = kindSubtitle, media.MSN(msn)
		return ok && isNumber && msn > 0
	}
	if !isTrack(track) {
		return false
	}
	t.track = track
	if file == initFile {
		t.kind = kindInit
		return true
	}
	name, ok := strings.CutSuffix(file, mediaSuffix)
	if !ok {
		return false
	}
	number, part, isPart := strings.Cut(name, ".")
	msn, ok := decimal(number)
	t.msn, t.kind = media.MSN(msn), kindSegment
	if isPart {
		var partOK bool
		t.part, partOK = decimal(part)
		t.kind, ok = kindPart, ok && partOK
	}
	return ok && msn > 0
}

// decimal reads digits without a sign or a leading zero.
func decimal(s string) (int, bool) {
	if s == "" || len(s) > maxDigits || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}
