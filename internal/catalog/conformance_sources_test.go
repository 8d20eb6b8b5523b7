package catalog

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testSources(t *testing.T) {
	db := s.open(t)
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	want := media.Source{
		Path: path, URL: "srt://example.com:9000?passphrase=0123456789", Mode: media.SourceOnDemand, Enabled: true,
		IdleTimeout: media.Span(90 * time.Second),
	}
	if _, err := db.PutSource(t.Context(), want); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("a source without its stream: %v", err)
	}
	if err := db.CreatePublisher(t.Context(), media.Publisher{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CreateStream(t.Context(), path, media.SettingsPatch{}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Source(t.Context(), path); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("a stream without a source: %v", err)
	}
	first, err := db.PutSource(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	want.CreatedAt, want.UpdatedAt = first.CreatedAt, first.UpdatedAt
	if got, err := db.Source(t.Context(), path); err != nil || !cmp.Equal(got, want) || want.CreatedAt.IsZero() {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	if list, err := db.EnabledSources(t.Context()); err != nil || !cmp.Equal(list, []media.Source{want}) {
		t.Errorf("%v %v", list, err)
	}

	want.Enabled, want.Mode = false, media.SourceAlways
	if second, err := db.PutSource(t.Context(), want); err != nil || second.Enabled || !second.CreatedAt.Equal(want.CreatedAt) {
		t.Errorf("%+v %v", second, err)
	}
	if list, err := db.EnabledSources(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	bad := want
	bad.URL = "file:///etc/passwd"
	if _, err := db.PutSource(t.Context(), bad); !errors.Is(err, media.ErrInvalid) {
		t.Errorf("a file: %v", err)
	}
	if err := db.DeleteSource(t.Context(), path); err != nil {
		t.Error(err)
	}
	if err := db.DeleteSource(t.Context(), path); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, err := db.PutSource(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := db.DeleteStream(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Source(t.Context(), path); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("a source outlives its stream: %v", err)
	}
}
