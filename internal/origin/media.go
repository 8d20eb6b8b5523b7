package origin

import (
	"context"
	"errors"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// maxInit bounds what is read of an init section.
const maxInit = reclog.MaxInit

// resource is immutable media: bytes in memory or a range of a file.
type resource struct {
	size   int64
	chunks [][]byte // in memory, size bytes together
	file   string   // without chunks: its name in files, and where it begins there
	offset int64
}

// find gives what the URL's take and track are in a version.
func (t *target) find(v *version) (rendition int, track media.Track, err error) {
	rendition, ok := v.rendition(t.track)
	if !ok {
		return 0, media.Track{}, fmt.Errorf("%w: no such track", media.ErrNotFound)
	}
	take, ok := v.take(t.take)
	if ok {
		track, ok = take.Track(t.track)
	}
	switch {
	case ok:
		return rendition, track, nil
	case v.snap.State.Growing() && t.take > 0:
		return 0, media.Track{}, fmt.Errorf("%w: no such take yet", errNotYet)
	}
	return 0, media.Track{}, fmt.Errorf("%w: no such take", media.ErrNotFound)
}

// lookup gives the recording's newest version, without waiting for one.
func (x *exchange) lookup(t target) (*recording, *version, error) {
	rec, err := x.h.find(x.r.Context(), t.ref)
	if err != nil {
		return nil, nil, err
	}
	v, _ := rec.now()
	if v == nil {
		return nil, nil, fmt.Errorf("%w: nothing is there yet", errNotYet)
	}
	return rec, v, nil
}

// init answers with a take's init section.
func (x *exchange) init(t target) error {
	rec, v, err := x.lookup(t)
	if err != nil {
		return err
	}
	_, track, err := t.find(v)
	if err != nil {
		return err
	}
	data, err := x.h.initSection(x.r.Context(), rec, t, track)
	if err != nil {
		return err
	}
	return x.sendMedia(t, track, &resource{size: int64(len(data)), chunks: [][]byte{data}})
}

// initSection reads an init section once and keeps it: every viewer needs it first, and a stalled volume must not keep
// them from a show that memory still serves.
func (h *Handler) initSection(ctx context.Context, rec *recording, t target, track media.Track) ([]byte, error) {
	key := initKey{take: t.take, track: t.track}
	rec.mu.Lock()
	data, ok := rec.mu.inits[key]
	rec.mu.Unlock()
	if ok {
		return data, nil
	}
	if rec.show != nil {
		data, ok = rec.show.Part(t.take, t.track, 0, 0)
	}
	if !ok {
		if track.InitSize <= 0 || track.InitSize > maxInit {
			return nil, fmt.Errorf("%w: init section of %d bytes", media.ErrCorrupt, track.InitSize)
		}
		var err error
		if data, err = h.readRange(ctx, rec.file(t), 0, track.InitSize); err != nil {
			return nil, fmt.Errorf("init section: %w", err)
		}
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.mu.inits[key] = data
	return data, nil
}

// segment answers with a finished segment.
func (x *exchange) segment(t target) error {
	rec, v, err := x.lookup(t)
	if err != nil {
		return err
	}
	rendition, track, err := t.find(v)
	if err != nil {
		return err
	}
	seg, ok := v.snap.Renditions[rendition].Segment(t.msn)
	switch {
	case !ok && v.snap.State.Growing():
		return fmt.Errorf("%w: segment %d", errNotYet, t.msn)
	case !ok || seg.Take != t.take || seg.Gap:
		return fmt.Errorf("%w: segment %d", media.ErrNotFound, t.msn)
	}
	if chunks := fromMemory(rec.show, t, seg); chunks != nil {
		return x.sendMedia(t, track, &resource{size: seg.Size, chunks: chunks})
	}
	if rec.show != nil && !onStorage(&v.snap.Renditions[rendition], seg) {
		return fmt.Errorf("%w: segment %d was lost", media.ErrNotFound, t.msn)
	}
	return x.sendMedia(t, track, &resource{size: seg.Size, file: rec.file(t), offset: seg.Offset})
}

// onStorage says whether a show's segment is in its file. One that was published while the volume failed has a
// negative offset, or, if some of its parts were written, overlaps what was written next: its range of the file would
// be bytes of other segments, under a URL that says it never changes.
func onStorage(r *hls.Rendition, seg *media.Segment) bool {
	if seg.Offset < 0 {
		return false
	}
	for msn := seg.MSN + 1; msn <= r.Last(); msn++ {
		next, _ := r.Segment(msn)
		if next.Take != seg.Take {
			return true
		}
		if next.Offset >= 0 && !next.Gap {
			return next.Offset >= seg.Offset+seg.Size
		}
	}
	open := r.Open
	if open == nil || open.Take != seg.Take || len(open.Parts) == 0 || open.Parts[0].Offset < 0 {
		return true
	}
	return open.Parts[0].Offset >= seg.Offset+seg.Size
}

// fromMemory gives all parts of a segment if memory has them.
func fromMemory(show Show, t target, seg *media.Segment) [][]byte {
	if show == nil {
		return nil
	}
	var chunks [][]byte
	var size int64
	for i := 0; size < seg.Size; i++ {
		data, ok := show.Part(t.take, t.track, t.msn, i)
		if !ok || len(data) == 0 {
			return nil
		}
		if chunks == nil {
			chunks = make([][]byte, 0, 8)
		}
		chunks = append(chunks, data)
		size += int64(len(data))
	}
	if size != seg.Size {
		return nil
	}
	return chunks
}

// part answers with a part, waiting for it if it is the hinted one (HNT-4).
func (x *exchange) part(t target) error {
	var found placed
	got, err := x.h.await(x.r.Context(), t.ref, func(v *version) (hls.Decision, error) {
		var err error
		found, err = t.place(v)
		if errors.Is(err, errHinted) {
			return hls.Wait, nil
		}
		return hls.Serve, err
	})
	if err != nil {
		return err
	}
	if got.released {
		return fmt.Errorf("%w: part %d.%d: the publisher is gone", media.ErrNotFound, t.msn, t.part)
	}
	if got.rec.show != nil {
		if data, ok := got.rec.show.Part(t.take, t.track, t.msn, t.part); ok {
			return x.sendMedia(t, found.track, &resource{size: int64(len(data)), chunks: [][]byte{data}})
		}
	}
	part := found.part
	if part == nil && found.lost || part != nil && part.Offset < 0 {
		return fmt.Errorf("%w: part %d.%d was lost", media.ErrNotFound, t.msn, t.part)
	}
	if part == nil {
		if part, err = x.scan(t, got.rec.file(t), found.segment); err != nil {
			return err
		}
	}
	return x.sendMedia(t, found.track, &resource{size: part.Size, file: got.rec.file(t), offset: part.Offset})
}

// errHinted marks a part that the playlists hint at and that is not complete.
var errHinted = errors.New("part is hinted")

// placed says where a part is: known to the snapshot, or in a segment that it knows.
type placed struct {
	track   media.Track
	part    *media.Part
	segment *media.Segment
	lost    bool // storage lacks the segment
}

// place finds a part in a version (HNT-7).
func (t *target) place(v *version) (placed, error) {
	if v == nil {
		return placed{}, fmt.Errorf("%w: nothing is there yet", errNotYet)
	}
	i, ok := v.rendition(t.track)
	if !ok {
		return placed{}, fmt.Errorf("%w: no such track", media.ErrNotFound)
	}
	r := &v.snap.Renditions[i]
	if seg, ok := r.Segment(t.msn); ok {
		return t.placeIn(v, r, seg)
	}
	open := r.Open
	if open == nil || open.Take != t.take || open.Whole {
		return placed{}, t.missing(v)
	}
	if msn, part, ok := v.snap.Hint(i); ok && msn == t.msn && part == t.part {
		return placed{}, errHinted
	}
	if part := byIndex(open.Parts, t.part); part != nil && open.MSN == t.msn {
		_, track, err := t.find(v)
		return placed{track: track, part: part}, err
	}
	return placed{}, t.missing(v)
}

// missing says that a part is not there: for ever, or, while the recording grows, for now.
func (t *target) missing(v *version) error {
	reason := media.ErrNotFound
	if v.snap.State.Growing() {
		reason = errNotYet
	}
	return fmt.Errorf("%w: part %d.%d", reason, t.msn, t.part)
}

// placeIn finds a part in a finished segment. One of which parts were lost is a gap, and has none.
func (t *target) placeIn(v *version, r *hls.Rendition, seg *media.Segment) (placed, error) {
	_, track, err := t.find(v)
	missing := err != nil || seg.Take != t.take || seg.Gap || t.part >= reclog.MaxParts
	parts := r.SegmentParts(t.msn)
	part := byIndex(parts, t.part)
	if missing || part == nil && len(parts) > 0 {
		return placed{}, fmt.Errorf("%w: part %d.%d", media.ErrNotFound, t.msn, t.part)
	}
	return placed{track: track, part: part, segment: seg, lost: !onStorage(r, seg)}, nil
}

func byIndex(parts []media.Part, index int) *media.Part {
	for i := range parts {
		if parts[i].Index == index {
			return &parts[i]
		}
	}
	return nil
}

// scan finds a part of a segment that has left memory by its box headers.
func (x *exchange) scan(t target, file string, seg *media.Segment) (*media.Part, error) {
	parts, err := reading(x.r.Context(), x.h.readings, func(ctx context.Context) ([]media.Part, error) {
		in, err := x.h.files.OpenRange(ctx, file, seg.Offset, seg.Size)
		if err != nil {
			return nil, err
		}
		parts, err := reclog.ScanParts(in, *seg)
		return parts, errors.Join(err, in.Close())
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("parts of segment %d: %w", t.msn, err)
	}
	part := byIndex(parts, t.part)
	if part == nil {
		return nil, fmt.Errorf("%w: part %d.%d", media.ErrNotFound, t.msn, t.part)
	}
	return part, nil
}
