package reclog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/media"
)

// usagePatience is how long a caller of Usage waits for the volume at most.
const usagePatience = 2 * time.Second

// Usage says how full the volume of the recordings is.
type Usage struct {
	// Total and Free are in bytes, as this process may use them: what is reserved for root is in neither.
	Total, Free int64
	// Inodes and FreeInodes are both zero on a file system that does not count them.
	Inodes, FreeInodes int64
	// At is when the volume said so.
	At time.Time
	// Stale says that the volume does not answer, and that this is what it said last.
	Stale bool
}

// Used is the used fraction, of bytes or of inodes, whichever is the greater.
func (u Usage) Used() float64 {
	used := func(total, free int64) float64 {
		if total <= 0 {
			return 0
		}
		return 1 - float64(free)/float64(total)
	}
	return max(used(u.Total, u.Free), used(u.Inodes, u.FreeInodes))
}

// String tells it to an operator.
func (u Usage) String() string {
	text := fmt.Sprintf("%.1f %% used, %d of %d MiB free", 100*u.Used(), u.Free>>20, u.Total>>20)
	if u.Inodes > 0 {
		text += fmt.Sprintf(", %d of %d inodes free", u.FreeInodes, u.Inodes)
	}
	return text
}

// volume asks for the usage of a directory's file system, never twice at a time: a server that hangs would hold one
// thread for each question.
type volume struct {
	dir  string
	stat func(dir string) (Usage, error)

	mu struct {
		sync.Mutex
		asking chan struct{} // closed with the answer; nil while nobody asks
		last   Usage
		known  bool
		err    error
		// dir is the directory as it was first met.
		dir fs.FileInfo
	}
}

func newVolume(dir string) *volume { return &volume{dir: dir, stat: statVolume} }

// statVolume counts as df(1) does.
func statVolume(dir string) (Usage, error) {
	var s unix.Statfs_t
	for {
		err := unix.Statfs(dir, &s)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return Usage{}, err
		}
	}
	size := uint64(s.Bsize)
	reserved := s.Bfree - s.Bavail
	return Usage{
		Total: int64((s.Blocks - reserved) * size), Free: int64(s.Bavail * size),
		Inodes: int64(s.Files), FreeInodes: int64(s.Ffree), At: time.Now(),
	}, nil
}

// Usage asks how full the volume is, and waits two seconds at most. A volume that does not answer gives what it said
// last, marked stale; media.ErrUnavailable if it never said anything.
func (r *Root) Usage(ctx context.Context) (Usage, error) {
	u, err := r.volume.usage(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("usage of %s: %w", r.dir, err)
	}
	return u, nil
}

func (v *volume) usage(ctx context.Context) (Usage, error) {
	v.mu.Lock()
	if v.mu.asking == nil {
		v.mu.asking = make(chan struct{})
		go v.ask(v.mu.asking)
	}
	asking := v.mu.asking
	v.mu.Unlock()

	patience := time.NewTimer(usagePatience)
	defer patience.Stop()
	stale := true
	select {
	case <-asking:
		stale = false
	case <-patience.C:
	case <-ctx.Done():
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !stale && v.mu.err != nil:
		return Usage{}, v.mu.err
	case !v.mu.known:
		return Usage{}, fmt.Errorf("%w: the volume does not answer", media.ErrUnavailable)
	}
	u := v.mu.last
	u.Stale = stale
	return u, nil
}

func (v *volume) ask(done chan struct{}) {
	u, err := v.stat(v.dir)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mu.err = err; err == nil {
		v.mu.last, v.mu.known = u, true
	}
	v.mu.asking = nil
	close(done)
}

// Full says whether the used fraction of the volume has reached the given one. An error says that this is not known: a
// stalled volume (media.ErrUnavailable) is not a full one.
func (r *Root) Full(ctx context.Context, fraction float64) (bool, Usage, error) {
	u, err := r.Usage(ctx)
	if err != nil {
		return false, u, err
	}
	if u.Stale {
		return false, u, fmt.Errorf("usage of %s: %w: the volume does not answer", r.dir, media.ErrUnavailable)
	}
	return u.Used() >= fraction, u, nil
}

// Attached says whether the root still is the directory that the first call met. One whose volume was unmounted looks
// like one that has lost all its recordings.
func (r *Root) Attached() (bool, error) {
	info, err := os.Stat(r.dir)
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at recordings: %w", err)
	}
	r.volume.mu.Lock()
	defer r.volume.mu.Unlock()
	if r.volume.mu.dir == nil {
		r.volume.mu.dir = info
	}
	return os.SameFile(info, r.volume.mu.dir), nil
}
