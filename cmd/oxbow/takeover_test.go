package main

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/registry"
	"github.com/oxbow-video/oxbow/packager"
)

func TestRecordingThatWasEndedMeanwhileIsNotResumed(t *testing.T) {
	root, err := reclog.OpenRoot(reclog.Config{Dir: t.TempDir(), Shared: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	ref := reclog.Ref{Path: acme("show"), ID: newRecordingID()}
	w, err := root.Create(reclog.Manifest{
		ID: ref.ID, Publisher: ref.Path.Publisher, Stream: ref.Path.Stream, StartedAt: time.Now().UTC(),
		Settings: media.DefaultSettings(), Constants: media.Constants{TargetDuration: 2 * time.Second},
	})
	if err == nil {
		err = w.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, time.Now().UTC() })
	}
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	p := packager.New(packager.Config{}, root, rows{}, registry.NewMemory(registry.Config{}), newRecordingID, logger,
		prometheus.NewRegistry())
	late := &takeover{root: root, packager: p, logger: logger}
	if err := late.resume(t.Context(), ref, 5); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("resume: %v", err)
	}
	if _, here := p.Current(ref.Path); here {
		t.Error("an ended recording grows here")
	}
}
