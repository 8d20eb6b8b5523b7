package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Message is the body that is sent. It is the same at every try.
type Message struct {
	media.LogEvent
	Webhook string `json:"webhook"`
	// Delivery stays through all tries; a replay has another one. It is 0 in a test.
	Delivery int64 `json:"delivery"`
}

// SenderConfig tunes a Sender; its zero value works.
type SenderConfig struct {
	// Timeout bounds a try, from the look-up of the name to the end of the answer; zero is 10 s.
	Timeout time.Duration
	// PerWebhook is how many idle connections are kept to a host; zero is 4.
	PerWebhook int
	// Version is told in the User-Agent; empty is "dev".
	Version string
}

// Sender posts events. It is safe for concurrent use.
type Sender struct {
	cfg     SenderConfig
	trusted *http.Client
	guarded *http.Client
}

// NewSender makes a sender; Close ends its idle connections.
func NewSender(cfg SenderConfig) *Sender {
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.PerWebhook = cmp.Or(cfg.PerWebhook, 4)
	cfg.Version = cmp.Or(cfg.Version, "dev")
	return &Sender{cfg: cfg, trusted: newClient(cfg, nil), guarded: newClient(cfg, publicOnly)}
}

// Close ends idle connections.
func (s *Sender) Close() error {
	s.trusted.CloseIdleConnections()
	s.guarded.CloseIdleConnections()
	return nil
}

// maxAnswer bounds what is read of an answer's body and, apart from it, of its header.
const maxAnswer = 64 << 10

// newClient makes a client that uses no proxy: of one that it went through, control would see the address alone.
func newClient(cfg SenderConfig, control func(network, address string, c syscall.RawConn) error) *http.Client {
	dialer := &net.Dialer{Timeout: cfg.Timeout, Control: control}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			DisableCompression:     true, // an answer is not unpacked past its bound
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    cfg.PerWebhook,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Send posts an event once and gives what came of it. Delivery is 0 for a test.
func (s *Sender) Send(ctx context.Context, w media.Webhook, e media.LogEvent, delivery int64) media.DeliveryResult {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	begun := time.Now()
	result, err := s.post(ctx, w, e, delivery)
	result.Took = time.Since(begun)
	if err != nil {
		result.Error = explain(err)
	}
	// Nor is it told which names there are inside, and who resolves them.
	if unknown := (*net.DNSError)(nil); errors.As(err, &unknown) && !w.Trusted {
		result.Error = errPrivate.Error()
	}
	return result
}

// Test sends a webhook an event that the log does not have, and gives what came of it.
func (s *Sender) Test(ctx context.Context, w media.Webhook) media.DeliveryResult {
	return s.Send(ctx, w, media.LogEvent{
		Type: media.EventWebhookTest, Time: time.Now().UTC().Truncate(time.Millisecond), Publisher: w.Publisher,
		Data: json.RawMessage("{}"),
	}, 0)
}

func (s *Sender) post(ctx context.Context, w media.Webhook, e media.LogEvent, delivery int64) (
	r media.DeliveryResult, err error,
) {
	body, err := json.Marshal(Message{LogEvent: e, Webhook: w.ID, Delivery: delivery})
	if err != nil {
		return r, fmt.Errorf("event %d: %w", e.ID, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	now := time.Now()
	secrets := []string{w.Secret}
	if w.OldSecret != "" && now.Before(w.OldUntil) {
		secrets = append(secrets, w.OldSecret)
	}
	for name, value := range map[string]string{
		"Content-Type":  "application/json",
		"User-Agent":    "Oxbow/" + s.cfg.Version,
		HeaderWebhook:   w.ID,
		HeaderDelivery:  strconv.FormatInt(delivery, 10),
		HeaderEvent:     strconv.FormatInt(e.ID, 10),
		HeaderType:      e.Type,
		HeaderSignature: Sign(now, body, secrets...),
	} {
		req.Header.Set(name, value)
	}
	client := s.guarded
	if w.Trusted {
		client = s.trusted
	}
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	// What is left unread ends the connection, and not the delivery.
	_ = resp.Body.Close()
	r.Status, r.Answer = resp.StatusCode, beginning(answer)
	r.RetryAfter = retryAfter(resp, now)
	switch {
	case err != nil:
		return r, fmt.Errorf("the answer broke off after %d bytes: %w", len(answer), err)
	case !r.OK():
		return r, refused(resp.StatusCode)
	}
	return r, nil
}

// refused says what a status means for the delivery.
func refused(status int) error {
	if status >= 300 && status < 400 {
		return fmt.Errorf("it answers %d: redirects are not followed: set the URL that it leads to", status)
	}
	return fmt.Errorf("it answers %d %s", status, http.StatusText(status))
}

// beginning cuts an answer to what is shown of it.
func beginning(answer []byte) string {
	const shown = 1000
	return strings.ToValidUTF8(string(answer[:min(len(answer), shown)]), "")
}

// retryAfter reads Retry-After (RFC 9110, 10.2.3) of the statuses that mean it; zero is none.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// explain tells an error of the client in few words, without the URL, which who reads it has beside it.
func explain(err error) string {
	if outer := (*url.Error)(nil); errors.As(err, &outer) {
		err = outer.Err
	}
	switch {
	case errors.Is(err, errPrivate):
		return errPrivate.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no whole answer in time"
	case errors.Is(err, context.Canceled):
		return "the server stopped in the middle"
	}
	return err.Error()
}
