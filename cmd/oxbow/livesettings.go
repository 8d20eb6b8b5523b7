package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// settingsEvery is how often a node asks for the settings of what is live on it: one query for all.
	settingsEvery = 2 * time.Second
	// settingsTimeout bounds that question.
	settingsTimeout = 5 * time.Second
	// settingsAgain is how often it is logged that nobody answers.
	settingsAgain = time.Minute
)

// liveSettings has what is live on this node follow the settings. It asks, because a question every other second costs
// the catalog less than to find its nodes would cost the API, and misses nothing. While the catalog is away shows go on
// with what is known.
type liveSettings struct {
	streams func(ctx context.Context, paths []media.StreamPath) ([]media.Stream, error)
	// live lists whose settings are followed, and apply takes those of one.
	live   []func() []media.StreamPath
	apply  []func(path media.StreamPath, settings media.Settings)
	logger *slog.Logger

	toldAt time.Time // that nobody answers; zero while somebody does
}

// Run works until the context ends.
func (l *liveSettings) Run(ctx context.Context) error {
	askOften(ctx, func() { l.tell(l.Step(ctx)) })
	return nil
}

// askOften asks every settingsEvery until the context ends.
func askOften(ctx context.Context, ask func()) {
	tick := time.NewTicker(settingsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			ask()
		}
	}
}

// Step asks once.
func (l *liveSettings) Step(ctx context.Context) error {
	var paths []media.StreamPath
	for _, live := range l.live {
		paths = append(paths, live()...)
	}
	if len(paths) == 0 {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, settingsTimeout)
	defer cancel()
	streams, err := l.streams(asking, paths)
	for i := range streams {
		for _, apply := range l.apply {
			apply(streams[i].Path, streams[i].Settings)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *liveSettings) tell(err error) {
	switch {
	case err == nil && !l.toldAt.IsZero():
		l.logger.Info("settings of live shows are known again")
		l.toldAt = time.Time{}
	case err != nil && time.Since(l.toldAt) >= settingsAgain:
		l.logger.Warn("settings of live shows are not known: they go on with those from before", "err", err)
		l.toldAt = time.Now()
	}
}
