package archiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// GrowingRows says which growing recordings are to be uploaded. media.ErrFenced: another claim has followed, the
// recording has ended, or it is not to be uploaded while it grows any more.
type GrowingRows interface {
	// ClaimUpload gives media.ErrNotFound when there is nothing that nobody uploads.
	ClaimUpload(ctx context.Context, owner, cluster string, now time.Time, lease time.Duration) (media.Claim, error)
	RenewUpload(ctx context.Context, c media.Claim, now time.Time, lease time.Duration) (media.Claim, error)
	SaveUploaded(ctx context.Context, c media.Claim, uploaded bool, problem string) error
	ReleaseUpload(ctx context.Context, c media.Claim, uploaded bool) error
	Stream(ctx context.Context, path media.StreamPath) (media.Stream, error)
}

// ContinuousConfig is that of uploading shows while they are live.
type ContinuousConfig struct {
	// Interval is how often each show's upload is extended; zero means 10 seconds. What an ingest loses with its disk is
	// that long, but for tracks of few bits.
	Interval time.Duration
	// Bound is how long a last part that has hardly grown may wait to be sent again; zero means six intervals.
	Bound time.Duration
	// Shows is how many shows a process uploads; zero means 64.
	Shows int
	// Parallel is how many of them are extended at a time; zero means 8.
	Parallel int
}

func (c ContinuousConfig) withDefaults() ContinuousConfig {
	if c.Interval <= 0 {
		c.Interval = 10 * time.Second
	}
	if c.Bound <= 0 {
		c.Bound = 6 * c.Interval
	}
	if c.Shows <= 0 {
		c.Shows = 64
	}
	if c.Parallel <= 0 {
		c.Parallel = 8
	}
	return c
}

// Continuous uploads growing recordings. It shares what an Archiver has, which archives them when they have ended.
type Continuous struct {
	*Archiver
	settings ContinuousConfig
	rows     GrowingRows
	metrics  *continuousMetrics
	claiming outage
	slots    chan struct{}

	mu    sync.Mutex
	shows map[media.RecordingID]*show
}

// NewContinuous makes the component.
func NewContinuous(c ContinuousConfig, a *Archiver, rows GrowingRows, registerer prometheus.Registerer) *Continuous {
	c = c.withDefaults()
	n := &Continuous{
		Archiver: a, settings: c, rows: rows, slots: make(chan struct{}, c.Parallel),
		claiming: outage{logger: a.logger, message: "archiver does not know which shows to upload"},
		shows:    make(map[media.RecordingID]*show),
	}
	n.metrics = newContinuousMetrics(registerer, n.lag)
	return n
}

// Run uploads until the context ends, and then gives its claims up.
func (c *Continuous) Run(ctx context.Context) error {
	var ticks sync.WaitGroup
	tick := time.NewTicker(c.settings.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		c.claiming.tell(c.claim(ctx))
		c.start(ctx, &ticks, func(s *show, err error) { s.trouble.tell(err) })
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	ticks.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	for _, s := range c.list() {
		c.release(ctx, s)
	}
	return nil
}

// Step claims what nobody uploads, and extends each show's upload once.
func (c *Continuous) Step(ctx context.Context) error {
	var mu sync.Mutex
	var ticks sync.WaitGroup
	errs := []error{c.claim(ctx)}
	c.start(ctx, &ticks, func(_ *show, err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
	})
	ticks.Wait()
	return errors.Join(errs...)
}

func (c *Continuous) list() []*show {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*show, 0, len(c.shows))
	for _, s := range c.shows {
		list = append(list, s)
	}
	return list
}

// claim takes shows as long as there are any and there is room.
func (c *Continuous) claim(ctx context.Context) error {
	for len(c.list()) < c.settings.Shows {
		claim, err := c.rows.ClaimUpload(ctx, c.config.Owner, c.config.Cluster, time.Now(), c.config.Lease)
		if errors.Is(err, media.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ask what is to be uploaded: %w", err)
		}
		c.add(claim)
	}
	return nil
}

func (c *Continuous) add(claim media.Claim) {
	s := &show{
		target: &target{job: newJob(c.Archiver, claim)}, component: c, uploaded: claim.Recording.Uploaded,
		base: make(map[string]int64), busy: make(chan struct{}, 1),
	}
	s.trouble = outage{logger: s.logger, message: "show is not uploaded while it is live"}
	s.follower = reclog.NewFollower(c.local.Files(), s.path, s.id)
	s.grown = c.growths.add(s.id)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shows[s.id] = s
	s.logger.Info("uploading while it grows")
}

// start extends the uploads of all shows for which that is not under way.
func (c *Continuous) start(ctx context.Context, ticks *sync.WaitGroup, done func(*show, error)) {
	for _, s := range c.list() {
		select {
		case s.busy <- struct{}{}:
		default:
			continue
		}
		ticks.Go(func() {
			defer func() { <-s.busy }()
			select {
			case <-ctx.Done():
				return
			case c.slots <- struct{}{}:
			}
			defer func() { <-c.slots }()
			if err := c.tick(ctx, s); ctx.Err() == nil {
				done(s, err)
			}
		})
	}
}

