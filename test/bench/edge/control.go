//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// post begins a live stream at an origin.
func post(ctx context.Context, port int, l live) error {
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = talk(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/-/live", port), body)
	return err
}

// ask has an origin report.
func ask[T any](ctx context.Context, port int) (value T, err error) {
	body, err := talk(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/-/live", port), nil)
	if err != nil {
		return value, err
	}
	return value, json.Unmarshal(body, &value)
}

func talk(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %.200s", method, url, resp.Status, text)
	}
	return text, err
}

// profile takes a CPU profile of our edge while a row is measured; the result's channel tells when it is written.
// Without -pprof, and of other servers, there is none.
func (s settings) profile(ctx context.Context, server *server, row string, d time.Duration) <-chan error {
	done := make(chan error, 1)
	if s.pprof == "" || server.admin == 0 {
		done <- nil
		return done
	}
	go func() {
		seconds := max(1, int(d.Seconds()))
		text, err := talk(ctx, http.MethodGet,
			fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", server.admin, seconds), nil)
		if err == nil {
			err = os.MkdirAll(s.pprof, 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(s.pprof, server.name+"-"+row+".pprof"), text, 0o600)
		}
		done <- err
	}()
	return done
}
