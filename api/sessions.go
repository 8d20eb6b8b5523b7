package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Sessions tells of the publishers that are connected now, wherever in the cluster. Of a stream without one Session and
// EndSession answer media.ErrNotFound.
type Sessions interface {
	// Sessions is in order of publisher and stream, one for each stream. A *media.UnansweredError along with reports
	// says that those of some nodes are missing.
	Sessions(ctx context.Context) ([]media.IngestReport, error)
	Session(ctx context.Context, path media.StreamPath) (media.IngestReport, error)
	// EndSession closes the connection; the reason, if any, is told to the publisher. It does not wait.
	EndSession(ctx context.Context, path media.StreamPath, reason string) error
}

// noSessions is what a process has that knows no ingest.
type noSessions struct{}

func (noSessions) Sessions(context.Context) ([]media.IngestReport, error) { return nil, nil }

func (noSessions) Session(_ context.Context, path media.StreamPath) (media.IngestReport, error) {
	return media.IngestReport{}, fmt.Errorf("session of %s: %w", path, media.ErrNotFound)
}

func (n noSessions) EndSession(ctx context.Context, path media.StreamPath, _ string) error {
	_, err := n.Session(ctx, path)
	return err
}

type sessionOutput struct {
	Body media.IngestReport
}

type sessionsOutput struct {
	Body struct {
		Items       []media.IngestReport `json:"items" nullable:"false"`
		Next        string               `json:"next"`
		Unreachable []string             `json:"unreachable,omitempty" doc:"Nodes that gave none: theirs are missing"`
	}
}

type listSessionsInput struct {
	Publisher string `query:"publisher" doc:"Only this publisher's"`
	Stream    string `query:"stream" doc:"Only streams of this name"`
	Limit     int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items to return"`
	Cursor    string `query:"cursor" maxLength:"127" doc:"The next of the page before"`
}

type endSessionInput struct {
	StreamPath
	Reason string `query:"reason" maxLength:"200" doc:"Told to the publisher, where the protocol can tell it"`
}

func (s *Server) sessionRoutes(v1 huma.API) {
	const one = "/v1/publishers/{publisher}/streams/{stream}/session"
	route(s, v1, http.MethodGet, "/v1/sessions", "list-sessions",
		"List the publishers that are connected now, and how well their streams arrive", s.listSessions)
	route(s, v1, http.MethodGet, one, "get-session", "How well a live publisher's stream arrives", s.getSession)
	route(s, v1, http.MethodDelete, one, "end-session",
		"Close a live publisher's connection; its encoder may come back", s.endSession)
}

func (s *Server) listSessions(ctx context.Context, in *listSessionsInput) (*sessionsOutput, error) {
	filter := media.RecordingFilter{Publisher: in.Publisher, Stream: in.Stream}
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	if err := restrict(ctx, &in.Publisher, "query.publisher"); err != nil {
		return nil, err
	}
	var after media.StreamPath
	if in.Cursor != "" {
		var err error
		if after, err = media.ParseStreamPath(in.Cursor); err != nil {
			return nil, at("query.cursor", err)
		}
	}
	out := &sessionsOutput{}
	live, err := s.deps.Sessions.Sessions(ctx)
	var unanswered *media.UnansweredError
	switch {
	case errors.As(err, &unanswered):
		out.Body.Unreachable = unanswered.Nodes
	case err != nil:
		return nil, err
	}
	live = slices.DeleteFunc(live, func(r media.IngestReport) bool {
		return in.Publisher != "" && r.Publisher != in.Publisher || in.Stream != "" && r.Stream != in.Stream ||
			r.Publisher < after.Publisher || r.Publisher == after.Publisher && r.Stream <= after.Stream
	})
	name := func(r media.IngestReport) string { return r.Publisher + "/" + r.Stream }
	row := func(r media.IngestReport) media.IngestReport { return r }
	page := paged(live, in.Limit, name, row)
	out.Body.Items, out.Body.Next = page.Items, page.Next
	return out, nil
}

func (s *Server) getSession(ctx context.Context, in *StreamPath) (*sessionOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	report, err := s.deps.Sessions.Session(ctx, path)
	if err != nil {
		return nil, at("path.stream", err)
	}
	return &sessionOutput{Body: report}, nil
}

func (s *Server) endSession(ctx context.Context, in *endSessionInput) (*nothing, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	if err := s.deps.Sessions.EndSession(ctx, path, in.Reason); err != nil {
		return nil, at("path.stream", err)
	}
	return &nothing{}, nil
}
