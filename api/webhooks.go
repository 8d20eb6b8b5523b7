package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Webhooks keeps where events are sent. What is not there is media.ErrNotFound. Lists are of at most 501 items.
type Webhooks interface {
	CreateWebhook(ctx context.Context, w media.Webhook) (media.Webhook, error)
	Webhook(ctx context.Context, id string) (media.Webhook, error)
	Webhooks(ctx context.Context, f media.WebhookFilter) ([]media.Webhook, error)
	UpdateWebhook(ctx context.Context, id string, p media.WebhookPatch) (media.Webhook, error)
	RotateWebhookSecret(ctx context.Context, id, secret string, overlap time.Duration) (media.Webhook, error)
	DeleteWebhook(ctx context.Context, id string) error
	Outbox
}

// WebhookRow is a webhook in answers: all but its secrets.
type WebhookRow struct {
	ID           string     `json:"id" doc:"Names it; in the order of creation"`
	Publisher    string     `json:"publisher" doc:"Whose events it gets; empty is everybody's, and those of clusters"`
	URL          string     `json:"url" doc:"Where events are posted to"`
	Events       []string   `json:"events" nullable:"false" doc:"Types of the events that it gets; empty is all"`
	Label        string     `json:"label" doc:"What it is for: for people"`
	Enabled      bool       `json:"enabled" doc:"false: it gets no new events, and what waits for it goes on waiting"`
	Trusted      bool       `json:"trusted" doc:"An administrator set the URL, which may lie in private networks"`
	CreatedAt    *time.Time `json:"created_at" doc:"When it was made"`
	UpdatedAt    *time.Time `json:"updated_at" doc:"When it was last changed"`
	OldSecret    *time.Time `json:"old_secret_until" doc:"Until when the secret before signs too; null is none"`
	State        string     `json:"state" enum:"ok,failing,disabled" doc:"failing: the last try failed"`
	LastSuccess  *time.Time `json:"last_success" doc:"When an event was taken last, to the second"`
	LastFailure  *time.Time `json:"last_failure" doc:"When a try failed last"`
	FailingSince *time.Time `json:"failing_since" doc:"The first failure after the last success"`
	LastError    string     `json:"last_error" doc:"Why the last try that failed did"`
	Waiting      int64      `json:"waiting" doc:"Deliveries that wait"`
}

func newWebhookRow(w media.Webhook) WebhookRow {
	row := WebhookRow{
		ID: w.ID, Publisher: w.Publisher, URL: w.URL, Events: append([]string{}, w.Events...), Label: w.Label,
		Enabled: w.Enabled, Trusted: w.Trusted, CreatedAt: moment(w.CreatedAt), UpdatedAt: moment(w.UpdatedAt),
		State: "ok", LastSuccess: moment(w.Health.LastSuccess), LastFailure: moment(w.Health.LastFailure),
		FailingSince: moment(w.Health.FailingSince), LastError: w.Health.LastError, Waiting: w.Health.Waiting,
	}
	switch {
	case !w.Enabled:
		row.State = "disabled"
	case !w.Health.FailingSince.IsZero():
		row.State = "failing"
	}
	if w.OldUntil.After(time.Now()) {
		row.OldSecret = moment(w.OldUntil)
	}
	return row
}

type webhookOutput struct {
	Body WebhookRow
}

type webhooksOutput struct {
	Body list[WebhookRow]
}

// secretOutput is a webhook with its secret, which is told at no other time.
type secretOutput struct {
	Body struct {
		WebhookRow
		Secret string `json:"secret" doc:"What signs. It is shown this once"`
	}
}

func newSecretOutput(w media.Webhook) *secretOutput {
	out := &secretOutput{}
	out.Body.WebhookRow = newWebhookRow(w)
	out.Body.Secret = w.Secret
	return out
}

// WebhookPath is the id in a webhook's path.
type WebhookPath struct {
	Webhook string `path:"webhook" maxLength:"64" doc:"The webhook's id"`
}

