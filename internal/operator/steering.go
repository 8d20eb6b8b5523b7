package operator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// SteeringCommands is `oxbow steering`.
type SteeringCommands struct {
	Connection `embed:""`

	Show  ShowSteering      `cmd:"" help:"Show the edges that viewers are steered to: load, share, and why one is out."`
	Rules ListSteeringRules `cmd:"" help:"List the rules by which viewers are steered by hand."`
	Set   SetSteeringRule   `cmd:"" help:"Steer viewers by hand: they follow within a steering interval."`
	Clear ClearSteeringRule `cmd:"" help:"Remove a rule: load and capacity decide again."`
}

// ShowSteering is `oxbow steering show`.
type ShowSteering struct {
	Paging `embed:""`
}

// Run lists the edges.
func (s *ShowSteering) Run(c *Call) error {
	return c.list("/v1/steering", nil, s.Paging, table{
		columns: []string{
			"EDGE=id", "REGION=region", "IN=in", "SHARE=share", "LOAD=load", "OUT=bits_out", "CAPACITY=bits_capacity",
			"REQUESTS=viewers", "REASON=reason", "+SITE=site", "+URL=url", "+PATHWAY=pathway",
		},
		id: by("id"), whole: true,
	})
}

// ListSteeringRules is `oxbow steering rules`.
type ListSteeringRules struct {
	Paging `embed:""`
}

// Run lists them.
func (l *ListSteeringRules) Run(c *Call) error {
	return c.list("/v1/steering/rules", nil, l.Paging, table{
		columns: []string{
			"PUBLISHER=publisher", "STREAM=stream", "CHOICES=choices", "EXPIRES=~expires_at", "REASON=reason",
			"+UPDATED=updated_at",
		},
		id: by("publisher"), whole: true,
	})
}

// SetSteeringRule is `oxbow steering set`.
type SetSteeringRule struct {
	Scope   scopeName `arg:"" name:"publisher[/stream]" optional:"" help:"Whose viewers: a publisher's, or one stream's. Default: everybody's."`
	To      []string  `name:"to" required:"" placeholder:"EDGE|region:NAME[=N%]" help:"Where they go: an edge by its id, or the edges of a region; with =N% for a share. Repeat it: the first that is usable takes all, unless all have shares."`
	Reason  string    `name:"reason" placeholder:"TEXT" help:"Why: for people."`
	Expires ahead     `name:"expires" placeholder:"WHEN" help:"When it ends: a duration from now like 2h, or a time. Default: never."`
}

// Run sets it.
func (s *SetSteeringRule) Run(c *Call) error {
	body := fields{}
	choices := make([]fields, 0, len(s.To))
	for _, text := range s.To {
		choice, err := steeringChoice(text)
		if err != nil {
			return err
		}
		choices = append(choices, choice)
	}
	body["choices"] = choices
	body.text("reason", s.Reason)
	body.text("expires_at", rfc3339(s.Expires.Time))
	q := query{}
	q.scope(s.Scope)
	err := c.act(Request{Method: http.MethodPut, Path: "/v1/steering/rules", Query: url.Values(q), Body: body},
		"viewers of %s are steered by hand", ofWhom(s.Scope))
	if err == nil {
		c.warnOfNobody(choices)
	}
	return err
}

// warnOfNobody tells which choices no edge answers to now: a rule may be made before its edges are started, or has a
// name that is misspelt.
func (c *Call) warnOfNobody(choices []fields) {
	answer, err := c.do(Request{Method: http.MethodGet, Path: "/v1/steering"})
	var p page
	if err != nil || json.Unmarshal(answer, &p) != nil {
		return // the rule is set, and that was the question
	}
	there := make(map[string]bool)
	for _, item := range p.Items {
		if edge, err := decodeObject(item); err == nil {
			there["edge "+edge.text("id")], there["region "+edge.text("region")] = true, true
		}
	}
	for _, choice := range choices {
		for _, kind := range []string{"edge", "region"} {
			name, ok := choice[kind].(string)
			if ok && !there[kind+" "+name] {
				c.warn("no %s %s can be steered to now: see `oxbow steering show`", kind, clean(name, maxCell))
			}
		}
	}
}

// steeringChoice reads EDGE, region:NAME, and either with a share like =30%.
func steeringChoice(text string) (fields, error) {
	choice := fields{}
	name, share, shared := strings.Cut(text, "=")
	if shared {
		percent, err := strconv.Atoi(strings.TrimSuffix(share, "%"))
		if err != nil || percent < 1 || percent > 100 {
			return nil, usage("--to %s: %q is no share: use one like =30%%", text, share)
		}
		choice["percent"] = percent
	}
	if region, ok := strings.CutPrefix(name, "region:"); ok {
		name = region
		choice["region"] = region
	} else {
		choice["edge"] = name
	}
	if name == "" {
		return nil, usage("--to %s: name an edge, or a region as region:NAME", text)
	}
	return choice, nil
}

// ClearSteeringRule is `oxbow steering clear`.
type ClearSteeringRule struct {
	Scope scopeName `arg:"" name:"publisher[/stream]" optional:"" help:"Whose rule: a publisher's, or one stream's. Default: that of everybody."`
}

// Run removes it.
func (r *ClearSteeringRule) Run(c *Call) error {
	q := query{}
	q.scope(r.Scope)
	return c.act(Request{Method: http.MethodDelete, Path: "/v1/steering/rules", Query: url.Values(q)},
		"viewers of %s have no rule of their own any more", ofWhom(r.Scope))
}

func ofWhom(s scopeName) string {
	switch {
	case s.Publisher == "":
		return "all publishers"
	case s.Stream == "":
		return s.Publisher
	}
	return s.Publisher + "/" + s.Stream
}
