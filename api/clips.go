package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// errClipUnmade: its row is there, and an archiver is about to make it.
var errClipUnmade = fmt.Errorf("%w: the clip is being made", media.ErrUnavailable)

// Clips makes clips. What is wrong with the bounds is a *media.FieldError; media.ErrNotFound, media.ErrGone and
// media.ErrConflict are of the recording.
type Clips interface {
	CreateClip(ctx context.Context, r media.Recording) (media.Recording, error)
}

// Clip says what a clip shows.
type Clip struct {
	Of      media.RecordingID `json:"of" doc:"The recording that it was cut from"`
	StartMS int64             `json:"start_ms" doc:"What was asked for, from that one's start on"`
	EndMS   int64             `json:"end_ms" doc:"The clip has the whole segments that hold this and the start"`
}

// newClip gives a row's, nil if it is none.
func newClip(r media.Recording) *Clip {
	if r.ClipOf == "" {
		return nil
	}
	return &Clip{Of: r.ClipOf, StartMS: r.ClipStart.Milliseconds(), EndMS: r.ClipEnd.Milliseconds()}
}

const wantBound = "use seconds from the recording's start, like 12.5, or a time of day with its offset, like " +
	"2026-11-20T10:38:00Z"

// clipBound is one end of a clip: seconds from the recording's start, or a time of day.
type clipBound struct {
	seconds float64
	at      time.Time
}

// Schema describes both forms.
func (*clipBound) Schema(huma.Registry) *huma.Schema {
	least, most := 0.0, 64
	return &huma.Schema{
		Description: "Seconds from the recording's start by the clock, or a time of day (RFC 3339)",
		OneOf: []*huma.Schema{
			{Type: huma.TypeNumber, Minimum: &least, Examples: []any{12.5}},
			{Type: huma.TypeString, MaxLength: &most, Examples: []any{"2026-11-20T10:38:00Z", "12.5"}},
		},
	}
}

// UnmarshalJSON reads a number, or a string of either form. What is neither is kept as not a number, for the check to
// refuse it by its field's name.
func (b *clipBound) UnmarshalJSON(data []byte) error {
	*b = clipBound{seconds: math.NaN()}
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return fmt.Errorf("bound of a clip: %w", err)
		}
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			b.at = at
			return nil
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		b.seconds = seconds
	}
	return nil
}

// after gives the bound as it counts from a recording's start.
func (b *clipBound) after(field string, start time.Time) (time.Duration, error) {
	const most = 10 * 366 * 24 * 3600 // seconds; past the longest recording
	switch {
	case !b.at.IsZero():
		return b.at.Truncate(time.Millisecond).Sub(start), nil
	case !(b.seconds >= 0 && b.seconds <= most): // NaN too
		return 0, &media.FieldError{Field: field, Want: wantBound}
	}
	return time.Duration(math.Round(b.seconds*1000)) * time.Millisecond, nil
}

type createClipInput struct {
	RecordingPath
	Body struct {
		Start clipBound `json:"start"`
		End   clipBound `json:"end"`
		Name  string    `json:"name,omitempty" maxLength:"200" doc:"What people call it"`

		Labels labelsSetter `json:"labels,omitempty" doc:"What people sort it by: values by name"`
	}
}

type createdClipOutput struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     recordingRow
}

type listClipsInput struct {
	RecordingPath
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"50" doc:"Most items to return"`
	Cursor string `query:"cursor" maxLength:"200" doc:"The next of the page before"`
}

func (s *Server) clipRoutes(v1 huma.API) {
	const all = "/v1/recordings/{recording}/clips"
	route(s, v1, http.MethodPost, all, "create-clip", "Make a recording of a piece of another", s.createClip)
	route(s, v1, http.MethodGet, all, "list-clips", "List a recording's clips, newest first", s.listClips)
}

func (s *Server) createClip(ctx context.Context, in *createClipInput) (*createdClipOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	source, err := s.deps.Recordings.Recording(ctx, id)
	if err != nil {
		return nil, at("path.recording", err)
	}
	clip := media.Recording{ClipOf: id, Name: in.Body.Name, Labels: media.Labels(in.Body.Labels)}
	if err := (media.RecordingChange{Name: &clip.Name, Labels: clip.Labels}).Check(); err != nil {
		return nil, err
	}
	if clip.ClipStart, err = in.Body.Start.after("start", source.StartedAt); err != nil {
		return nil, err
	}
	if clip.ClipEnd, err = in.Body.End.after("end", source.StartedAt); err != nil {
		return nil, err
	}
	made, err := s.deps.Clips.CreateClip(ctx, clip)
	var field *media.FieldError
	switch {
	case errors.As(err, &field):
		return nil, err
	case err != nil:
		return nil, at("path.recording", err)
	}
	return &createdClipOutput{
		Location: "/v1/recordings/" + string(made.ID), ETag: etag(made.Revision), Body: s.newRecordingRow(made),
	}, nil
}

func (s *Server) listClips(ctx context.Context, in *listClipsInput) (*recordingsOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	// Clips outlive their source: also those of a deleted one are listed.
	if _, err := s.deps.Recordings.Recording(ctx, id); err != nil && !errors.Is(err, media.ErrGone) {
		return nil, at("path.recording", err)
	}
	return s.rows(ctx, media.RecordingFilter{ClipOf: id, Limit: in.Limit, Cursor: in.Cursor})
}
