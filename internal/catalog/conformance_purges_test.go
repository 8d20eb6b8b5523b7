package catalog

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testPurges(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	now := start
	db.now = func() time.Time { return now }
	add := func(p media.Purge) media.Purge {
		t.Helper()
		now = now.Add(time.Second)
		got, err := db.AddPurge(ctx, p)
		noError(t, err)
		p.Time = now
		same(t, "purge", p, got)
		return got
	}
	list := func(want ...media.Purge) {
		t.Helper()
		got, err := db.Purges(ctx)
		noError(t, err)
		same(t, "purges", len(want), len(got))
		for i := range min(len(want), len(got)) {
			same(t, "purge", want[i], got[i])
		}
	}
	list()
	id := media.RecordingID("01j00000000000000000000000")
	one := add(media.Purge{Publisher: show.Publisher, Stream: show.Stream, Recording: id})
	other := add(media.Purge{Publisher: show.Publisher, Stream: "other"})
	list(one, other)
	again := add(media.Purge{Publisher: show.Publisher, Stream: show.Stream, Recording: id})
	list(other, again)
	stream := add(media.Purge{Publisher: show.Publisher, Stream: show.Stream})
	list(other, stream)
	// A narrower one stands beside a wider one from before.
	again = add(media.Purge{Publisher: show.Publisher, Stream: show.Stream, Recording: id})
	list(other, stream, again)
	all := add(media.Purge{Publisher: show.Publisher})
	list(all)
	_, err := db.AddPurge(ctx, media.Purge{Publisher: "nobody"})
	wantError(t, err, media.ErrNotFound)
	now = now.Add(purgeKeep + time.Second)
	list(all)
	list(all)
	last := add(media.Purge{Publisher: show.Publisher, Stream: "other"})
	list(last)
}
