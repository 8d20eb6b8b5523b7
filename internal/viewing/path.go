package viewing

import (
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// kind is what a path names, as far as it matters here.
type kind uint8

const (
	kindOther    kind = iota // pictures, downloads, subtitles: bytes, and nobody who watches
	kindFirst                // a multivariant playlist, with which a viewing begins
	kindPlaylist             // a media playlist
	kindMedia                // a segment or a part
	kindInit
)

// watched says that who is given it watches.
func (k kind) watched() bool { return k == kindPlaylist || k == kindMedia || k == kindInit }

// target is what a path names. Its texts are views of it.
type target struct {
	kind kind
	// name is publisher/stream, and /recording if there is one.
	name      string
	publisher int // its length
	recording bool
	// object is the path, for media that everybody fetches once.
	object string
}

const recordingLength = 26

// parse reads a path's shape. False: it names nothing of a stream's. Who makes something of its name checks that first.
func parse(path string) (t target, ok bool) {
	const longest = 256
	if len(path) < 2 || len(path) > longest || path[0] != '/' {
		return t, false
	}
	publisher := strings.IndexByte(path[1:], '/')
	if publisher <= 0 {
		return t, false
	}
	stream := strings.IndexByte(path[publisher+2:], '/')
	end := publisher + 2 + stream
	if stream <= 0 || end+1 == len(path) {
		return t, false
	}
	t.name, t.publisher = path[1:end], publisher
	rest := path[end+1:]
	first := strings.IndexByte(rest, '/')
	if first < 0 {
		if rest == "index.m3u8" {
			t.kind = kindFirst
		}
		return t, true
	}
	if first != recordingLength {
		return t, false
	}
	t.name, t.recording = path[1:end+1+recordingLength], true
	switch behind := rest[recordingLength+1:]; {
	case behind == "index.m3u8":
		t.kind = kindFirst
	case strings.HasSuffix(behind, ".m3u8"):
		t.kind = kindPlaylist
	case strings.HasSuffix(behind, "/init.mp4"):
		t.kind = kindInit
	case strings.HasSuffix(behind, ".m4s"):
		t.kind, t.object = kindMedia, path
	}
	return t, true
}

// good says that the name is one of a stream or recording.
func (t target) good() bool {
	stream := t.stream()
	if media.CheckPublisherName(stream[:t.publisher]) != nil || media.CheckStreamName(stream[t.publisher+1:]) != nil {
		return false
	}
	if !t.recording {
		return true
	}
	_, err := media.ParseRecordingID(t.name[len(t.name)-recordingLength:])
	return err == nil
}

// stream is the name without the recording.
func (t target) stream() string {
	if t.recording {
		return t.name[:len(t.name)-1-recordingLength]
	}
	return t.name
}

// split gives a name's two parts.
func split(name string) (stream string, recording media.RecordingID) {
	first := strings.IndexByte(name, '/')
	if second := strings.IndexByte(name[first+1:], '/'); second >= 0 {
		return name[:first+1+second], media.RecordingID(name[first+second+2:])
	}
	return name, ""
}
