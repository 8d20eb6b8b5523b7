package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Catalog says what is due and keeps what became of it. media.ErrFenced: another claim has followed.
type Catalog interface {
	// DuePublishers gives those that have some of what is asked for due, and since when.
	DuePublishers(ctx context.Context, due media.Due, now time.Time) ([]media.DuePublisher, error)
	// ClaimDue gives media.ErrNotFound when nothing that is asked for is due.
	ClaimDue(ctx context.Context, owner string, due media.Due, now time.Time, lease time.Duration) (media.Claim, error)
	RenewClaim(ctx context.Context, c media.Claim, now time.Time, lease time.Duration) (media.Claim, error)
	// FinishClaim: after archiving, the local copy is to be dropped at dropLocal; zero is never.
	FinishClaim(ctx context.Context, c media.Claim, dropLocal time.Time) error
	FailClaim(ctx context.Context, c media.Claim, cause error, retryAt time.Time) error
	SaveProgress(ctx context.Context, c media.Claim, p media.Progress) error
	Clips
	// FinishSalvage: the local copy is gone, and what had been uploaded is archived; nil is that nothing was of use.
	FinishSalvage(ctx context.Context, c media.Claim, saved *media.Recording, notice string) error
	// RecordingEvents gives what was told of a recording, oldest first, as far as the log still has it.
	RecordingEvents(ctx context.Context, id media.RecordingID) ([]media.LogEvent, error)
	// LapseClaims has an owner's claims run out at once.
	LapseClaims(ctx context.Context, owner string, now time.Time) (int64, error)
	ArchiveNotes
}

// ArchiveNotes keeps how the stores fare.
type ArchiveNotes interface {
	SaveArchive(ctx context.Context, status media.ArchiveStatus) error
	// RemoveArchives forgets the cluster's stores that were not looked at since.
	RemoveArchives(ctx context.Context, cluster string, before time.Time) error
}

// UploadNotes remembers multipart uploads.
type UploadNotes interface {
	SaveUpload(ctx context.Context, upload media.Upload) error
	Uploads(ctx context.Context, id media.RecordingID) ([]media.Upload, error)
	RemoveUpload(ctx context.Context, upload media.Upload) error
}

// Store is one of the archives.
type Store struct {
	Objects
	// Place tells an operator where it is, without secrets.
	Place string
}

// Objects is an archive. What is not there is media.ErrNotFound; deleting and aborting it is success.
type Objects interface {
	reclog.Files
	Put(ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions) (media.Object, error)
	Stat(ctx context.Context, key string) (media.Object, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string) iter.Seq2[media.Object, error]
	AbortUpload(ctx context.Context, key, uploadID string) error
	// AbortUploads aborts the uploads below a prefix that nobody noted, as far as the store lists them.
	AbortUploads(ctx context.Context, prefix string) (int, error)
	// Same says whether an object, as Stat gave it, has the first bytes of r, as cheaply as the store can prove it.
	Same(ctx context.Context, object media.Object, r io.ReaderAt) (bool, error)
	GrowingObjects
}

// Local is the cluster's storage: *reclog.Root.
type Local interface {
	Files() reclog.Files
	Open(ctx context.Context, name string) (*reclog.Range, error)
	Reopen(ctx context.Context, path media.StreamPath, id media.RecordingID) (*reclog.Recording, *reclog.Writer, error)
	Remove(ctx context.Context, path media.StreamPath, id media.RecordingID) error
	// Pictures lists the pictures that a recording has, as Files names them.
	Pictures(ctx context.Context, path media.StreamPath, id media.RecordingID) ([]string, error)
	// WriteClip writes a clip that refers to its source's media, and OwnMedia gives it a copy of that.
	WriteClip(ctx context.Context, rec *reclog.Recording) error
	OwnMedia(ctx context.Context, path media.StreamPath, id media.RecordingID) error
	// Attached is false for a directory that is another than the first call met: its volume is not mounted.
	Attached() (bool, error)
}

