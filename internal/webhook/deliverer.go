package webhook

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Outbox keeps what is to be sent. FinishDelivery and FailDelivery are media.ErrFenced when another claim has followed;
// at the zero retryAt a delivery is given up, with those of its subject that were enqueued before expired.
type Outbox interface {
	DueWebhooks(ctx context.Context, after string, now time.Time, limit int) ([]media.Webhook, error)
	ClaimDeliveries(ctx context.Context, owner, webhook string, now time.Time, lease time.Duration, limit int) (
		[]media.DeliveryClaim, error)
	FinishDelivery(ctx context.Context, c media.DeliveryClaim, r media.DeliveryResult) error
	FailDelivery(ctx context.Context, c media.DeliveryClaim, r media.DeliveryResult, retryAt, expired time.Time) error
	ReleaseDelivery(ctx context.Context, c media.DeliveryClaim) error
	Upkeep
}

// Upkeep is what keeps the outbox in order.
type Upkeep interface {
	LapseDeliveries(ctx context.Context, owner string, now time.Time) (int64, error)
	PruneDeliveries(ctx context.Context, before time.Time) (int64, error)
	DeliveryDepth(ctx context.Context) (media.DeliveryDepth, error)
}

// Config tunes a Deliverer; zero values are defaults, but for Owner.
type Config struct {
	// Owner is the process's name, the same at every start: its claims from before are taken back.
	Owner string
	// Workers bounds the tries under way; zero is 64.
	Workers int
	// PerWebhook bounds those of one webhook; zero is 4.
	PerWebhook int
	// Poll is how often it looks for what is due while nothing else has it look; zero is 500 ms.
	Poll time.Duration
	// Lease is how long a claim lasts whose process is gone; zero is 30 s. A try takes no longer.
	Lease time.Duration
	// Retry is the wait after the first failed try, doubled with each to an hour; zero is 1 s.
	Retry time.Duration
	// GiveUp is how long a delivery is tried; zero is 24 h.
	GiveUp time.Duration
	// Keep is how long what was delivered or given up is kept for listings; zero is 7 days.
	Keep time.Duration
}

// lastRetry is the longest wait between tries, also when the receiver asks for more.
const lastRetry = time.Hour

// Deliverer delivers what is in the outbox. New makes it, Run runs it; several processes may have one each.
type Deliverer struct {
	cfg     Config
	outbox  Outbox
	sender  *Sender
	log     *slog.Logger
	metrics *metrics
	wake    chan struct{} // a try is over: there is room, and the next of its subject is due
	tries   sync.WaitGroup
	after   string    // the webhook that was looked at last; Step's alone
	pruned  time.Time // KeepUp's alone

	mu      sync.Mutex
	busy    map[string]int // tries under way by webhook
	all     int
	failing map[string]bool // webhooks whose last try failed
}

// New makes a deliverer.
func New(cfg Config, outbox Outbox, sender *Sender, logger *slog.Logger, registerer prometheus.Registerer) *Deliverer {
	cfg.Workers = cmp.Or(cfg.Workers, 64)
	cfg.PerWebhook = cmp.Or(cfg.PerWebhook, 4)
	cfg.Poll = cmp.Or(cfg.Poll, 500*time.Millisecond)
	cfg.Lease = cmp.Or(cfg.Lease, 30*time.Second)
	cfg.Retry = cmp.Or(cfg.Retry, time.Second)
	cfg.GiveUp = cmp.Or(cfg.GiveUp, 24*time.Hour)
	cfg.Keep = cmp.Or(cfg.Keep, 7*24*time.Hour)
	return &Deliverer{
		cfg: cfg, outbox: outbox, sender: sender, log: logger, metrics: newMetrics(registerer),
		wake: make(chan struct{}, 1), busy: map[string]int{}, failing: map[string]bool{},
	}
}

// Run delivers until the context ends. Tries that are under way then are cut off, and are due again at once.
func (d *Deliverer) Run(ctx context.Context) error {
	defer d.tries.Wait()
	if _, err := d.outbox.LapseDeliveries(ctx, d.cfg.Owner, time.Now()); err != nil && ctx.Err() == nil {
		d.log.WarnContext(ctx, "deliveries of the process before wait for their leases", "err", err)
	}
	var upkeep time.Time
	away := false
	tick := time.NewTicker(d.cfg.Poll)
	defer tick.Stop()
	for {
		if err := d.Step(ctx); err != nil && ctx.Err() == nil {
			if !away {
				d.log.WarnContext(ctx, "webhooks wait for the catalog", "err", err)
			}
			away = true
		} else {
			away = false
		}
		if now := time.Now(); now.Sub(upkeep) >= keepUpEvery {
			upkeep = now
			if err := d.KeepUp(ctx); err != nil && ctx.Err() == nil {
				d.log.DebugContext(ctx, "outbox was not pruned", "err", err)
			}
		}
		wake := d.wake
		if away {
			wake = nil // ends of tries are no news of the catalog
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-wake:
		}
	}
}

// How often the outbox is measured and pruned.
const (
	keepUpEvery = 15 * time.Second
	pruneEvery  = 10 * time.Minute
)

// KeepUp measures the outbox and forgets what is old.
func (d *Deliverer) KeepUp(ctx context.Context) error {
	depth, err := d.outbox.DeliveryDepth(ctx)
	if err != nil {
		return err
	}
	d.metrics.waiting.Set(float64(depth.Waiting))
	age := 0.0
	if !depth.Oldest.IsZero() {
		age = max(0, time.Since(depth.Oldest).Seconds())
	}
	d.metrics.oldest.Set(age)
	now := time.Now()
	if now.Sub(d.pruned) < pruneEvery {
		return nil
	}
	d.pruned = now
	_, err = d.outbox.PruneDeliveries(ctx, now.Add(-d.cfg.Keep))
	return err
}

