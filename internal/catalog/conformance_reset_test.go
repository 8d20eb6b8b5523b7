package catalog

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testReset(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Retention: span(2 * time.Hour), Listed: new(true)})
	noError(t, err)
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Retention: span(time.Hour), Listed: new(false), Keep: new(true)})
	noError(t, err)
	reset := media.SettingsPatch{Reset: []string{"retention", "listed", "archive"}, DVRWindow: span(time.Hour)}

	preview, _, err := db.PreviewStream(ctx, show, reset)
	noError(t, err)
	same(t, "retention in the preview", media.Span(2*time.Hour), preview.Settings.Retention)
	stored, err := db.Stream(ctx, show)
	noError(t, err)
	same(t, "retention after the preview", media.Span(time.Hour), stored.Settings.Retention)

	returned, err := db.UpdateStream(ctx, show, reset)
	noError(t, err)
	stored, err = db.Stream(ctx, show)
	noError(t, err)
	same(t, "stream", returned, stored)
	same(t, "overrides", media.SettingsPatch{Keep: new(true), DVRWindow: span(time.Hour)}, stored.Overrides)
	same(t, "retention in force", media.Span(2*time.Hour), stored.Settings.Retention)
	same(t, "listed in force", true, stored.Settings.Listed)

	p, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Reset: []string{"retention", "listed"}})
	noError(t, err)
	same(t, "publisher's settings", media.SettingsPatch{}, p.Settings)
	stored, err = db.Stream(ctx, show)
	noError(t, err)
	same(t, "retention by default", media.Span(0), stored.Settings.Retention)
	same(t, "listed by default", false, stored.Settings.Listed)

	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Reset: []string{"retentoin"}})
	wantField(t, err, "reset")
	_, _, err = db.PreviewPublisher(ctx, "acme", media.SettingsPatch{Reset: []string{"keep"}, Keep: new(true)})
	wantField(t, err, "reset")
}
