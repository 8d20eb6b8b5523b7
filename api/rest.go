package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/oxbow-video/oxbow/internal/media"
)

const bearer = "token" // the security scheme's name in the OpenAPI document

// rest registers /v1 on the router.
func (s *Server) rest(router chi.Router) {
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Oxbow",
				Version:     s.cfg.Version,
				Description: "Publishers, streams, keys, recordings, live sessions and nodes of an Oxbow live video CDN.",
			},
			Components: &huma.Components{
				Schemas:         newRegistry(),
				SecuritySchemes: map[string]*huma.SecurityScheme{bearer: {Type: "http", Scheme: "bearer"}},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": jsonFormat(), "json": jsonFormat()},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{explain},
	}
	v1 := humachi.New(router, config)
	v1.UseMiddleware(s.limit)
	v1.UseMiddleware(s.authorize)
	v1.UseMiddleware(s.plainText)
	v1.UseMiddleware(s.idempotent)
	s.publisherRoutes(v1)
	s.streamRoutes(v1)
	s.keyRoutes(v1)
	s.playbackRoutes(v1)
	s.sourceRoutes(v1)
	s.recordingRoutes(v1)
	s.retentionRoutes(v1)
	s.clipRoutes(v1)
	s.sessionRoutes(v1)
	s.feedRoutes(v1)
	s.eventRoutes(v1)
	s.logRoutes(v1)
	s.nodeRoutes(v1)
	s.archiveRoutes(v1)
	s.purgeRoutes(v1)
	s.steeringRoutes(v1)
	s.tokenRoutes(v1)
	s.auditRoutes(v1)
	s.webhookRoutes(v1)
	s.viewingRoutes(v1)
	s.listingRoute(v1)

	complete(v1.OpenAPI())
	documentAnswers(v1.OpenAPI())
	// Both are made when they are first asked for: that takes longer than all else that a server begins with.
	s.plainDocs = sync.OnceValue(func() *asset { return newPlainDocs(v1.OpenAPI()) })
	file := sync.OnceValue(func() *asset {
		doc, err := json.Marshal(v1.OpenAPI())
		if err != nil {
			panic("BUG: OpenAPI document: " + err.Error())
		}
		file := newAsset("openapi.json", doc)
		file.contentType = "application/openapi+json"
		return file
	})
	router.Get("/v1/openapi.json", func(w http.ResponseWriter, r *http.Request) { file().ServeHTTP(w, r) })
}

// route registers a handler. Its errors become problem documents; every operation but the open ones needs a token.
func route[I, O any](
	s *Server, api huma.API, method, path, id, summary string,
	handle func(ctx context.Context, in *I) (*O, error), change ...func(*huma.Operation),
) {
	op := huma.Operation{
		OperationID:  id,
		Method:       method,
		Path:         path,
		Summary:      summary,
		Security:     []map[string][]string{{bearer: {}}},
		MaxBodyBytes: s.cfg.MaxBody,
	}
	switch method {
	case http.MethodPost:
		op.DefaultStatus = http.StatusCreated
	case http.MethodDelete:
		op.DefaultStatus = http.StatusNoContent
	}
	for _, c := range change {
		c(&op)
	}
	tellScope(&op)
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, s.blame(ctx, in, err))
		}
		return out, nil
	})
}

// open makes an operation one that needs no token.
func open(op *huma.Operation) { op.Security = nil }

// nothing is an answer without a body.
type nothing struct{}

// Page selects a part of a list that is in order of name.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Most items to return"`
	Cursor string `query:"cursor" maxLength:"63" doc:"The next of the page before"`
}

// list is one page: Next is the cursor of the page after it, empty at the end.
type list[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next"`
}

// paged cuts the page out of a list that was asked for one item more than the page takes.
func paged[T, R any](items []T, limit int, name func(T) string, row func(T) R) list[R] {
	page := list[R]{Items: make([]R, 0, min(len(items), limit))}
	for i, item := range items {
		if i == limit {
			page.Next = name(items[i-1])
			break
		}
		page.Items = append(page.Items, row(item))
	}
	return page
}

// PublisherPath is the name in a publisher's path. It is exported, like all that is embedded in a request or an answer,
// because huma sees no other.
type PublisherPath struct {
	Publisher string `path:"publisher" doc:"The publisher's name"`
}

// StreamPath is the names in a stream's path.
type StreamPath struct {
	PublisherPath
	Stream string `path:"stream" doc:"The stream's name"`
}

// publisher checks the name: one out of form names nothing, so it is as unknown as any.
func (p PublisherPath) publisher() (string, error) {
	if err := media.CheckPublisherName(p.Publisher); err != nil {
		return "", at("path.publisher", fmt.Errorf("%w: no publisher has a name like that: %w", media.ErrNotFound, err))
	}
	return p.Publisher, nil
}

// path checks both names.
func (p StreamPath) path() (media.StreamPath, error) {
	publisher, err := p.publisher()
	if err != nil {
		return media.StreamPath{}, err
	}
	if err := media.CheckStreamName(p.Stream); err != nil {
		err = fmt.Errorf("%w: no stream has a name like that: %w", media.ErrNotFound, err)
		return media.StreamPath{}, at("path.stream", err)
	}
	return media.StreamPath{Publisher: publisher, Stream: p.Stream}, nil
}
