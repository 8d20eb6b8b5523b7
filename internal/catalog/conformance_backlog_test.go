package catalog

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testOldestDue(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	check := func(now time.Time, want map[media.Action]time.Time) {
		t.Helper()
		have, err := db.OldestDue(ctx, media.DefaultCluster, now)
		noError(t, err)
		same(t, "oldest", want, have)
	}
	now := start.Add(time.Hour)
	check(now, map[media.Action]time.Time{})
	save(t, db, ended(0))
	save(t, db, ended(7))
	save(t, db, growing(of("acme", 9), media.Live))
	elsewhere := ended(8)
	elsewhere.Cluster = "west"
	save(t, db, elsewhere)
	due := read(t, db, recordingID(0)).ArchiveDue
	check(due.Add(-time.Millisecond), map[media.Action]time.Time{})
	late := map[media.Action]time.Time{media.ActArchive: due}
	check(now, late)
	c := claim(t, db, "a", now)
	same(t, "claimed", recordingID(0), c.Recording.ID)
	check(now, late) // somebody is at it
	noError(t, db.FailClaim(ctx, c, errTest, now.Add(time.Hour)))
	check(now, late) // it is not tried before an hour
	c = claim(t, db, "a", now.Add(2*time.Hour))
	drop := now.Add(3 * time.Hour)
	noError(t, db.FinishClaim(ctx, c, drop))
	check(now, map[media.Action]time.Time{media.ActArchive: read(t, db, recordingID(7)).ArchiveDue})
	check(drop, map[media.Action]time.Time{
		media.ActArchive: read(t, db, recordingID(7)).ArchiveDue, media.ActDropLocal: drop,
	})
}
