package packager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// GrowingShow is a show that this process keeps: its stream's lease is to be renewed.
type GrowingShow struct {
	Path      media.StreamPath
	Recording media.RecordingID
	// Epoch is the latest that was published or resumed with.
	Epoch uint64
	State media.State
}

// Growing lists the shows that are live or wait for their publisher.
func (p *Packager) Growing() []GrowingShow {
	var list []GrowingShow
	for _, s := range p.all() {
		x := s.index.Load()
		if x == nil || x.current == nil {
			continue
		}
		if state, ok := s.state(); ok {
			list = append(list, GrowingShow{Path: s.path, Recording: x.current.id, Epoch: x.epoch, State: state})
		}
	}
	return list
}

// Forget gives up a stream that another node has by now: its publication's methods return media.ErrFenced, its growing
// show is gone for readers at once, who wait for its next version are released, and nothing more is written or told of
// it. Shows of it that ended before stay. It may be called again.
func (p *Packager) Forget(path media.StreamPath) {
	s, _ := p.lookup(path, false)
	if s == nil {
		return
	}
	// Readers first: the lock may be held by a frame that waits for storage.
	if x := s.index.Load(); x != nil && x.current != nil {
		x.current.lose()
		all := x.all[: len(x.all)-1 : len(x.all)-1] // the growing one is the last
		s.index.CompareAndSwap(x, &showIndex{all: all, epoch: x.epoch})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseLocked()
}

// loseLocked is Forget with the lock held.
func (s *stream) loseLocked() {
	if p := s.pub; p != nil {
		p.gone = fmt.Errorf("%s: %w", s.path, media.ErrFenced)
		p.observer = nil
		s.pub = nil
	}
	if s.show != nil {
		s.show.logger.Warn("show is another node's, forgotten")
		s.packager.queue.forget(s.show.id)
	}
	s.dropShowLocked()
}

// dropShowLocked takes the growing show out of memory as it is.
func (s *stream) dropShowLocked() {
	s.take, s.leaving = nil, false
	if s.show == nil {
		return
	}
	s.show.lose()
	s.show.recorder.abandon()
	s.show = nil
	s.reindexLocked()
}

// rowPatience is how long a show that is handed over waits for its row to be saved.
const rowPatience = 2 * time.Second

// lose ends the show for its readers: no version follows, and who waits for one is released, now and ever after.
func (s *Show) lose() {
	if s.lost.Swap(true) {
		return
	}
	released := make(chan struct{})
	close(released)
	old := s.version.Load()
	for !s.version.CompareAndSwap(old, &version{snap: old.snap, next: released}) {
		old = s.version.Load()
	}
	close(old.next)
}

// HandOver gives up a stream's show so that another node can go on with it: its publication ends with
// media.ErrUnavailable, what came is listed and sealed, the manifest says interrupted and the row is saved, unless the
// catalog is away: then the next owner's row tells it all. Then the show leaves memory, as with Forget. What is not
// done when ctx ends is an error, and left to the other's recovery.
func (p *Packager) HandOver(ctx context.Context, path media.StreamPath) error {
	if err := p.confirm(path); err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	s, _ := p.lookup(path, false)
	if s == nil {
		return nil
	}
	show := s.prepareHandOver()
	if show == nil {
		return nil
	}
	var err error
	select {
	case <-show.recorder.exited:
		saving, cancel := context.WithTimeout(ctx, rowPatience)
		if late := p.queue.saved(saving, show.id); late != nil {
			p.queue.forget(show.id) // later it would undo the next owner's
			show.logger.Warn("show is handed over without its row", "err", late)
		}
		cancel()
	case <-ctx.Done():
		err = fmt.Errorf("storage does not answer: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.show == show {
		if show.recorder.fenced.Load() {
			p.queue.forget(show.id)
			err = errors.Join(err, media.ErrFenced)
		}
		s.dropShowLocked()
	}
	if err != nil {
		return fmt.Errorf("hand over %s: %w", path, err)
	}
	show.logger.Info("show handed over")
	return nil
}

// prepareHandOver ends the publication and has everything written. It gives the show, nil if there is none.
func (s *stream) prepareHandOver() *Show {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil
	}
	if p := s.pub; p != nil {
		p.gone = errLeaving
		if err := s.leaveLocked(p, false); err != nil {
			s.packager.logger.Error("end of the publication that is handed over", "publisher", s.path.Publisher,
				"stream", s.path.Stream, "err", err)
		}
	}
	if s.show == nil {
		return nil
	}
	s.leaving = true
	s.show.settle()
	s.saveLocked()
	s.show.recorder.close()
	return s.show
}

// errLeaving is what a publication's methods return that ended because its node stops.
var errLeaving = fmt.Errorf("%w: the server is stopping: publish again", media.ErrUnavailable)

// Leave asks that the publication end where a segment does: the next frame of the track that leads with which players
// can begin is not taken, nor anything after it, and WriteFrame returns media.ErrUnavailable. What came before is
// listed, and the show waits for its publisher. If no such frame comes it is the caller's to close.
func (p *Publication) Leave() { p.leaving.Store(true) }

// mayEndLocked says that the publication can end before a frame.
func (p *Publication) mayEndLocked(f *media.Frame) bool {
	take := p.stream.take
	switch {
	case take == nil:
		return true
	case take.video != nil:
		return p.lanes[f.Track] == take.video.index && (f.Sync || f.Recovery)
	}
	return p.lanes[f.Track] == 0
}

func (p *Publication) departLocked() error {
	p.gone = errLeaving
	if err := p.stream.leaveLocked(p, false); err != nil {
		return errors.Join(errLeaving, err)
	}
	return errLeaving
}

// Leave is Publication.Leave of the group's publication: all its members end together.
func (m *Member) Leave() {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	m.group.pub.Leave()
}
