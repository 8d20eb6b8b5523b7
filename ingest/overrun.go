package ingest

import (
	"fmt"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// overrunWithin is the time in which a stream's second end for its bitrate keeps it out, for overrunBan.
	overrunWithin = time.Minute
	overrunBan    = 30 * time.Second
	// maxOverruns bounds the streams remembered; the one that ended first is forgotten.
	maxOverruns = 4096
)

// overruns remembers the streams that were ended for their bitrate, so that an encoder that connects again at once does
// not go on like that for ever.
type overruns struct {
	mu struct {
		sync.Mutex
		of map[media.StreamPath]overrun
	}
}

// overrun is a stream's last end for its bitrate.
type overrun struct {
	at     time.Time
	limit  int64 // that it went past, in bits per second
	banned bool  // it was the second within a minute
}

// add counts an end.
func (o *overruns) add(path media.StreamPath, limit int64, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.of == nil {
		o.mu.of = make(map[media.StreamPath]overrun)
	}
	was, known := o.mu.of[path]
	if !known {
		o.makeRoomLocked(now)
	}
	o.mu.of[path] = overrun{at: now, limit: limit, banned: known && now.Sub(was.at) <= overrunWithin}
}

func (o *overruns) makeRoomLocked(now time.Time) {
	var first media.StreamPath
	at := now
	for path, was := range o.mu.of {
		if now.Sub(was.at) > overrunWithin {
			delete(o.mu.of, path)
		} else if !was.at.After(at) {
			first, at = path, was.at
		}
	}
	if len(o.mu.of) >= maxOverruns {
		delete(o.mu.of, first)
	}
}

// check is a media.ErrLimit while the stream is kept out. Who was given a higher limit since is not.
func (o *overruns) check(stream media.Stream, now time.Time) error {
	o.mu.Lock()
	was := o.mu.of[stream.Path]
	o.mu.Unlock()
	left := overrunBan - now.Sub(was.at)
	if limit := stream.Settings.MaxBitrate; !was.banned || left <= 0 || limit == 0 || limit > was.limit {
		return nil
	}
	return fmt.Errorf("%w: the stream was ended twice within a minute for more than its %s: set the encoder's bitrate, "+
		"audio included, to %d kbit/s or less, and connect again in %d s",
		media.ErrLimit, megabits(was.limit), was.limit/1000, int(left.Seconds())+1)
}
