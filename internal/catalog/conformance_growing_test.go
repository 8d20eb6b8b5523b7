package catalog

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// continuous gives a catalog whose stream is uploaded while it is live.
func (s suite) continuous(t *testing.T) *DB {
	t.Helper()
	db := s.furnished(t)
	mode := media.ArchiveContinuous
	_, err := db.UpdateStream(t.Context(), show, media.SettingsPatch{ArchiveMode: &mode})
	noError(t, err)
	return db
}

// live saves a growing recording as its owner does that is told to upload it.
func live(t *testing.T, db *DB, n int) media.Recording {
	t.Helper()
	r := growing(ended(n), media.Live)
	r.Continuous = true
	return save(t, db, r)
}

func (s suite) testClaimUpload(t *testing.T) {
	ctx := t.Context()
	db := s.continuous(t)
	_, err := db.ClaimUpload(ctx, "a", media.DefaultCluster, start, time.Minute)
	wantError(t, err, media.ErrNotFound)
	newer, older := live(t, db, 1), live(t, db, 0)
	plain := growing(ended(2), media.Live)
	save(t, db, plain)
	_, err = db.ClaimUpload(ctx, "a", "another", start, time.Minute)
	wantError(t, err, media.ErrNotFound)

	first, err := db.ClaimUpload(ctx, "a", media.DefaultCluster, start, time.Minute)
	noError(t, err)
	same(t, "the first claim", media.Claim{
		Recording: older, Action: media.ActUpload, Owner: "a", Epoch: 1, Until: start.Add(time.Minute),
	}, first)
	second, err := db.ClaimUpload(ctx, "b", media.DefaultCluster, start, time.Minute)
	noError(t, err)
	same(t, "the second claim", newer.ID, second.Recording.ID)
	_, err = db.ClaimUpload(ctx, "c", media.DefaultCluster, start, time.Minute)
	wantError(t, err, media.ErrNotFound)

	// Its owner saves it as ever, and the claim stays.
	r := older
	r.State, r.Bytes = media.Interrupted, older.Bytes+1
	r = save(t, db, r)
	same(t, "state", media.Interrupted, r.State)
	first, err = db.RenewUpload(ctx, first, start.Add(time.Minute), time.Minute)
	noError(t, err)
	same(t, "renewed", start.Add(2*time.Minute), first.Until)
	noError(t, db.SaveUploaded(ctx, first, true, "slow"))
	r = read(t, db, older.ID)
	same(t, "uploaded", true, r.Uploaded)
	same(t, "problem", "slow", r.LastError)

	// A claim that ran out is another's, and the first owner is fenced.
	taken, err := db.ClaimUpload(ctx, "c", media.DefaultCluster, start.Add(3*time.Minute), time.Minute)
	noError(t, err)
	same(t, "taken over", older.ID, taken.Recording.ID)
	_, err = db.RenewUpload(ctx, first, start, time.Minute)
	wantError(t, err, media.ErrFenced)
	wantError(t, db.SaveUploaded(ctx, first, false, ""), media.ErrFenced)
	wantError(t, db.ReleaseUpload(ctx, first, false), media.ErrFenced)
	noError(t, db.ReleaseUpload(ctx, taken, true))
	same(t, "still uploaded", true, read(t, db, older.ID).Uploaded)
	taken, err = db.ClaimUpload(ctx, "d", media.DefaultCluster, start, time.Minute)
	noError(t, err)

	// Another mode ends it, and so does the end of the show, which is due for archiving at once.
	after := media.ArchiveAfterEnd
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{ArchiveMode: &after})
	noError(t, err)
	_, err = db.RenewUpload(ctx, taken, start, time.Minute)
	wantError(t, err, media.ErrFenced)
	mode := media.ArchiveContinuous
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{ArchiveMode: &mode})
	noError(t, err)
	taken, err = db.RenewUpload(ctx, taken, start, time.Hour)
	noError(t, err)
	save(t, db, ended(0))
	_, err = db.RenewUpload(ctx, taken, start, time.Minute)
	wantError(t, err, media.ErrFenced)
	wantError(t, db.SaveUploaded(ctx, taken, true, ""), media.ErrFenced)
	c := claim(t, db, "e", start)
	same(t, "archived at once", older.ID, c.Recording.ID)
	same(t, "action", media.ActArchive, c.Action)
	same(t, "no failed attempt", 0, c.Recording.Attempts)
}

func (s suite) testSalvage(t *testing.T) {
	ctx := t.Context()
	db := s.continuous(t)
	r := live(t, db, 0)
	c, err := db.ClaimUpload(ctx, "a", media.DefaultCluster, start, time.Hour)
	noError(t, err)
	noError(t, db.SaveUploaded(ctx, c, true, ""))
	lost := live(t, db, 1) // nothing of it was uploaded
	for _, id := range []media.RecordingID{r.ID, lost.ID} {
		_, err = db.CloseLost(ctx, id, "the disk is gone")
		noError(t, err)
	}
	c = claim(t, db, "b", start)
	same(t, "to be salvaged", r.ID, c.Recording.ID)
	same(t, "action", media.ActArchive, c.Action)
	nothingDue(t, db, start)
	expiry := read(t, db, r.ID).ExpireDue
	saved := media.Recording{EndedAt: r.StartedAt.Add(r.Duration + time.Second), Duration: r.Duration + time.Second}
	noError(t, db.FinishSalvage(ctx, c, &saved, "some is lost"))
	wantError(t, db.FinishSalvage(ctx, c, &saved, ""), media.ErrFenced)
	have := read(t, db, r.ID)
	same(t, "state", media.Archived, have.State)
	same(t, "local", false, have.Local)
	same(t, "notice", "some is lost", have.LastError)
	same(t, "duration", saved.Duration, have.Duration)
	same(t, "end", saved.EndedAt, have.EndedAt)
	same(t, "bytes", r.Bytes, have.Bytes)
	same(t, "expiry", false, expiry.IsZero() != have.ExpireDue.IsZero())
	same(t, "has a time of archiving", false, have.ArchivedAt.IsZero())

	// Nothing of use.
	r = live(t, db, 3)
	c, err = db.ClaimUpload(ctx, "a", media.DefaultCluster, start, time.Hour)
	noError(t, err)
	noError(t, db.SaveUploaded(ctx, c, true, ""))
	_, err = db.CloseLost(ctx, r.ID, "the disk is gone")
	noError(t, err)
	c = claim(t, db, "b", start.Add(time.Hour))
	noError(t, db.FinishSalvage(ctx, c, nil, "all is lost"))
	have = read(t, db, r.ID)
	same(t, "state", media.Ended, have.State)
	same(t, "uploaded", false, have.Uploaded)
	nothingDue(t, db, start.Add(time.Hour))
}
