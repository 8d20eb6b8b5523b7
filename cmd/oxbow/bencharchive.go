package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/internal/loadgen"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/progress"
)

const (
	maxBenchRecordings = 1000
	// maxBenchBytes bounds what is made and sent, in all.
	maxBenchBytes = 256 << 30
	// tidyTimeout bounds the removal of what a measurement has put into a store.
	tidyTimeout = 5 * time.Minute
)

// benchArchive is `oxbow bench archive`.
type benchArchive struct {
	Archive            archiveURL    `placeholder:"URL" help:"The store: dir:PATH, or s3://BUCKET/PREFIX?region=R&endpoint=URL with credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."`
	Recordings         int           `name:"shows" default:"4" placeholder:"N" help:"How many recordings are made and archived (default: ${default})."`
	Size               byteSize      `default:"256MiB" placeholder:"SIZE" help:"How large each is (default: ${default})."`
	Length             time.Duration `default:"10m" placeholder:"DURATION" help:"How long a show each is, which is how many segments its index has (default: ${default})."`
	ArchiveParallel    int           `default:"2" placeholder:"N" help:"How many recordings are archived at a time (default: ${default})."`
	ArchiveConnections int           `default:"16" placeholder:"N" help:"Most requests at a time that send to the store (default: ${default})."`
	ArchiveBandwidth   byteSize      `placeholder:"SIZE" help:"Most bytes a second that are sent, like 50MiB (default: no limit)."`
	TimeLimit          time.Duration `default:"10m" placeholder:"DURATION" help:"When to end though not all is archived (default: ${default})."`
	Scratch            string        `placeholder:"DIR" help:"Where the recordings are made; as fast a disk as ingest nodes have (default: the system's directory for temporary files)."`
	Yes                bool          `help:"Measure though the store has data."`

	benchOutput `embed:""`
}

// Help describes the result.
func (benchArchive) Help() string {
	return "Makes recordings in a scratch directory and archives them as the archiver does: each object is put, " +
		"verified, " +
		"and the manifest comes last. All of it goes below a prefix of its own (oxbow-bench-...), and is removed at the " +
		"end. A store that has data already is not touched without --yes: it may be one that people watch from. Scratch " +
		"and store each need room for all of it: --shows times --size, at most 256 GiB."
}

// archiveResult is what came of it.
type archiveResult struct {
	Archive    string  `json:"archive"`
	Recordings int     `json:"recordings"`
	Archived   int     `json:"archived"` // recordings
	Size       int64   `json:"recording_bytes"`
	Seconds    float64 `json:"seconds"`
	// Bytes and Objects are what was stored whole and verified.
	Bytes      int64   `json:"bytes"`
	Objects    int     `json:"objects"`
	Rate       float64 `json:"bytes_per_second"`
	ObjectRate float64 `json:"objects_per_second"`
	// Put is how long an object took, Stat how long a question about one.
	PutP50  float64 `json:"put_p50_ms"`
	PutP99  float64 `json:"put_p99_ms"`
	PutMax  float64 `json:"put_max_ms"`
	StatP50 float64 `json:"stat_p50_ms"`
	StatP99 float64 `json:"stat_p99_ms"`
	// Recording is from a recording's first request until it was archived.
	RecordingP50 float64        `json:"recording_p50_ms"`
	RecordingMax float64        `json:"recording_max_ms"`
	Failures     map[string]int `json:"failures,omitempty"` // requests, by how the store fared
	CPUPerGiB    float64        `json:"own_cpu_seconds_per_gib"`
	loadgen.Own
}