type createWebhookInput struct {
	Body struct {
		Publisher string   `json:"publisher,omitempty" doc:"Whose events; empty is everybody's, for administrators"`
		URL       string   `json:"url" doc:"https://... or http://..., where events are posted to"`
		Events    []string `json:"events,omitempty" maxItems:"20" doc:"Types of the events that it gets; empty is all"`
		Label     string   `json:"label,omitempty" maxLength:"100" doc:"What it is for: for people"`
		Enabled   *bool    `json:"enabled,omitempty" doc:"true if not set"`
		Secret    string   `json:"secret,omitempty" maxLength:"256" doc:"What signs, of at least 16; the server makes one"`
	}
}

type listWebhooksInput struct {
	Page
	Publisher string `query:"publisher" maxLength:"63" doc:"Only those of this publisher"`
}

type updateWebhookInput struct {
	WebhookPath
	Body struct {
		URL     *string   `json:"url,omitempty" doc:"https://... or http://..., where events are posted to"`
		Events  *[]string `json:"events,omitempty" nullable:"false" maxItems:"20" doc:"Types that it gets; empty is all"`
		Label   *string   `json:"label,omitempty" maxLength:"100" doc:"What it is for: for people"`
		Enabled *bool     `json:"enabled,omitempty" doc:"false: it gets no new events, what waits goes on waiting"`
	}
}

type rotateWebhookInput struct {
	WebhookPath
	Body *struct {
		Secret  string      `json:"secret,omitempty" maxLength:"256" doc:"The new one, of at least 16; the server makes one"`
		Overlap *media.Span `json:"overlap,omitempty" doc:"How long the one before signs too, up to 168h; 24h if not set"`
	}
}

const defaultOverlap = 24 * time.Hour

func (s *Server) webhookRoutes(v1 huma.API) {
	if s.deps.Webhooks == nil {
		return
	}
	const all, one = "/v1/webhooks", "/v1/webhooks/{webhook}"
	route(s, v1, http.MethodPost, all, "create-webhook", "Have events sent to a URL", s.createWebhook,
		func(op *huma.Operation) {
			op.Description = "A webhook whose URL was set with the token of a publisher reaches public addresses only. The " +
				"secret is in this answer and in no other."
		})
	route(s, v1, http.MethodGet, all, "list-webhooks", "List webhooks and how they fare", s.listWebhooks)
	route(s, v1, http.MethodGet, one, "get-webhook", "Get a webhook", s.getWebhook)
	route(s, v1, http.MethodPatch, one, "update-webhook", "Change a webhook", s.updateWebhook)
	route(s, v1, http.MethodDelete, one, "delete-webhook", "Delete a webhook with its deliveries", s.deleteWebhook)
	route(s, v1, http.MethodPost, one+"/rotate", "rotate-webhook", "Give a webhook another secret", s.rotateWebhook,
		answers200)
	s.deliveryRoutes(v1)
}

// answers200 is for a POST that makes nothing.
func answers200(op *huma.Operation) { op.DefaultStatus = http.StatusOK }

// newWebhookSecret makes a secret of 160 random bits.
func newWebhookSecret() string {
	var bits [20]byte
	_, _ = rand.Read(bits[:]) // never fails: crypto/rand ends the program instead
	return "oxw_" + strings.ToLower(base32.StdEncoding.EncodeToString(bits[:]))
}

func (s *Server) createWebhook(ctx context.Context, in *createWebhookInput) (*secretOutput, error) {
	w := media.Webhook{
		Publisher: in.Body.Publisher, URL: in.Body.URL, Label: in.Body.Label, Events: in.Body.Events, Enabled: true,
		Secret: in.Body.Secret, Trusted: caller(ctx).Admin(),
	}
	if in.Body.Enabled != nil {
		w.Enabled = *in.Body.Enabled
	}
	if w.Secret == "" {
		w.Secret = newWebhookSecret()
	}
	if err := restrict(ctx, &w.Publisher, "body.publisher"); err != nil {
		return nil, err
	}
	if w.Publisher == "" && !caller(ctx).Admin() {
		return nil, at("body.publisher", fmt.Errorf("%w: only administrators have everybody's events sent", media.ErrDenied))
	}
	if err := w.Check(); err != nil {
		return nil, err
	}
	w, err := s.deps.Webhooks.CreateWebhook(ctx, w)
	if err != nil {
		return nil, atUnlessField("body.publisher", err)
	}
	return newSecretOutput(w), nil
}

