package catalog

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testClusters(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	east, west, unnamed := ended(0), ended(1), ended(2)
	east.Cluster, west.Cluster, unnamed.Cluster = "east", "west", ""
	for _, r := range []media.Recording{east, west, unnamed} {
		save(t, db, growing(r, media.Live))
	}
	same(t, "default", media.DefaultCluster, read(t, db, unnamed.ID).Cluster)
	list, err := db.Growing(ctx, "west")
	noError(t, err)
	same(t, "growing of west", []media.RecordingID{west.ID}, ids(list))
	for _, r := range []media.Recording{east, west, unnamed} {
		save(t, db, r)
	}
	moved := east
	moved.Cluster = "west"
	same(t, "cluster after another's save", "east", save(t, db, moved).Cluster)

	now := start.Add(time.Hour)
	list, _, err = db.Recordings(ctx, media.RecordingFilter{Cluster: "east"})
	noError(t, err)
	same(t, "recordings of east", []media.RecordingID{east.ID}, ids(list))
	c, err := db.ClaimDue(ctx, "a", media.Due{Cluster: "west"}, now, time.Minute)
	noError(t, err)
	same(t, "claimed in west", west.ID, c.Recording.ID)
	same(t, "cluster of the claim", "west", c.Recording.Cluster)
	_, err = db.ClaimDue(ctx, "b", media.Due{Cluster: "west"}, now, time.Minute)
	wantError(t, err, media.ErrNotFound)
	same(t, "claimed in main", unnamed.ID, claim(t, db, "c", now).Recording.ID)

	bad := ended(3)
	bad.Cluster = "No Such"
	wantError(t, db.SaveRecording(ctx, bad), media.ErrBadName, "cluster")
}

func ids(list []media.Recording) (ids []media.RecordingID) {
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	return ids
}

func (s suite) testHasten(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	_, err := db.UpdateStream(ctx, show, media.SettingsPatch{ArchiveDelay: span(10 * time.Hour)})
	noError(t, err)
	for n := range 4 {
		save(t, db, ended(n))
	}
	other := ended(5)
	other.Cluster = "west"
	save(t, db, other)
	save(t, db, growing(ended(6), media.Live))
	now := start.Add(time.Hour)
	nothingDue(t, db, now)

	n, err := db.HastenArchive(ctx, media.DefaultCluster, now, 3)
	noError(t, err)
	same(t, "hastened", 3, n)
	for range 3 {
		c := claim(t, db, "a", now)
		same(t, "action", media.ActArchive, c.Action)
		if c.Recording.ID == recordingID(3) {
			t.Error("the newest was archived before older ones")
		}
		noError(t, db.FinishClaim(ctx, c, now.Add(5*time.Hour)))
	}
	nothingDue(t, db, now)
	n, err = db.HastenArchive(ctx, media.DefaultCluster, now, 100)
	noError(t, err)
	same(t, "hastened of what waits", 1, n)
	n, err = db.HastenArchive(ctx, media.DefaultCluster, now, 100)
	noError(t, err)
	same(t, "hastened again", 0, n)
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", now), time.Time{})) // its copy is to stay

	n, err = db.HastenDrop(ctx, media.DefaultCluster, now, 1)
	noError(t, err)
	same(t, "drops", 1, n)
	c := claim(t, db, "a", now)
	same(t, "action", media.ActDropLocal, c.Action)
	same(t, "dropped first", recordingID(0), c.Recording.ID)
	noError(t, db.FinishClaim(ctx, c, time.Time{}))
	n, err = db.HastenDrop(ctx, media.DefaultCluster, now, 100)
	noError(t, err)
	same(t, "drops, also of what was to stay", 3, n)
	n, err = db.HastenDrop(ctx, "west", now, 100)
	noError(t, err)
	same(t, "drops in west, which archived nothing", 0, n)
	for _, limit := range []int{0, -1, 1 << 20} {
		_, err = db.HastenArchive(ctx, "west", now, limit)
		wantField(t, err, "limit")
	}
}

// What an archiver holds, or is to be tried later, is not hastened.
func (s suite) testHastenLeavesClaims(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	save(t, db, ended(0))
	save(t, db, ended(1))
	now := start.Add(time.Hour)
	held, failed := claim(t, db, "a", now), claim(t, db, "b", now)
	noError(t, db.FailClaim(ctx, failed, errTest, now.Add(time.Hour)))
	n, err := db.HastenArchive(ctx, media.DefaultCluster, now, 10)
	noError(t, err)
	same(t, "hastened", 0, n)
	nothingDue(t, db, now)
	noError(t, db.FinishClaim(ctx, held, now))
}

