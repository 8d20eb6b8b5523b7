package reclog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Recording is a recording as storage has it.
type Recording struct {
	Manifest
	// Tracks are in the takes' track order.
	Tracks []Track
	// Metadata is what was told beside the media: all takes in order, numbers ascend.
	Metadata []media.Metadata
}

// Track is one track's finished segments: all takes in order, MSNs consecutive.
type Track struct {
	Name     string
	Segments []media.Segment
}

// MediaEnd gives where the listed media of a take's track ends in its file. What lies behind is of no segment: written
// by a fenced writer, or of a segment not yet finished.
func (rec *Recording) MediaEnd(take int, track string) int64 {
	var end int64
	for i := range rec.Takes {
		if tr, ok := rec.Takes[i].Track(track); ok && rec.Takes[i].Number == take {
			end = tr.InitSize
		}
	}
	for _, tr := range rec.Tracks {
		if tr.Name != track {
			continue
		}
		for i := range tr.Segments {
			if seg := &tr.Segments[i]; seg.Take == take {
				end = max(end, seg.Offset+seg.Size)
			}
		}
	}
	return end
}

// Load reads a recording from any storage, also while it is written: the torn line of an index is passed over, and
// the tracks of a take that is not sealed end at the last segment that all have. While it grows, segments of a
// directory whose lines are still to be written are listed from the bytes, once a part of the next follows. Segments
// that an index lacks are gaps, and what does not parse is in Damage; Load fails only where nothing can be said.
// The segments of a clip without media of its own are ranges of its source's files (Manifest.TrackName).
// media.ErrNotFound, media.ErrCorrupt, media.ErrUnsupported.
func Load(ctx context.Context, files Files, path media.StreamPath, id media.RecordingID) (*Recording, error) {
	rec, err := load(ctx, files, path, id)
	for try := 0; errors.Is(err, errReplaced) && try < replacedTries; try++ {
		rec, err = load(ctx, files, path, id)
	}
	if err != nil {
		return nil, fmt.Errorf("load recording %s/%s: %w", path, id, err)
	}
	return rec, nil
}

func load(ctx context.Context, files Files, path media.StreamPath, id media.RecordingID) (*Recording, error) {
	if err := checkRef(path, id); err != nil {
		return nil, err
	}
	data, err := files.ReadFile(ctx, ManifestName(path, id))
	if err != nil {
		return nil, err
	}
	m, err := parseManifestOf(data, Ref{Path: path, ID: id})
	if err != nil {
		return nil, err
	}
	rec := &Recording{Manifest: *m}
	if len(m.Takes) > 0 {
		for _, tr := range m.Takes[0].Tracks {
			rec.Tracks = append(rec.Tracks, Track{Name: tr.Name})
		}
	}
	var ends []int64
	var told metadataSum
	for i := range rec.Takes {
		tracks, err := rec.loadTake(ctx, files, i, ends)
		if err != nil {
			return nil, err
		}
		// Behind the indexes: what was told before a segment that is listed must be there, for its subtitles never change.
		if err := rec.loadMetadata(ctx, files, &rec.Takes[i], &told); err != nil {
			return nil, err
		}
		ends = endsOf(tracks, ends)
		for j, segments := range tracks {
			if rec.Tracks[j].Segments == nil {
				rec.Tracks[j].Segments = segments
				continue
			}
			if len(segments) > 0 {
				shrinkGaps(rec.Tracks[j].Segments, segments[0].DTS, rec.Takes[i].Tracks[j].Timescale)
			}
			rec.Tracks[j].Segments = append(rec.Tracks[j].Segments, segments...)
		}
	}
	if len(rec.Damage) > len(m.Damage) {
		// A file that is missing may be on its way out: whoever removes a recording begins with the manifest.
		again, err := files.ReadFile(ctx, ManifestName(path, id))
		if errors.Is(err, media.ErrNotFound) {
			return nil, err
		}
		if err == nil && rec.Clip != nil && !bytes.Equal(again, data) {
			return nil, errReplaced
		}
	}
	return rec, nil
}

