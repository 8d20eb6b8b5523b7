package cacheproxy

import (
	"fmt"
	"strings"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// kind is what a path names; each has its own policy.
type kind uint8

const (
	kindMultivariant kind = iota // index.m3u8
	kindPlaylist                 // {track}.m3u8, {track}.iframes.m3u8, subtitles.m3u8, live/...: takes delivery directives
	kindInit                     // init.mp4
	kindSegment                  // {msn}.m4s
	kindPart                     // {msn}.{part}.m4s
	kindSubtitle                 // subtitles/{msn}.vtt
	kindImage                    // thumbnail.jpg, sprite-{n}.jpg, thumbnails.vtt
	kindDownload                 // recording.mp4: passed through, neither cached nor shared
)

func (k kind) String() string {
	return [...]string{"multivariant", "playlist", "init", "segment", "part", "subtitle", "image", "download"}[k]
}

func (k kind) text() bool { return k == kindMultivariant || k == kindPlaylist }

// route is a path that has the form of DESIGN section 6.
type route struct {
	path      media.StreamPath
	recording media.RecordingID // empty for the stream's own URL
	kind      kind
	sliding   bool // a playlist of live/, which has no clips
}

// maxPath is past the longest path there is.
const maxPath = 256

// parseRoute reads a decoded path. Every number has one spelling (no sign, no leading zero), so that one thing has one
// URL and one cache key; whatever has no form of the table is ErrNotFound.
func parseRoute(path string) (route, error) {
	// Made only when it is needed: every waiting viewer passes here.
	unknown := func() error { return fmt.Errorf("%w: %.120q names nothing here", media.ErrNotFound, path) }
	rest, ok := strings.CutPrefix(path, "/")
	if !ok || len(path) > maxPath {
		return route{}, unknown()
	}
	var e [6]string
	n := 0
	for more := true; more; n++ {
		if n == len(e) {
			return route{}, unknown()
		}
		e[n], rest, more = strings.Cut(rest, "/")
	}
	if n < 3 || media.CheckPublisherName(e[0]) != nil || media.CheckStreamName(e[1]) != nil {
		return route{}, unknown()
	}
	rt := route{path: media.StreamPath{Publisher: e[0], Stream: e[1]}}
	if n == 3 {
		if e[2] == thumbnailFile {
			rt.kind = kindImage
			return rt, nil
		}
		if e[2] != "index.m3u8" {
			return route{}, unknown()
		}
		return rt, nil
	}
	var err error
	if rt.recording, err = media.ParseRecordingID(e[2]); err != nil {
		return route{}, unknown()
	}
	switch n {
	case 4:
		rt.kind, ok = recordingFile(e[3])
	case 5:
		ok = e[3] == "live" && e[4] != "index.m3u8" && mediaPlaylist(e[4])
		rt.kind, rt.sliding = kindPlaylist, true
	default:
		rt.kind, ok = trackFile(e[4], e[5])
		ok = ok && number(e[3]) && e[3] != "0" && media.CheckStreamName(e[4]) == nil
	}
	if !ok {
		return route{}, unknown()
	}
	return rt, nil
}

func recordingFile(name string) (kind, bool) {
	switch name {
	case "index.m3u8":
		return kindMultivariant, true
	case "recording.mp4":
		return kindDownload, true
	case thumbnailFile, "thumbnails.vtt":
		return kindImage, true
	}
	if n, ok := strings.CutPrefix(strings.TrimSuffix(name, ".jpg"), "sprite-"); ok && name == "sprite-"+n+".jpg" {
		return kindImage, number(n) && n != "0" && len(n) <= 2
	}
	return kindPlaylist, mediaPlaylist(name)
}

// thumbnailFile is a recording's picture, or a stream's.
const thumbnailFile = "thumbnail.jpg"

// subtitles stands where a track's name does.
const subtitles = "subtitles"

func mediaPlaylist(name string) bool {
	track, ok := strings.CutSuffix(name, ".m3u8")
	track, iframes := strings.CutSuffix(track, ".iframes")
	return ok && media.CheckStreamName(track) == nil && (!iframes || track != subtitles)
}

func trackFile(track, name string) (kind, bool) {
	if track == subtitles {
		msn, ok := strings.CutSuffix(name, ".vtt")
		return kindSubtitle, ok && number(msn) && msn != "0"
	}
	if name == "init.mp4" {
		return kindInit, true
	}
	name, ok := strings.CutSuffix(name, ".m4s")
	if !ok {
		return 0, false
	}
	msn, part, parted := strings.Cut(name, ".")
	if !number(msn) || msn == "0" {
		return 0, false
	}
	if !parted {
		return kindSegment, true
	}
	return kindPart, number(part)
}

// number says whether s is a decimal number in its one canonical spelling, of at most nine digits.
func number(s string) bool {
	if s == "" || len(s) > 9 || (s[0] == '0' && len(s) > 1) {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// readQuery puts into the key of a playlist what the query asks for. With ENDLIST, of which ended tells, directives are
// ignored, good or bad (BLK-9), and there is one copy for all: one kept under another name would bring EVENT back when
// the plain one is VOD already (END-2).
func (k *key) readQuery(query string, directed bool, ended func(list) bool) error {
	var err error
	if k.clip, err = hls.ParseClip(query); err != nil || !directed {
		return err
	}
	if k.clip.Ends() || ended(k.list) {
		return nil
	}
	k.Directives, err = hls.ParseDirectives(query)
	return err
}

// textPath says of any path whether it may be a playlist's, and whether that takes directives. It is what a cache key
// needs; the full parse waits until the cache has nothing under that key.
func textPath(path string) (text, directed bool) {
	if !strings.HasSuffix(path, ".m3u8") {
		return false, false
	}
	return true, !strings.HasSuffix(path, "/index.m3u8")
}

// list names a playlist: its path, and the clip that start and end ask for.
type list struct {
	path string
	clip hls.Clip
}

// key names one cached answer. Media is keyed by its path alone, for its URL names bytes; a playlist by its clip and
// directives too (BLK-12), whatever their spelling, and by variant: the answer as the upstream gave it, asked for gzip,
// or its plain text for those who take no gzip.
type key struct {
	list
	hls.Directives
	plain bool
}

// noPart is what hls.Directives has without _HLS_part.
const noPart = -1

// mediaKey keys what takes no directives.
func mediaKey(path string) key {
	return key{list: list{path: path}, Directives: hls.Directives{Part: noPart}}
}

// current says that the key asks for the present state of a playlist, not for a given version of it.
func (k key) current() bool { return !k.Blocking }

// blocks says that an upstream may hold the answer back until there is one: a clip may be a bit ahead of the live edge.
func (k key) blocks(what kind) bool {
	return what == kindPart || k.Blocking || what.text() && k.clip != hls.Clip{}
}

// query is the normalised query for an upstream.
func (k key) query() string {
	var b []byte
	if clip := k.clip.Query(); clip != "" {
		b = append(append(b, '&'), clip...)
	}
	if k.Blocking {
		b = fmt.Appendf(b, "&_HLS_msn=%d", k.MSN)
	}
	if k.Part != noPart {
		b = fmt.Appendf(b, "&_HLS_part=%d", k.Part)
	}
	switch k.Skip {
	case hls.SkipYes:
		b = append(b, "&_HLS_skip=YES"...)
	case hls.SkipV2:
		b = append(b, "&_HLS_skip=v2"...)
	case hls.SkipNone:
	}
	if b == nil {
		return ""
	}
	return string(b[1:])
}
