package packager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Resume adopts a recording that was live or interrupted when its process stopped, as Root.Reopen gave it: it goes on
// as interrupted, and its reconnect window counts from now (LIF-6). A recording that nothing can follow, because it
// has no media or its stream has another show by now, is ended instead.
func (p *Packager) Resume(ctx context.Context, rec *reclog.Recording, w *reclog.Writer) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := p.lookup(rec.Path(), true)
		if err != nil {
			return err
		}
		s.mu.Lock()
		if s.dead { // forgotten since it was looked up
			s.mu.Unlock()
			continue
		}
		show := newShow(&rec.Manifest, onDisk{w}, p.cfg.Memory, p.logger, p.metrics)
		err = show.restore(rec)
		if err == nil && s.show == nil && s.pub == nil {
			s.resumeLocked(rec, show)
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		// Nothing can follow it, or another show is the stream's by now, which must not wait for storage: what there is of
		// it is final.
		return errors.Join(err, p.end(show, w, rec.LastHistory(p.cfg.Cluster)))
	}
}

func (s *stream) resumeLocked(rec *reclog.Recording, show *Show) {
	s.epoch = max(s.epoch, rec.Epoch)
	for _, t := range show.takes {
		s.epoch = max(s.epoch, t.Epoch)
	}
	s.show = show
	s.reindexLocked()
	show.listedAt = time.Now()
	s.saveLocked(rec.History(s.packager.cfg.Cluster)...) // this node's row, whatever it says
	s.interruptLocked()
	s.waitLocked(time.Now())
	show.publish()
	show.logger.Info("recording resumed", "segments", len(show.renditions[0].segments), "takes", len(show.takes))
}

// End ends a recording, as Root.Reopen gave it, that nothing is to follow: the stream has had another one since.
func (p *Packager) End(rec *reclog.Recording, w *reclog.Writer) error {
	show := newShow(&rec.Manifest, onDisk{w}, p.cfg.Memory, p.logger, p.metrics)
	if err := show.restore(rec); err != nil {
		p.logger.Warn("recording that ends", "recording", string(rec.ID), "err", err)
	}
	return p.end(show, w, rec.LastHistory(p.cfg.Cluster))
}

func (p *Packager) end(show *Show, w *reclog.Writer, history []media.LogEvent) error {
	ended := time.Now().UTC()
	if err := w.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, ended }); err != nil {
		return err
	}
	show.state, show.endedAt = media.Ended, ended
	p.queue.save(show.row(), history...)
	return nil
}

// restore takes a recording's segments and metadata over.
func (s *Show) restore(rec *reclog.Recording) error {
	if len(rec.Takes) == 0 || len(rec.Tracks) == 0 || len(rec.Tracks[0].Segments) == 0 {
		return fmt.Errorf("recording without media: %w", media.ErrNotFound)
	}
	s.takes = rec.Takes
	s.setTracks(rec.Takes[len(rec.Takes)-1].Tracks)
	if len(rec.Tracks) != len(s.renditions) {
		return fmt.Errorf("%w: %d tracks, the last take has %d", media.ErrCorrupt, len(rec.Tracks), len(s.renditions))
	}
	for i, r := range s.renditions {
		r.segments = rec.Tracks[i].Segments
		if len(r.segments) != len(rec.Tracks[0].Segments) {
			return fmt.Errorf("%w: track %s has %d segments, %s %d", media.ErrCorrupt, r.name, len(r.segments),
				s.renditions[0].name, len(rec.Tracks[0].Segments))
		}
		for j := range r.segments {
			seg := &r.segments[j]
			s.recorder.bytes.Add(seg.Size)
			s.dependent = s.dependent || (r.kind == media.Video && !seg.Sync && !seg.Gap)
		}
		for j := range s.takes {
			s.recorder.bytes.Add(s.takes[j].Tracks[i].InitSize)
		}
	}
	s.restoreMetadata(rec.Metadata)
	s.measure()
	return nil
}
