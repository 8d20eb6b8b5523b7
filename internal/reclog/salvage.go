package reclog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Salvaged is what could be saved of a recording whose storage is gone.
type Salvaged struct {
	// Manifest says ended, all its takes are sealed, and its Damage tells where media is missing.
	Manifest Manifest
	// Files are the contents of its indexes and metadata, by their names in Files.
	Files map[string][]byte
	// Until is when its last segment ended; zero without a segment.
	Until time.Time
}

// Salvage makes a whole recording of what was copied of one while it grew: its manifest, the lines of its indexes, and
// as many bytes of each track's file as mediaSize tells. Segments whose media was not copied are gaps, and at the end
// of the recording they are left out, as are takes that nothing is left of.
func Salvage(
	ctx context.Context, m *Manifest, files Files, mediaSize func(take int, track string) int64,
) (*Salvaged, error) {
	out := &Salvaged{Manifest: m.clone(), Files: make(map[string][]byte)}
	s := &salvage{rec: &Recording{Manifest: out.Manifest}, files: files, mediaSize: mediaSize, out: out}
	s.rec.Takes = usable(s.rec.Takes, mediaSize)
	for n := len(s.rec.Takes); n > 0; n = len(s.rec.Takes) {
		empty, err := s.last(ctx)
		if err != nil {
			return nil, fmt.Errorf("salvage recording %s/%s: %w", m.Path(), m.ID, err)
		}
		if !empty {
			break
		}
		s.rec.Takes = s.rec.Takes[:n-1]
	}
	if err := s.all(ctx); err != nil {
		return nil, fmt.Errorf("salvage recording %s/%s: %w", m.Path(), m.ID, err)
	}
	out.Manifest = s.rec.Manifest
	out.Manifest.State = media.Ended
	if out.Manifest.EndedAt.IsZero() {
		out.Manifest.EndedAt = out.Until
	}
	if out.Manifest.EndedAt.Before(out.Manifest.StartedAt) {
		out.Manifest.EndedAt = out.Manifest.StartedAt
	}
	return out, nil
}

// usable gives the longest run of takes, the first if several are as long, that have the init of each track.
func usable(takes []media.Take, mediaSize func(take int, track string) int64) []media.Take {
	var best []media.Take
	for from := 0; from < len(takes); from++ {
		to := from
		for to < len(takes) && hasInits(&takes[to], mediaSize) {
			to++
		}
		if to-from > len(best) {
			best = takes[from:to:to]
		}
		from = to
	}
	return best
}

func hasInits(take *media.Take, mediaSize func(take int, track string) int64) bool {
	for _, tr := range take.Tracks {
		if mediaSize(take.Number, tr.Name) <= tr.InitSize {
			return false
		}
	}
	return true
}

type salvage struct {
	rec       *Recording
	files     Files
	mediaSize func(take int, track string) int64
	out       *Salvaged
}

// scan reads the lines of a take's tracks whose media is there.
func (s *salvage) scan(ctx context.Context, at int) ([]indexScan, error) {
	take := &s.rec.Takes[at]
	scans := make([]indexScan, len(take.Tracks))
	for i, tr := range take.Tracks {
		data, err := s.files.ReadFile(ctx, IndexName(s.rec.Path(), s.rec.ID, take.Number, tr.Name))
		if err != nil && !errors.Is(err, media.ErrNotFound) {
			return nil, err
		}
		scans[i] = parseIndex(data, indexBounds{
			take: take.Number, first: take.FirstMSN, below: belowOf(s.rec.Takes, at), initSize: tr.InitSize,
			size: s.mediaSize(take.Number, tr.Name), file: takeFile(take.Number, tr.Name, indexSuffix),
		})
	}
	return scans, nil
}

// last says whether the last take has no segment that all its tracks have.
func (s *salvage) last(ctx context.Context) (empty bool, err error) {
	at := len(s.rec.Takes) - 1
	scans, err := s.scan(ctx, at)
	if err != nil {
		return false, err
	}
	take := &s.rec.Takes[at]
	return trimToCommon(take, linesOf(scans)) < take.FirstMSN, nil
}

func linesOf(scans []indexScan) [][]media.Segment {
	tracks := make([][]media.Segment, len(scans))
	for i := range scans {
		tracks[i] = scans[i].lines
	}
	return tracks
}

// all makes the files of every take.
func (s *salvage) all(ctx context.Context) error {
	var ends []int64
	var told metadataSum
	for at := range s.rec.Takes {
		take := &s.rec.Takes[at]
		scans, err := s.scan(ctx, at)
		if err != nil {
			return err
		}
		tracks := linesOf(scans)
		last := belowOf(s.rec.Takes, at) - 1
		if at == len(s.rec.Takes)-1 {
			last = trimToCommon(take, tracks)
		}
		for i, tr := range take.Tracks {
			s.rec.addDamage(scans[i].bad...)
			if n := len(scans[i].lost); n > 0 {
				s.rec.addDamage(Damage{
					File: takeFile(take.Number, tr.Name, trackSuffix), Offset: scans[i].lost[0].Offset,
					Reason: fmt.Sprintf("%d segments were not uploaded when the local copy was lost", n),
				})
			}
		}
		if err := complete(take, tracks, last, s.rec.Constants, ends); err != nil {
			return err
		}
		ends = endsOf(tracks, ends)
		s.write(take, tracks)
		if err := s.metadata(ctx, take, &told); err != nil {
			return err
		}
		take.Sealed = true
	}
	return nil
}

// write makes the take's indexes.
func (s *salvage) write(take *media.Take, tracks [][]media.Segment) {
	for i, tr := range take.Tracks {
		var text []byte
		for j := range tracks[i] {
			seg := &tracks[i][j]
			text = appendLine(text, seg)
			if end := seg.Date.Add(media.Duration(seg.Duration, tr.Timescale)); !seg.Gap && end.After(s.out.Until) {
				s.out.Until = end
			}
		}
		s.out.Files[IndexName(s.rec.Path(), s.rec.ID, take.Number, tr.Name)] = text
	}
}

func (s *salvage) metadata(ctx context.Context, take *media.Take, told *metadataSum) error {
	name := MetadataName(s.rec.Path(), s.rec.ID, take.Number)
	data, err := s.files.ReadFile(ctx, name)
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return err
	}
	scan := parseMetadata(data[:min(len(data), MaxMetadataFile)], take.Number, told)
	s.rec.addDamage(scan.bad...)
	take.Metadata = len(scan.text) > 0
	if take.Metadata {
		s.out.Files[name] = bytes.Clone(scan.text)
	}
	return nil
}
