package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/loadgen"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/progress"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// archiveBench is one `oxbow bench archive` under way: a directory, a catalog and an archiver of its own.
type archiveBench struct {
	*benchArchive
	scratch string
	root    *reclog.Root
	catalog *catalog.DB
	made    int64 // bytes

	mu       sync.Mutex
	archived map[media.RecordingID]time.Time
	all      chan struct{} // closed when every recording is archived
}

// benchPath is the stream whose recordings are archived.
func benchPath() media.StreamPath { return media.StreamPath{Publisher: "bench", Stream: "archive"} }

// open makes the directory and the catalog.
func (b *archiveBench) open(ctx context.Context) (err error) {
	quiet := slog.New(slog.DiscardHandler)
	b.archived, b.all = map[media.RecordingID]time.Time{}, make(chan struct{})
	b.root, err = reclog.OpenRoot(reclog.Config{
		Dir: filepath.Join(b.scratch, "recordings"), Sync: reclog.SyncNever,
	}, quiet)
	if err != nil {
		return fmt.Errorf("--scratch: %w", err)
	}
	usage, err := b.root.Usage(ctx)
	if need := int64(b.Size) * int64(b.Recordings); err == nil && usage.Free < need+need/20 {
		return fmt.Errorf("--scratch: %s has %s free and %s are needed: name a directory with more room, or make fewer "+
			"(--shows) or smaller (--size) recordings", b.scratch, progress.Size(usage.Free), progress.Size(need+need/20))
	}
	b.catalog, err = catalog.Open(ctx, "sqlite:"+filepath.Join(b.scratch, "catalog.db"), quiet)
	if err != nil {
		return err
	}
	delay := media.Span(0)
	err = b.catalog.CreatePublisher(ctx, media.Publisher{
		Name: benchPath().Publisher, Settings: media.SettingsPatch{ArchiveDelay: &delay},
	})
	if err == nil {
		_, err = b.catalog.CreateStream(ctx, benchPath(), media.SettingsPatch{})
	}
	return err
}

func (b *archiveBench) close() (err error) {
	if b.catalog != nil {
		err = b.catalog.Close()
	}
	if b.root != nil {
		err = errors.Join(err, b.root.Close())
	}
	return err
}

// make makes the recordings, and their rows.
func (b *archiveBench) make(ctx runContext) error {
	var done atomic.Int64
	stop := ctx.show(b.quietFlag, "bench archive", func() progress.State {
		return progress.State{
			Done: done.Load(), Total: int64(b.Size) * int64(b.Recordings), Unit: progress.Bytes, Text: "making recordings",
		}
	})
	defer stop()
	for range b.Recordings {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := b.made
		row, err := loadgen.WriteRecording(b.root, loadgen.RecordingConfig{
			Path: benchPath(), ID: newRecordingID(), Size: int64(b.Size), Length: b.Length,
			Progress: func(size int64) { done.Store(before + size) },
		})
		if err == nil {
			err = b.catalog.SaveRecording(ctx, row)
		}
		if err != nil {
			return fmt.Errorf("make a recording: %w", err)
		}
		b.made += row.Bytes
	}
	return nil
}

// archive has the archiver do its work until all is archived, or the time is up.
func (b *archiveBench) archive(ctx runContext, store *measuredStore) (archiveResult, error) {
	a := archiver.New(archiver.Config{
		Owner: "bench", Poll: 50 * time.Millisecond, Parallel: b.ArchiveParallel, KeepLocal: true,
		RetryMin: time.Second, RetryMax: 5 * time.Second, StateOf: objstore.StateOf, SlowRate: -1,
	}, b.catalog, b.catalog, map[string]archiver.Store{media.DefaultArchive: {Objects: store, Place: b.Archive.place()}},
		b.root, b, slog.New(slog.DiscardHandler), prometheus.NewRegistry()) // what fails the result tells
	meter, err := loadgen.NewMeter()
	if err != nil {
		return archiveResult{}, err
	}
	stop := ctx.show(b.quietFlag, "bench archive", func() progress.State {
		sent, failed := store.progress()
		text := fmt.Sprintf("%d of %d recordings archived", b.count(), b.Recordings)
		if failed > 0 {
			text += fmt.Sprintf(", %d requests failed", failed)
		}
		return progress.State{Done: min(sent, b.made), Total: b.made, Unit: progress.Bytes, Text: text}
	})
	limited, cancel := context.WithTimeout(ctx, b.TimeLimit)
	defer cancel()
	begun := time.Now()
	var running sync.WaitGroup
	var failed error
	running.Go(func() { failed = a.Run(limited) })
	select {
	case <-b.all:
	case <-limited.Done():
	}
	took := time.Since(begun)
	cancel()
	running.Wait()
	stop()
	return b.result(store, took, meter.End()), failed
}

// Publish takes what the archiver tells the other nodes.
func (b *archiveBench) Publish(_ context.Context, event media.Event) error {
	if event.Type != media.EventArchived {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, twice := b.archived[event.Recording]; twice {
		return nil
	}
	b.archived[event.Recording] = time.Now()
	if len(b.archived) == b.Recordings {
		close(b.all)
	}
	return nil
}

func (b *archiveBench) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.archived)
}

func (b *archiveBench) result(store *measuredStore, took time.Duration, own loadgen.Own) archiveResult {
	b.mu.Lock()
	defer b.mu.Unlock()
	store.mu.Lock()
	defer store.mu.Unlock()
	var recordings []time.Duration
	for id, at := range b.archived {
		recordings = append(recordings, at.Sub(store.begun[id]))
	}
	r := archiveResult{
		Archive: b.Archive.place(), Recordings: b.Recordings, Archived: len(b.archived),
		Size: b.made / int64(b.Recordings), Seconds: took.Seconds(), Bytes: store.stored, Objects: len(store.puts),
		PutP50: milliseconds(quantile(store.puts, 0.5)), PutP99: milliseconds(quantile(store.puts, 0.99)),
		PutMax:  milliseconds(quantile(store.puts, 1)),
		StatP50: milliseconds(quantile(store.stats, 0.5)), StatP99: milliseconds(quantile(store.stats, 0.99)),
		RecordingP50: milliseconds(quantile(recordings, 0.5)), RecordingMax: milliseconds(quantile(recordings, 1)),
		Failures: store.failures, Own: own,
	}
	r.Rate, r.ObjectRate = float64(r.Bytes)/r.Seconds, float64(r.Objects)/r.Seconds
	if r.Bytes > 0 {
		r.CPUPerGiB = r.CPU / (float64(r.Bytes) / (1 << 30))
	}
	return r
}
