package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Retention says what the policies are going to do, and what they would. Previews give the errors of what they preview,
// and change nothing. DeleteRecordings deletes what a filter selects, as RequestDelete does one; before, if it is not
// zero, bounds the end; its error for a filter that selects nothing is a *media.FieldError.
type Retention interface {
	Plan(ctx context.Context, filter media.PlanFilter) (items []media.Planned, next string, err error)
	PreviewPublisher(ctx context.Context, name string, patch media.SettingsPatch, revisions ...int64) (
		media.Publisher, media.Preview, error)
	PreviewStream(ctx context.Context, path media.StreamPath, patch media.SettingsPatch, revisions ...int64) (
		media.Stream, media.Preview, error)
	PreviewDelete(ctx context.Context, id media.RecordingID, revisions ...int64) (media.Recording, error)
	DeleteRecordings(ctx context.Context, filter media.RecordingFilter, before time.Time, dry bool) (
		media.DeletedRecordings, error)
}

// DryRun is a request's wish to see only.
type DryRun struct {
	DryRun bool `query:"dry_run" doc:"Change nothing: say what would come of it"`
}

// status is an answer's, where the work itself is answered otherwise.
func (d DryRun) status(otherwise int) int {
	if d.DryRun {
		return http.StatusOK
	}
	return otherwise
}

// plannedRow is one thing that is going to be done to a recording.
type plannedRow struct {
	Recording media.RecordingID `json:"recording"`
	Publisher string            `json:"publisher"`
	Stream    string            `json:"stream"`
	State     media.State       `json:"state"`
	Action    media.Action      `json:"action" doc:"archive, drop_local (the cluster's copy goes) or delete"`
	Due       *time.Time        `json:"due"`
	Reason    string            `json:"reason" doc:"The setting or the event that it follows from"`
	Held      bool              `json:"held" doc:"It is not done as long as the recording is kept"`
	EndedAt   *time.Time        `json:"ended_at"`
	Bytes     int64             `json:"bytes"`
	LastError string            `json:"last_error" doc:"What the last failed try said"`
}

func newPlannedRow(p media.Planned) plannedRow {
	r := &p.Recording
	return plannedRow{
		Recording: r.ID, Publisher: r.Path.Publisher, Stream: r.Path.Stream, State: r.State, Action: p.Action,
		Due: moment(p.Due), Reason: p.Reason, Held: p.Held, EndedAt: moment(r.EndedAt), Bytes: r.Bytes,
		LastError: r.LastError,
	}
}

// previewRow is what a change of settings would make due at once.
type previewRow struct {
	Deletes     int          `json:"deletes" doc:"Recordings that would be deleted"`
	DeleteBytes int64        `json:"delete_bytes"`
	Delete      []plannedRow `json:"delete" nullable:"false" doc:"The oldest 1000 of them"`
	Drops       int          `json:"drops" doc:"Recordings that would be left in the archive only"`
	DropBytes   int64        `json:"drop_bytes"`
	Drop        []plannedRow `json:"drop" nullable:"false" doc:"The oldest 1000 of them"`
	Spared      int          `json:"spared" doc:"Recordings that are due for deletion now, and would not be"`
}

func newPreviewRow(v media.Preview) *previewRow {
	rows := func(list []media.Planned) []plannedRow {
		out := make([]plannedRow, 0, len(list))
		for _, p := range list {
			out = append(out, newPlannedRow(p))
		}
		return out
	}
	return &previewRow{
		Deletes: v.Deletes, DeleteBytes: v.DeleteBytes, Delete: rows(v.Delete),
		Drops: v.Drops, DropBytes: v.DropBytes, Drop: rows(v.Drop), Spared: v.Spared,
	}
}

// changedPublisher is the answer to a change of settings: those in force then, and what a dry run shows.
type changedPublisher struct {
	ETag string `header:"ETag"`
	Body struct {
		PublisherRow
		DryRun *previewRow `json:"dry_run,omitempty" doc:"What the change would make due; only of a dry run"`
	}
}

type changedStream struct {
	ETag string `header:"ETag"`
	Body struct {
		StreamRow
		DryRun *previewRow `json:"dry_run,omitempty" doc:"What the change would make due; only of a dry run"`
	}
}

type planInput struct {
	Publisher string    `query:"publisher" doc:"Only this publisher's"`
	Stream    string    `query:"stream" doc:"Only streams of this name"`
	Until     time.Time `query:"until" doc:"Only what is due by then"`
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Most items to return"`
	Cursor    string    `query:"cursor" maxLength:"200" doc:"The next of the page before"`
}

type planOutput struct {
	Body list[plannedRow]
}

type deleteRecordingInput struct {
	RecordingPath
	IfMatch
	DryRun
}

type deleteRecordingOutput struct {
	Status int
	Body   recordingRow
}

type deleteRecordingsInput struct {
	DryRun
	Publisher string        `query:"publisher" doc:"Only this publisher's"`
	Stream    string        `query:"stream" doc:"Only streams of this name"`
	Cluster   string        `query:"cluster" doc:"Only what this cluster's nodes recorded"`
	State     []media.State `query:"state,explode" doc:"Only these states; may be repeated"`
	Since     time.Time     `query:"since" doc:"Only those that started at or after"`
	Until     time.Time     `query:"until" doc:"Only those that started before"`
	Before    time.Time     `query:"before" doc:"Only those that ended before"`
	Limit     int           `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Most recordings to look at"`
	Cursor    string        `query:"cursor" maxLength:"200" doc:"The next of the answer before"`
}

// selects says whether the filter leaves anything out, as the catalog wants it to.
func (in *deleteRecordingsInput) selects() bool {
	return in.Publisher != "" || in.Stream != "" || len(in.State) > 0 || !in.Since.IsZero() || !in.Until.IsZero() ||
		!in.Before.IsZero()
}