// Events tells the other nodes.
type Events interface {
	Publish(ctx context.Context, event media.Event) error
}

// Config is an archiver's.
type Config struct {
	// Owner names the process in its claims; every process has another.
	Owner string
	// Cluster is whose storage it works on; empty means media.DefaultCluster.
	Cluster string
	// Lease is how long a claim lasts unrenewed, which is how long the work of an archiver that died stays undone; zero
	// means 30 seconds. It is renewed each third of it.
	Lease time.Duration
	// Poll is how long to wait when nothing is due, or after a failure; zero means 2 seconds.
	Poll time.Duration
	// Parallel is how many recordings are archived at a time; zero means 2.
	Parallel int
	// Removals is how many recordings are deleted, or dropped locally, at a time; zero means 2.
	Removals int
	// Grace is how long the local copy stays once the archive has the recording; zero means 10 minutes.
	Grace time.Duration
	// KeepLocal leaves the local copy until the recording is deleted.
	KeepLocal bool
	// RetryMin and RetryMax bound the delay after a failure; zero means 5 seconds and 10 minutes.
	RetryMin time.Duration
	RetryMax time.Duration
	// Pictures makes what pictures a recording that has ended lacks; nil makes none. (*Pictures).Finish is one.
	Pictures func(ctx context.Context, rec *reclog.Recording) error
	// Clipped is told of each clip that was made in the cluster's directory; nil is fine. (*Pictures).AddClip is one.
	Clipped func(path media.StreamPath, id media.RecordingID)
	// StateOf tells in a word how a store fares from what an operation came to, nil too: media.ArchiveOK, or what is
	// wrong; empty where that says nothing of the store. Nil knows only whether the store is there.
	StateOf func(error) string
	// SlowRate is the rate of an upload, in bytes per second, below which a store is said to be slow; zero means 2 MiB,
	// less than zero never says so.
	SlowRate int64
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	if c.Cluster == "" {
		c.Cluster = media.DefaultCluster
	}
	set(&c.Lease, 30*time.Second)
	set(&c.Poll, 2*time.Second)
	set(&c.Grace, 10*time.Minute)
	set(&c.RetryMin, 5*time.Second)
	set(&c.RetryMax, 10*time.Minute)
	c.RetryMax = max(c.RetryMin, c.RetryMax)
	if c.Parallel <= 0 {
		c.Parallel = 2
	}
	if c.Removals <= 0 {
		c.Removals = 2
	}
	if c.SlowRate == 0 {
		c.SlowRate = 2 << 20
	}
	return c
}

// settleTimeout bounds a call that reports what became of a claim, and outlives a stop.
const settleTimeout = 10 * time.Second

// errLost: another archiver has the claim, or may have.
var errLost = errors.New("lease lost")

// errStopped is the cause in the row of a recording whose archiver was stopped.
var errStopped = media.ErrStopped

// Archiver works on what is due. Its methods may be called from any goroutine.
type Archiver struct {
	config   Config
	catalog  Catalog
	uploads  UploadNotes
	archives map[string]*archive
	local    Local
	events   Events
	logger   *slog.Logger
	metrics  *metrics
	asking   outage
	verified verified
	growths  growths
	since    time.Time // it was made

	storing, removing *lane
	// news is sent to when the state of an archive has changed.
	news chan struct{}
}

// New makes an archiver. Catalog and uploads are mostly one thing. Stores are by the names that recordings' settings
// give them; media.DefaultArchive is that of those who give none.
func New(
	c Config, catalog Catalog, uploads UploadNotes, stores map[string]Store, local Local, events Events,
	logger *slog.Logger, registerer prometheus.Registerer,
) *Archiver {
	_, _ = local.Attached() // notes which directory it is; if that fails, who needs to know asks again
	a := &Archiver{
		config: c.withDefaults(), catalog: catalog, uploads: uploads, local: local, events: events,
		logger: logger, metrics: newMetrics(registerer), since: time.Now(),
		asking: outage{logger: logger, message: "archiver does not know what is due"},
	}
	a.storing, a.removing = newLanes()
	a.newArchives(stores)
	return a
}

