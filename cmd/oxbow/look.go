package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// lookTimeout bounds one look at a service at the start.
const lookTimeout = 10 * time.Second

// lookAt has a service looked at once, beside the start: it may come later, but a wrong flag is to be told of now, and
// not by the first viewer or the first recording.
func (n *node) lookAt(ctx context.Context, service string, look func(context.Context) error, do string) {
	n.services.add(ctx, "look at "+service, func(ctx context.Context) error {
		looking, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		if err := look(looking); err != nil && ctx.Err() == nil {
			n.logger.Warn(service+" does not answer as it should: going on", "err", err, "do", do)
		}
		<-ctx.Done()
		return nil
	})
}

// lookAtArchives looks for an object that is not there: a store says so if it may be read.
func (n *node) lookAtArchives(ctx context.Context) {
	for name, store := range n.archives {
		n.lookAt(ctx, fmt.Sprintf("the archive %q", name), func(ctx context.Context) error {
			_, err := store.Stat(ctx, "oxbow/look/none")
			if errors.Is(err, media.ErrNotFound) {
				return nil
			}
			return err
		}, "check --archive and --archives, credentials and bucket: oxbow doctor --archive URL")
	}
}

// lookAtDirectory asks a port whether it is a directory service.
func (n *node) lookAtDirectory(ctx context.Context, base string) {
	n.lookAt(ctx, "the directory service", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/internal/v1/directory", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := n.tokens.Transport(&http.Transport{DisableKeepAlives: true}, n.logger).RoundTrip(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized {
			return fmt.Errorf("%s does not take this edge's --cluster-token: give both the same", base)
		}
		if resp.StatusCode != http.StatusNoContent {
			return fmt.Errorf("%s is no directory service: it answered %s", base, resp.Status)
		}
		return nil
	}, "--directory takes the --internal ports of oxbow api: check that they are right and can be reached from here")
}
