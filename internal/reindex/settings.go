package reindex

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Settings are those that differ from the defaults, as the API takes them.
type Settings map[string]json.RawMessage

// snapshots have the settings of streams, each as the newest recording of it had them when it began.
type snapshots struct {
	newest map[media.StreamPath]media.RecordingID
	of     map[media.StreamPath]Settings
}

// deleting are the settings by which recordings are deleted. What they were when a recording began they may no longer
// have been, and what they delete is gone: so they are not brought back, and everything is kept until they are set.
func deleting() []string {
	return []string{"retention", "retention_count", "retention_bytes", "record"}
}

// note takes over a recording's, where it is newer.
func (s *snapshots) note(rec *reclog.Recording) {
	if s.newest == nil {
		s.newest, s.of = map[media.StreamPath]media.RecordingID{}, map[media.StreamPath]Settings{}
	}
	path := rec.Path()
	if s.newest[path] >= rec.ID {
		return
	}
	set, usual := fields(rec.Settings), fields(media.DefaultSettings())
	maps.DeleteFunc(set, func(name string, value json.RawMessage) bool {
		return bytes.Equal(value, usual[name]) || slices.Contains(deleting(), name)
	})
	s.newest[path], s.of[path] = rec.ID, set
}

func fields(s media.Settings) Settings {
	text, err := json.Marshal(s)
	var all Settings
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		panic("BUG: settings do not survive JSON: " + err.Error())
	}
	return all
}

// publisher gives what all streams of a publisher have in common.
func (s *snapshots) publisher(name string) Settings {
	var common Settings
	for path, set := range s.of {
		switch {
		case path.Publisher != name:
		case common == nil:
			common = maps.Clone(set)
			delete(common, "group") // which is a stream's alone
		default:
			maps.DeleteFunc(common, func(name string, value json.RawMessage) bool { return !bytes.Equal(value, set[name]) })
		}
	}
	return common
}

// stream gives what a stream has beyond its publisher.
func (s *snapshots) stream(path media.StreamPath) Settings {
	common := s.publisher(path.Publisher)
	set := maps.Clone(s.of[path])
	maps.DeleteFunc(set, func(name string, value json.RawMessage) bool { return bytes.Equal(value, common[name]) })
	return set
}