// Run works until the context ends.
func (a *Archiver) Run(ctx context.Context) error {
	// The process before this one of the same name is gone; else what it had claimed would wait for its lease to run out.
	if n, err := a.catalog.LapseClaims(ctx, a.config.Owner, time.Now()); err != nil {
		a.logger.Warn("claims from before are left to run out", "err", err)
	} else if n > 0 {
		a.logger.Info("claims from before were given up", "count", n)
	}
	var group errgroup.Group
	group.Go(func() error {
		a.watchArchives(ctx)
		return nil
	})
	for l, loops := range map[*lane]int{a.storing: a.config.Parallel, a.removing: a.config.Removals} {
		for range loops {
			group.Go(func() error {
				a.loop(ctx, l)
				return nil
			})
		}
	}
	for _, made := range []bool{false, true} {
		group.Go(func() error {
			a.clipLoop(ctx, made)
			return nil
		})
	}
	return group.Wait()
}

func (a *Archiver) loop(ctx context.Context, l *lane) {
	// An outage is all loops'.
	a.repeat(ctx, &a.asking, a.config.Poll, func(ctx context.Context) (bool, error) { return a.step(ctx, l) })
}

// repeat does a step again and again until the context ends: at once when it did something, after idle when there was
// nothing to do, and after Poll when it failed.
func (a *Archiver) repeat(
	ctx context.Context, asking *outage, idle time.Duration, step func(ctx context.Context) (did bool, err error),
) {
	for ctx.Err() == nil {
		did, err := step(ctx)
		switch {
		case ctx.Err() != nil:
		case !did:
			asking.tell(err)
		case err != nil:
			a.logger.Error("archiver action failed", "err", err)
		}
		if did && err == nil {
			continue
		}
		poll := idle
		if err != nil {
			poll = a.config.Poll
		}
		// With jitter, so that the loops of several nodes come one after another.
		wait := time.NewTimer(poll/2 + rand.N(poll))
		select {
		case <-ctx.Done():
			wait.Stop()
		case <-wait.C:
		}
	}
}

// Step claims one due action and does it, a removal before an archiving. It says whether there was one. The error is
// what went wrong in it, which the recording's row has too unless the catalog is away. A claim lost to another archiver
// is no error.
func (a *Archiver) Step(ctx context.Context) (did bool, err error) {
	if did, err := a.step(ctx, a.removing); did || err != nil {
		return did, err
	}
	return a.step(ctx, a.storing)
}

func (a *Archiver) step(ctx context.Context, l *lane) (did bool, err error) {
	claim, err := l.claim(ctx, a)
	if errors.Is(err, media.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, a.do(ctx, claim, l)
}

// do does a claimed action of a lane; nil is none.
func (a *Archiver) do(ctx context.Context, claim media.Claim, l *lane) error {
	job := newJob(a, claim)
	a.metrics.began(claim, time.Now())
	start := time.Now()
	err := job.run(ctx)
	took := time.Since(start)
	a.metrics.ended(claim.Action, took, err)
	if l != nil {
		l.settle(claim, job.progress.sent(), took, err)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLost):
		job.logger.Info("lease lost", "action", claim.Action, "err", err)
		return nil
	case errors.Is(err, errWaits) && ctx.Err() == nil:
		err = job.postpone(ctx, err)
	default:
		err = job.fail(ctx, err)
	}
	if err != nil { // not in the row, which is the recording's
		err = fmt.Errorf("%s: %w", job, err)
	}
	return err
}

// delay is how long to wait after one more failure than attempts: doubled by each, with jitter.
func (c Config) delay(attempts int) time.Duration {
	d := c.RetryMax
	if attempts < 30 && c.RetryMin<<attempts < c.RetryMax {
		d = c.RetryMin << attempts
	}
	return d/2 + rand.N(d/2+1)
}
