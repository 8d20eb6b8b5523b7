package main

import (
	"context"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/webhook"
)

// webhookFlags say how webhooks are sent to.
type webhookFlags struct {
	WebhookWorkers int           `default:"64" placeholder:"N" help:"How many deliveries to webhooks this process has under way at a time, 4 of them to one webhook; 0 leaves them to other processes (default: ${default})."`
	WebhookTimeout time.Duration `default:"10s" placeholder:"DURATION" help:"Within which a webhook's receiver must have answered, 1s to 30s (default: ${default})."`
	WebhookHistory time.Duration `default:"168h" placeholder:"DURATION" help:"How long deliveries are listed after they arrived or were given up (default: ${default})."`
}

// checkWebhooks says which flag is out of its range.
func (f *webhookFlags) checkWebhooks() error {
	switch most := 1024; {
	case f.WebhookWorkers < 0 || f.WebhookWorkers > most:
		return fmt.Errorf("--webhook-workers %d is out of range: use 0 to %d", f.WebhookWorkers, most)
	case f.WebhookTimeout < time.Second || f.WebhookTimeout > 30*time.Second:
		return fmt.Errorf("--webhook-timeout %s is out of range: use 1s to 30s", f.WebhookTimeout)
	case f.WebhookHistory < time.Minute || f.WebhookHistory > 400*24*time.Hour:
		return fmt.Errorf("--webhook-history %s is out of range: use 1m to 9600h", f.WebhookHistory)
	}
	return nil
}

// startWebhooks starts the delivery to webhooks and gives what sends, which the API's tests need too.
func (n *node) startWebhooks(ctx context.Context) *webhook.Sender {
	const perWebhook = 4
	sender := webhook.NewSender(webhook.SenderConfig{
		Timeout: n.WebhookTimeout, PerWebhook: perWebhook, Version: version,
	})
	n.onClose(sender.Close)
	if n.WebhookWorkers > 0 {
		deliverer := webhook.New(webhook.Config{
			Owner: n.self.ID, Workers: n.WebhookWorkers, PerWebhook: perWebhook, Keep: n.WebhookHistory,
			Lease: 3 * n.WebhookTimeout,
		}, n.catalog, sender, n.logger, n.metrics)
		n.services.add(ctx, "webhooks", deliverer.Run)
	}
	return sender
}
