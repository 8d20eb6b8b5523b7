package hls

import "github.com/oxbow-video/oxbow/internal/media"

// Declare takes over what a recording's settings, and the captions seen in its pictures, say of its text.
func (s *Snapshot) Declare(settings *media.Settings, seen []string) {
	s.Subtitles = settings.Subtitles
	s.Captions = media.CaptionsOf(settings.Captions, seen)
}
