package api

import (
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// span describes a media.Span in the OpenAPI document: a Go duration string. ("format: duration" would mean ISO 8601.)
type span struct{}

// Schema describes it. Of what the pattern lets through nothing fails to parse.
func (span) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type:               huma.TypeString,
		Description:        "A duration: decimal numbers, each with a unit (ns, us, ms, s, m, h).",
		Pattern:            media.SpanPattern,
		PatternDescription: "a duration like 90s, 5m or 1h30m",
		Examples:           []any{"90s"},
	}
}

// newRegistry makes the registry of schemas, which knows media's types that a schema can't be read from.
func newRegistry() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	r.RegisterTypeAlias(reflect.TypeFor[media.Span](), reflect.TypeFor[span]())
	return r
}

// Settings are the effective settings in answers.
type Settings struct {
	media.Settings
}

// TransformSchema puts in what media's table says of each setting.
func (Settings) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	describe(s, true)
	return s
}

// SettingsPatch is the settings that a request sets, or that are a stream's own.
type SettingsPatch struct {
	media.SettingsPatch
}

// TransformSchema puts in what media's table says of each setting. There are no defaults: what is left out of a change
// stays as it is.
func (SettingsPatch) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	describe(s, false)
	return s
}

// describe explains the settings among a schema's properties. Ranges are words, not keywords: media's check says more
// of what would be right than a validator.
func describe(schema *huma.Schema, defaults bool) {
	if reset, ok := schema.Properties["reset"]; ok {
		reset.Description += ": a stream's to its publisher's, a publisher's to the default"
		for _, setting := range media.SettingsTable() {
			reset.Items.Enum = append(reset.Items.Enum, setting.Name)
		}
		reset.Items.PrecomputeMessages()
	}
	for _, setting := range media.SettingsTable() {
		property, ok := schema.Properties[setting.Name]
		if !ok || property.Type == "" {
			continue
		}
		text := []string{setting.Doc}
		if use := setting.Range(); use != "" && setting.Kind != media.KindWord {
			text = append(text, use)
		} else if setting.Kind == media.KindText && setting.Zero != "" {
			text = append(text, "empty: "+setting.Zero)
		}
		if defaults {
			property.Default = setting.Default()
		}
		property.Description = strings.Join(text, ". ")
		for _, w := range setting.Words {
			property.Enum = append(property.Enum, w)
		}
		property.PrecomputeMessages()
	}
}

// Resets names the settings that a change takes back.
type Resets struct {
	Names []string `json:"reset,omitempty" nullable:"false" maxItems:"100" doc:"Names of settings to take back"`
}

// SettingsChange is what a request changes of a publisher's settings.
type SettingsChange struct {
	Resets
	SettingsPatch
}

func (c SettingsChange) media() media.SettingsPatch {
	p := c.SettingsPatch.SettingsPatch
	p.Reset = c.Names
	return p
}

// moment is t for JSON: null when it is zero, else UTC to the millisecond.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// null stands for a JSON null in what huma validates. Huma lets a null pass for any optional field, which would
// silently change nothing; a value of no JSON type is refused with the field's name.
type null struct{}

// MarshalJSON writes the null back, for the error that repeats it.
func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }
