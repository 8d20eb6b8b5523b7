package api

import (
	"fmt"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// labelsSetter is labels in a request. An empty map is no labels, none leaves them as they are.
type labelsSetter media.Labels

// Schema bounds labels; media.Labels.Check says what is wrong with them.
func (labelsSetter) Schema(huma.Registry) *huma.Schema {
	most := media.MaxLabels
	return &huma.Schema{
		Type:                 huma.TypeObject,
		Description:          "Values by name. A name is 1 to 63 of a-z 0-9 _ . -, a value up to 200 printable characters",
		AdditionalProperties: &huma.Schema{Type: huma.TypeString},
		MaxProperties:        &most,
		Examples:             []any{map[string]any{"season": "2026", "league": "first"}},
	}
}

// order is a media.Sort in a request. Default is that of the listing's summary.
type order media.Sort

// Schema lists the orders.
func (order) Schema(huma.Registry) *huma.Schema {
	schema := &huma.Schema{Type: huma.TypeString}
	for _, sort := range media.Sorts() {
		schema.Enum = append(schema.Enum, string(sort))
	}
	return schema
}

// RecordingFilter is what a listing of recordings may be narrowed to beside what a deletion may, and its order.
type RecordingFilter struct {
	Label []string `query:"label,explode" maxItems:"8" doc:"Only those with it: NAME, or NAME=VALUE; may be repeated"`
	Name  string   `query:"name" maxLength:"200" doc:"Only those whose name contains this, in capitals or not"`

	MinDuration string `query:"min_duration" maxLength:"40" doc:"Only those of at least this length, like 90s or 1h30m"`
	MaxDuration string `query:"max_duration" maxLength:"40" doc:"Only those of at most this length, like 90s or 1h30m"`
	Clips       string `query:"clips" enum:"true,false" doc:"true: only clips; false: only what is no clip"`
	Sort        order  `query:"sort" doc:"The order; - is from the greatest down. All but started_at list what has ended"`
}

// apply adds it to a filter.
func (r *RecordingFilter) apply(f *media.RecordingFilter) error {
	for _, text := range r.Label {
		label, err := media.ParseLabelFilter(text)
		if err != nil {
			return at("query.label", err)
		}
		f.Labels = append(f.Labels, label)
	}
	f.Name, f.Sort = r.Name, media.Sort(r.Sort)
	f.Clips, f.Shows = r.Clips == "true", r.Clips == "false"
	var err error
	if f.MinDuration, err = length("query.min_duration", r.MinDuration); err != nil {
		return err
	}
	if f.MaxDuration, err = length("query.max_duration", r.MaxDuration); err != nil {
		return err
	}
	if f.MaxDuration > 0 && f.MinDuration > f.MaxDuration {
		return at("query.max_duration", fmt.Errorf("%w: it is less than min_duration: nothing is between", media.ErrInvalid))
	}
	if f.Sort.Ended() && len(f.States) > 0 && !slices.ContainsFunc(f.States, ended) {
		return at("query.sort", fmt.Errorf("%w: what is live can be sorted by started_at only", media.ErrInvalid))
	}
	return nil
}

func ended(state media.State) bool { return !state.Growing() }

// length reads a bound of a recording's length; empty is none, which is zero.
func length(location, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	var span media.Span
	if err := span.UnmarshalText([]byte(text)); err != nil || span.D() < time.Millisecond {
		return 0, at(location, fmt.Errorf("%w: use a duration from 1ms on, like 90s or 1h30m", media.ErrInvalid))
	}
	return span.D(), nil
}
