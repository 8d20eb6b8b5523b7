package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// sourceRow is a source in answers: what it does, and its URL without secrets.
type sourceRow struct {
	URL         string     `json:"url" doc:"Where the stream is fetched from; what may be secret in it reads redacted"`
	Mode        string     `json:"mode" enum:"always,on_demand"`
	Enabled     bool       `json:"enabled"`
	IdleTimeout media.Span `json:"idle_timeout"`
	CreatedAt   *time.Time `json:"created_at"`
	UpdatedAt   *time.Time `json:"updated_at"`

	State     string     `json:"state" enum:"off,connecting,live,waiting" doc:"off: disabled, or nobody watches"`
	Since     *time.Time `json:"since" doc:"When the state began"`
	LastError string     `json:"last_error" doc:"Why the last try ended"`
	NextRetry *time.Time `json:"next_retry" doc:"In state waiting"`
	Retries   int        `json:"retries" doc:"Tries in a row that failed"`
}

type sourceOutput struct {
	Body sourceRow
}

type putSourceInput struct {
	StreamPath
	Body struct {
		URL         string      `json:"url" doc:"http(s)://HOST/x.m3u8, rtmp(s)://HOST/APP/NAME or srt://HOST:PORT"`
		Mode        *string     `json:"mode,omitempty" doc:"always (the default), or on_demand: while somebody watches"`
		Enabled     *bool       `json:"enabled,omitempty" doc:"false keeps it and fetches nothing"`
		IdleTimeout *media.Span `json:"idle_timeout,omitempty" doc:"How long on_demand goes on unwatched; 1m if not set"`
	}
}

func (s *Server) sourceRoutes(v1 huma.API) {
	const path = "/v1/publishers/{publisher}/streams/{stream}/source"
	// The server connects to whatever host the URL names, also in its own network.
	admin := func(op *huma.Operation) {
		op.Description = "The server connects to the URL, and to what its playlists and redirects name, from where it " +
			"stands, private networks included: only administrators set sources."
	}
	route(s, v1, http.MethodPut, path, "put-source", "Fetch a stream from a URL", s.putSource, admin,
		scope(media.ScopeAdmin))
	route(s, v1, http.MethodGet, path, "get-source", "Get a stream's source and what it does", s.getSource)
	route(s, v1, http.MethodDelete, path, "delete-source", "Remove a stream's source and end its show", s.deleteSource)
}

func (s *Server) putSource(ctx context.Context, in *putSourceInput) (*sourceOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	source := media.Source{
		Path: path, URL: in.Body.URL, Mode: media.SourceAlways, Enabled: true, IdleTimeout: media.DefaultSourceIdle,
	}
	if in.Body.Mode != nil {
		source.Mode = *in.Body.Mode
	}
	if in.Body.Enabled != nil {
		source.Enabled = *in.Body.Enabled
	}
	if in.Body.IdleTimeout != nil {
		source.IdleTimeout = *in.Body.IdleTimeout
	}
	if err := source.Check(); err != nil {
		return nil, err
	}
	source, err = s.deps.Sources.PutSource(ctx, source)
	if err != nil {
		return nil, at("path.stream", err)
	}
	s.sourcesChanged()
	return &sourceOutput{Body: s.newSourceRow(source)}, nil
}

func (s *Server) getSource(ctx context.Context, in *StreamPath) (*sourceOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	source, err := s.deps.Sources.Source(ctx, path)
	if err != nil {
		return nil, at("path.stream", err)
	}
	return &sourceOutput{Body: s.newSourceRow(source)}, nil
}

func (s *Server) deleteSource(ctx context.Context, in *StreamPath) (*nothing, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	if err := s.deps.Sources.DeleteSource(ctx, path); err != nil {
		return nil, at("path.stream", err)
	}
	s.sourcesChanged()
	return &nothing{}, nil
}

func (s *Server) newSourceRow(source media.Source) sourceRow {
	status := media.SourceStatus{State: media.SourceOff}
	if s.deps.SourceStatus != nil {
		status = s.deps.SourceStatus(source.Path)
	}
	return sourceRow{
		URL: source.Redacted(), Mode: source.Mode, Enabled: source.Enabled, IdleTimeout: source.IdleTimeout,
		CreatedAt: moment(source.CreatedAt), UpdatedAt: moment(source.UpdatedAt),
		State: string(status.State), Since: moment(status.Since), LastError: status.LastError,
		NextRetry: moment(status.NextRetry), Retries: status.Retries,
	}
}

func (s *Server) sourcesChanged() {
	if s.deps.SourcesChanged != nil {
		s.deps.SourcesChanged()
	}
}
