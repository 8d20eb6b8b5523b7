package api

import (
	"context"
	"errors"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// nameMissing has an error of a property that is missing name that, not the object that it is missing in.
func nameMissing(e *huma.ErrorDetail) {
	rest, is := strings.CutPrefix(e.Message, "expected required property ")
	if name, ok := strings.CutSuffix(rest, " to be present"); is && ok {
		e.Location += "." + name
		e.Message = "it is missing: the request must have it"
		e.Value = nil
	}
}

// blame has an error of what is not there name the first of the path's elements that is not: without the publisher
// there is no stream, and without the stream no key.
func (s *Server) blame(ctx context.Context, in any, err error) error {
	var located *locatedError
	if !errors.Is(err, media.ErrNotFound) || !errors.As(err, &located) {
		return err
	}
	if of, ok := in.(interface{ publisher() (string, error) }); ok {
		name, bad := of.publisher()
		if bad != nil {
			return err // it is of this one already
		}
		if _, missing := s.deps.Publishers.Publisher(ctx, name); errors.Is(missing, media.ErrNotFound) {
			return at("path.publisher", missing)
		}
	}
	if of, ok := in.(interface {
		path() (media.StreamPath, error)
	}); ok {
		path, bad := of.path()
		if bad != nil {
			return err
		}
		if _, missing := s.deps.Streams.Stream(ctx, path); errors.Is(missing, media.ErrNotFound) {
			return at("path.stream", missing)
		}
	}
	return err
}
