package reclog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Clip says what a clip shows.
type Clip struct {
	// Of is the recording that it was cut from.
	Of media.RecordingID `json:"of"`
	// Start and End are what was asked for, on that one's timeline, from its start on. The segments reach further.
	Start time.Duration `json:"start_ns"`
	End   time.Duration `json:"end_ns"`
}

// SourceIndexSuffix ends the name of the index of a clip without media of its own. It has another name than that of its
// own media, so that the one manifest that replaces the other says by itself which of them counts.
const SourceIndexSuffix = ".source" + indexSuffix

// boundSlack is by how much a bound may miss a segment's begin, since dates are whole milliseconds.
const boundSlack = 3 * time.Millisecond

// replacedTries bounds how often a reading begins anew because a clip's media has become its own meanwhile.
const replacedTries = 3

// errReplaced: the indexes that were looked for are of a manifest that is no longer there.
var errReplaced = errors.New("manifest replaced meanwhile")

// formatOf gives the version of a manifest.
func formatOf(source media.RecordingID) int {
	if source != "" {
		return ReferringVersion
	}
	return FormatVersion
}

// MediaID names the recording whose track files have the media: the recording itself, but for a clip that refers to
// its source's.
func (m *Manifest) MediaID() media.RecordingID {
	if m.Source != "" {
		return m.Source
	}
	return m.ID
}

// TrackName is the name of the file in Files that has a track's media: offsets of segments, and the init section, are
// in it.
func (m *Manifest) TrackName(take int, track string) string {
	return TrackName(m.Path(), m.MediaID(), take, track)
}

// IndexName is the name of a track's index in Files.
func (m *Manifest) IndexName(take int, track string) string {
	return dirName(m.Path(), m.ID) + "/" + takeFile(take, track, m.indexSuffix())
}

func (m *Manifest) indexSuffix() string {
	if m.Source != "" {
		return SourceIndexSuffix
	}
	return indexSuffix
}

// checkClip says which rule a clip's fields break.
func (m *Manifest) checkClip() error {
	if m.Clip == nil {
		if m.Source != "" {
			return errors.New("a source, and no clip")
		}
		return nil
	}
	if _, err := media.ParseRecordingID(string(m.Clip.Of)); err != nil {
		return err
	}
	if m.Clip.Start < 0 || m.Clip.End <= m.Clip.Start || m.Clip.Of == m.ID {
		return fmt.Errorf("clip of %s from %s to %s", m.Clip.Of, m.Clip.Start, m.Clip.End)
	}
	if m.Source != "" && m.Source != m.Clip.Of {
		return fmt.Errorf("clip of %s, with the media of %.40q", m.Clip.Of, m.Source)
	}
	if m.State.Growing() {
		return fmt.Errorf("a clip that is %s", m.State)
	}
	return nil
}

// isClip says whether a manifest is a clip's, as far as it can be read.
func isClip(manifest []byte) bool {
	var m struct {
		Clip *struct{} `json:"clip"`
	}
	return json.Unmarshal(manifest, &m) == nil && m.Clip != nil
}

// Cut gives the clip of a recording from one moment to another, which refers to the recording's media: whole segments,
// from the one that holds from to the one that holds the moment before to, without the gaps at its ends. They keep
// their MSNs, takes and dates. The clip is id, ended at endedAt. It has no metadata yet. media.ErrInvalid: nothing was
// recorded there.
func (rec *Recording) Cut(id media.RecordingID, c Clip, from, to, endedAt time.Time) (*Recording, error) {
	first, last, ok := rec.within(from, to)
	if !ok {
		return nil, fmt.Errorf("cut recording %s: %w: nothing was recorded from %s to %s", rec.ID, media.ErrInvalid,
			from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano))
	}
	lead := rec.Tracks[0].Segments
	clip := &Recording{Manifest: rec.clone()}
	clip.Format, clip.ID, clip.Clip, clip.Source = ReferringVersion, id, &c, rec.ID
	clip.State, clip.StartedAt, clip.EndedAt = media.Ended, lead[first].Date, endedAt.UTC()
	clip.Continues, clip.Writer, clip.Damage, clip.Epoch = "", "", nil, 0
	clip.Takes = slices.DeleteFunc(clip.Takes, func(t media.Take) bool {
		return t.Number < lead[first].Take || t.Number > lead[last].Take
	})
	clip.Takes[0].FirstMSN = max(clip.Takes[0].FirstMSN, lead[first].MSN)
	for i := range clip.Takes {
		clip.Takes[i].Sealed, clip.Takes[i].Metadata = true, false
	}
	for _, track := range rec.Tracks {
		clip.Tracks = append(clip.Tracks, Track{Name: track.Name, Segments: slices.Clone(track.Segments[first : last+1])})
	}
	return clip, nil
}