// Step starts what is due and has room. It goes round the webhooks: the next step goes on after the last one.
func (d *Deliverer) Step(ctx context.Context) error {
	for range 2 { // to the end, and round
		free, begun := d.free(), d.after
		if free <= 0 {
			return nil // the end of a try wakes the next step
		}
		due, err := d.outbox.DueWebhooks(ctx, begun, time.Now(), d.cfg.Workers)
		if err != nil {
			return err
		}
		for _, w := range due {
			if free <= 0 {
				return nil
			}
			d.after = w.ID
			n, err := d.start(ctx, w, min(d.roomOf(w.ID), free))
			if err != nil {
				return err
			}
			free -= n
		}
		if len(due) == d.cfg.Workers { // there may be more
			d.again()
			return nil
		}
		if d.after = ""; begun == "" {
			return nil
		}
	}
	return nil
}

// again has Run make another step.
func (d *Deliverer) again() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *Deliverer) free() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg.Workers - d.all
}

func (d *Deliverer) roomOf(webhook string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg.PerWebhook - d.busy[webhook]
}

// start claims up to room deliveries of a webhook and has them sent.
func (d *Deliverer) start(ctx context.Context, w media.Webhook, room int) (int, error) {
	if room <= 0 {
		return 0, nil
	}
	claims, err := d.outbox.ClaimDeliveries(ctx, d.cfg.Owner, w.ID, time.Now(), d.cfg.Lease, room)
	if err != nil {
		return 0, err
	}
	for _, c := range claims {
		d.count(w.ID, 1)
		d.tries.Go(func() {
			d.try(ctx, w, c)
			d.count(w.ID, -1)
			d.again()
		})
	}
	return len(claims), nil
}

func (d *Deliverer) count(webhook string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all += n
	if d.busy[webhook] += n; d.busy[webhook] == 0 {
		delete(d.busy, webhook)
	}
	d.metrics.busy.Set(float64(d.all))
}

// try sends a delivery once and settles its claim, also when the context ends meanwhile.
func (d *Deliverer) try(ctx context.Context, w media.Webhook, c media.DeliveryClaim) {
	sending, cancel := context.WithDeadline(ctx, c.Until)
	r := d.sender.Send(sending, w, c.Event, c.ID)
	cancel()
	const settleTimeout = 5 * time.Second
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	err := d.settle(settling, w, c, r, ctx.Err() != nil)
	result := "failed"
	switch {
	case errors.Is(err, media.ErrFenced):
		result = "fenced"
	case err != nil: // it is sent again when the lease ends
		d.log.WarnContext(ctx, "delivery was sent and not noted", "webhook", w.ID, "event", c.EventID, "err", err)
	case r.OK():
		d.metrics.late.Observe(max(0, time.Since(c.EnqueuedAt).Seconds()))
	}
	switch {
	case result == "fenced":
	case r.OK():
		result = "ok"
	case r.Status != 0:
		result = "refused"
	}
	d.metrics.tries.WithLabelValues(result).Inc()
	d.metrics.seconds.Observe(r.Took.Seconds())
}

// settle notes the outcome of a try. One that was cut off by the process's own stop is due again at once.
func (d *Deliverer) settle(ctx context.Context, w media.Webhook, c media.DeliveryClaim, r media.DeliveryResult,
	stopped bool,
) error {
	now := time.Now()
	switch {
	case r.OK():
		if err := d.outbox.FinishDelivery(ctx, c, r); err != nil {
			return err
		}
		if d.turned(w.ID, false) {
			d.log.InfoContext(ctx, "webhook has recovered", "webhook", w.ID, "publisher", w.Publisher)
		}
		return nil
	case stopped:
		return d.outbox.ReleaseDelivery(ctx, c)
	}
	retryAt := d.retryAt(now, c, r)
	if err := d.outbox.FailDelivery(ctx, c, r, retryAt, now.Add(-d.cfg.GiveUp)); err != nil {
		return err
	}
	if d.turned(w.ID, true) {
		d.log.WarnContext(ctx, "webhook fails", "webhook", w.ID, "publisher", w.Publisher, "event", c.EventID,
			"err", r.Error)
	}
	if retryAt.IsZero() {
		d.log.InfoContext(ctx, "delivery is given up", "webhook", w.ID, "publisher", w.Publisher, "event", c.EventID,
			"type", c.Type, "tries", c.Attempts+1, "err", r.Error)
	}
	return nil
}

// turned notes whether a webhook fails, and says whether that is news.
func (d *Deliverer) turned(webhook string, fails bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failing[webhook] == fails {
		return false
	}
	if d.failing[webhook] = fails; !fails {
		delete(d.failing, webhook)
	}
	return true
}

// retryAt is when to try again: after Retry, doubled with each try to an hour, and up to a quarter more so that not all
// come at once; not before the receiver asks for it, but within the hour. It is zero when the delivery's time is over.
func (d *Deliverer) retryAt(now time.Time, c media.DeliveryClaim, r media.DeliveryResult) time.Time {
	end := c.EnqueuedAt.Add(d.cfg.GiveUp)
	if !now.Before(end) {
		return time.Time{}
	}
	wait := d.cfg.Retry
	for range c.Attempts {
		if wait = min(2*wait, lastRetry); wait == lastRetry {
			break
		}
	}
	wait += time.Duration(rand.Int64N(int64(wait/4) + 1))
	wait = max(wait, min(r.RetryAfter, lastRetry))
	if last := end.Sub(now); wait > last {
		wait = last // the last try is at the end
	}
	return now.Add(wait)
}