// tick extends a show's upload once, under its claim.
func (c *Continuous) tick(ctx context.Context, s *show) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.grown.mu.Lock()
	defer s.grown.mu.Unlock()
	if !c.growths.begin(s.grown, stop) { // it is being archived
		c.forget(s)
		return nil
	}
	claim, err := c.rows.RenewUpload(ctx, s.claim, time.Now(), c.config.Lease)
	if errors.Is(err, media.ErrFenced) {
		return c.end(ctx, s)
	}
	if err != nil {
		return err
	}
	s.claim = claim
	err = s.hold(ctx, s.extendIn)
	switch {
	case errors.Is(err, errLost):
		return c.end(ctx, s)
	case ctx.Err() != nil:
		return nil
	case err != nil:
		c.metrics.failures.Inc()
	}
	return errors.Join(err, s.tellProblem(ctx, err))
}

// extendIn is extend in the store that the recording's settings name.
func (s *show) extendIn(ctx context.Context) error {
	if s.objects == nil {
		t, err := s.in(s.names()[0])
		if err != nil {
			return err
		}
		s.objects = t.objects
	}
	return s.extend(ctx)
}

// tellProblem has the row say what is wrong, and that it is right again.
func (s *show) tellProblem(ctx context.Context, err error) error {
	problem := ""
	if err != nil {
		problem = "uploading it while it is live: " + err.Error()
	}
	if problem == s.problem || problem != "" && s.problem != "" && time.Since(s.toldAt) < repeatAfter {
		return nil
	}
	err = s.component.rows.SaveUploaded(ctx, s.claim, s.uploaded, problem)
	if err != nil && !errors.Is(err, media.ErrFenced) {
		return err
	}
	s.problem, s.toldAt = problem, time.Now()
	return nil
}

// end gives up a show that is another's by now, has ended, or is not to be uploaded while it grows any more. Its
// uploads stay, for whoever archives it, unless it is not to be archived at all.
func (c *Continuous) end(ctx context.Context, s *show) error {
	stream, err := c.rows.Stream(ctx, s.path)
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		return err // asked again with the next tick
	}
	if err == nil && stream.Settings.Record == media.RecordOff {
		// Only while the row says that nobody else has it: it may be archived by now.
		err := c.rows.SaveUploaded(ctx, s.claim, s.uploaded, "")
		if err == nil && s.objects != nil {
			err = s.drop(ctx)
		}
		if err != nil && !errors.Is(err, media.ErrFenced) {
			return err
		}
	}
	c.release(ctx, s)
	return nil
}

func (c *Continuous) release(ctx context.Context, s *show) {
	if err := c.rows.ReleaseUpload(ctx, s.claim, s.uploaded); err != nil && !errors.Is(err, media.ErrFenced) {
		s.logger.Warn("claim to upload is left to run out", "err", err)
	}
	c.forget(s)
}

func (c *Continuous) forget(s *show) {
	c.growths.leave(s.grown)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shows[s.id] == s {
		delete(c.shows, s.id)
		s.logger.Info("no longer uploading while it grows")
	}
}

// lag gives how far the shows' uploads are behind: of the one that is furthest, and of all.
func (c *Continuous) lag() (shows int, furthest time.Duration, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, s := range c.shows {
		furthest = max(furthest, s.lagLocked(now))
		bytes += s.lagBytes
	}
	return len(c.shows), furthest, bytes
}

// continuousMetrics are the component's own.
type continuousMetrics struct {
	sent     prometheus.Counter
	failures prometheus.Counter
}

func newContinuousMetrics(
	registerer prometheus.Registerer, lag func() (int, time.Duration, int64),
) *continuousMetrics {
	m := &continuousMetrics{
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_archiver_growing_sent_bytes_total",
			Help: "Bytes of media sent while shows were live, those that were sent again too.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_archiver_growing_failures_total", Help: "Extensions of a live show's upload that failed.",
		}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	registerer.MustRegister(m.sent, m.failures,
		gauge("oxbow_archiver_growing_shows", "Live shows that this process uploads.", func() float64 {
			shows, _, _ := lag()
			return float64(shows)
		}),
		gauge("oxbow_archiver_growing_lag_seconds",
			"How far the upload of the live show that is furthest behind is from its live edge.", func() float64 {
				_, furthest, _ := lag()
				return furthest.Seconds()
			}),
		gauge("oxbow_archiver_growing_lag_bytes",
			"Bytes of finished segments of live shows that are not uploaded yet.", func() float64 {
				_, _, bytes := lag()
				return float64(bytes)
			}),
	)
	return m
}
