package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Outbox keeps what is to be sent to webhooks, and what was. Its errors are media.ErrNotFound and media.ErrConflict of
// the webhook, or a *media.FieldError. Deliveries does not look for the webhook.
type Outbox interface {
	Deliveries(ctx context.Context, f media.DeliveryFilter) ([]media.Delivery, error)
	ReplayEvents(ctx context.Context, webhook string, r media.ReplayRange) (int64, error)
}

// deliveryRow is a delivery in answers.
type deliveryRow struct {
	ID         int64      `json:"id" doc:"Counts up in the order of sending; the header Oxbow-Delivery-Id"`
	Event      int64      `json:"event" doc:"The event's id"`
	Type       string     `json:"type" doc:"The event's type"`
	Subject    string     `json:"subject" doc:"What keeps its order: a recording, else a stream, publisher or cluster"`
	State      string     `json:"state" enum:"waiting,delivered,failed" doc:"failed: given up"`
	EnqueuedAt *time.Time `json:"enqueued_at" doc:"When it was put into the outbox"`
	DoneAt     *time.Time `json:"done_at" doc:"When it was delivered or given up"`
	Attempts   int        `json:"attempts" doc:"Tries that were answered, or not in time"`
	TriedAt    *time.Time `json:"tried_at" doc:"When the last try ended"`
	NextAt     *time.Time `json:"next_at" doc:"When its subject is tried next, or the try under way is given up"`
	Status     int        `json:"status" doc:"HTTP status of the last try; 0 is no answer"`
	Answer     string     `json:"answer" doc:"How the last answer begins"`
	Error      string     `json:"error" doc:"Why the last try failed"`
	TookMS     int64      `json:"took_ms" doc:"How long the last try took"`
}

func newDeliveryRow(d media.Delivery) deliveryRow {
	return deliveryRow{
		ID: d.ID, Event: d.EventID, Type: d.Type, Subject: d.Subject, State: d.State, EnqueuedAt: moment(d.EnqueuedAt),
		DoneAt: moment(d.DoneAt), Attempts: d.Attempts, TriedAt: moment(d.TriedAt), NextAt: moment(d.NextAt),
		Status: d.Last.Status, Answer: d.Last.Answer, Error: d.Last.Error, TookMS: d.Last.Took.Milliseconds(),
	}
}

type listDeliveriesInput struct {
	WebhookPath
	Page
	State string `query:"state" enum:"waiting,delivered,failed" doc:"Only those in this state"`
}

type deliveriesOutput struct {
	Body list[deliveryRow]
}

type testWebhookOutput struct {
	Body struct {
		OK     bool   `json:"ok" doc:"The receiver took it: it answered 2xx"`
		Status int    `json:"status" doc:"HTTP status; 0 is no answer"`
		Answer string `json:"answer" doc:"How the answer begins"`
		Error  string `json:"error" doc:"Why it failed"`
		TookMS int64  `json:"took_ms" doc:"How long it took"`
	}
}

type replayInput struct {
	WebhookPath
	Body struct {
		After *int64     `json:"after,omitempty" minimum:"0" doc:"Events after this id; 0 is all that the log has"`
		Since *time.Time `json:"since,omitempty" doc:"Events at or after; this or after is needed"`
		Until *time.Time `json:"until,omitempty" doc:"Events before; all up to now if not set"`
	}
}

type replayOutput struct {
	Body struct {
		Enqueued int64 `json:"enqueued" doc:"Events that are sent again"`
	}
}

func (s *Server) deliveryRoutes(v1 huma.API) {
	const one = "/v1/webhooks/{webhook}"
	route(s, v1, http.MethodGet, one+"/deliveries", "list-deliveries", "List what was sent to a webhook, and what waits",
		s.listDeliveries, func(op *huma.Operation) {
			op.Description = "Newest first. What was delivered or given up is kept for a week."
		})
	route(s, v1, http.MethodPost, one+"/test", "test-webhook", "Send a webhook a test", s.testWebhook, answers200,
		func(op *huma.Operation) {
			op.Description = "Sends an event of the type webhook.test, once, also when the webhook is disabled, and tells " +
				"what the receiver said."
		})
	route(s, v1, http.MethodPost, one+"/replay", "replay-events", "Send events of the log again", s.replayEvents,
		func(op *huma.Operation) {
			op.DefaultStatus = http.StatusAccepted
			op.Description = "Enqueues those of the events that the webhook asks for, in order, behind what waits; at most " +
				"100,000. Each gets a new delivery id and keeps its event id."
		})
}

func (s *Server) listDeliveries(ctx context.Context, in *listDeliveriesInput) (*deliveriesOutput, error) {
	var before int64
	if in.Cursor != "" {
		var err error
		if before, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil || before < 1 {
			return nil, at("query.cursor", fmt.Errorf("%w: use the next of the page before as it came", media.ErrInvalid))
		}
	}
	if _, err := s.webhook(ctx, in.Webhook); err != nil {
		return nil, err
	}
	items, err := s.deps.Webhooks.Deliveries(ctx, media.DeliveryFilter{
		Webhook: in.Webhook, State: in.State, Before: before, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	id := func(d media.Delivery) string { return strconv.FormatInt(d.ID, 10) }
	return &deliveriesOutput{Body: paged(items, in.Limit, id, newDeliveryRow)}, nil
}

// testTimeout leaves time of a request's to answer it.
const testTimeout = 8 * time.Second

func (s *Server) testWebhook(ctx context.Context, in *WebhookPath) (*testWebhookOutput, error) {
	w, err := s.webhook(ctx, in.Webhook)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, min(testTimeout, s.cfg.Timeout*8/10))
	defer cancel()
	r := s.deps.TestWebhook(ctx, w)
	out := &testWebhookOutput{}
	out.Body.OK, out.Body.Status, out.Body.Answer, out.Body.Error = r.OK(), r.Status, r.Answer, r.Error
	out.Body.TookMS = r.Took.Milliseconds()
	return out, nil
}

func (s *Server) replayEvents(ctx context.Context, in *replayInput) (*replayOutput, error) {
	if (in.Body.After == nil) == (in.Body.Since == nil) {
		return nil, &media.FieldError{Field: "since", Want: "give since or after, and not both: after 0 is all that there is"}
	}
	var r media.ReplayRange
	if in.Body.After != nil {
		r.After = *in.Body.After
	}
	if in.Body.Since != nil {
		r.Since = *in.Body.Since
	}
	if in.Body.Until != nil {
		if r.Until = *in.Body.Until; !r.Until.After(r.Since) {
			return nil, &media.FieldError{Field: "until", Want: "it is not after since: nothing is between"}
		}
	}
	if _, err := s.webhook(ctx, in.Webhook); err != nil {
		return nil, err
	}
	n, err := s.deps.Webhooks.ReplayEvents(ctx, in.Webhook, r)
	if err != nil {
		return nil, atUnlessField("path.webhook", err)
	}
	out := &replayOutput{}
	out.Body.Enqueued = n
	return out, nil
}
