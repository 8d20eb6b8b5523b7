package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// recordingRow is a recording in answers to whoever has a token.
type recordingRow struct {
	ID           media.RecordingID `json:"id"`
	Publisher    string            `json:"publisher"`
	Stream       string            `json:"stream"`
	Cluster      string            `json:"cluster" doc:"Whose nodes recorded it"`
	State        media.State       `json:"state"`
	StartedAt    *time.Time        `json:"started_at"`
	EndedAt      *time.Time        `json:"ended_at" doc:"null while it grows"`
	DurationMS   int64             `json:"duration_ms"`
	Bytes        int64             `json:"bytes"`
	Keep         bool              `json:"keep" doc:"Held against retention and deletion"`
	Held         bool              `json:"held" doc:"Held so by the setting keep of its publisher or stream"`
	ArchivedAt   *time.Time        `json:"archived_at"`
	ArchiveDue   *time.Time        `json:"archive_due" doc:"When archiving may begin"`
	ExpireDue    *time.Time        `json:"expire_due" doc:"When retention deletes it; null is never"`
	ExpireReason string            `json:"expire_reason" doc:"The setting that expire_due follows from"`
	DropDue      *time.Time        `json:"drop_due" doc:"When the cluster's copy goes; null is never"`
	Archive      string            `json:"archive" doc:"The archive that has it or gets it; empty is the default one"`
	Mirror       string            `json:"mirror" doc:"The archive of a copy; empty is none"`
	Progress     *progressRow      `json:"progress" doc:"How far its archiving is; null when it is not under way"`

	Attempts  int               `json:"attempts" doc:"Failed tries of the archiver"`
	LastError string            `json:"last_error" doc:"What the last failed try said"`
	URL       string            `json:"url" doc:"What players open"`
	Continues media.RecordingID `json:"continues" doc:"The recording that this one follows without a pause"`
	Name      string            `json:"name" doc:"What people call it"`
	Labels    media.Labels      `json:"labels" nullable:"false" doc:"What people sort it by: values by name"`
	Revision  int64             `json:"revision" doc:"Grows with every change of what can be set; its ETag"`
	Clip      *Clip             `json:"clip" doc:"Of a clip, what it shows; else null. It started when that did"`
}

func (s *Server) newRecordingRow(r media.Recording) recordingRow {
	return recordingRow{
		ID:         r.ID,
		Publisher:  r.Path.Publisher,
		Stream:     r.Path.Stream,
		Cluster:    r.Cluster,
		State:      r.State,
		StartedAt:  moment(r.StartedAt),
		EndedAt:    moment(r.EndedAt),
		DurationMS: r.Duration.Milliseconds(),
		Bytes:      r.Bytes,
		Keep:       r.Keep,
		ArchivedAt: moment(r.ArchivedAt),
		ArchiveDue: moment(r.ArchiveDue),
		ExpireDue:  moment(r.ExpireDue),
		Held:       r.Held,

		ExpireReason: r.ExpireReason,
		DropDue:      moment(r.DropDue),
		Archive:      r.Archive,
		Mirror:       r.Mirror,
		Progress:     newProgressRow(r, time.Now()),

		Attempts:  r.Attempts,
		LastError: r.LastError,
		URL:       s.recordingURL(r.Path, r.ID),
		Continues: r.Continues,
		Name:      r.Name,
		Labels:    maps.Collect(maps.All(r.Labels)), // never nil
		Revision:  r.Revision,
		Clip:      newClip(r),
	}
}

func (s *Server) streamURL(path media.StreamPath) string {
	return s.cfg.PlaybackURL + "/" + path.String() + "/index.m3u8"
}

func (s *Server) recordingURL(path media.StreamPath, id media.RecordingID) string {
	return s.cfg.PlaybackURL + "/" + path.String() + "/" + string(id) + "/index.m3u8"
}

type recordingOutput struct {
	ETag string `header:"ETag"`
	Body recordingRow
}

type recordingsOutput struct {
	Body list[recordingRow]
}

type listRecordingsInput struct {
	Publisher string        `query:"publisher" doc:"Only this publisher's"`
	Stream    string        `query:"stream" doc:"Only streams of this name"`
	Cluster   string        `query:"cluster" doc:"Only what this cluster's nodes recorded"`
	State     []media.State `query:"state,explode" doc:"Only these states; may be repeated. Default: all but deleted"`
	Since     time.Time     `query:"since" doc:"Only those that started at or after"`
	Until     time.Time     `query:"until" doc:"Only those that started before"`
	RecordingFilter
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Most items to return"`
	Cursor string `query:"cursor" maxLength:"200" doc:"The next of the page before"`
}

// RecordingPath is the id in a recording's path.
type RecordingPath struct {
	Recording string `path:"recording" doc:"The recording's id"`
}