// webhook gives the webhook if it is the caller's to see; another's is one that there is not.
func (s *Server) webhook(ctx context.Context, id string) (media.Webhook, error) {
	w, err := s.deps.Webhooks.Webhook(ctx, id)
	if own := caller(ctx).Publisher; err == nil && own != "" && w.Publisher != own {
		err = fmt.Errorf("webhook %.80q: %w", id, media.ErrNotFound)
	}
	return w, at("path.webhook", err)
}

func (s *Server) listWebhooks(ctx context.Context, in *listWebhooksInput) (*webhooksOutput, error) {
	if err := restrict(ctx, &in.Publisher, "query.publisher"); err != nil {
		return nil, err
	}
	hooks, err := s.deps.Webhooks.Webhooks(ctx, media.WebhookFilter{
		Publisher: in.Publisher, After: in.Cursor, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	id := func(w media.Webhook) string { return w.ID }
	return &webhooksOutput{Body: paged(hooks, in.Limit, id, newWebhookRow)}, nil
}

func (s *Server) getWebhook(ctx context.Context, in *WebhookPath) (*webhookOutput, error) {
	w, err := s.webhook(ctx, in.Webhook)
	if err != nil {
		return nil, err
	}
	return &webhookOutput{Body: newWebhookRow(w)}, nil
}

func (s *Server) updateWebhook(ctx context.Context, in *updateWebhookInput) (*webhookOutput, error) {
	before, err := s.webhook(ctx, in.Webhook)
	if err != nil {
		return nil, err
	}
	patch := media.WebhookPatch{
		URL: in.Body.URL, Trusted: caller(ctx).Admin(), Label: in.Body.Label, Events: in.Body.Events,
		Enabled: in.Body.Enabled,
	}
	w, err := s.deps.Webhooks.UpdateWebhook(ctx, in.Webhook, patch)
	if err != nil {
		return nil, atUnlessField("path.webhook", err)
	}
	w.Health = before.Health
	return &webhookOutput{Body: newWebhookRow(w)}, nil
}

func (s *Server) rotateWebhook(ctx context.Context, in *rotateWebhookInput) (*secretOutput, error) {
	before, err := s.webhook(ctx, in.Webhook)
	if err != nil {
		return nil, err
	}
	secret, overlap := "", defaultOverlap
	if in.Body != nil {
		secret = in.Body.Secret
		if in.Body.Overlap != nil {
			overlap = in.Body.Overlap.D()
		}
	}
	if overlap < 0 || overlap > media.MaxWebhookOverlap {
		return nil, &media.FieldError{Field: "overlap", Want: fmt.Sprintf("%s is out of range: use 0s to %s",
			overlap, media.MaxWebhookOverlap)}
	}
	if secret == "" {
		secret = newWebhookSecret()
	}
	w, err := s.deps.Webhooks.RotateWebhookSecret(ctx, in.Webhook, secret, overlap)
	if err != nil {
		return nil, atUnlessField("path.webhook", err)
	}
	w.Health = before.Health
	return newSecretOutput(w), nil
}

// atUnlessField is at for an error that names no field of the body.
func atUnlessField(location string, err error) error {
	if field := (*media.FieldError)(nil); errors.As(err, &field) {
		return err
	}
	return at(location, err)
}

func (s *Server) deleteWebhook(ctx context.Context, in *WebhookPath) (*nothing, error) {
	if _, err := s.webhook(ctx, in.Webhook); err != nil {
		return nil, err
	}
	if err := s.deps.Webhooks.DeleteWebhook(ctx, in.Webhook); err != nil {
		return nil, at("path.webhook", err)
	}
	return &nothing{}, nil
}
