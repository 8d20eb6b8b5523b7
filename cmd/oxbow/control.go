package main

import (
	"context"
	"fmt"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/control"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/packager"
)

// control is what the API may ask of this node and have it do. drain begins the node's end.
func (r *ingestRole) control(drain func()) control.Deps {
	return control.Deps{
		Node: r.leases.registration, Leases: r.leases.list,
		Sessions: liveSessions{r.publishers, r.n.self.ID}, Events: liveEvents{r.packager},
		SwitchFeed: func(_ context.Context, path media.StreamPath, feed string) error {
			return r.publishers.SwitchFeed(path, feed)
		},
		RevokeKey:    func(path media.StreamPath, id string) { r.publishers.RevokeKey(path, id) },
		SourceStatus: r.n.sources.Status, SourcesChanged: r.n.sources.Changed,
		Drain: func(context.Context) error {
			r.n.logger.Info("told to drain")
			drain()
			return nil
		},
	}
}

// liveSessions are this node's publishers.
type liveSessions struct {
	ingest *ingest.Server
	node   string
}

func (l liveSessions) Sessions(context.Context) ([]media.IngestReport, error) {
	reports := l.ingest.Sessions()
	for i := range reports {
		reports[i].Node = l.node
	}
	return reports, nil
}

func (l liveSessions) Session(_ context.Context, path media.StreamPath) (media.IngestReport, error) {
	report, ok := l.ingest.Session(path)
	if !ok {
		return media.IngestReport{}, notLive(path)
	}
	report.Node = l.node
	return report, nil
}

func (l liveSessions) EndSession(_ context.Context, path media.StreamPath, reason string) error {
	if !l.ingest.KickFor(path, reason) {
		return notLive(path)
	}
	return nil
}

func notLive(path media.StreamPath) error {
	return fmt.Errorf("%w: nobody publishes %s now", media.ErrNotFound, path)
}

// liveEvents are the events of this node's recordings.
type liveEvents struct{ packager *packager.Packager }

func (l liveEvents) AddEvent(_ context.Context, path media.StreamPath, e media.TimedEvent) (media.ShowEvent, error) {
	return l.packager.AddEvent(path, e)
}

func (l liveEvents) CompleteEvent(
	_ context.Context, path media.StreamPath, more media.TimedEvent,
) (media.ShowEvent, error) {
	return l.packager.CompleteEvent(path, more)
}

func (l liveEvents) Events(_ context.Context, path media.StreamPath) ([]media.ShowEvent, error) {
	return l.packager.Events(path)
}