func (s suite) testRestore(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	_, err := db.UpdateStream(ctx, show, media.SettingsPatch{ArchiveDelay: span(time.Minute), Retention: span(2 * time.Hour)})
	noError(t, err)
	restore := func(r media.Recording, want Restored) media.Recording {
		t.Helper()
		got, err := db.Restore(ctx, r)
		noError(t, err)
		same(t, "restored "+string(r.State), want, got)
		return read(t, db, r.ID)
	}
	onDisk := func(n int) media.Recording { r := ended(n); r.Local = true; return r }
	inArchive := func(n int) media.Recording {
		r := ended(n)
		r.State, r.ArchivedAt = media.Archived, start.Add(time.Hour)
		return r
	}

	r := restore(onDisk(0), RestoredAdded)
	same(t, "archive due", r.EndedAt.Add(time.Minute), r.ArchiveDue)
	same(t, "expire due", r.EndedAt.Add(2*time.Hour), r.ExpireDue)
	same(t, "on disk", true, r.Local)
	restore(onDisk(0), RestoredLeft)
	r = restore(inArchive(0), RestoredChanged) // the archive turns out to have it
	same(t, "state", media.Archived, r.State)
	restore(onDisk(0), RestoredLeft)
	r = restore(inArchive(1), RestoredAdded)
	same(t, "archived at", start.Add(time.Hour), r.ArchivedAt)
	same(t, "expire due", r.EndedAt.Add(2*time.Hour), r.ExpireDue)

	save(t, db, growing(ended(2), media.Interrupted))
	same(t, "state", media.Ended, restore(onDisk(2), RestoredChanged).State)

	save(t, db, growing(ended(3), media.Live))
	_, err = db.CloseLost(ctx, recordingID(3), "the disk is gone")
	noError(t, err)
	r = restore(onDisk(3), RestoredChanged)
	same(t, "last error", "", r.LastError)

	save(t, db, ended(4))
	_, err = db.RequestDelete(ctx, recordingID(4))
	noError(t, err)
	same(t, "state", media.Deleting, restore(onDisk(4), RestoredLeft).State)
	same(t, "state", media.Deleting, restore(inArchive(4), RestoredLeft).State)

	lonely := onDisk(5) // of a publisher that nobody knows
	lonely.Path, lonely.Cluster = media.StreamPath{Publisher: "gone", Stream: "show"}, "west"
	r = restore(lonely, RestoredAdded)
	same(t, "archive due", r.EndedAt.Add(media.DefaultSettings().ArchiveDelay.D()), r.ArchiveDue)
	same(t, "cluster", "west", r.Cluster)
	_, err = db.Publisher(ctx, "gone")
	wantError(t, err, media.ErrNotFound)
}

func (s suite) testRestoreRefusals(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	now := start.Add(time.Hour)
	save(t, db, ended(0))
	held := claim(t, db, "a", now)
	archived := ended(0)
	archived.State, archived.ArchivedAt = media.Archived, now
	got, err := db.Restore(ctx, archived)
	noError(t, err)
	same(t, "restored under a claim", RestoredLeft, got)
	noError(t, db.FinishClaim(ctx, held, now))

	for name, spoil := range map[string]func(r *media.Recording){
		"it is live":                    func(r *media.Recording) { r.State = media.Live },
		"it is being deleted":           func(r *media.Recording) { r.State = media.Deleting },
		"no end":                        func(r *media.Recording) { r.EndedAt = time.Time{} },
		"archived at no time":           func(r *media.Recording) { r.State = media.Archived },
		"ended, but archived":           func(r *media.Recording) { r.ArchivedAt = start },
		"nobody has it":                 func(r *media.Recording) { r.Local = false },
		"no start":                      func(r *media.Recording) { r.StartedAt = time.Time{} },
		"the row of another's stream":   func(r *media.Recording) { r.ID, r.Path.Stream = recordingID(0), "other" },
		"its name is no recording's":    func(r *media.Recording) { r.ID = "x" },
		"its cluster's name is no name": func(r *media.Recording) { r.Cluster = "!" },
	} {
		r := ended(1)
		r.Local = true
		spoil(&r)
		if got, err := db.Restore(ctx, r); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
	_, err = db.Recording(ctx, recordingID(1))
	wantError(t, err, media.ErrNotFound)
}