type patchRecordingInput struct {
	RecordingPath
	IfMatch
	Body struct {
		Keep   *bool        `json:"keep,omitempty" doc:"Hold it against retention and deletion"`
		Name   *string      `json:"name,omitempty" maxLength:"200" doc:"What people call it"`
		Labels labelsSetter `json:"labels,omitempty" doc:"All of its labels: those that are not given go"`
	}
}

func (p RecordingPath) id() (media.RecordingID, error) {
	id, err := media.ParseRecordingID(p.Recording)
	if err != nil {
		return "", at("path.recording", fmt.Errorf("%w: %w", media.ErrNotFound, err))
	}
	return id, nil
}

func (s *Server) recordingRoutes(v1 huma.API) {
	const all, one = "/v1/recordings", "/v1/recordings/{recording}"
	route(s, v1, http.MethodGet, all, "list-recordings", "List recordings, newest first", s.listRecordings)
	route(s, v1, http.MethodGet, one, "get-recording", "Get a recording", s.getRecording)
	route(s, v1, http.MethodPatch, one, "change-recording",
		"Name and label a recording, hold it or let it go", s.patchRecording)
}

func (s *Server) listRecordings(ctx context.Context, in *listRecordingsInput) (*recordingsOutput, error) {
	filter := media.RecordingFilter{
		Publisher: in.Publisher,
		Stream:    in.Stream,
		Cluster:   in.Cluster,
		States:    in.State,
		Since:     in.Since,
		Until:     in.Until,
		Limit:     in.Limit,
		Cursor:    in.Cursor,
	}
	if err := errors.Join(in.apply(&filter), checkFilter(filter)); err != nil {
		return nil, err
	}
	if err := restrict(ctx, &filter.Publisher, "query.publisher"); err != nil {
		return nil, err
	}
	return s.rows(ctx, filter)
}

// rows answers with a page of recordings.
func (s *Server) rows(ctx context.Context, filter media.RecordingFilter) (*recordingsOutput, error) {
	items, next, err := s.deps.Recordings.Recordings(ctx, filter)
	var field *media.FieldError
	switch {
	case errors.As(err, &field):
		return nil, at("query."+field.Field, err)
	case err != nil:
		return nil, err
	}
	out := &recordingsOutput{Body: list[recordingRow]{Items: make([]recordingRow, 0, len(items)), Next: next}}
	for _, item := range items {
		out.Body.Items = append(out.Body.Items, s.newRecordingRow(item))
	}
	return out, nil
}

// checkFilter refuses what would match nothing because it is mistyped.
func checkFilter(f media.RecordingFilter) error {
	if f.Publisher != "" {
		if err := media.CheckPublisherName(f.Publisher); err != nil {
			return at("query.publisher", err)
		}
	}
	if f.Stream != "" {
		if err := media.CheckStreamName(f.Stream); err != nil {
			return at("query.stream", err)
		}
	}
	if f.Cluster != "" {
		if err := media.CheckClusterName(f.Cluster); err != nil {
			return at("query.cluster", err)
		}
	}
	for _, state := range f.States {
		if !slices.Contains(media.States(), state) {
			return at("query.state", fmt.Errorf("%w state %.40q: use one of %v", media.ErrInvalid, state, media.States()))
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return at("query.until", fmt.Errorf("%w: until must be later than since", media.ErrInvalid))
	}
	return nil
}

func (s *Server) getRecording(ctx context.Context, in *RecordingPath) (*recordingOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	r, err := s.deps.Recordings.Recording(ctx, id)
	return s.recording(r, err)
}

func (s *Server) patchRecording(ctx context.Context, in *patchRecordingInput) (*recordingOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	change := media.RecordingChange{Keep: in.Body.Keep, Name: in.Body.Name, Labels: media.Labels(in.Body.Labels)}
	if change.Keep == nil && change.Name == nil && change.Labels == nil {
		return nil, at("body", fmt.Errorf("%w: there is nothing to change: give keep, name or labels", media.ErrInvalid))
	}
	if err := change.Check(); err != nil {
		return nil, err
	}
	r, err := s.deps.Recordings.ChangeRecording(ctx, id, change, in.revisions...)
	return s.recording(r, err)
}

// recording answers with a row; a deleted one's is a tombstone.
func (s *Server) recording(r media.Recording, err error) (*recordingOutput, error) {
	if err == nil && r.State == media.Deleted {
		err = fmt.Errorf("recording %s: %w", r.ID, media.ErrGone)
	}
	if err != nil {
		return nil, located("path.recording", err)
	}
	return &recordingOutput{ETag: etag(r.Revision), Body: s.newRecordingRow(r)}, nil
}
