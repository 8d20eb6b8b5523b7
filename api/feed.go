package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// noFeeds is what a process has that knows no ingest.
func noFeeds(_ context.Context, path media.StreamPath, _ string) error {
	return fmt.Errorf("%w: nobody publishes %s", media.ErrNotFound, path)
}

type switchFeedInput struct {
	StreamPath
	Body struct {
		Feed string `json:"feed" enum:"primary,backup" doc:"The publisher that is to be live"`
	}
}

func (s *Server) feedRoutes(v1 huma.API) {
	const path = "/v1/publishers/{publisher}/streams/{stream}/switch"
	route(s, v1, http.MethodPost, path, "switch-feed", "Make the other of a stream's two publishers live", s.switchFeed,
		func(op *huma.Operation) {
			op.DefaultStatus = http.StatusNoContent
			op.Description = "Viewers see one discontinuity. A backup that took over by itself stays live until this asks " +
				"for the primary. 404: nobody publishes the stream; 409: that feed is live already, is not connected, or sends " +
				"nothing."
		})
}

func (s *Server) switchFeed(ctx context.Context, in *switchFeedInput) (*nothing, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	if err := s.deps.SwitchFeed(ctx, path, in.Body.Feed); err != nil {
		return nil, at("path.stream", err)
	}
	return &nothing{}, nil
}
