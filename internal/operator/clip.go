package operator

import (
	"strconv"
	"time"
)

// ClipCommands is `oxbow clip`.
type ClipCommands struct {
	Connection `embed:""`

	Create CreateClip `cmd:"" help:"Make a recording of a piece of another."`
	List   ListClips  `cmd:"" help:"List the clips that were made of a recording."`
}

// CreateClip is `oxbow clip create`.
type CreateClip struct {
	ID    string   `arg:"" help:"The recording's id."`
	Start string   `name:"start" required:"" placeholder:"WHEN" help:"Where it begins: seconds from the recording's start like 90, a duration like 1m30s, or a time of day with its offset."`
	End   string   `name:"end" required:"" placeholder:"WHEN" help:"Where it ends, likewise."`
	Name  string   `name:"name" placeholder:"TEXT" help:"What people call it."`
	Label []string `name:"label" sep:"none" placeholder:"NAME=VALUE" help:"A label; may be repeated."`
}

// Run makes it.
func (k *CreateClip) Run(c *Call) error {
	labels, err := pairs("label", k.Label)
	if err != nil {
		return err
	}
	body := fields{"start": bound(k.Start), "end": bound(k.End)}
	body.text("name", k.Name)
	if len(labels) > 0 {
		body["labels"] = labels
	}
	return c.create(place("/v1/recordings/", k.ID, "/clips"), body, "", by("id"))
}

// bound gives one end of a clip as the API takes it; what is no form of it the API refuses.
func bound(text string) any {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e12 {
		return seconds
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d.Seconds()
	}
	return text
}
