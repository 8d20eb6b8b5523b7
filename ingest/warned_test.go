package ingest

import (
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestWarningsAreToldWhenRaisedAndWhenOver(t *testing.T) {
	var told []string
	var first media.IngestWarning
	s := newSynthetic(t, 0)
	s.l.quality.warned = func(path media.StreamPath, w media.IngestWarning, state string) {
		if path.String() != "acme/show" || w.Text == "" || w.Severity == "" || w.Since.IsZero() {
			t.Errorf("%s: %+v", path, w)
		}
		if len(told) == 0 {
			first = w
		}
		if told = append(told, w.Code+" "+state); state == media.WarningOver && w.Since.Before(first.Since) {
			t.Errorf("over since %s, raised at %s", w.Since, first.Since)
		}
	}
	s.run(t, 20*time.Second)
	s.pace = 2
	s.run(t, 40*time.Second)
	s.pace = 1
	s.run(t, time.Minute)
	s.pace = 2
	s.run(t, 40*time.Second)
	s.l.quality.end()
	const code = "faster_than_realtime "
	want := []string{code + "raised", code + "over", code + "raised", code + "over"}
	if !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}
