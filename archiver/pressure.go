package archiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Hastener moves dues forward. It respects claims that run, and gives the number of rows that it moved.
type Hastener interface {
	// HastenArchive makes ended recordings of the cluster due for archiving, those that ended first at the head.
	HastenArchive(ctx context.Context, cluster string, now time.Time, limit int) (int, error)
	// HastenDrop makes archived recordings due for the dropping of their local copy, before their grace is over.
	HastenDrop(ctx context.Context, cluster string, now time.Time, limit int) (int, error)
}

// EventLog keeps what happened. LastEvent gives media.ErrNotFound where nothing did.
type EventLog interface {
	AddEvents(ctx context.Context, events ...media.LogEvent) error
	LastEvent(ctx context.Context, filter media.LogFilter) (media.LogEvent, error)
}

// PressureConfig is a Pressure's. The marks are used fractions of the volume, each above the one before.
type PressureConfig struct {
	// Cluster is whose recordings are hastened; empty means media.DefaultCluster.
	Cluster string
	// Alarm is where an operator should know; zero means 0.80.
	Alarm float64
	// ArchiveEarly is where recordings are archived before their delay is over; zero means 0.85.
	ArchiveEarly float64
	// Drop is where local copies of archived recordings go before their grace is over; zero means 0.90.
	Drop float64
	// Refuse is where ingest takes no new shows, which is its own to do (reclog.Root.Full); zero means 0.95.
	Refuse float64
	// Every is how often the volume is asked; zero means 5 seconds.
	Every time.Duration
	// Batch is how many recordings are hastened at a time; zero means 4.
	Batch int
	// Log, if it is set, is told the levels, and knows which was told last; Node names this process there.
	Log  EventLog
	Node string
}

func (c PressureConfig) withDefaults() PressureConfig {
	c.Cluster = cmp.Or(c.Cluster, media.DefaultCluster)
	c.Alarm, c.ArchiveEarly = cmp.Or(c.Alarm, 0.80), cmp.Or(c.ArchiveEarly, 0.85)
	c.Drop, c.Refuse = cmp.Or(c.Drop, 0.90), cmp.Or(c.Refuse, 0.95)
	c.Every, c.Batch = cmp.Or(c.Every, 5*time.Second), cmp.Or(c.Batch, 4)
	return c
}

func (c PressureConfig) check() error {
	marks := []float64{0, c.Alarm, c.ArchiveEarly, c.Drop, c.Refuse, 1}
	for i := 1; i < len(marks); i++ {
		if marks[i] < marks[i-1] || i < len(marks)-1 && marks[i] <= marks[i-1] {
			return fmt.Errorf("pressure: %w: marks %v: each must be above the one before, all between 0 and 1",
				media.ErrInvalid, marks[1:5])
		}
	}
	return nil
}

// The rungs of the ladder. Each does what those below it do.
const (
	pressureNone = iota
	pressureAlarm
	pressureArchive
	pressureDrop
	pressureRefuse
)

// pressureSlack is how far the used fraction must fall below a rung's mark before the rung is left, so that a volume
// at a mark does not go back and forth.
const pressureSlack = 0.02

// rung tells an operator about a rung.
type rung struct{ name, does, advice string }

func rungOf(level int) rung {
	return [...]rung{
		{"normal", "nothing", "nothing"},
		{"alarm", "nothing yet", "add space, or shorten archive delays"},
		{"archive_early", "ended recordings are archived before their delay is over, the oldest first",
			"add space, or shorten archive delays; look whether the archive takes what it is given"},
		{"drop", "local copies of archived recordings are dropped before their grace is over; nothing else is",
			"add space; look whether the archive takes what it is given"},
		{"refuse", "new shows are refused, live ones go on; nothing that is not archived is dropped",
			"add space now: live shows lose their recordings when the volume is full"},
	}[level]
}

// Pressure keeps the recordings' volume from filling up, by rungs. It drops nothing itself: it makes due what the
// archiver does with all its care, so that what is not archived stays, and what is kept is never deleted. It is for
// one goroutine.
type Pressure struct {
	config   PressureConfig
	usage    func(context.Context) (reclog.Usage, error)
	hastener Hastener
	logger   *slog.Logger
	metrics  *pressureMetrics

	level   int
	unknown bool
	log     pressureLog
	// hastenedAt is when recordings were last hastened into the archive on the rung that is in no hurry.
	hastenedAt time.Time
}

