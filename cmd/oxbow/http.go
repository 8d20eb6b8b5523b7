package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// serveHTTP serves until ctx ends, then lets requests under way finish for a moment and cuts the rest: players hold
// requests open for seconds, and they try again elsewhere.
func serveHTTP(l net.Listener, handler http.Handler, logger *slog.Logger) func(context.Context) error {
	const drain = 2 * time.Second
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ConnContext:       ingest.TunnelContext,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
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
	reserved := media.ReservedNames()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ingest.TunnelPath(r.URL.Path) {
			tunnel.ServeHTTP(w, r)
			return
		}
		first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if playsWithToken := first == "t" && rest != ""; !playsWithToken && (rest == "" || slices.Contains(reserved, first)) {
			api.ServeHTTP(w, r)
			return
		}
		edge.ServeHTTP(w, r)
	})
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

// adminHandler is for the operator: metrics, health, profiles.
func adminHandler(registry *prometheus.Registry, ready func() bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
