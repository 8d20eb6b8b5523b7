package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestProfilesAreForThisMachine(t *testing.T) {
	h := adminHandler(prometheus.NewRegistry(), func(context.Context) error { return nil })
	for _, c := range []struct {
		remote, host, site, path string
		want                     int
	}{
		{"127.0.0.1:5", "127.0.0.1:9090", "", "/debug/pprof/", 200},
		{"[::1]:5", "[::1]:9090", "", "/debug/pprof/heap", 200},
		{"[::ffff:127.0.0.1]:5", "localhost:9090", "same-origin", "/debug/pprof/", 200},
		{"127.0.0.1:5", "localhost", "none", "/debug/pprof/cmdline", 200},
		{"10.0.0.1:5", "10.0.0.2:9090", "", "/debug/pprof/", 403},
		{"10.0.0.1:5", "localhost:9090", "", "/debug/pprof/goroutine?debug=2", 403},
		{"nonsense", "localhost:9090", "", "/debug/pprof/cmdline", 403},
		{"127.0.0.1:5", "rebound.example:9090", "", "/debug/pprof/", 403},
		{"127.0.0.1:5", "localhost.example:9090", "", "/debug/pprof/", 403},
		{"127.0.0.1:5", "", "", "/debug/pprof/", 403},
		{"127.0.0.1:5", "127.0.0.1:9090", "cross-site", "/debug/pprof/profile?seconds=30", 403},
		{"10.0.0.1:5", "node.example:9090", "", "/metrics", 200},
		{"10.0.0.1:5", "node.example:9090", "", "/healthz", 200},
		{"10.0.0.1:5", "node.example:9090", "", "/readyz", 200},
	} {
		req := httptest.NewRequest(http.MethodGet, c.path, http.NoBody)
		req.RemoteAddr, req.Host = c.remote, c.host
		if c.site != "" {
			req.Header.Set("Sec-Fetch-Site", c.site)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != c.want || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%+v: %d %.100q", c, rec.Code, rec.Body)
		}
	}
	req := httptest.NewRequest(http.MethodGet, "/debug/pprof/", http.NoBody)
	rec := httptest.NewRecorder()
	req.RemoteAddr = "10.0.0.1:5"
	if h.ServeHTTP(rec, req); !strings.Contains(rec.Body.String(), "kubectl port-forward") {
		t.Errorf("it does not say what to do: %q", rec.Body)
	}
}

func TestCommandLineIsToldWithoutValues(t *testing.T) {
	got := withoutValues([]string{
		"/bin/oxbow", "api", "--catalog", "postgres://u:hush-1@h/x", "--registry=redis://:hush-2@h", "-v", "hush-3",
	})
	want := []string{"/bin/oxbow", "api", "--catalog", "...", "--registry=...", "-v", "..."}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
