package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// publisherRow is a publisher in answers, with its effective settings.
type publisherRow struct {
	Name      string     `json:"name"`
	CreatedAt *time.Time `json:"created_at"`
	UpdatedAt *time.Time `json:"updated_at"`
	Revision  int64      `json:"revision" doc:"Grows with every change; its ETag without the quotes"`
	Settings
}

func newPublisherRow(p media.Publisher) publisherRow {
	return publisherRow{
		Name:      p.Name,
		CreatedAt: moment(p.CreatedAt),
		UpdatedAt: moment(p.UpdatedAt),
		Revision:  p.Revision,
		Settings:  Settings{media.DefaultSettings().Apply(p.Settings)},
	}
}

type publisherOutput struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     publisherRow
}

type publishersOutput struct {
	Body list[publisherRow]
}

type createPublisherInput struct {
	Body struct {
		Name string `json:"name" doc:"1 to 63 of a-z 0-9 _ -, the first a letter or digit"`
		SettingsPatch
	}
}

type patchPublisherInput struct {
	PublisherPath
	IfMatch
	DryRun
	Body SettingsChange
}

type deletePublisherInput struct {
	PublisherPath
	IfMatch
}

func (s *Server) publisherRoutes(v1 huma.API) {
	const all, one = "/v1/publishers", "/v1/publishers/{publisher}"
	route(s, v1, http.MethodPost, all, "create-publisher", "Create a publisher", s.createPublisher,
		scope(media.ScopeAdmin))
	route(s, v1, http.MethodGet, all, "list-publishers", "List the publishers", s.listPublishers)
	route(s, v1, http.MethodGet, one, "get-publisher", "Get a publisher", s.getPublisher)
	route(s, v1, http.MethodPatch, one, "change-publisher", "Change a publisher's settings", s.patchPublisher)
	route(s, v1, http.MethodDelete, one, "delete-publisher", "Delete a publisher without streams", s.deletePublisher,
		scope(media.ScopeAdmin), func(op *huma.Operation) {
			op.Description = "Its API tokens go with it. 409 while it has streams or recordings."
		})
}

func (s *Server) createPublisher(ctx context.Context, in *createPublisherInput) (*publisherOutput, error) {
	if err := media.CheckPublisherName(in.Body.Name); err != nil {
		return nil, at("body.name", err)
	}
	concerns(ctx, in.Body.Name)
	patch := in.Body.SettingsPatch.SettingsPatch
	if err := s.checkSettings(ctx, patch); err != nil {
		return nil, err
	}
	if err := s.deps.Publishers.CreatePublisher(ctx, media.Publisher{Name: in.Body.Name, Settings: patch}); err != nil {
		if errors.Is(err, media.ErrInvalid) {
			return nil, err // it names its field
		}
		return nil, at("body.name", err)
	}
	if patch.Playback != nil {
		s.tellPlayback(ctx, in.Body.Name)
	}
	p, err := s.deps.Publishers.Publisher(ctx, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return &publisherOutput{
		Location: "/v1/publishers/" + p.Name, ETag: etag(p.Revision), Body: newPublisherRow(p),
	}, nil
}

func (s *Server) listPublishers(ctx context.Context, in *Page) (*publishersOutput, error) {
	if own := caller(ctx).Publisher; own != "" {
		return s.ownPublisher(ctx, own, in.Cursor)
	}
	items, err := s.deps.Publishers.Publishers(ctx, in.Cursor, in.Limit+1)
	if err != nil {
		return nil, err
	}
	name := func(p media.Publisher) string { return p.Name }
	return &publishersOutput{Body: paged(items, in.Limit, name, newPublisherRow)}, nil
}

// ownPublisher is the list for a token of one publisher.
func (s *Server) ownPublisher(ctx context.Context, name, cursor string) (*publishersOutput, error) {
	out := &publishersOutput{Body: list[publisherRow]{Items: []publisherRow{}}}
	if name <= cursor {
		return out, nil
	}
	p, err := s.deps.Publishers.Publisher(ctx, name)
	if err != nil {
		return nil, err
	}
	out.Body.Items = append(out.Body.Items, newPublisherRow(p))
	return out, nil
}

func (s *Server) getPublisher(ctx context.Context, in *PublisherPath) (*publisherOutput, error) {
	name, err := in.publisher()
	if err != nil {
		return nil, err
	}
	p, err := s.deps.Publishers.Publisher(ctx, name)
	if err != nil {
		return nil, at("path.publisher", err)
	}
	return &publisherOutput{ETag: etag(p.Revision), Body: newPublisherRow(p)}, nil
}

func (s *Server) patchPublisher(ctx context.Context, in *patchPublisherInput) (*changedPublisher, error) {
	name, err := in.publisher()
	if err != nil {
		return nil, err
	}
	patch := in.Body.media()
	if err := s.checkSettings(ctx, patch); err != nil {
		return nil, err
	}
	out := &changedPublisher{}
	var p media.Publisher
	if in.DryRun.DryRun {
		var preview media.Preview
		p, preview, err = s.deps.Retention.PreviewPublisher(ctx, name, patch, in.revisions...)
		out.Body.DryRun = newPreviewRow(preview)
	} else {
		p, err = s.deps.Publishers.UpdatePublisher(ctx, name, patch, in.revisions...)
		if err == nil && changesPlayback(patch) {
			s.tellPlayback(ctx, name)
		}
	}
	switch {
	case errors.Is(err, media.ErrInvalid):
		return nil, err // it names its field
	case err != nil:
		return nil, located("path.publisher", err)
	}
	if !in.DryRun.DryRun {
		out.ETag = etag(p.Revision)
	}
	out.Body.PublisherRow = newPublisherRow(p)
	return out, nil
}

func (s *Server) deletePublisher(ctx context.Context, in *deletePublisherInput) (*nothing, error) {
	name, err := in.publisher()
	if err != nil {
		return nil, err
	}
	if err := s.deps.Publishers.DeletePublisher(ctx, name, in.revisions...); err != nil {
		return nil, located("path.publisher", err)
	}
	s.known.forget(func(t media.Token) bool { return t.Publisher == name })
	return &nothing{}, nil
}
