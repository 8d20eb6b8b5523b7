package reclog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Manifest is recording.json: all that the media files do not say themselves.
type Manifest struct {
	// Format is 1, or 2 if Source is set: who does not know the field must not read what lacks its media.
	Format    int               `json:"format"`
	ID        media.RecordingID `json:"id"`
	Publisher string            `json:"publisher"`
	Stream    string            `json:"stream"`
	State     media.State       `json:"state"`
	StartedAt time.Time         `json:"started_at"`
	EndedAt   time.Time         `json:"ended_at,omitzero"`
	// Continues is the recording that this one follows.
	Continues media.RecordingID `json:"continues,omitempty"`
	// Clip is set in a clip: it tells what of which recording it shows.
	Clip *Clip `json:"clip,omitempty"`
	// Source is the recording of the same stream whose track files have the clip's media; empty is its own. MediaID
	// gives either.
	Source media.RecordingID `json:"source,omitempty"`
	// Writer is the random name of the Writer that has the recording; one that meets another's name here is fenced.
	Writer string `json:"writer"`
	// Epoch is that of the lease under which the recording was last reopened; zero without one.
	Epoch     uint64          `json:"epoch,omitempty"`
	Settings  media.Settings  `json:"settings"`
	Constants media.Constants `json:"constants"`
	// Takes are oldest first, all with the same tracks.
	Takes []media.Take `json:"takes"`
	// Captions are the ids of CEA-608/708 captions that were seen in the pictures, which media.CaptionsOf reads.
	Captions []string `json:"captions,omitempty"`
	// WindowFrom is the segment that no sliding playlist begins before, since the window became longer; zero is any.
	WindowFrom media.MSN `json:"window_from,omitempty"`
	// Damage is what recovery met and could not repair.
	Damage []Damage `json:"damage,omitempty"`
}

// Damage is one place where stored bytes did not parse and were no torn tail. As an error it is media.ErrCorrupt.
//
//nolint:errname // a noun of the format first, and an error second
type Damage struct {
	// File is relative to the recording: "1/video.mp4".
	File string `json:"file"`
	// Offset is in bytes.
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
}

// Error tells the place and the reason.
func (d Damage) Error() string {
	return fmt.Sprintf("%v: %s at %d: %s", media.ErrCorrupt, d.File, d.Offset, d.Reason)
}

// Unwrap gives media.ErrCorrupt.
func (d Damage) Unwrap() error { return media.ErrCorrupt }

// The names in a recording's directory.
const (
	manifestFile  = "recording.json"
	removedFile   = "recording.json.removed"
	tmpSuffix     = ".tmp"
	corruptSuffix = ".corrupt"
	orphanSuffix  = ".orphan"
	trackSuffix   = ".mp4"
	indexSuffix   = ".idx"
	metadataFile  = "metadata.jsonl"
)

// dirName is the recording's directory in Files.
func dirName(path media.StreamPath, id media.RecordingID) string {
	return path.Publisher + "/" + path.Stream + "/" + string(id)
}

// ManifestName is the manifest's name in Files.
func ManifestName(path media.StreamPath, id media.RecordingID) string {
	return dirName(path, id) + "/" + manifestFile
}

// TrackName is the name of a track's media file in Files.
func TrackName(path media.StreamPath, id media.RecordingID, take int, track string) string {
	return dirName(path, id) + "/" + takeFile(take, track, trackSuffix)
}

// IndexName is the name of a track's index in Files.
func IndexName(path media.StreamPath, id media.RecordingID, take int, track string) string {
	return dirName(path, id) + "/" + takeFile(take, track, indexSuffix)
}

// MetadataName is the name of a take's timed metadata in Files. It is there if the take's Metadata says so, and perhaps
// while the take is not sealed.
func MetadataName(path media.StreamPath, id media.RecordingID, take int) string {
	return dirName(path, id) + "/" + metadataPath(take)
}

// metadataPath is relative to the recording.
func metadataPath(take int) string { return strconv.Itoa(take) + "/" + metadataFile }

// takeFile names a file of a take, relative to the recording.
func takeFile(take int, track, suffix string) string {
	return strconv.Itoa(take) + "/" + track + suffix
}

// Path names the recording's stream.
func (m *Manifest) Path() media.StreamPath {
	return media.StreamPath{Publisher: m.Publisher, Stream: m.Stream}
}

// FileNames lists the recording's own files as Files names them: media before indexes, then metadata, the manifest
// last.
// Metadata of a take that is not sealed is left out. That is the order to copy them in; deletion runs the other way.
func (m *Manifest) FileNames() []string {
	var names []string
	suffixes := []string{trackSuffix, indexSuffix}
	if m.Source != "" {
		suffixes = []string{SourceIndexSuffix}
	}
	for _, suffix := range suffixes {
		for _, take := range m.Takes {
			for _, track := range take.Tracks {
				names = append(names, dirName(m.Path(), m.ID)+"/"+takeFile(take.Number, track.Name, suffix))
			}
		}
	}
	for _, take := range m.Takes {
		if take.Metadata {
			names = append(names, MetadataName(m.Path(), m.ID, take.Number))
		}
	}
	return append(names, ManifestName(m.Path(), m.ID))
}

