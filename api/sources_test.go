package api

import (
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const sourceTarget = "/v1/publishers/acme/streams/show/source"

func TestSourceIsSetShownAndRemoved(t *testing.T) {
	next := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	changes := 0
	f := newFixture(t, func(_ *Config, d *Deps) {
		d.SourcesChanged = func() { changes++ }
		d.SourceStatus = func(media.StreamPath) media.SourceStatus {
			return media.SourceStatus{
				State: media.SourceWaiting, LastError: "connection refused", NextRetry: next, Retries: 3,
			}
		}
	})
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	f.must(404, "GET", sourceTarget, "")
	put := f.must(200, "PUT", sourceTarget, `{"url":"srt://me:secret@example.com:9000?passphrase=secretsecret","mode":"on_demand"}`)
	got := f.must(200, "GET", sourceTarget, "")
	for _, a := range []answer{put, got} {
		if strings.Contains(a.Body.String(), "secret") {
			t.Errorf("a secret is shown: %s", a.Body)
		}
		for key, want := range map[string]any{
			"url": "srt://redacted@example.com:9000?passphrase=redacted", "mode": "on_demand", "enabled": true,
			"idle_timeout": "1m", "state": "waiting", "last_error": "connection refused",
			"next_retry": "2026-01-02T03:04:05Z", "retries": 3.0,
		} {
			if a.json[key] != want {
				t.Errorf("%s: got %v, want %v", key, a.json[key], want)
			}
		}
	}
	f.must(204, "DELETE", sourceTarget, "")
	f.must(404, "DELETE", sourceTarget, "")
	if changes != 2 {
		t.Errorf("%d changes told", changes)
	}
}

func TestSourceRefusals(t *testing.T) {
	f := newFixture(t, nil)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	for _, c := range []struct{ body, location string }{
		{`{"url":"file:///etc/passwd"}`, "body.url"},
		{`{"url":"http://example.com/x.m3u8","mode":"never"}`, "body.mode"},
		{`{"url":"http://example.com/x.m3u8","idle_timeout":"1s"}`, "body.idle_timeout"},
	} {
		a := f.must(422, "PUT", sourceTarget, c.body)
		if !strings.Contains(a.Body.String(), c.location) {
			t.Errorf("%s: %s", c.body, a.Body)
		}
	}
	f.must(404, "PUT", "/v1/publishers/acme/streams/other/source", `{"url":"http://example.com/x.m3u8"}`)
	if a := f.send(f.Public(), "PUT", sourceTarget, `{"url":"http://example.com/x.m3u8"}`); a.Code != 401 {
		t.Errorf("without a token: %d", a.Code)
	}
}
