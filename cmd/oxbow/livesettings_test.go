package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestLiveSettingsAreThoseInForce(t *testing.T) {
	db, err := catalog.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	window := media.Span(7 * 60e9)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	if err := db.CreatePublisher(t.Context(), media.Publisher{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateStream(t.Context(), path, media.SettingsPatch{}); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	var applied []string
	live := []media.StreamPath{path, {Publisher: "acme", Stream: "gone"}}
	l := &liveSettings{
		streams: db.StreamsNamed, live: []func() []media.StreamPath{func() []media.StreamPath { return live }},
		apply: []func(media.StreamPath, media.Settings){func(path media.StreamPath, s media.Settings) {
			applied = append(applied, fmt.Sprint(path, " ", s.DVRWindow.D()))
		}},
		logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	step := func() {
		t.Helper()
		l.tell(l.Step(t.Context()))
	}
	step()
	if _, err := db.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{DVRWindow: &window}); err != nil {
		t.Fatal(err)
	}
	step()
	if got := strings.Join(applied, ", "); got != "acme/show 2m0s, acme/show 7m0s" {
		t.Errorf("applied %s", got)
	}

	// A catalog that is away changes nothing, and is told of once.
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	step()
	step()
	if n := strings.Count(log.String(), "not known"); n != 1 || len(applied) != 2 {
		t.Errorf("told %d times, applied %v", n, applied)
	}
	live = nil
	step() // nothing is live: nobody is asked
	if !strings.Contains(log.String(), "known again") {
		t.Errorf("log is %s", log.String())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ended); err != nil {
		t.Error(err)
	}
}
