package operator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// WebhookCommands is `oxbow webhook`.
type WebhookCommands struct {
	Connection `embed:""`

	List       ListWebhooks   `cmd:"" help:"List the webhooks and how they fare."`
	Show       ShowWebhook    `cmd:"" help:"Show a webhook."`
	Create     CreateWebhook  `cmd:"" help:"Have events sent to a URL; the secret that signs them is printed this once."`
	Set        SetWebhook     `cmd:"" help:"Change a webhook."`
	Delete     DeleteWebhook  `cmd:"" help:"Delete a webhook and what waits for it."`
	Rotate     RotateWebhook  `cmd:"" help:"Make a new secret; what is sent is signed with both for a while."`
	Replay     ReplayWebhook  `cmd:"" help:"Send events of the log again."`
	Deliveries ListDeliveries `cmd:"" help:"List what was sent to a webhook and what waits, newest first."`
	Test       TestWebhook    `cmd:"" help:"Send a test event now, and say what came of it."`
}

// ListWebhooks is `oxbow webhook list`.
type ListWebhooks struct {
	Publisher string `name:"publisher" placeholder:"NAME" help:"Only those of this publisher."`
	Paging    `embed:""`
}

// Run lists them.
func (l *ListWebhooks) Run(c *Call) error {
	q := query{}
	q.text("publisher", l.Publisher)
	return c.list("/v1/webhooks", url.Values(q), l.Paging, table{
		columns: []string{
			"ID=id", "PUBLISHER=publisher", "URL=url", "EVENTS=events", "STATE=state", "WAITING=waiting", "LABEL=label",
			"+LAST SUCCESS=last_success", "+FAILING SINCE=failing_since", "+LAST ERROR=last_error",
		},
		id: by("id"),
	})
}

// ShowWebhook is `oxbow webhook show`.
type ShowWebhook struct {
	ID string `arg:"" help:"The webhook's id."`
}

// Run shows it.
func (s *ShowWebhook) Run(c *Call) error { return c.show(place("/v1/webhooks/", s.ID), by("id")) }

// CreateWebhook is `oxbow webhook create`.
type CreateWebhook struct {
	URL        string   `arg:"" help:"Where events are sent."`
	Publisher  string   `name:"publisher" placeholder:"NAME" help:"Only events of this publisher. Default: all."`
	Event      []string `name:"event" placeholder:"TYPE" help:"Only events of this type, like recording.ended; may be repeated. Default: all."`
	Label      string   `name:"label" placeholder:"TEXT" help:"What it is for: for people."`
	SecretFile string   `name:"secret-file" placeholder:"FILE" help:"Sign with the secret in this file; - is stdin. Default: the server makes one."`
	Disabled   bool     `name:"disabled" help:"Send nothing yet."`
}

// Run makes it.
func (w *CreateWebhook) Run(c *Call) error {
	body := fields{"url": w.URL}
	body.text("publisher", w.Publisher)
	body.texts("events", w.Event)
	body.text("label", w.Label)
	if w.Disabled {
		body["enabled"] = false
	}
	if w.SecretFile != "" {
		secret, err := c.process.readFile(w.SecretFile, maxTokenFile)
		if err != nil {
			return fmt.Errorf("--secret-file: %w", err)
		}
		body["secret"] = strings.TrimSpace(string(secret))
	}
	return c.create("/v1/webhooks", body, "secret", by("id"))
}

// SetWebhook is `oxbow webhook set`.
type SetWebhook struct {
	ID        string   `arg:"" help:"The webhook's id."`
	URL       *string  `name:"url" placeholder:"URL" help:"Where events are sent."`
	Event     []string `name:"event" placeholder:"TYPE" help:"Only events of this type; may be repeated. They replace those that it has."`
	AllEvents bool     `name:"all-events" help:"Events of all types."`
	Label     *string  `name:"label" placeholder:"TEXT" help:"What it is for: for people."`
	Enable    bool     `name:"enable" xor:"enabled" help:"Send."`
	Disable   bool     `name:"disable" xor:"enabled" help:"Send nothing."`
	Match     `embed:""`
}

