package control

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/oxbow-video/oxbow/internal/media"
)

// SourceStatus says what a stream's source does: every node knows the sources, and one of them fetches. Of several that
// try it is the one that is furthest. A node that does not answer is passed over.
func (c *Client) SourceStatus(ctx context.Context, path media.StreamPath) media.SourceStatus {
	status := media.SourceStatus{State: media.SourceOff}
	nodes, err := c.directory.Nodes(ctx)
	if err != nil {
		c.logger.WarnContext(ctx, "what a source does is not known", "publisher", path.Publisher, "stream", path.Stream,
			"err", err)
		return status
	}
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n media.Node) bool { return n.Role != media.RoleIngest })
	answers := make([]media.SourceStatus, len(nodes))
	c.each(nodes, func(i int) {
		if err := c.ask(ctx, nodes[i], http.MethodGet, "streams/"+path.String()+"/source", nil, &answers[i]); err != nil {
			c.logger.DebugContext(ctx, "a node does not say what a source does", "node", nodes[i].ID, "err", err)
			answers[i] = media.SourceStatus{}
		}
	})
	far := []media.SourceState{media.SourceOff, media.SourceWaiting, media.SourceConnecting, media.SourceLive}
	for _, a := range answers {
		at, best := slices.Index(far, a.State), slices.Index(far, status.State)
		if at > best || at == best && a.Since.After(status.Since) {
			status = a
		}
	}
	return status
}

// SourcesChanged has every node read the sources anew. One that is not reached reads them by itself after a while.
func (c *Client) SourcesChanged(ctx context.Context) {
	nodes, err := c.directory.Nodes(ctx)
	if err != nil {
		c.logger.WarnContext(ctx, "nodes are not told of changed sources", "err", err)
		return
	}
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n media.Node) bool { return n.Role != media.RoleIngest })
	c.each(nodes, func(i int) {
		if err := c.ask(ctx, nodes[i], http.MethodPost, "sources", nil, nil); err != nil {
			c.logger.InfoContext(ctx, "a node is not told of changed sources", "node", nodes[i].ID, "err", err)
		}
	})
}

// each does something for every node, several at once, and waits for all.
func (c *Client) each(nodes []media.Node, do func(i int)) {
	slots := make(chan struct{}, c.cfg.Parallel)
	var asks sync.WaitGroup
	for i := range nodes {
		slots <- struct{}{}
		asks.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	asks.Wait()
}
