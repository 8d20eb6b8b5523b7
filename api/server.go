package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/cors"
)

// readyWait bounds the wait for services that have not answered yet.
const readyWait = 2 * time.Second

// publicRoutes serves people and their tools.
func (s *Server) publicRoutes() http.Handler {
	r := s.router()
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, "ok\n") })
	r.Get("/readyz", s.serveReady)
	r.Group(func(r chi.Router) {
		r.Use(s.bounded)
		if len(s.cfg.AllowOrigins) > 0 {
			r.Use(cors.Handler(cors.Options{
				AllowedOrigins: s.cfg.AllowOrigins,
				AllowedMethods: []string{
					http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
				},
				AllowedHeaders: allowedHeaders(),
				ExposedHeaders: exposedHeaders(),
				MaxAge:         86400,
			}))
			r.Options("/v1/*", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		}
		s.rest(r)
	})
	s.steeringRoute(r)
	r.Get("/assets/*", s.serveAsset)
	r.Get("/docs", s.serveDocs)
	r.Get("/docs/", s.serveDocs)
	r.Group(func(r chi.Router) {
		r.Use(s.bounded)
		r.Get("/", s.servePage)
		r.Get("/watch/{publisher}/{stream}", s.servePage)
		r.Get("/watch/{publisher}/{stream}/{recording}", s.servePage)
	})
	return r
}

// router makes a router whose every answer is observed and whose every error is a problem document.
func (s *Server) router() chi.Router {
	r := chi.NewRouter()
	r.Use(s.observe, middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, newProblem(http.StatusNotFound, "there is nothing at %.200s", tokenless(r.URL.Path)))
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, req *http.Request) {
		allow := allowed(r, req.URL.Path)
		w.Header().Set("Allow", allow)
		writeProblem(w, newProblem(http.StatusMethodNotAllowed, "%.20s does not work here: use %s", req.Method, allow))
	})
	return r
}

// allowed lists the methods that the path takes.
func allowed(r chi.Router, path string) string {
	var methods []string
	for _, method := range []string{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	} {
		if r.Match(chi.NewRouteContext(), method, path) {
			methods = append(methods, method)
			if method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
		}
	}
	return strings.Join(methods, ", ")
}

// bounded ends a request's work after the timeout.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == logStreamPath {
			s.boundedUntilFree(next, w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// observe logs and counts every request, sets the headers that every answer has, and answers for a handler that panics.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		out := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		h := out.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // pages set their own
		defer func() {
			if v := recover(); v != nil {
				if v == http.ErrAbortHandler { //nolint:errorlint // the very value, by net/http's contract
					panic(v)
				}
				s.metrics.panics.Inc()
				s.log.ErrorContext(r.Context(), "panic", "method", r.Method, "path", tokenless(r.URL.Path), "panic", v,
					"stack", string(debug.Stack()))
				if out.Status() == 0 {
					writeProblem(out, newProblem(http.StatusInternalServerError, "internal error: the server's log says more"))
				}
			}
			s.record(out.Status(), r, time.Since(begin), out.BytesWritten())
		}()
		next.ServeHTTP(out, r)
	})
}

func (s *Server) record(status int, r *http.Request, dur time.Duration, bytes int) {
	if status == 0 {
		status = http.StatusOK
	}
	pattern := chi.RouteContext(r.Context()).RoutePattern()
	if pattern == "" || status == http.StatusMethodNotAllowed {
		pattern = "none"
	}
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
	default:
		method = "other"
	}
	s.metrics.requests.WithLabelValues(pattern, method, strconv.Itoa(status)).Inc()
	s.metrics.seconds.WithLabelValues(pattern).Observe(dur.Seconds())
	s.log.DebugContext(r.Context(), "request", "method", r.Method, "path", tokenless(r.URL.Path), "status", status,
		"bytes", bytes, "remote", r.RemoteAddr, "dur", dur)
}

// tokenless gives a path for the log and for answers: a playback token may be in front of one that came to the wrong
// port, however many slashes and dots are before it.
func tokenless(asked string) string {
	if rest, ok := strings.CutPrefix(path.Clean("/"+asked), "/t/"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		return "/t/redacted/" + rest
	}
	return asked
}

func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
	defer cancel()
	err := s.anyAnswered(ctx)
	if err == nil && s.deps.Ready != nil {
		err = s.deps.Ready(ctx)
	}
	if err != nil {
		s.log.Log(ctx, s.awayLevel(time.Now()), "not ready", "err", err)
		writeProblem(w, newProblem(http.StatusServiceUnavailable, "not ready: the server's log says why"))
		return
	}
	writeText(w, "ready\n")
}

// anyAnswered is nil from when one of the services has answered, which it asks all at once until then.
func (s *Server) anyAnswered(ctx context.Context) error {
	if len(s.deps.Services) == 0 || s.answered.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	answers := make(chan error, len(s.deps.Services))
	for name, ping := range s.deps.Services {
		go func() {
			err := ping(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			answers <- err
		}()
	}
	var failures []error
	for range s.deps.Services {
		err := <-answers
		if err == nil {
			s.answered.Store(true)
			return nil
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(text)) // the client may have left
}
