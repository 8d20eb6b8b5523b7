package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const oldClusterToken, newClusterToken = "hush-cluster-old-0123456789", "hush-cluster-new-0123456789"

// role runs a command in this process until the test ends.
func role(t *testing.T, args ...string) *transcript {
	t.Helper()
	told := &transcript{grew: make(chan struct{}, 1)}
	var cli commands
	parser, err := newParser(&cli, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- parsed.Run(runContext{
			Context: ctx, stdout: io.Discard, stderr: io.Discard,
			logger: slog.New(slog.NewTextHandler(told, &slog.HandlerOptions{Level: slog.LevelInfo})),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		keepsSecrets(t, told.String())
	})
	return told
}

// get gives the status of an answer; 0 is none.
func get(t *testing.T, target, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func awaitStatus(t *testing.T, target, token string, want int) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for got := -1; got != want; {
		select {
		case <-late:
			t.Fatalf("%s: %d, want %d", target, got, want)
		case <-time.After(50 * time.Millisecond):
		}
		got = get(t, target, token)
	}
}

// awaitRead waits until a process has read its file so many times anew.
func awaitRead(t *testing.T, told *transcript, times int) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for strings.Count(told.String(), "the cluster's tokens are read") < times {
		select {
		case <-late:
			t.Fatalf("the file is not read: %s", told)
		case <-told.grew:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestClusterWithATokenIsWatchedWhileTheTokenChanges has an edge with the server's token, another with a wrong one, and
// changes the token while the first is watched.
func TestClusterWithATokenIsWatchedWhileTheTokenChanges(t *testing.T) {
	t.Parallel() // it mostly waits
	dir := t.TempDir()
	serverFile, edgeFile := filepath.Join(dir, "server"), filepath.Join(dir, "edge")
	put := func(file, text string) { // as an operator should
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	put(serverFile, oldClusterToken+"\n")
	put(edgeFile, oldClusterToken+"\n")
	internal, public := awayAddress(t), awayAddress(t)
	server := role(t, "demo", "--data", filepath.Join(dir, "data"), "--http", awayAddress(t), "--internal", internal,
		"--admin", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--srt", "127.0.0.1:0", "--cluster-token-file", serverFile)
	awaitStatus(t, "http://"+internal+"/healthz", "", http.StatusOK)
	edge := func(at string, flags ...string) *transcript {
		return role(t, append([]string{
			"edge", "--http", at, "--directory", "http://" + internal, "--archive", "dir:" + t.TempDir(),
			"--admin", "127.0.0.1:0", "--drain-timeout", "0s",
		}, flags...)...)
	}
	right := edge(public, "--node", "right", "--cluster-token-file", edgeFile)
	wrongAt := awayAddress(t)
	wrong := edge(wrongAt, "--node", "wrong", "--cluster-token", "hush-another-0123456789")
	const playlist = "/demo/live/index.m3u8"
	awaitStatus(t, "http://"+public+playlist, "", http.StatusOK)

	for _, path := range []string{
		"/internal/v1/directory", "/internal/v1/locate/demo/live", "/internal/v1/events", "/internal/v1/purges",
		"/internal/v1/playback", "/internal/v1/edges/x", "/internal/v1/node/status", "/internal/v1/node/sessions",
		playlist, "/", "/none", "/metrics", "/healthz/", "//healthz", "/healthz/../demo/live/index.m3u8", "/Healthz",
	} {
		if got := get(t, "http://"+internal+path, ""); got != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, got)
		}
	}
	if got := get(t, "http://"+internal+playlist, oldClusterToken[:20]); got != http.StatusUnauthorized {
		t.Errorf("the origin with a piece of the token: %d", got)
	}
	if got := get(t, "http://"+internal+playlist, oldClusterToken); got != http.StatusOK {
		t.Errorf("the origin with the token: %d", got)
	}

	// The edge asks the node anew for the playlist, and the directory for policies and beats, all the time.
	for i, step := range []string{
		oldClusterToken + "\n" + newClusterToken + "\n", newClusterToken + "\n" + oldClusterToken + "\n", newClusterToken + "\n",
	} {
		put(serverFile, step)
		awaitRead(t, server, i+1)
		put(edgeFile, step)
		awaitRead(t, right, i+1)
		if got := get(t, "http://"+public+playlist, ""); got != http.StatusOK {
			t.Errorf("the edge while the token changes: %d", got)
		}
	}
	if strings.Contains(right.String(), "does not take") {
		t.Errorf("the edge was refused: %s", right)
	}
	for _, word := range []string{"a request with a wrong token was refused", "without the cluster's token was refused"} {
		server.has(t, word)
		if n := strings.Count(server.String(), word); n != 1 {
			t.Errorf("%q is logged %d times", word, n)
		}
	}
	wrong.has(t, "does not take this one's token")
	if n := strings.Count(wrong.String(), "does not take this one's token"); n != 1 {
		t.Errorf("the edge with another token says so %d times: %s", n, wrong)
	}
	awaitStatus(t, "http://"+wrongAt+playlist, "", http.StatusServiceUnavailable)
}