// shrinkGaps cuts the gaps at the end of a take, whose lengths were guessed, to where the next take begins.
func shrinkGaps(segments []media.Segment, limit, timescale int64) {
	for i := len(segments) - 1; i >= 0; i-- {
		seg := &segments[i]
		if !seg.Gap || seg.Filler || seg.Size > 0 || seg.DTS+seg.Duration <= limit {
			return
		}
		if seg.DTS > limit {
			seg.Date = seg.Date.Add(-media.Duration(seg.DTS-limit, timescale)).Truncate(time.Millisecond)
			seg.DTS = limit
		}
		seg.Duration = limit - seg.DTS
		limit = seg.DTS
	}
}

// parseManifestOf reads the manifest of that recording and of no other.
func parseManifestOf(data []byte, ref Ref) (*Manifest, error) {
	m, err := ParseManifest(data)
	if err != nil {
		return nil, err
	}
	if m.ID != ref.ID || m.Path() != ref.Path {
		return nil, fmt.Errorf("manifest: %w: it is of %s/%s", media.ErrCorrupt, m.Path(), m.ID)
	}
	return m, nil
}

// loadTake reads the indexes of a take.
func (rec *Recording) loadTake(ctx context.Context, files Files, at int, ends []int64) ([][]media.Segment, error) {
	take := &rec.Takes[at]
	tracks := make([][]media.Segment, len(take.Tracks))
	for i, tr := range take.Tracks {
		data, err := files.ReadFile(ctx, rec.IndexName(take.Number, tr.Name))
		name := takeFile(take.Number, tr.Name, rec.indexSuffix())
		switch {
		case errors.Is(err, media.ErrNotFound):
			rec.addDamage(Damage{File: name, Reason: "missing"})
		case err != nil:
			return nil, err
		case len(data) > MaxIndex:
			return nil, fmt.Errorf("%s: %w: %d bytes", name, media.ErrTooLarge, len(data))
		}
		scan := parseIndex(data, indexBounds{
			take: take.Number, first: take.FirstMSN, below: belowOf(rec.Takes, at), initSize: tr.InitSize, size: -1, file: name,
		})
		rec.addDamage(scan.bad...)
		tracks[i] = scan.lines
		if at == len(rec.Takes)-1 && !take.Sealed && rec.State.Growing() {
			if tracks[i], err = rec.tail(ctx, files, take, i, tracks[i]); err != nil {
				return nil, err
			}
		}
	}
	last := lastMSN(take, tracks)
	if below := belowOf(rec.Takes, at); below <= MaxMSN {
		last = below - 1
	} else if !take.Sealed {
		last = trimToCommon(take, tracks)
	}
	return tracks, complete(take, tracks, last, rec.Constants, ends)
}

// belowOf gives the MSN below which all of a take's are: the first of the next take.
func belowOf(takes []media.Take, at int) media.MSN {
	if at+1 < len(takes) {
		return takes[at+1].FirstMSN
	}
	return MaxMSN + 1
}

// lastMSN is the highest of any track.
func lastMSN(take *media.Take, tracks [][]media.Segment) media.MSN {
	last := take.FirstMSN - 1
	for _, lines := range tracks {
		if len(lines) > 0 {
			last = max(last, lines[len(lines)-1].MSN)
		}
	}
	return last
}

// trimToCommon cuts the tracks to the last MSN that all have got to.
func trimToCommon(take *media.Take, tracks [][]media.Segment) media.MSN {
	last := MaxMSN
	for _, lines := range tracks {
		end := take.FirstMSN - 1
		if len(lines) > 0 {
			end = lines[len(lines)-1].MSN
		}
		last = min(last, end)
	}
	for i, lines := range tracks {
		for len(lines) > 0 && lines[len(lines)-1].MSN > last {
			lines = lines[:len(lines)-1]
		}
		tracks[i] = lines
	}
	return last
}
