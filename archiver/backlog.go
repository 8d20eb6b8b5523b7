package archiver

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// BacklogConfig is a Backlog's.
type BacklogConfig struct {
	// Cluster is whose recordings are looked at; empty means media.DefaultCluster.
	Cluster string
	// Every is how often; zero means 5 seconds.
	Every time.Duration
}

// Overdue knows what should have been done.
type Overdue interface {
	// OldestDue gives for each action when the row that is due for longest was due, whether somebody is at it, it failed
	// and waits for its next try, or nobody came to it. Actions without any are not in it.
	OldestDue(ctx context.Context, cluster string, now time.Time) (map[media.Action]time.Time, error)
}

// Backlog tells how late the archiver is. What fails again and again counts from when it was due first.
type Backlog struct {
	config  BacklogConfig
	catalog Overdue
	logger  *slog.Logger
	oldest  *prometheus.GaugeVec
	failing bool
}

// NewBacklog makes a Backlog.
func NewBacklog(c BacklogConfig, catalog Overdue, logger *slog.Logger, registerer prometheus.Registerer) *Backlog {
	c.Cluster, c.Every = cmp.Or(c.Cluster, media.DefaultCluster), cmp.Or(c.Every, 5*time.Second)
	b := &Backlog{
		config: c, catalog: catalog, logger: logger,
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "oxbow_archiver_oldest_due_seconds",
			Help: "How long the recording that is due for longest has been due, by action (archive, drop_local, delete), " +
				"whether it is tried or not; 0 without any.",
		}, []string{"action"}),
	}
	registerer.MustRegister(b.oldest)
	for _, action := range backlogActions() {
		b.oldest.WithLabelValues(string(action))
	}
	return b
}

func backlogActions() []media.Action {
	return []media.Action{media.ActArchive, media.ActDropLocal, media.ActDelete}
}

// Run looks again and again until ctx ends.
func (b *Backlog) Run(ctx context.Context) error {
	tick := time.NewTicker(b.config.Every)
	defer tick.Stop()
	for {
		err := b.Step(ctx, time.Now())
		if ctx.Err() == nil && (err != nil) != b.failing {
			b.failing = err != nil
			b.logger.Warn("look for what is overdue", "fails", b.failing, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step looks once. While the catalog is away the gauges stay.
func (b *Backlog) Step(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.Every)
	defer cancel()
	oldest, err := b.catalog.OldestDue(ctx, b.config.Cluster, now)
	if err != nil {
		return fmt.Errorf("look for what is overdue: %w", err)
	}
	for _, action := range backlogActions() {
		late := 0.0
		if due, ok := oldest[action]; ok {
			late = max(0, now.Sub(due).Seconds())
		}
		b.oldest.WithLabelValues(string(action)).Set(late)
	}
	return nil
}
