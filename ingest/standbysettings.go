package ingest

import (
	"cmp"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Standbys lists the streams that a connection stands by for on this node.
func (s *Server) Standbys() []media.StreamPath {
	s.seats.mu.Lock()
	defer s.seats.mu.Unlock()
	paths := make([]media.StreamPath, 0, len(s.seats.mu.standbys))
	for feed := range s.seats.mu.standbys {
		paths = append(paths, feed.path)
	}
	return paths
}

// Settings says what settings of a stream are in force now. Of them backup_after is taken over by who stands by; limits
// and all else hold from the next connection on.
func (s *Server) Settings(path media.StreamPath, settings media.Settings) {
	for _, feed := range []string{media.FeedPrimary, media.FeedBackup} {
		if b := s.seats.standby(feedOf{path, feed}); b != nil && b.setAfter(settings) {
			b.logger.Info("standby waits for another time", "backup_after", b.patience())
			b.rouse()
		}
	}
}

// setAfter says whether it is another than before.
func (b *standby) setAfter(settings media.Settings) bool {
	after := int64(cmp.Or(settings.BackupAfter.D(), defaultBackupAfter))
	return b.after.Swap(after) != after
}

// patience is how long the live feed may be silent.
func (b *standby) patience() time.Duration { return time.Duration(b.after.Load()) }
