package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// probeEvery is how often each store is looked at, and told of.
	probeEvery = 30 * time.Second
	// probeTimeout bounds one look.
	probeTimeout = 10 * time.Second
	// probeKey is of no object: a store that says so may be read.
	probeKey = "oxbow/look/none"
	// forgetAfter is when a store that no archiver has looked at any more is not configured any more.
	forgetAfter = 10 * probeEvery
)

// stateUnreachable is of a store that does not answer within a look's time.
const stateUnreachable = "unreachable"

// stateUnknown is of a store that was not looked at yet.
const stateUnknown = "unknown"

// archive is a store, and how it fares by what its operations and the looks at it came to.
type archive struct {
	Objects
	name    string
	place   string
	stateOf func(error) string
	logger  *slog.Logger
	// changed is called when the state is another one.
	changed func()
	// patience is how long a failed write is remembered while reads succeed and nothing is written.
	patience time.Duration

	mu struct {
		sync.Mutex
		state string
		err   string
		since time.Time
		// wrote says that the state is from a write, which a read tells nothing about; failedAt is when that was last.
		wrote    bool
		told     bool
		failedAt time.Time
		// note is what is amiss with a store that works.
		note string
	}
}

// learn takes what an operation came to.
func (s *archive) learn(err error, write bool) {
	if state := s.stateOf(err); state != "" {
		s.set(state, err, write)
	}
}

func (s *archive) set(state string, err error, write bool) {
	now := time.Now()
	s.mu.Lock()
	if state == media.ArchiveOK {
		err = nil
		if s.mu.wrote && !write && now.Sub(s.mu.failedAt) < s.patience {
			s.mu.Unlock()
			return
		}
	}
	// A read tells as much of the way to the store, but not of what it takes.
	s.mu.wrote, s.mu.failedAt = write && state != media.ArchiveOK && state != stateUnreachable, now
	before, first := s.mu.state, !s.mu.told // who starts anew wants to see that it fails still
	s.mu.told = true
	s.mu.err = ""
	if err != nil {
		s.mu.err = err.Error()
	}
	if before != state {
		s.mu.state, s.mu.since = state, now
	}
	s.mu.Unlock()
	if before == state && !first {
		return
	}
	switch {
	case err != nil:
		s.logger.Error("archive fails", "archive", s.name, "state", state, "err", err)
	case before != stateUnknown:
		s.logger.Info("archive works again", "archive", s.name, "before", before)
	}
	s.changed()
}

// slow notes, or forgets, that the store works but takes little.
func (s *archive) slow(note string) {
	s.mu.Lock()
	before := s.mu.note
	s.mu.note = note
	if (before == "") != (note == "") && s.mu.state == media.ArchiveOK {
		s.mu.since = time.Now()
	}
	s.mu.Unlock()
	if (before == "") == (note == "") {
		return
	}
	if note != "" {
		s.logger.Warn("archive is slow", "archive", s.name, "rate", note)
	}
	s.changed()
}

func (s *archive) status(cluster string, now time.Time) media.ArchiveStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := media.ArchiveStatus{
		Cluster: cluster, Name: s.name, Place: s.place, State: s.mu.state, LastError: s.mu.err, Since: s.mu.since,
		CheckedAt: now,
	}
	if status.State == media.ArchiveOK && s.mu.note != "" {
		status.State, status.LastError = media.ArchiveSlow, s.mu.note
	}
	return status
}

// probe looks whether the store may be read.
func (s *archive) probe(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := s.Objects.Stat(looking, probeKey)
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, context.DeadlineExceeded):
		s.set(stateUnreachable, err, false)
	case errors.Is(err, media.ErrNotFound):
		s.set(media.ArchiveOK, nil, false)
	default:
		s.learn(err, false)
	}
}

// The operations of Objects, each of which tells how the store fares.

// ReadFile implements reclog.Files.
func (s *archive) ReadFile(ctx context.Context, key string) ([]byte, error) {
	b, err := s.Objects.ReadFile(ctx, key)
	s.learn(err, false)
	return b, err
}

