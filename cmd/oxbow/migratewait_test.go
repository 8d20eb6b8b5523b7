package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
)

func TestAwaitSchema(t *testing.T) {
	away := errors.New("nobody there")
	for _, c := range []struct {
		name string
		has  []int64 // the schema's version at each look, -1: no answer; the last stays
		want int64
		took time.Duration
		says string
	}{
		{"migrated before", []int64{7}, 7, 0, ""},
		{"a newer one is for the server to judge", []int64{9}, 9, 0, ""},
		{"migrated meanwhile", []int64{-1, 0, 5, 7}, 7, 3 * time.Second, ""},
		{"never", []int64{5}, 0, 10 * time.Second, "version 5 and this oxbow needs 7"},
		{"never there", []int64{-1}, 0, 10 * time.Second, "nobody there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, looks := time.Now(), 0
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				got, err := awaitSchema(ctx, func(context.Context) (int64, int64, error) {
					has := c.has[min(looks, len(c.has)-1)]
					looks++
					if has < 0 {
						return 0, 0, away
					}
					return has, 7, nil
				}, slog.New(slog.DiscardHandler))
				if got != c.want || (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("version %d, %v", got, err)
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
}

func TestMigrateWait(t *testing.T) {
	server := catalogtest.MustStartPostgres(t)
	url, err := server.CreateDatabase(t.Context(), "waited")
	if err != nil {
		t.Fatal(err)
	}
	url += "&connect_timeout=60"
	latest := latestSchema(t)
	for _, c := range []struct {
		name         string
		args         []string
		code         int
		stdout, says string
	}{
		{"nobody migrates", []string{"--catalog", url, "--wait", "10ms"}, 1, "", "run: oxbow migrate"},
		{"migrate", []string{"--catalog", url}, 0, "schema version 0 -> " + latest + "\n", ""},
		{"migrated", []string{"--catalog", url, "--wait", "1m"}, 0, "schema version " + latest + ": migrated\n", ""},
		{"SQLite", []string{"--catalog", "sqlite:x.db", "--wait", "1m"}, 0,
			"an SQLite catalog is migrated by who opens it: nothing to wait for\n", ""},
		{"less than nothing", []string{"--catalog", url, "--wait", "-1s"}, 2, "", "--wait"},
		{"a wrong password", []string{"--catalog", strings.Replace(url, catalogtest.Password, "wrong-one", 1), "--wait", "1m"},
			1, "", "password authentication"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := call(append([]string{"migrate"}, c.args...), &stdout, &stderr)
			if code != c.code || stdout.String() != c.stdout || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
			}
		})
	}
}
