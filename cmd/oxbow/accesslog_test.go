package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/accesslog"
)

// TestTheAccessLogTellsWhatACacheAnswered asks a cache in front of an origin.
func TestTheAccessLogTellsWhatACacheAnswered(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	var out bytes.Buffer
	log, err := accesslog.Open(accesslog.Config{Out: &out}, logger, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "0123456789")
	}))
	defer origin.Close()
	edge, err := cacheproxy.NewReverse(cacheproxy.ReverseConfig{
		Upstreams: []string{origin.URL}, Observers: []cacheproxy.Observer{accesses{log}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, // as httptest's requests come from
	}, logger, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = edge.Close() }()

	rows := []struct {
		method, path string
		fields       []string
		want         map[string]any
	}{
		{http.MethodGet, "/a?x=1&sig=abc", []string{"User-Agent", "player", "X-Forwarded-For", "198.51.100.7"}, map[string]any{
			"method": "GET", "host": "edge", "path": "/a", "query": "x=1&sig=***", "proto": "HTTP/1.1", "status": 200.0,
			"bytes": 10.0, "result": "miss", "client": "198.51.100.7", "agent": "player",
		}},
		{http.MethodGet, "/a?x=1&sig=abc", []string{"Range", "bytes=2-4"}, map[string]any{
			"status": 206.0, "bytes": 3.0, "result": "hit", "range": "bytes=2-4", "client": "192.0.2.1",
		}},
		{http.MethodHead, "/a", nil, map[string]any{"method": "HEAD", "status": 200.0, "bytes": 0.0}},
		{http.MethodPost, "/a", nil, map[string]any{"method": "POST", "status": 200.0, "bytes": 10.0, "result": "pass"}},
		{http.MethodGet, "/missing", nil, map[string]any{"status": 404.0, "result": "miss"}},
		{http.MethodGet, "/a", []string{"X-Forwarded-For", "unknown"}, map[string]any{"client": nil}},
	}
	for _, row := range rows {
		r := httptest.NewRequest(row.method, "http://edge"+row.path, nil)
		for i := 0; i < len(row.fields); i += 2 {
			r.Header.Set(row.fields[i], row.fields[i+1])
		}
		edge.ServeHTTP(httptest.NewRecorder(), r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Run(ctx); err != nil { // what is queued
		t.Fatal(err)
	}

	in := bufio.NewScanner(strings.NewReader(out.String()))
	for i, row := range rows {
		var line map[string]any
		if !in.Scan() {
			t.Fatalf("%d lines, want %d", i, len(rows))
		}
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		for name, want := range row.want {
			if line[name] != want {
				t.Errorf("line %d: %s is %v, want %v", i, name, line[name], want)
			}
		}
		if ms, ok := line["ms"].(float64); !ok || ms < 0 || ms > 60_000 || line["cut"] != nil {
			t.Errorf("line %d: %s", i, in.Bytes())
		}
	}
	if in.Scan() {
		t.Errorf("a line of nothing: %s", in.Bytes())
	}
}
