package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// steeredEdge is an edge in answers, as viewers are steered to it.
type steeredEdge struct {
	ID           string  `json:"id" doc:"The edge's id"`
	Pathway      string  `json:"pathway" doc:"Its id in steering manifests"`
	URL          string  `json:"url" doc:"Where viewers reach it"`
	Site         string  `json:"site" doc:"Its site"`
	Region       string  `json:"region" doc:"Its region"`
	In           bool    `json:"in" doc:"Whether viewers are sent there"`
	Reason       string  `json:"reason" doc:"Why not; empty when they are"`
	BitsCapacity int64   `json:"bits_capacity" doc:"What it may send, in bits per second; 0: not told"`
	BitsOut      int64   `json:"bits_out" doc:"What it sends, in bits per second"`
	Viewers      int     `json:"viewers" doc:"Requests for media and playlists that are under way"`
	Load         float64 `json:"load" doc:"What it bears, as a multiple of its part by capacity: 1 is as it should be"`
	Share        float64 `json:"share" doc:"Its part of the viewers who belong to no region, by capacity and load"`
}

type steeringOutput struct {
	Body struct {
		URL   string        `json:"url" doc:"Where players ask; empty: viewers are not steered"`
		TTL   media.Span    `json:"ttl" doc:"How often they ask"`
		Items []steeredEdge `json:"items" nullable:"false" doc:"The edges, by id"`
		Next  string        `json:"next" doc:"Empty: all are there"`
	}
}

// steeringRuleRow is a rule in answers.
type steeringRuleRow struct {
	Publisher string                 `json:"publisher" doc:"Whose viewers; empty is everybody's"`
	Stream    string                 `json:"stream" doc:"Of which stream; empty is of all"`
	Choices   []media.SteeringChoice `json:"choices" nullable:"false" doc:"Where they go, first choice first"`
	Reason    string                 `json:"reason" doc:"Why: for people"`
	ExpiresAt *time.Time             `json:"expires_at"`
	UpdatedAt *time.Time             `json:"updated_at"`
}

type steeringRuleOutput struct {
	Body steeringRuleRow
}

type steeringRulesOutput struct {
	Body list[steeringRuleRow]
}

// SteeringScope is whose viewers a rule is for.
type SteeringScope struct {
	Publisher string `query:"publisher" maxLength:"63" doc:"Whose viewers; without it everybody's"`
	Stream    string `query:"stream" maxLength:"63" doc:"Of which of its streams; without it of all"`
}

type putSteeringRuleInput struct {
	SteeringScope
	Body struct {
		Choices   []media.SteeringChoice `json:"choices" minItems:"1" maxItems:"32" doc:"Where they go, first choice first"`
		Reason    string                 `json:"reason,omitempty" maxLength:"200" doc:"Why: for people"`
		ExpiresAt *time.Time             `json:"expires_at,omitempty" doc:"When it ends; never, if not set"`
	}
}

func (s *Server) steeringRoutes(v1 huma.API) {
	const rules = "/v1/steering/rules"
	describe := func(text string) func(*huma.Operation) {
		return func(op *huma.Operation) { op.Description = text }
	}
	route(s, v1, http.MethodGet, "/v1/steering", "get-steering", "Get the edges that viewers are steered to",
		s.getSteering, scope(media.ScopeAdmin), describe("Every edge with its load, its part of the viewers, and why it is "+
			"in or out, as this process sees it."))
	route(s, v1, http.MethodGet, rules, "list-steering-rules", "List the rules by which viewers are steered by hand",
		s.listSteeringRules, scope(media.ScopeAdmin), describe("That of all viewers first, then by publisher and stream. "+
			"Those that have expired are gone."))
	route(s, v1, http.MethodPut, rules, "put-steering-rule", "Steer viewers by hand", s.putSteeringRule,
		scope(media.ScopeAdmin), describe("Sets the rule of a stream, a publisher, or of all viewers, in place of the one "+
			"that there may be. The narrowest holds. Without percents the first choice that has a usable edge takes all. "+
			"Viewers follow within one steering interval. An edge that drains, or is away, gets nobody by any rule."))
	route(s, v1, http.MethodDelete, rules, "delete-steering-rule", "Let viewers be steered by load again",
		s.deleteSteeringRule, scope(media.ScopeAdmin), describe("Removes the rule of exactly that stream, that publisher, "+
			"or of all viewers."))
}

