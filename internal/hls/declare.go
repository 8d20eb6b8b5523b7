package hls

import "github.com/oxbow-video/oxbow/internal/media"

// Declare takes over what a recording's settings say of its text.
func (s *Snapshot) Declare(settings *media.Settings) {
	s.Subtitles = settings.Subtitles
}