// OpenRange implements reclog.Files.
func (s *archive) OpenRange(ctx context.Context, key string, offset, size int64) (io.ReadCloser, error) {
	r, err := s.Objects.OpenRange(ctx, key, offset, size)
	s.learn(err, false)
	return r, err
}

// Put implements Objects.
func (s *archive) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (media.Object, error) {
	object, err := s.Objects.Put(ctx, key, r, size, options)
	s.learn(err, true)
	return object, err
}

// Stat implements Objects.
func (s *archive) Stat(ctx context.Context, key string) (media.Object, error) {
	object, err := s.Objects.Stat(ctx, key)
	s.learn(err, false)
	return object, err
}

// Delete implements Objects.
func (s *archive) Delete(ctx context.Context, key string) error {
	err := s.Objects.Delete(ctx, key)
	if err != nil { // that it deletes does not say that it takes more
		s.learn(err, true)
	}
	return err
}

// List implements Objects.
func (s *archive) List(ctx context.Context, prefix string) iter.Seq2[media.Object, error] {
	return func(yield func(media.Object, error) bool) {
		for object, err := range s.Objects.List(ctx, prefix) {
			if err != nil {
				s.learn(err, false)
			}
			if !yield(object, err) {
				return
			}
		}
	}
}

// CheckArchives looks at every store and tells the catalog how they fare.
func (a *Archiver) CheckArchives(ctx context.Context) error {
	var looks sync.WaitGroup
	idle := a.metrics.uploads.sum().Total == 0
	for _, s := range a.archives {
		if idle {
			s.slow("") // nobody knows any more
		}
		looks.Go(func() { s.probe(ctx) })
	}
	looks.Wait()
	return a.tellArchives(ctx)
}

// tellArchives brings the catalog what is known of the stores.
func (a *Archiver) tellArchives(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	now := time.Now()
	var errs []error
	for _, s := range a.archives {
		status := s.status(a.config.Cluster, now)
		works := 0.0
		if status.State == media.ArchiveOK || status.State == media.ArchiveSlow {
			works = 1
		}
		a.metrics.archiveUp.WithLabelValues(s.name).Set(works)
		errs = append(errs, a.catalog.SaveArchive(ctx, status))
	}
	errs = append(errs, a.catalog.RemoveArchives(ctx, a.config.Cluster, now.Add(-forgetAfter)))
	return errors.Join(errs...)
}

// watchArchives looks at the stores now and then, and tells of what failed actions learn meanwhile.
func (a *Archiver) watchArchives(ctx context.Context) {
	told := outage{logger: a.logger, message: "states of the archives are not saved"}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	step := a.CheckArchives
	for {
		if err := step(ctx); ctx.Err() == nil {
			told.tell(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			step = a.CheckArchives
		case <-a.news:
			step = a.tellArchives
		}
	}
}

// newArchives wraps the stores, for what is learned of them.
func (a *Archiver) newArchives(stores map[string]Store) {
	a.archives, a.news = make(map[string]*archive), make(chan struct{}, 1)
	stateOf := a.config.StateOf
	if stateOf == nil {
		stateOf = plainState
	}
	for name, store := range stores {
		s := &archive{
			Objects: store.Objects, name: media.ArchiveName(name), place: store.Place, stateOf: stateOf, logger: a.logger,
			patience: 2 * a.config.RetryMax,
			changed: func() {
				select {
				case a.news <- struct{}{}:
				default: // there is news already
				}
			},
		}
		s.mu.state, s.mu.since = stateUnknown, time.Now()
		a.archives[s.name] = s
	}
}

// plainState knows only whether a store is there.
func plainState(err error) string {
	switch {
	case err == nil, errors.Is(err, media.ErrNotFound), errors.Is(err, media.ErrExists):
		return media.ArchiveOK
	case errors.Is(err, media.ErrUnavailable):
		return stateUnreachable
	}
	return ""
}

// slowness says what is amiss with a rate, in bytes per second, if anything is.
func (c Config) slowness(rate int64) string {
	if rate >= c.SlowRate {
		return ""
	}
	const mb = 1e6
	return fmt.Sprintf("the store takes %.1f MB/s, less than %.1f: recordings may come faster than they are archived",
		float64(rate)/mb, float64(c.SlowRate)/mb)
}
