package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/front"
	"github.com/oxbow-video/oxbow/internal/media"
)

// serveHTTP serves until ctx ends, then lets requests under way finish for a moment and cuts the rest: players hold
// requests open for seconds, and they try again elsewhere.
func serveHTTP(l net.Listener, handler http.Handler, logger *slog.Logger) func(context.Context) error {
	return serveUntilDone(l, newHTTPServer(handler, logger))
}

const (
	headTimeout = 10 * time.Second
	idleTimeout = 2 * time.Minute
	maxHeader   = 32 << 10
)

func newHTTPServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           front.OneReading(handler),
		ReadHeaderTimeout: headTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       ingest.TunnelContext,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// httpServer is net/http's, or the fast lane's, which has one beside it.
type httpServer interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

func serveUntilDone(l net.Listener, server httpServer) func(context.Context) error {
	const drain = 2 * time.Second
	return func(ctx context.Context) error {
		done := make(chan struct{})
		go func() {
			defer close(done)
			<-ctx.Done()
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
			defer cancel()
			if err := server.Shutdown(ctx); err != nil {
				_ = server.Close()
			}
		}()
		err := server.Serve(l)
		if !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		<-done
		return nil
	}
}

// publicHandler is the one port that everybody sees: the tunnel's, the API's and the page's paths by their reserved
// first element, all else to the edge, and what has a playback token in front of it (/t/) too.
func publicHandler(api, tunnel, edge http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := api
		switch {
		case ingest.TunnelPath(r.URL.Path):
			asked = tunnel
		case edgePath(r.URL.Path):
			asked = edge
		}
		asked.ServeHTTP(w, r)
	})
}

// edgePath says which paths of the public port are the edge's, whichever server has read them. It does not allocate:
// every request for media passes here.
func edgePath(path string) bool {
	if ingest.TunnelPath(path) {
		return false
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if rest == "" {
		return false
	}
	return first == "t" || !slices.Contains(media.ReservedNames(), first)
}

// internalHandler is what nodes and edges ask: control, the directory service and the origin, of which a role may lack
// some.
func internalHandler(control, directory, origin http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := origin
		switch {
		case r.URL.Path == "/healthz": // an edge asks, whose requests went unanswered
			_, _ = w.Write([]byte("ok\n"))
			return
		case strings.HasPrefix(r.URL.Path, "/internal/v1/node/"):
			asked = control
		case strings.HasPrefix(r.URL.Path, "/internal/"):
			asked = directory
		}
		if asked == nil {
			http.Error(w, "this role does not serve that", http.StatusNotFound)
			return
		}
		asked.ServeHTTP(w, r)
	})
}
