package archiver

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// eventsFile is events.json.
type eventsFile struct {
	Publisher string            `json:"publisher"`
	Stream    string            `json:"stream"`
	Recording media.RecordingID `json:"recording"`
	// Events are in order of id.
	Events []media.LogEvent `json:"events"`
}

// storeEvents stores what the log has of the recording beside its media. The log is pruned, so what the store has
// already stays; a recording of which nothing was told gets no object.
func (t *target) storeEvents(ctx context.Context, uploads []string) error {
	events, err := t.catalog.RecordingEvents(ctx, t.id)
	if err != nil {
		return err
	}
	key := t.dir() + reclog.EventsFile
	have, err := t.objects.ReadFile(ctx, key)
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return err
	}
	text, err := t.eventsText(events, have)
	if err != nil || text == nil || bytes.Equal(text, have) {
		return err
	}
	t.progress.expect(int64(len(text)))
	return t.storeText(ctx, file{key: key, uploads: uploads}, text)
}

// eventsText is the file of the events that the log has and of those that the store has; nil if there are none. What
// can't be read is replaced.
func (j *job) eventsText(events []media.LogEvent, have []byte) ([]byte, error) {
	var old eventsFile
	if err := json.Unmarshal(have, &old); err == nil && old.Recording == j.id {
		events = slices.Concat(old.Events, events)
	}
	if len(events) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(events, func(a, b media.LogEvent) int { return cmp.Compare(a.ID, b.ID) })
	events = slices.CompactFunc(events, func(a, b media.LogEvent) bool { return a.ID == b.ID })
	for i := range events {
		events[i].Time = events[i].Time.UTC()
	}
	text, err := json.MarshalIndent(eventsFile{
		Publisher: j.path.Publisher, Stream: j.path.Stream, Recording: j.id, Events: events,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", reclog.EventsFile, err)
	}
	return append(text, '\n'), nil
}
