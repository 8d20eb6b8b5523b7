package archiver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Policies judges recordings by the bounds of their publishers and streams.
type Policies interface {
	// ApplyRetention makes due what is over a bound, and takes that back of what is not any more; it gives the number of
	// recordings that it changed, limit and a bit at most.
	ApplyRetention(ctx context.Context, now time.Time, limit int) (int, error)
	// HastenLocalFree makes local copies due for dropping where a policy wants more of the volume free than the percentage
	// that is.
	HastenLocalFree(ctx context.Context, cluster string, free int, now time.Time, limit int) (int, error)
}

// RetentionConfig is a Retention's.
type RetentionConfig struct {
	// Cluster is whose volume is asked. Bounds are judged for all clusters, by whichever comes first.
	Cluster string
	// Every is how long to wait between two steps; zero means 3 seconds.
	Every time.Duration
	// Batch is how many recordings are changed at a time; zero means 500.
	Batch int
	// LocalBatch is how many copies are made due in a step for want of room; zero means 4.
	LocalBatch int
}

// Retention has the policies that bound many recordings together followed: it makes due what the archiver deletes and
// drops with all its care. It is for one goroutine.
type Retention struct {
	config   RetentionConfig
	policies Policies
	usage    func(context.Context) (reclog.Usage, error)
	logger   *slog.Logger
	metrics  *retentionMetrics
}

// NewRetention makes a Retention. Usage is what Root.Usage tells.
func NewRetention(
	c RetentionConfig, policies Policies, usage func(context.Context) (reclog.Usage, error), logger *slog.Logger,
	registerer prometheus.Registerer,
) *Retention {
	c.Cluster = cmp.Or(c.Cluster, media.DefaultCluster)
	c.Every, c.Batch, c.LocalBatch = cmp.Or(c.Every, 3*time.Second), cmp.Or(c.Batch, 500), cmp.Or(c.LocalBatch, 4)
	return &Retention{
		config: c, policies: policies, usage: usage, logger: logger, metrics: newRetentionMetrics(registerer),
	}
}

// Run works until the context ends.
func (r *Retention) Run(ctx context.Context) error {
	told := outage{logger: r.logger, message: "retention step failed"}
	tick := time.NewTicker(r.config.Every)
	defer tick.Stop()
	for {
		if err := r.Step(ctx, time.Now()); ctx.Err() == nil {
			told.tell(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step judges all that has changed, and then looks at the volume. A volume that does not answer has nothing dropped for
// want of room; bounds do not wait for it.
func (r *Retention) Step(ctx context.Context, now time.Time) error {
	err := errors.Join(r.judge(ctx, now), r.room(ctx, now))
	if err != nil {
		r.metrics.failures.Inc()
		return err
	}
	r.metrics.done.Set(float64(now.Unix()))
	return nil
}

func (r *Retention) judge(ctx context.Context, now time.Time) error {
	began := time.Now()
	defer func() { r.metrics.seconds.Observe(time.Since(began).Seconds()) }()
	total := 0
	for ctx.Err() == nil {
		n, err := r.policies.ApplyRetention(ctx, now, r.config.Batch)
		total += n
		r.metrics.judged.Add(float64(n))
		if err != nil {
			return err
		}
		if n < r.config.Batch {
			break
		}
	}
	if total > 0 {
		r.logger.Info("recordings judged by the bounds of their publishers and streams", "changed", total)
	}
	return nil
}

func (r *Retention) room(ctx context.Context, now time.Time) error {
	u, err := r.usage(ctx)
	if err != nil || u.Stale {
		return nil //nolint:nilerr // Pressure tells of it
	}
	free := int(100*(1-u.Used()) + 1e-6) // rounded down, but for what the sum lost
	n, err := r.policies.HastenLocalFree(ctx, r.config.Cluster, max(free, 0), now, r.config.LocalBatch)
	r.metrics.freed.Add(float64(n))
	if n > 0 {
		r.logger.Info("local copies go because policies want more of the volume free", "count", n, "free_percent", free)
	}
	return err
}

type retentionMetrics struct {
	judged   prometheus.Counter
	freed    prometheus.Counter
	failures prometheus.Counter
	seconds  prometheus.Histogram
	done     prometheus.Gauge
}

func newRetentionMetrics(registerer prometheus.Registerer) *retentionMetrics {
	m := &retentionMetrics{
		judged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_archiver_retention_changes_total",
			Help: "Recordings made due by a bound of count or bytes, or due no more since they are within it.",
		}),
		freed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_archiver_retention_local_free_total",
			Help: "Local copies made due because a policy wants more of the volume free.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_archiver_retention_failures_total", Help: "Steps of retention that failed.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "oxbow_archiver_retention_duration_seconds",
			Help:    "Duration of judging what has changed.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8), // to 16 s
		}),
		done: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_archiver_retention_last_success_seconds",
			Help: "When bounds were last judged without an error, in seconds of Unix.",
		}),
	}
	registerer.MustRegister(m.judged, m.freed, m.failures, m.seconds, m.done)
	return m
}
