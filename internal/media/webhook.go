package media

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Webhook is where events are sent.
type Webhook struct {
	ID string
	// Publisher is whose events it gets; empty is everybody's, and those of clusters.
	Publisher string
	URL       string
	Label     string
	// Events are the types that it gets; empty is all.
	Events  []string
	Enabled bool
	// Trusted says that an administrator chose the URL, which then may lie in private networks.
	Trusted bool
	// Secret signs what is sent, and OldSecret too until OldUntil. They are never shown.
	Secret    string
	OldSecret string
	OldUntil  time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
	Health    WebhookHealth
}

// WebhookHealth is how a webhook fares. Times are zero for never.
type WebhookHealth struct {
	LastSuccess time.Time
	LastFailure time.Time
	// FailingSince is the first failure after the last success; zero: the last try succeeded.
	FailingSince time.Time
	LastError    string
	// Waiting is how many deliveries wait.
	Waiting int64
}

// WebhookPatch is what a change of a webhook sets; nil leaves it. Trusted goes with the URL.
type WebhookPatch struct {
	URL     *string
	Trusted bool
	Label   *string
	Events  *[]string
	Enabled *bool
}

// WebhookFilter selects webhooks, in order of id. Publisher "" selects all.
type WebhookFilter struct {
	Publisher string
	After     string
	Limit     int
}

// EventWebhookTest is the type of the event that tries a webhook out. The log never has it.
const EventWebhookTest = "webhook.test"

// Bounds of a webhook's fields.
const (
	MinWebhookSecret  = 16
	MaxWebhookSecret  = 256
	MaxWebhookURL     = 2000
	MaxWebhookLabel   = 100
	MaxWebhookOverlap = 7 * 24 * time.Hour // of the old secret
)

// Check says which value is out of form, as a *FieldError that repeats no secret.
func (w Webhook) Check() error {
	if err := checkWebhookURL(w.URL); err != nil {
		return err
	}
	if utf8.RuneCountInString(w.Label) > MaxWebhookLabel ||
		strings.ContainsFunc(w.Label, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
		return &FieldError{Field: "label", Want: fmt.Sprintf("use at most %d printable characters", MaxWebhookLabel)}
	}
	for i, name := range w.Events {
		switch {
		case !slices.Contains(LogEventTypes(), name):
			return &FieldError{Field: "events", Want: fmt.Sprintf("%.40q is no type of event: use any of %s, or [] for all",
				name, strings.Join(LogEventTypes(), ", "))}
		case slices.Contains(w.Events[:i], name):
			return &FieldError{Field: "events", Want: name + " is there twice"}
		}
	}
	return CheckWebhookSecret(w.Secret)
}

// CheckWebhookSecret says what is wrong with a secret.
func CheckWebhookSecret(secret string) error {
	strange := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(secret) < MinWebhookSecret || len(secret) > MaxWebhookSecret || strings.ContainsFunc(secret, strange) {
		return &FieldError{Field: "secret", Want: fmt.Sprintf(
			"use %d to %d printable ASCII characters without blanks, or leave it out to get one",
			MinWebhookSecret, MaxWebhookSecret)}
	}
	return nil
}

func checkWebhookURL(text string) error {
	bad := func(format string, args ...any) error {
		return &FieldError{Field: "url", Want: fmt.Sprintf(format, args...)}
	}
	if text == "" || len(text) > MaxWebhookURL {
		return bad("give a URL of 1 to %d bytes", MaxWebhookURL)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return bad("it does not parse as a URL: write it like https://example.com/hooks/oxbow")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("scheme %.20q is not taken: use https or http", u.Scheme)
	case u.Hostname() == "":
		return bad("it names no host: write it like https://example.com/hooks/oxbow")
	case u.Port() != "" && !portOK(u.Port()):
		return bad("port %.20s is none: use 1 to 65535", u.Port())
	case u.User != nil:
		return bad("leave user and password out: the signature says who sends")
	case u.Fragment != "":
		return bad("leave out what follows the #: it is never sent")
	}
	return nil
}

func portOK(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port > 0
}

// States of a delivery.
const (
	DeliveryWaiting   = "waiting"
	DeliveryDelivered = "delivered"
	DeliveryFailed    = "failed" // given up
)

// DeliveryStates lists every state of a delivery.
func DeliveryStates() []string { return []string{DeliveryWaiting, DeliveryDelivered, DeliveryFailed} }

// Delivery is an event that is to be sent to a webhook, or was.
type Delivery struct {
	// ID counts up in the order of sending. It stays through all tries; a replay makes another.
	ID      int64
	Webhook string
	// EventID and Type are the event's, which the log may have forgotten.
	EventID    int64
	Type       string
	Subject    string // LogEvent.Subject: of one subject the next waits for the one before
	State      string
	EnqueuedAt time.Time
	DoneAt     time.Time // delivered, or given up; zero is not yet
	Attempts   int
	// Last is the outcome of the last try, at TriedAt; both are zero before the first.
	Last    DeliveryResult
	TriedAt time.Time
	NextAt  time.Time // of the waiting: when its subject is due, or whoever is at it must have ended
}

// DeliveryClaim is a delivery that somebody is to send, before Until.
type DeliveryClaim struct {
	Delivery
	Event LogEvent
	Owner string
	Epoch int64
	Until time.Time
}

// DeliveryResult is what came of a try.
type DeliveryResult struct {
	// Status is HTTP's; 0 is no answer.
	Status int
	// Answer is how the answer's body begins.
	Answer string
	// Error says why the try failed; empty is success.
	Error string
	Took  time.Duration
	// RetryAfter is what the receiver asks for; 0 is nothing.
	RetryAfter time.Duration
}

// OK says that the receiver has taken the event.
func (r DeliveryResult) OK() bool {
	return r.Error == "" && r.Status >= http.StatusOK && r.Status < http.StatusMultipleChoices
}

// DeliveryFilter selects a webhook's deliveries, newest first. State "" selects all; Before 0 begins with the newest.
type DeliveryFilter struct {
	Webhook string
	State   string
	Before  int64
	Limit   int
}

// ReplayRange selects events of the log to be sent again: those after an id, or of a time. Until and After may be zero;
// Since is ignored where After is set.
type ReplayRange struct {
	After int64
	Since time.Time
	Until time.Time
}

// DeliveryDepth is how much waits for all webhooks together.
type DeliveryDepth struct {
	Waiting int64
	Oldest  time.Time // when the oldest of them was enqueued; zero without any
}