// deletedRow is one recording in the answer to a deletion of many.
type deletedRow struct {
	Recording media.RecordingID `json:"recording"`
	Publisher string            `json:"publisher"`
	Stream    string            `json:"stream"`
	State     media.State       `json:"state"`
	EndedAt   *time.Time        `json:"ended_at"`
	Bytes     int64             `json:"bytes"`
	Reason    string            `json:"reason,omitempty" doc:"Why it was left"`
}

func newDeletedRow(r media.Recording, reason string) deletedRow {
	return deletedRow{
		Recording: r.ID, Publisher: r.Path.Publisher, Stream: r.Path.Stream, State: r.State, EndedAt: moment(r.EndedAt),
		Bytes: r.Bytes, Reason: reason,
	}
}

type deleteRecordingsOutput struct {
	Status int
	Body   struct {
		DryRun  bool         `json:"dry_run"`
		Deleted int          `json:"deleted" doc:"How many are being deleted now, or would be"`
		Bytes   int64        `json:"bytes" doc:"Of those"`
		Items   []deletedRow `json:"items" nullable:"false" doc:"Those, the oldest first"`
		Left    []deletedRow `json:"left" nullable:"false" doc:"Those that were not deleted, and why"`
		Next    string       `json:"next" doc:"The cursor that goes on; empty at the end"`
	}
}

func (s *Server) retentionRoutes(v1 huma.API) {
	const all, one = "/v1/recordings", "/v1/recordings/{recording}"
	accepted := func(op *huma.Operation) { op.DefaultStatus = http.StatusAccepted }
	route(s, v1, http.MethodGet, "/v1/retention", "list-retention", "What is going to be archived, dropped and deleted",
		s.listPlan)
	route(s, v1, http.MethodDelete, one, "delete-recording", "Delete a recording everywhere", s.deleteRecording, accepted)
	route(s, v1, http.MethodDelete, all, "delete-recordings", "Delete the recordings that a filter selects",
		s.deleteRecordings, accepted)
}

func (s *Server) listPlan(ctx context.Context, in *planInput) (*planOutput, error) {
	if err := checkFilter(media.RecordingFilter{Publisher: in.Publisher, Stream: in.Stream}); err != nil {
		return nil, err
	}
	if err := restrict(ctx, &in.Publisher, "query.publisher"); err != nil {
		return nil, err
	}
	items, next, err := s.deps.Retention.Plan(ctx, media.PlanFilter{
		Publisher: in.Publisher, Stream: in.Stream, Until: in.Until, Limit: in.Limit, Cursor: in.Cursor,
	})
	switch {
	case errors.Is(err, media.ErrInvalid): // all else is checked above
		return nil, at("query.cursor", err)
	case err != nil:
		return nil, err
	}
	out := &planOutput{Body: list[plannedRow]{Items: make([]plannedRow, 0, len(items)), Next: next}}
	for _, item := range items {
		out.Body.Items = append(out.Body.Items, newPlannedRow(item))
	}
	return out, nil
}

func (s *Server) deleteRecording(ctx context.Context, in *deleteRecordingInput) (*deleteRecordingOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	ask := s.deps.Recordings.RequestDelete
	if in.DryRun.DryRun {
		ask = s.deps.Retention.PreviewDelete
	}
	r, err := ask(ctx, id, in.revisions...)
	if err == nil && r.State == media.Deleting && !in.DryRun.DryRun {
		s.tellDeleted(ctx, r)
	}
	out, err := s.recording(r, err)
	if err != nil {
		return nil, err
	}
	return &deleteRecordingOutput{Status: in.status(http.StatusAccepted), Body: out.Body}, nil
}

func (s *Server) deleteRecordings(ctx context.Context, in *deleteRecordingsInput) (*deleteRecordingsOutput, error) {
	filter := media.RecordingFilter{
		Publisher: in.Publisher, Stream: in.Stream, Cluster: in.Cluster, States: in.State, Since: in.Since, Until: in.Until,
		Limit: in.Limit, Cursor: in.Cursor,
	}
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	if caller(ctx).Publisher != "" && !in.selects() { // the token's publisher is no choice of what to delete
		return nil, at("query.publisher", &media.FieldError{
			Field: "publisher", Want: "it would delete every recording: say publisher, stream, state, since, until or before",
		})
	}
	if err := restrict(ctx, &filter.Publisher, "query.publisher"); err != nil {
		return nil, err
	}
	done, err := s.deps.Retention.DeleteRecordings(ctx, filter, in.Before, in.DryRun.DryRun)
	if field := (*media.FieldError)(nil); errors.As(err, &field) {
		return nil, at("query."+field.Field, err)
	}
	if err != nil {
		return nil, err
	}
	if !in.DryRun.DryRun {
		s.tellDeleted(ctx, done.Deleted...)
	}
	out := &deleteRecordingsOutput{Status: in.status(http.StatusAccepted)}
	out.Body.DryRun, out.Body.Deleted, out.Body.Next = in.DryRun.DryRun, len(done.Deleted), done.Next
	out.Body.Items = make([]deletedRow, 0, len(done.Deleted))
	for _, r := range done.Deleted {
		out.Body.Bytes += r.Bytes
		out.Body.Items = append(out.Body.Items, newDeletedRow(r, ""))
	}
	out.Body.Left = make([]deletedRow, 0, len(done.Left))
	for _, l := range done.Left {
		_, reason, ok := strings.Cut(l.Err.Error(), media.ErrConflict.Error()+": ") // the row says which recording
		if !ok {
			reason = l.Err.Error()
		}
		out.Body.Left = append(out.Body.Left, newDeletedRow(l.Recording, reason))
	}
	return out, nil
}
