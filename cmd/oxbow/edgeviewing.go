package main

import (
	"context"
	"slices"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/viewing"
)

// viewingFlags are how an edge counts its viewers.
type viewingFlags struct {
	ViewingViewers int `name:"viewing-viewers" default:"200000" placeholder:"N" help:"Most viewers that the edge knows at a time, for its counts; 0 counts none (default: ${default})."`
}

// viewers tells a book of viewers of an edge's requests.
type viewers struct{ book *viewing.Book }

// Asked implements cacheproxy.Observer.
func (v viewers) Asked(r *cacheproxy.Request) any {
	visit := v.book.Asked(&viewing.Request{
		Path: r.Path, Query: r.Query, Token: r.Token, Head: r.Head, At: r.At, Fields: r,
	})
	if visit == nil {
		return nil // and no pointer to nothing
	}
	return visit
}

// Answered implements cacheproxy.Observer.
func (v viewers) Answered(mark any, a cacheproxy.Answer) {
	if visit, ok := mark.(*viewing.Visit); ok {
		v.book.Answered(visit, viewing.Answer{Status: a.Status, Body: a.Body, Cut: a.Cut, Took: a.Took})
	}
}

// observeViewers counts an edge's viewers, and tells the directories of them. It gives the observer that does, behind
// others.
func (n *node) observeViewers(
	ctx context.Context, directory []string, flags viewingFlags, others []cacheproxy.Observer,
) []cacheproxy.Observer {
	if flags.ViewingViewers <= 0 {
		return others
	}
	book := viewing.New(viewing.Config{
		MaxViewers: flags.ViewingViewers, Steered: n.self.Edge != nil && n.self.Edge.PublicURL != "",
	}, n.metrics)
	reporter := viewing.NewReporter(
		viewing.ReporterConfig{Edge: n.self.ID, Directories: directory, Tokens: n.tokens}, book, n.logger)
	n.services.add(ctx, "viewers", book.Run)
	n.services.add(ctx, "reports of viewers", reporter.Run)
	return append(slices.Clip(others), viewers{book})
}