func (s *Server) getSteering(ctx context.Context, _ *struct{}) (*steeringOutput, error) {
	f := s.steerer.current(ctx)
	out := &steeringOutput{}
	out.Body.URL, out.Body.TTL = s.cfg.SteeringURL, media.Span(s.cfg.SteeringTTL)
	out.Body.Items = make([]steeredEdge, 0, len(f.Edges))
	for i := range f.Edges {
		e := &f.Edges[i]
		row := steeredEdge{
			ID: e.Node.ID, Pathway: e.Pathway, URL: e.Node.Edge.PublicURL, Site: e.Node.Edge.Site,
			Region: e.Node.Edge.Region, In: e.Out == "", Reason: e.Out, BitsCapacity: e.Node.Edge.BitsCapacity,
			BitsOut: e.Node.Load.BitsOut, Viewers: e.Node.Load.Viewers, Load: e.Load, Share: f.Share(i),
		}
		out.Body.Items = append(out.Body.Items, row)
	}
	return out, nil
}

func newSteeringRuleRow(r media.SteeringRule) steeringRuleRow {
	return steeringRuleRow{
		Publisher: r.Publisher, Stream: r.Stream, Choices: r.Choices, Reason: r.Reason,
		ExpiresAt: moment(r.ExpiresAt), UpdatedAt: moment(r.UpdatedAt),
	}
}

func (s *Server) listSteeringRules(ctx context.Context, _ *struct{}) (*steeringRulesOutput, error) {
	rules, err := s.steerer.rules.SteeringRules(ctx)
	if err != nil {
		return nil, err
	}
	out := &steeringRulesOutput{Body: list[steeringRuleRow]{Items: make([]steeringRuleRow, 0, len(rules))}}
	for _, r := range rules {
		out.Body.Items = append(out.Body.Items, newSteeringRuleRow(r))
	}
	return out, nil
}

// check checks the names: one out of form names nothing.
func (in SteeringScope) check() error {
	if in.Publisher == "" && in.Stream != "" {
		return at("query.publisher", fmt.Errorf("%w: say whose stream it is", media.ErrInvalid))
	}
	if in.Publisher != "" {
		if _, err := (PublisherPath{Publisher: in.Publisher}).publisher(); err != nil {
			return at("query.publisher", err)
		}
	}
	if in.Stream != "" {
		if err := media.CheckStreamName(in.Stream); err != nil {
			return at("query.stream", fmt.Errorf("%w: no stream has a name like that: %w", media.ErrNotFound, err))
		}
	}
	return nil
}

// blames says which parameter what is not there is named by.
func (in SteeringScope) blames(err error) error {
	if in.Stream != "" {
		return at("query.stream", err)
	}
	return at("query.publisher", err)
}

func (s *Server) putSteeringRule(ctx context.Context, in *putSteeringRuleInput) (*steeringRuleOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	rule := media.SteeringRule{
		Publisher: in.Publisher, Stream: in.Stream, Choices: in.Body.Choices, Reason: in.Body.Reason,
	}
	if in.Body.ExpiresAt != nil {
		rule.ExpiresAt = *in.Body.ExpiresAt
	}
	if err := rule.Check(time.Now()); err != nil {
		return nil, err
	}
	rule, err := s.steerer.rules.PutSteeringRule(ctx, rule)
	if err != nil {
		return nil, in.blames(err)
	}
	s.steerer.changed(ctx)
	return &steeringRuleOutput{Body: newSteeringRuleRow(rule)}, nil
}

func (s *Server) deleteSteeringRule(ctx context.Context, in *SteeringScope) (*nothing, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if err := s.steerer.rules.DeleteSteeringRule(ctx, in.Publisher, in.Stream); err != nil {
		return nil, in.blames(err)
	}
	s.steerer.changed(ctx)
	return &nothing{}, nil
}
