package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// hlsQueue is what was demuxed of a rendition's segment and not let go yet. It implements sink.
type hlsQueue struct {
	audio    hlsAudio
	number   int // of its audio track; negative if its own tracks count
	others   int // renditions beside the first, for what the first announces
	maxFrame int

	events []hlsEvent
	at     int
	end    error // io.EOF after EXT-X-ENDLIST

	ts  *tsDemuxer
	mp4 *fmp4Demuxer

	discontinuity int64
	behind        bool
}

// hlsEvent is a call of sink: exactly one of the fields is set, beside the frame's track.
type hlsEvent struct {
	id       trackID
	frame    *media.Frame
	track    *media.Track
	metadata *media.TimedMetadata
	announce *[2]int
	repair   string
	times    int // that it was repaired in a row
	remove   bool
}

func (q *hlsQueue) empty() bool { return q.at == len(q.events) }

func (q *hlsQueue) add(e hlsEvent) { q.events = append(q.events, e) }

// mine gives the track's id in the whole source.
func (q *hlsQueue) mine(id trackID) trackID {
	if q.number >= 0 && id.kind == media.Audio {
		id.number += q.number
	}
	return id
}

func (q *hlsQueue) announce(video, audio int) {
	if q.number < 0 {
		q.add(hlsEvent{announce: &[2]int{video, audio + q.others}})
	}
}

func (q *hlsQueue) configure(id trackID, track media.Track) error {
	track.Config = bytes.Clone(track.Config)
	if track.Language == "" {
		track.Language = q.audio.language
	}
	if track.Label == "" {
		track.Label = q.audio.name
	}
	q.add(hlsEvent{id: q.mine(id), track: &track})
	return nil
}

func (q *hlsQueue) remove(id trackID) { q.add(hlsEvent{id: q.mine(id), remove: true}) }

func (q *hlsQueue) write(id trackID, frame *media.Frame) error {
	copied := *frame
	copied.Payload = bytes.Clone(frame.Payload)
	q.add(hlsEvent{id: q.mine(id), frame: &copied})
	return nil
}

func (q *hlsQueue) metadata(m *media.TimedMetadata) error {
	copied := *m
	copied.Payload = bytes.Clone(m.Payload)
	q.add(hlsEvent{metadata: &copied})
	return nil
}

// repaired notes what comes in a row once: a run of 65,536 samples that are empty costs its sender 12 bytes.
func (q *hlsQueue) repaired(what string) {
	if last := len(q.events) - 1; last >= q.at && q.events[last].repair == what {
		q.events[last].times++
		return
	}
	q.add(hlsEvent{repair: what, times: 1})
}

// load demuxes a chunk.
func (q *hlsQueue) load(c hlsChunk) error {
	q.events, q.at = q.events[:0], 0
	q.discontinuity, q.behind = c.discontinuity, c.behind
	if c.missing {
		q.repaired(repairHLSGap)
	}
	switch {
	case c.init != nil:
		if q.mp4 == nil {
			q.mp4 = &fmp4Demuxer{sink: q, maxFrame: q.maxFrame}
		}
		if err := q.mp4.setInit(c.init); err != nil {
			return fmt.Errorf("init section: %w", err)
		}
		if err := q.mp4.feed(c.data, time.Time{}); err != nil {
			return err
		}
		q.interleave()
		return nil
	case len(c.data) > 0 && c.data[0] == tsSync:
		if q.ts == nil {
			q.ts = newTSDemuxer(q, q.maxFrame, 0)
		}
		// Segments begin anew as packets go, and mostly as continuity counters go: each is demuxed to its end.
		q.ts.gap()
		if err := q.ts.feed(c.data, time.Time{}); err != nil {
			return err
		}
		return q.ts.flush()
	}
	return fmt.Errorf("%w: the source's segments are neither fragmented MP4 nor MPEG-TS", media.ErrUnsupported)
}

// interleave puts the frames of a segment, in which each track may lie in one piece, in the order of their decode
// times. What stands before a frame stays there.
func (q *hlsQueue) interleave() {
	type timed struct {
		event hlsEvent
		dts   time.Duration
	}
	list := make([]timed, len(q.events))
	next := time.Duration(math.MaxInt64)
	for i, e := range slices.Backward(q.events) {
		if e.frame != nil {
			next = e.frame.DTS
		}
		list[i] = timed{e, next}
	}
	slices.SortStableFunc(list, func(a, b timed) int { return cmp.Compare(a.dts, b.dts) })
	for i := range list {
		q.events[i] = list[i].event
	}
}