// within finds the segments of a clip, by the dates of the first track; all tracks have the same MSNs.
func (rec *Recording) within(from, to time.Time) (first, last int, ok bool) {
	if len(rec.Tracks) == 0 {
		return 0, 0, false
	}
	lead := rec.Tracks[0].Segments
	n := len(lead)
	for _, track := range rec.Tracks {
		n = min(n, len(track.Segments))
	}
	first, last = 0, -1
	for i := range n {
		if !lead[i].Date.After(from.Add(boundSlack)) {
			first = i
		}
		if lead[i].Date.Before(to.Add(-boundSlack)) {
			last = i
		}
	}
	// The first one may have ended before, where takes lie apart, or be the recording's last.
	if first < n && !lead[first].Date.Add(rec.duration(0, &lead[first])).After(from) {
		first++
	}
	for first <= last && lead[first].Gap {
		first++
	}
	for last >= first && lead[last].Gap {
		last--
	}
	return first, last, last >= first
}

// SetMetadata gives a clip the pieces, in order of number: those of before its first take are that one's.
func (rec *Recording) SetMetadata(pieces []media.Metadata) {
	rec.Metadata = slices.Clone(pieces)
	for i := range rec.Metadata {
		m := &rec.Metadata[i]
		at := slices.IndexFunc(rec.Takes, func(t media.Take) bool { return t.Number == m.Take })
		switch {
		case at >= 0:
		case m.Take > rec.Takes[0].Number:
			at = len(rec.Takes) - 1
		default:
			at = 0
		}
		m.Take = rec.Takes[at].Number
		rec.Takes[at].Metadata = true
	}
}

// Indexes gives the recording's indexes and metadata, by their names in Files, as this package writes them.
func (rec *Recording) Indexes() map[string][]byte {
	files := make(map[string][]byte)
	for i := range rec.Takes {
		take := &rec.Takes[i]
		for j, track := range take.Tracks {
			var text []byte
			segments := rec.Tracks[j].Segments
			for k := range segments {
				if segments[k].Take == take.Number {
					text = appendLine(text, &segments[k])
				}
			}
			files[rec.IndexName(take.Number, track.Name)] = text
		}
		if !take.Metadata {
			continue
		}
		var text []byte
		for k := range rec.Metadata {
			if rec.Metadata[k].Take == take.Number {
				text = appendMetadataLine(text, &rec.Metadata[k])
			}
		}
		files[MetadataName(rec.Path(), rec.ID, take.Number)] = text
	}
	return files
}

// Copy is what of a source's track file a clip needs to have media of its own: the init section and one range behind
// it. The file of the clip is the one and the other.
type Copy struct {
	// From and To are names in Files.
	From, To string
	// Init is the size of the init section; Offset and Size are the range in From.
	Init, Offset, Size int64
}

// Total is the size of the clip's file.
func (c *Copy) Total() int64 { return c.Init + c.Size }

// Owned gives a clip as it is once it has the copies, with the offsets of its own files.
func (rec *Recording) Owned() (*Recording, []Copy) {
	own := &Recording{Manifest: rec.clone(), Metadata: rec.Metadata}
	own.Format, own.Source = FormatVersion, ""
	var copies []Copy
	for j, track := range rec.Tracks {
		segments := slices.Clone(track.Segments)
		for i := range rec.Takes {
			take := &rec.Takes[i]
			c := Copy{
				From: rec.TrackName(take.Number, track.Name), To: own.TrackName(take.Number, track.Name),
				Init: take.Tracks[j].InitSize, Offset: -1,
			}
			end := c.Init
			for k := range segments {
				if seg := &segments[k]; seg.Take == take.Number && seg.Size > 0 {
					if c.Offset < 0 {
						c.Offset = seg.Offset
					}
					end = max(end, seg.Offset+seg.Size)
				}
			}
			if c.Offset < 0 {
				c.Offset = c.Init
			}
			c.Size = max(end-c.Offset, 0)
			shift(segments, take.Number, c)
			copies = append(copies, c)
		}
		own.Tracks = append(own.Tracks, Track{Name: track.Name, Segments: segments})
	}
	return own, copies
}

// shift moves the offsets of a take's segments from the source's file to the clip's. That of a gap without bytes stays
// where the file ended.
func shift(segments []media.Segment, take int, c Copy) {
	for k := range segments {
		if seg := &segments[k]; seg.Take == take {
			seg.Offset = min(max(seg.Offset-c.Offset+c.Init, c.Init), c.Total())
		}
	}
}

// Encode gives recording.json of a recording as this package writes it.
func (m *Manifest) Encode() ([]byte, error) {
	data, err := m.encode()
	if err == nil {
		_, err = ParseManifest(data)
	}
	return data, err
}