// NewPressure makes a Pressure over what Root.Usage tells. media.ErrInvalid for marks that are out of order.
func NewPressure(
	c PressureConfig, usage func(context.Context) (reclog.Usage, error), hastener Hastener,
	logger *slog.Logger, registerer prometheus.Registerer,
) (*Pressure, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Pressure{
		config: c, usage: usage, hastener: hastener, logger: logger, metrics: newPressureMetrics(registerer),
	}, nil
}

// Run works until the context ends.
func (p *Pressure) Run(ctx context.Context) error {
	told := outage{logger: p.logger, message: "storage pressure step failed"}
	tick := time.NewTicker(p.config.Every)
	defer tick.Stop()
	for {
		if err := p.Step(ctx); ctx.Err() == nil {
			told.tell(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step asks the volume once, and hastens what its rung says. A volume that does not answer leaves the rung as it is,
// and nothing is hastened.
func (p *Pressure) Step(ctx context.Context) error {
	u, err := p.usage(ctx)
	unknown := err != nil || u.Stale
	p.stalled(unknown)
	if unknown {
		if errors.Is(err, media.ErrUnavailable) {
			err = nil // told as stalled
		}
		return err
	}
	p.metrics.used.Set(u.Used())
	p.learn(ctx)
	if next := p.config.next(p.level, u.Used()); next != p.level {
		p.change(next, u)
	}
	return errors.Join(p.tell(ctx, u), p.hasten(ctx, time.Now()))
}

func (p *Pressure) stalled(unknown bool) {
	if unknown == p.unknown {
		return
	}
	p.unknown = unknown
	if unknown {
		p.metrics.unknown.Set(1)
		p.logger.Error("recordings volume does not answer: its pressure is not known", "level", rungOf(p.level).name)
		return
	}
	p.metrics.unknown.Set(0)
	p.logger.Info("recordings volume answers again")
}

// next gives the rung after the given one: up at a mark, down below it by the slack.
func (c PressureConfig) next(level int, used float64) int {
	marks := [...]float64{0, c.Alarm, c.ArchiveEarly, c.Drop, c.Refuse}
	next := pressureNone
	for i := pressureAlarm; i < len(marks); i++ {
		mark := marks[i]
		if i <= level {
			mark -= pressureSlack
		}
		if used >= mark {
			next = i
		}
	}
	return next
}

func (p *Pressure) change(next int, u reclog.Usage) {
	before, now := rungOf(p.level), rungOf(next)
	log := p.logger.Info
	if next > p.level {
		log = p.logger.Warn
	}
	log("pressure on the recordings volume", "level", now.name, "before", before.name, "usage", u.String(),
		"does", now.does, "advice", now.advice)
	p.level, p.hastenedAt = next, time.Time{}
	p.metrics.level.Set(float64(next))
}

// hasten makes recordings due: a few in three steps where there is time, a few in each step where there is not.
func (p *Pressure) hasten(ctx context.Context, now time.Time) error {
	if p.level < pressureArchive {
		return nil
	}
	var errs []error
	if p.level >= pressureDrop || now.Sub(p.hastenedAt) >= 3*p.config.Every {
		n, err := p.hastener.HastenArchive(ctx, p.config.Cluster, now, p.config.Batch)
		p.metrics.hastened.WithLabelValues(string(media.ActArchive)).Add(float64(n))
		errs = append(errs, err)
		p.hastenedAt = now
	}
	if p.level >= pressureDrop {
		n, err := p.hastener.HastenDrop(ctx, p.config.Cluster, now, p.config.Batch)
		p.metrics.hastened.WithLabelValues(string(media.ActDropLocal)).Add(float64(n))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

type pressureMetrics struct {
	level    prometheus.Gauge
	used     prometheus.Gauge
	unknown  prometheus.Gauge
	hastened *prometheus.CounterVec
}

func newPressureMetrics(registerer prometheus.Registerer) *pressureMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &pressureMetrics{
		level: gauge("oxbow_archiver_pressure_level",
			"Rung of the recordings volume: 0 normal, 1 alarm, 2 archive early, 3 drop archived copies, 4 refuse new shows."),
		used: gauge("oxbow_archiver_volume_used_ratio",
			"Used fraction of the recordings volume, of bytes or of inodes, whichever is the greater."),
		unknown: gauge("oxbow_archiver_volume_stalled", "1 while the recordings volume does not answer."),
		hastened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_archiver_hastened_recordings_total",
			Help: "Recordings that the pressure made due early, by action.",
		}, []string{"action"}),
	}
	registerer.MustRegister(m.level, m.used, m.unknown, m.hastened)
	for _, action := range []media.Action{media.ActArchive, media.ActDropLocal} {
		m.hastened.WithLabelValues(string(action))
	}
	return m
}
