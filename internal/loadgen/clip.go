package loadgen

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// maxClip bounds a clip's file in bytes.
const maxClip = 1 << 30

// Clip is media that is ready to be sent, by any number of streams at once.
type Clip struct {
	due    []time.Duration // of each step, from the clip's start; never decreasing
	sizes  []int           // of each step in bytes
	video  [][]byte        // of each step, the body of a video frame, else nil; nil for a transport stream
	length time.Duration   // from one round to the next
	dial   func(ctx context.Context, target string) (sender, error)
}

// sender is one stream's connection.
type sender interface {
	// send queues or sends a step of the clip; rounds count from 0.
	send(step, round int) error
	flush() error
	// wait gives the reason why the server ended the stream. It ends by close, too.
	wait() error
	close() error
}

// Load reads a clip for servers of the URL's scheme: FLV for rtmp and rtmps, an MPEG transport stream for srt.
func Load(file, target string) (*Clip, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("%w: no URL", media.ErrInvalid) // it may hold a key
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxClip {
		return nil, fmt.Errorf("%w: %s has %d bytes, the limit is %d", media.ErrTooLarge, file, info.Size(), maxClip)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var clip *Clip
	switch u.Scheme {
	case "rtmp", "rtmps":
		clip, err = parseFLV(data)
	case "srt":
		clip, err = parseTS(data)
	default:
		return nil, fmt.Errorf("%w: %q is none of rtmp, rtmps, srt", media.ErrUnsupported, u.Scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return clip, nil
}

// flvClip is the messages of an FLV file.
type flvClip struct {
	start  []flvMessage // metadata and decoder configurations, sent once
	frames []flvMessage
	length time.Duration
}

type flvMessage struct {
	kind      byte
	timestamp uint32 // ms from the first frame
	body      []byte
}

// parseFLV reads an FLV file (Adobe Flash Video File Format 10.1, annex E).
func parseFLV(data []byte) (*Clip, error) {
	const tagHeader, tagTrailer, script, audio, video = 11, 4, 18, 8, 9
	if len(data) < 13 || string(data[:3]) != "FLV" {
		return nil, fmt.Errorf("%w: no FLV file", media.ErrInvalid)
	}
	c := &flvClip{}
	// Of each kind: the latest timestamp, and how far behind it the one before is.
	first, last := int64(-1), map[byte][2]int64{}
	for rest := data[13:]; len(rest) >= tagHeader; {
		end := tagHeader + int(binary.BigEndian.Uint32(rest)&0xffffff)
		if len(rest) < end {
			break // torn: what is whole is enough
		}
		at := int64(binary.BigEndian.Uint32(rest[4:])>>8 | uint32(rest[7])<<24)
		m := flvMessage{kind: rest[0], body: rest[tagHeader:end]}
		rest = rest[min(end+tagTrailer, len(rest)):]
		switch {
		case len(m.body) == 0 || m.kind != script && m.kind != audio && m.kind != video:
			continue
		case m.kind == script || startsTrack(m.kind == video, m.body):
			if first < 0 {
				c.start = append(c.start, m)
			}
			continue
		case first < 0:
			first = at
		}
		m.timestamp = uint32(max(at-first, 0))
		if before, ok := last[m.kind]; ok {
			last[m.kind] = [2]int64{int64(m.timestamp), max(int64(m.timestamp)-before[0], 1)}
		} else {
			last[m.kind] = [2]int64{int64(m.timestamp), 1}
		}
		c.frames = append(c.frames, m)
	}
	if len(c.frames) == 0 {
		return nil, fmt.Errorf("%w: no frames", media.ErrInvalid)
	}
	for _, l := range last {
		c.length = max(c.length, time.Duration(l[0]+l[1])*time.Millisecond)
	}
	clip := &Clip{length: c.length, dial: c.dial}
	var due time.Duration
	for _, m := range c.frames {
		due = max(due, time.Duration(m.timestamp)*time.Millisecond)
		clip.due, clip.sizes = append(clip.due, due), append(clip.sizes, len(m.body))
		var frame []byte
		if m.kind == video {
			frame = m.body
		}
		clip.video = append(clip.video, frame)
	}
	return clip, nil
}

// startsTrack says that a message configures a decoder: once is enough, since the loop repeats the same tracks.
func startsTrack(video bool, body []byte) bool {
	const (
		enhancedVideo = 0x80 // Enhanced RTMP: ExVideoTagHeader; its type 0 starts a sequence
		enhancedAudio = 9
		avc, aac      = 7, 10
	)
	first := body[0]
	switch {
	case video && first&enhancedVideo != 0:
		return first&0x0f == 0
	case !video && first>>4 == enhancedAudio:
		return first&0x0f == 0
	case video && first&0x0f == avc, !video && first>>4 == aac:
		return len(body) > 1 && body[1] == 0
	}
	return false
}
