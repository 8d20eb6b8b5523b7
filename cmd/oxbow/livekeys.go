package main

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// liveKeys has publishers on this node go with their keys: one that was rotated or revoked while the API did not reach
// the node is found out by asking. While the catalog is away they stay until the time that is known.
type liveKeys struct {
	expiries func(ctx context.Context, ids []string) (map[string]time.Time, error)
	// live lists the keys in use, and apply takes what became of them.
	live  func() []string
	apply func(asked []string, expiries map[string]time.Time)
	// born is when the catalog was made, and began when this process was.
	born   func(ctx context.Context) (time.Time, error)
	began  time.Time
	logger *slog.Logger
}

// Run works until the context ends.
func (l *liveKeys) Run(ctx context.Context) error {
	askOften(ctx, func() {
		if err := l.Step(ctx); err != nil { // that the catalog is away is logged by who follows settings
			l.logger.DebugContext(ctx, "keys of live shows are not known", "err", err)
		}
	})
	return nil
}

// Step asks once.
func (l *liveKeys) Step(ctx context.Context) error {
	ids := l.live()
	if len(ids) == 0 {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, settingsTimeout)
	defer cancel()
	expiries, err := l.expiries(asking, ids)
	if err == nil && len(expiries) < len(ids) {
		ids, err = l.answered(asking, ids, expiries)
	}
	if err == nil {
		l.apply(ids, expiries)
	}
	return err
}

// answered gives of which keys the catalog can say something. One that was made while this process ran has taken the
// place of another: a key that it does not have was not revoked, but lost, and who is live with it stays.
func (l *liveKeys) answered(
	ctx context.Context, ids []string, expiries map[string]time.Time,
) ([]string, error) {
	born, err := l.born(ctx)
	if err != nil || !born.After(l.began) {
		return ids, err
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		_, there := expiries[id]
		return !there
	}), nil
}
