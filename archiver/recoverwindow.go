package archiver

import (
	"context"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// windowsTimeout bounds the question for settings: orphans are ended without an answer too.
const windowsTimeout = 5 * time.Second

// windows gives how long a publisher may take to come back to each orphan, by the settings in force: a change that came
// when its owner was gone is in no manifest. What the catalog does not tell is as the manifest has it.
func (r *Recovery) windows(ctx context.Context, orphans []reclog.Orphan) (map[reclog.Ref]time.Duration, error) {
	windows := make(map[reclog.Ref]time.Duration, len(orphans))
	if len(orphans) == 0 {
		return windows, nil
	}
	var paths []media.StreamPath
	for _, orphan := range orphans {
		windows[orphan.Ref] = orphan.Settings.ReconnectWindow.D()
		paths = append(paths, orphan.Path)
	}
	ctx, cancel := context.WithTimeout(ctx, windowsTimeout)
	defer cancel()
	streams, err := r.rows.StreamsNamed(ctx, paths)
	inForce := make(map[media.StreamPath]time.Duration, len(streams))
	for i := range streams {
		inForce[streams[i].Path] = streams[i].Settings.ReconnectWindow.D()
	}
	for ref := range windows {
		if window, ok := inForce[ref.Path]; ok {
			windows[ref] = window
		}
	}
	return windows, err
}
