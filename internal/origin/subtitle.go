package origin

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// subtitle answers with a WebVTT segment.
func (x *exchange) subtitle(t target) error {
	return fmt.Errorf("%w: subtitles of segment %d", media.ErrNotFound, t.msn)
}
