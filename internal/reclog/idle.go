package reclog

import (
	"errors"
	"strings"
	"sync"
	"time"
)

const (
	// maxIdle is how many files are kept open for reading without a reader.
	maxIdle = 256
	// idleFor is how long. A file that was deleted keeps its space until then.
	idleFor = 20 * time.Second
)

// idleFiles keeps open files between two readings, since at the live edge the next request for a file comes within
// milliseconds. A file belongs to one reader at a time, because sendfile uses its position.
type idleFiles struct {
	limit int

	mu struct {
		sync.Mutex
		files  []idleFile // oldest first
		timer  *time.Timer
		closed bool
	}
}

type idleFile struct {
	path  string
	f     file
	since time.Time
}

func newIdleFiles(limit int) *idleFiles { return &idleFiles{limit: limit} }

// take gives the file that was put last under the path, or nil.
func (p *idleFiles) take(path string) file {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.mu.files) - 1; i >= 0; i-- {
		if f := p.mu.files[i]; f.path == path {
			p.mu.files = append(p.mu.files[:i], p.mu.files[i+1:]...)
			return f.f
		}
	}
	return nil
}

// put keeps the file, or closes it or an older one.
func (p *idleFiles) put(path string, f file) error {
	p.mu.Lock()
	if p.mu.closed {
		p.mu.Unlock()
		return f.Close()
	}
	var old file
	if len(p.mu.files) >= p.limit {
		old = p.mu.files[0].f
		p.mu.files = append(p.mu.files[:0], p.mu.files[1:]...)
	}
	p.mu.files = append(p.mu.files, idleFile{path: path, f: f, since: time.Now()})
	if p.mu.timer == nil {
		p.mu.timer = time.AfterFunc(idleFor, p.expire)
	}
	p.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.Close()
}

// expire closes what has been idle for long, and comes again while anything is left.
func (p *idleFiles) expire() {
	now := time.Now()
	gone := p.drop(func(f idleFile) bool { return now.Sub(f.since) >= idleFor })
	_ = closeAll(gone) // only read
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.timer = nil
	if len(p.mu.files) > 0 && !p.mu.closed {
		p.mu.timer = time.AfterFunc(idleFor-now.Sub(p.mu.files[0].since), p.expire)
	}
}

// forget closes the idle files below a directory, given with its last separator.
func (p *idleFiles) forget(dir string) {
	_ = closeAll(p.drop(func(f idleFile) bool { return strings.HasPrefix(f.path, dir) })) // only read
}

func (p *idleFiles) drop(gone func(idleFile) bool) []idleFile {
	p.mu.Lock()
	defer p.mu.Unlock()
	var dropped []idleFile
	kept := p.mu.files[:0]
	for _, f := range p.mu.files {
		if gone(f) {
			dropped = append(dropped, f)
		} else {
			kept = append(kept, f)
		}
	}
	clear(p.mu.files[len(kept):])
	p.mu.files = kept
	return dropped
}

// close closes all, and whatever is put from now on.
func (p *idleFiles) close() error {
	p.mu.Lock()
	p.mu.closed = true
	if p.mu.timer != nil {
		p.mu.timer.Stop()
	}
	p.mu.Unlock()
	return closeAll(p.drop(func(idleFile) bool { return true }))
}

func closeAll(files []idleFile) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}