// Run measures, prints the result, and removes what it made.
func (c *benchArchive) Run(ctx runContext) (err error) {
	if err := c.check(); err != nil {
		return usageError{err}
	}
	limits, err := c.conditions(archiveResult{})
	if err != nil {
		return err
	}
	if err := c.consent(ctx); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(c.Scratch, "oxbow-bench-")
	if err != nil {
		return fmt.Errorf("--scratch: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	b := &archiveBench{benchArchive: c, scratch: scratch}
	if err := b.open(ctx); err != nil {
		return errors.Join(err, b.close())
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.make(ctx); err != nil {
		return cmp.Or(ctx.cutOff(), err)
	}
	store, remove, err := c.openOwn(ctx)
	if err != nil {
		return cmp.Or(ctx.cutOff(), archiveError(media.DefaultArchive, err))
	}
	defer func() { err = errors.Join(err, remove(ctx)) }()
	result, err := b.archive(ctx, store)
	if err != nil {
		return err
	}
	var empty error
	if result.Archived == 0 {
		empty = errors.New("nothing was archived within --time-limit")
		if cause := store.last; cause != nil {
			empty = fmt.Errorf("nothing was archived: %w", cause)
		}
	}
	return c.finish(ctx, result, result.Own, result.print, limits, empty)
}

func (c *benchArchive) check() error {
	if err := (&storesFlags{Archive: c.Archive}).needArchive(); err != nil {
		return err
	}
	switch {
	case c.Recordings < 1 || c.Recordings > maxBenchRecordings:
		return fmt.Errorf("--shows %d: use 1 to %d", c.Recordings, maxBenchRecordings)
	case int64(c.Size) > maxBenchBytes/int64(c.Recordings):
		return fmt.Errorf("--shows %d --size %d: use at most %d bytes in all", c.Recordings, c.Size, int64(maxBenchBytes))
	case c.ArchiveParallel < 1 || c.ArchiveParallel > 64:
		return fmt.Errorf("--archive-parallel %d: use 1 to 64", c.ArchiveParallel)
	case c.TimeLimit <= 0 || c.TimeLimit > maxBenchDuration:
		return fmt.Errorf("--time-limit %v: use 1s to %v", c.TimeLimit, maxBenchDuration)
	}
	if err := loadgen.CheckRecording(int64(c.Size), c.Length); err != nil {
		return fmt.Errorf("--size, --length: %w", err)
	}
	return nil
}

// consent refuses a store that has data, unless it is told to measure there.
func (c *benchArchive) consent(ctx context.Context) error {
	if c.Yes {
		return nil
	}
	if c.Archive.bucket == "" {
		if _, err := os.Stat(c.Archive.dir); errors.Is(err, os.ErrNotExist) {
			return nil // and is not to be made by a look
		}
	}
	store, done, err := c.Archive.openToRead(ctx, media.DefaultArchive)
	if err != nil {
		return archiveError(media.DefaultArchive, err)
	}
	defer func() { _ = done() }()
	for object, err := range store.List(ctx, "") {
		if err != nil {
			return cmp.Or(runContext{Context: ctx}.cutOff(), archiveError(media.DefaultArchive, err))
		}
		return usageError{fmt.Errorf("--archive: %s has data, like %.200q: name an empty prefix, or give --yes if it may "+
			"carry this load", c.Archive.place(), object.Key)}
	}
	return nil
}

// openOwn opens a prefix of this run's own in the store. Remove takes away all that is there.
func (c *benchArchive) openOwn(ctx context.Context) (
	store *measuredStore, remove func(context.Context) error, err error,
) {
	limits, err := objstore.NewLimits(objstore.LimitsConfig{
		BytesPerSecond: int64(c.ArchiveBandwidth), Connections: c.ArchiveConnections,
	})
	if err != nil {
		return nil, nil, err
	}
	a, name := c.Archive, "oxbow-bench-"+strings.ToLower(string(newRecordingID()))
	if a.bucket == "" {
		_, absent := os.Stat(a.dir)
		a.dir = filepath.Join(a.dir, name)
		dir, err := objstore.OpenDir(a.dir)
		if err != nil {
			return nil, nil, err
		}
		return newMeasuredStore(dir), func(context.Context) error {
			err := errors.Join(dir.Close(), os.RemoveAll(a.dir))
			if absent != nil {
				err = errors.Join(err, os.Remove(filepath.Dir(a.dir))) // that was made for it
			}
			return err
		}, nil
	}
	a.prefix = strings.TrimPrefix(a.prefix+"/"+name, "/")
	config := a.s3Config(media.DefaultArchive)
	config.Limits = limits
	s3, err := objstore.OpenS3(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	return newMeasuredStore(s3), func(ctx context.Context) error {
		defer s3.Close()
		// Also after an interruption: nobody else will.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
		defer cancel()
		if err := removeAll(ctx, s3); err != nil {
			return fmt.Errorf("objects of the measurement are left: remove what is at %s: %w", a.place(), err)
		}
		return nil
	}, nil
}

// removeAll removes every object of a store, and every upload.
func removeAll(ctx context.Context, store archiver.Objects) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	var err error
	for object, listErr := range store.List(ctx, "") {
		if err = listErr; err != nil {
			break
		}
		g.Go(func() error { return store.Delete(gctx, object.Key) })
	}
	_, aborted := store.AbortUploads(ctx, "")
	return errors.Join(err, g.Wait(), aborted)
}

func (r archiveResult) print(w io.Writer) error {
	t := newResultTable(w)
	t.row("archived", "%d of %d recordings of %s, to %s", r.Archived, r.Recordings, progress.Size(r.Size), r.Archive)
	t.counts("failed", r.Failures)
	t.row("stored", "%s in %.1f s, %s/s; %d objects, %.1f/s", progress.Size(r.Bytes), r.Seconds,
		progress.Size(int64(r.Rate)), r.Objects, r.ObjectRate)
	t.row("object put", "%.1f ms p50, %.1f ms p99, %.1f ms most", r.PutP50, r.PutP99, r.PutMax)
	t.row("object looked at", "%.1f ms p50, %.1f ms p99", r.StatP50, r.StatP99)
	t.row("recording", "%.1f s p50, %.1f s most", r.RecordingP50/1000, r.RecordingMax/1000)
	t.own(r.Own, r.Seconds)
	t.row("", "%.2f s of CPU for each GiB", r.CPUPerGiB)
	return t.out.Flush()
}