// Recovered says that every take is sealed, so that the indexes say all there is.
func (m *Manifest) Recovered() bool {
	return !slices.ContainsFunc(m.Takes, func(t media.Take) bool { return !t.Sealed })
}

// clone copies what this package or its callers change in place.
func (m *Manifest) clone() Manifest {
	c := *m
	c.Damage = slices.Clone(m.Damage)
	c.Takes = slices.Clone(m.Takes)
	for i := range c.Takes {
		c.Takes[i].Tracks = slices.Clone(c.Takes[i].Tracks)
	}
	return c
}

func (m *Manifest) addDamage(found ...Damage) {
	m.Damage = append(m.Damage, found[:max(0, min(len(found), maxDamage-len(m.Damage)))]...)
}

// encode gives the file's bytes.
func (m *Manifest) encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if len(data) >= MaxManifest {
		return nil, fmt.Errorf("%w: manifest of %d bytes", media.ErrTooLarge, len(data))
	}
	return append(data, '\n'), nil
}

// ParseManifest reads recording.json. Errors are media.ErrCorrupt, or media.ErrUnsupported for a format of a later
// version.
func ParseManifest(data []byte) (*Manifest, error) {
	if len(data) > MaxManifest {
		return nil, fmt.Errorf("manifest: %w: %d bytes", media.ErrTooLarge, len(data))
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w: %w", media.ErrCorrupt, err)
	}
	if m.Format > ReferringVersion {
		return nil, fmt.Errorf("manifest: %w format %d: this version reads %d", media.ErrUnsupported, m.Format,
			ReferringVersion)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w: %w", media.ErrCorrupt, err)
	}
	return &m, nil
}

// check says which rule of the format the manifest breaks.
func (m *Manifest) check() error {
	if m.Format != formatOf(m.Source) {
		return fmt.Errorf("format %d", m.Format)
	}
	if err := checkRef(m.Path(), m.ID); err != nil {
		return err
	}
	if err := m.checkClip(); err != nil {
		return err
	}
	if m.Continues != "" {
		if _, err := media.ParseRecordingID(string(m.Continues)); err != nil {
			return err
		}
	}
	if !slices.Contains(media.States(), m.State) {
		return fmt.Errorf("state %.40q", m.State)
	}
	if len(m.Takes) > MaxTakes {
		return fmt.Errorf("%d takes", len(m.Takes))
	}
	for i := range m.Takes {
		if err := checkTake(&m.Takes[i]); err != nil {
			return fmt.Errorf("take %d: %w", m.Takes[i].Number, err)
		}
		if i == 0 {
			continue
		}
		if err := checkFollows(&m.Takes[i-1], &m.Takes[i]); err != nil {
			return fmt.Errorf("take %d: %w", m.Takes[i].Number, err)
		}
	}
	return nil
}

func checkTake(t *media.Take) error {
	if t.Number < 1 || t.FirstMSN < 1 || t.FirstMSN > MaxMSN {
		return fmt.Errorf("number %d, first MSN %d", t.Number, t.FirstMSN)
	}
	if len(t.Tracks) == 0 || len(t.Tracks) > MaxTracks {
		return fmt.Errorf("%d tracks", len(t.Tracks))
	}
	names := make(map[string]bool, len(t.Tracks))
	for _, tr := range t.Tracks {
		if err := media.CheckStreamName(tr.Name); err != nil { // a track's name has the same form
			return err
		}
		if names[tr.Name] {
			return fmt.Errorf("two tracks %q", tr.Name)
		}
		names[tr.Name] = true
		if tr.Timescale < 1 || tr.Timescale > maxTimescale {
			return fmt.Errorf("track %q: timescale %d", tr.Name, tr.Timescale)
		}
		if len(tr.Config) > maxConfig {
			return fmt.Errorf("track %q: config of %d bytes", tr.Name, len(tr.Config))
		}
		if tr.InitSize < 0 || tr.InitSize > MaxInit {
			return fmt.Errorf("track %q: init of %d bytes", tr.Name, tr.InitSize)
		}
	}
	return nil
}

// checkFollows says why a take can't come after another: a recording has one set of tracks.
func checkFollows(prev, next *media.Take) error {
	if next.Number <= prev.Number || next.FirstMSN <= prev.FirstMSN {
		return fmt.Errorf("number %d and first MSN %d follow %d and %d",
			next.Number, next.FirstMSN, prev.Number, prev.FirstMSN)
	}
	same := func(a, b media.Track) bool { return a.Name == b.Name }
	if !slices.EqualFunc(prev.Tracks, next.Tracks, same) {
		return errors.New("other tracks than the take before")
	}
	return nil
}

// checkRef says whether the names may become a directory's.
func checkRef(path media.StreamPath, id media.RecordingID) error {
	if err := media.CheckPublisherName(path.Publisher); err != nil {
		return err
	}
	if err := media.CheckStreamName(path.Stream); err != nil {
		return err
	}
	_, err := media.ParseRecordingID(string(id))
	return err
}