// peek gives the decode time of the next frame, after handing out what needs no time.
func (q *hlsQueue) peek(out sink) (dts time.Duration, ok bool, err error) {
	for ; !q.empty(); q.at++ {
		e := &q.events[q.at]
		switch {
		case e.frame != nil:
			return e.frame.DTS, true, nil
		case e.track != nil:
			err = out.configure(e.id, *e.track)
		case e.metadata != nil:
			err = out.metadata(e.metadata)
		case e.announce != nil:
			out.announce(e.announce[0], e.announce[1])
		case e.remove:
			out.remove(e.id)
		default:
			for range e.times {
				out.repaired(e.repair)
			}
		}
		if err != nil {
			return 0, false, err
		}
	}
	return 0, false, nil
}

// play lets the frames of all renditions go, in the order of their decode times and by the wall clock, until the source
// ends.
func (f *hlsFeed) play(ctx context.Context, out *session) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	begun := time.Now()
	for {
		next, dts, err := f.next(out)
		if err != nil {
			return err
		}
		wait := f.cfg.IdleTimeout + time.Minute // the fetchers give up before
		if next == nil && f.played() {
			return f.verdict()
		}
		// All renditions begin together, unless one does not come.
		late := time.Since(begun) > connectTimeout
		if next != nil && (f.started || late || f.complete()) {
			f.started = true
			if wait = f.pace.wait(dts, next.discontinuity, next.behind, time.Now()); wait <= 0 {
				e := &next.events[next.at]
				next.at++
				e.frame.Wall = time.Now()
				if err := out.write(e.id, e.frame); err != nil {
					return err
				}
				e.frame = nil
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				continue
			}
		} else if next != nil {
			wait = connectTimeout
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
			if next == nil {
				return errSilent
			}
		case <-f.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// next gives the rendition with the earliest frame, nil if there is none now.
func (f *hlsFeed) next(out sink) (first *hlsRendition, dts time.Duration, err error) {
	for _, r := range f.renditions {
		at, ok, err := f.fill(r, out)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			continue
		}
		if first == nil || r.discontinuity < first.discontinuity || r.discontinuity == first.discontinuity && at < dts {
			first, dts = r, at
		}
	}
	return first, dts, nil
}

// fill takes chunks until the rendition has a frame, or none is there.
func (f *hlsFeed) fill(r *hlsRendition, out sink) (time.Duration, bool, error) {
	for {
		dts, ok, err := r.peek(out)
		if ok || err != nil || r.end != nil {
			return dts, ok, err
		}
		select {
		case c := <-r.chunks:
			if r.end = c.end; r.end != nil {
				continue
			}
			if err := r.load(c); err != nil {
				return 0, false, err
			}
		default:
			return 0, false, nil
		}
	}
}

// complete says that every rendition has a frame, or has ended.
func (f *hlsFeed) complete() bool {
	for _, r := range f.renditions {
		if r.empty() && r.end == nil {
			return false
		}
	}
	return true
}

// played says that there is nothing more, of the first rendition at least.
func (f *hlsFeed) played() bool {
	for i, r := range f.renditions {
		if r.end == nil {
			return false
		}
		if i == 0 && !errors.Is(r.end, io.EOF) {
			return true
		}
	}
	return true
}

func (f *hlsFeed) verdict() error {
	for _, r := range f.renditions {
		if !errors.Is(r.end, io.EOF) {
			return r.end
		}
	}
	return nil
}

// pacer lets frames go by the wall clock, so that what comes in bursts of segments leaves as it was made.
type pacer struct {
	started       bool
	base          time.Time // when the frame of decode time zero is due
	last          time.Duration
	discontinuity int64
}

const (
	// paceJump is a step of decode times past which they are another timeline.
	paceJump = 10 * time.Second
	// paceLate is how late a frame may be before those after it wait for their time from then on: the source had none.
	paceLate = 500 * time.Millisecond
)

// wait says how long a frame has to wait. Behind says that more is there than need be: frames then go a tenth faster.
func (p *pacer) wait(dts time.Duration, discontinuity int64, behind bool, now time.Time) time.Duration {
	step := dts - p.last
	switch {
	case !p.started, discontinuity != p.discontinuity, step > paceJump, step < -paceJump:
		p.started, p.discontinuity = true, discontinuity
		p.base = now.Add(-dts)
	case behind && step > 0:
		p.base = p.base.Add(-step / 10)
	}
	p.last = dts
	wait := p.base.Add(dts).Sub(now)
	if wait < -paceLate {
		p.base = now.Add(-dts)
		return 0
	}
	return wait
}