// Run changes it.
func (w *SetWebhook) Run(c *Call) error {
	body := fields{}
	if w.URL != nil {
		body["url"] = *w.URL
	}
	if w.Label != nil {
		body["label"] = *w.Label
	}
	switch {
	case w.AllEvents && len(w.Event) > 0:
		return usage("--event and --all-events: use one of them")
	case w.AllEvents:
		body["events"] = []string{}
	}
	body.texts("events", w.Event)
	if w.Enable || w.Disable {
		body["enabled"] = w.Enable
	}
	if len(body) == 0 {
		return usage("nothing to set: give --url, --event, --all-events, --label, --enable or --disable")
	}
	return c.act(Request{Method: http.MethodPatch, Path: place("/v1/webhooks/", w.ID), Body: body, IfMatch: w.IfMatch},
		"webhook %s is changed", w.ID)
}

// DeleteWebhook is `oxbow webhook delete`.
type DeleteWebhook struct {
	ID    string `arg:"" help:"The webhook's id."`
	Match `embed:""`
}

// Run deletes it.
func (w *DeleteWebhook) Run(c *Call) error {
	return c.act(Request{Method: http.MethodDelete, Path: place("/v1/webhooks/", w.ID), IfMatch: w.IfMatch},
		"webhook %s is deleted", w.ID)
}

// RotateWebhook is `oxbow webhook rotate`.
type RotateWebhook struct {
	ID      string `arg:"" help:"The webhook's id."`
	Overlap string `name:"overlap" placeholder:"DURATION" help:"How long the old secret signs too, like 24h. Default: the server's."`
}

// Run rotates it.
func (w *RotateWebhook) Run(c *Call) error {
	body := fields{}
	body.text("overlap", w.Overlap)
	return c.create(place("/v1/webhooks/", w.ID, "/rotate"), body, "secret", by("id"))
}

// ReplayWebhook is `oxbow webhook replay`.
type ReplayWebhook struct {
	ID    string `arg:"" help:"The webhook's id."`
	Since past   `name:"since" xor:"from" placeholder:"WHEN" help:"Events since: a duration ago like 2h, or a time."`
	After *int64 `name:"after" xor:"from" placeholder:"EVENT" help:"Events after the one of this id."`
	Until past   `name:"until" placeholder:"WHEN" help:"Events before: likewise. Default: now."`
}

// Run replays.
func (w *ReplayWebhook) Run(c *Call) error {
	body := fields{}
	switch {
	case w.After != nil:
		body["after"] = *w.After
	case w.Since.IsZero():
		return usage("which events? Give --since WHEN or --after EVENT")
	}
	body.text("since", rfc3339(w.Since.Time))
	body.text("until", rfc3339(w.Until.Time))
	return c.create(place("/v1/webhooks/", w.ID, "/replay"), body, "", func(o object) string {
		return human("enqueued", o.get("enqueued"))
	})
}

// ListDeliveries is `oxbow webhook deliveries`.
type ListDeliveries struct {
	ID     string `arg:"" help:"The webhook's id."`
	State  string `name:"state" placeholder:"STATE" help:"Only those that are waiting, delivered or failed."`
	Paging `embed:""`
}

// Run lists them.
func (l *ListDeliveries) Run(c *Call) error {
	q := query{}
	q.text("state", l.State)
	return c.list(place("/v1/webhooks/", l.ID, "/deliveries"), url.Values(q), l.Paging, table{
		columns: []string{
			"ID=id", "EVENT=event", "TYPE=type", "SUBJECT=subject", "STATE=state", "ATTEMPTS=attempts", "STATUS=status",
			"TRIED=tried_at", "ERROR=error", "+NEXT=next_at",
		},
		id: func(o object) string { return human("id", o.get("id")) },
	})
}

// TestWebhook is `oxbow webhook test`.
type TestWebhook struct {
	ID string `arg:"" help:"The webhook's id."`
}

// Run tests it, and fails where the receiver did not take the event.
func (w *TestWebhook) Run(c *Call) error {
	answer, err := c.do(Request{Method: http.MethodPost, Path: place("/v1/webhooks/", w.ID, "/test")})
	if err != nil {
		return err
	}
	var result struct {
		OK    bool
		Error string
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return fmt.Errorf("%w: %w", errShape, err)
	}
	err = c.print(answer, func(o object) string { return human("status", o.get("status")) }, showAll)
	if err == nil && !result.OK {
		err = fmt.Errorf("the receiver of webhook %s did not take the event: %s", w.ID, clean(result.Error, maxText))
	}
	return err
}
