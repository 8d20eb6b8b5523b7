package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/oxbow-video/oxbow/internal/media"
)

var errTest = errors.New("the bucket is away")

func (s suite) testLife(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.UpdateStream(ctx, show, media.SettingsPatch{Retention: span(time.Hour)})
	noError(t, err)
	due := start.Add(5 * time.Minute)
	r := save(t, db, ended(0))
	nothingDue(t, db, due.Add(-time.Millisecond))

	c := claim(t, db, "archiver-1", due)
	r.State = media.Archiving
	want := media.Claim{
		Recording: r, Action: media.ActArchive, Owner: "archiver-1", Epoch: 1, Until: due.Add(time.Minute), Begun: true,
	}
	same(t, "archive claim", want, c)
	same(t, "claimed row", r, read(t, db, r.ID))
	nothingDue(t, db, due)

	db.now = func() time.Time { return due.Add(time.Second) }
	grace := due.Add(10 * time.Minute)
	noError(t, db.FinishClaim(ctx, c, grace))
	r.State, r.ArchivedAt, r.DropDue = media.Archived, due.Add(time.Second), grace
	same(t, "archived row", r, read(t, db, r.ID))
	nothingDue(t, db, grace.Add(-time.Millisecond))

	c = claim(t, db, "archiver-2", grace)
	want = media.Claim{
		Recording: r, Action: media.ActDropLocal, Owner: "archiver-2", Epoch: 2, Until: grace.Add(time.Minute), Begun: true,
	}
	same(t, "drop claim", want, c)
	noError(t, db.FinishClaim(ctx, c, time.Time{}))
	r.Local, r.DropDue = false, time.Time{}
	same(t, "dropped row", r, read(t, db, r.ID))
	nothingDue(t, db, start.Add(time.Hour-time.Millisecond))

	c = claim(t, db, "archiver-1", start.Add(time.Hour))
	r.State = media.Deleting
	same(t, "expired row", r, read(t, db, r.ID))
	same(t, "action", media.ActDelete, c.Action)
	db.now = func() time.Time { return start.Add(2 * time.Hour) }
	noError(t, db.FinishClaim(ctx, c, time.Time{}))
	r.State, r.DeletedAt = media.Deleted, start.Add(2*time.Hour)
	same(t, "tombstone", r, read(t, db, r.ID))
	nothingDue(t, db, start.Add(1000*time.Hour))
}

func (s suite) testFencing(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	now := start.Add(time.Hour)
	save(t, db, ended(0))
	old := claim(t, db, "slow", now)

	renewed, err := db.RenewClaim(ctx, old, now.Add(30*time.Second), time.Minute)
	noError(t, err)
	same(t, "end of the renewed claim", now.Add(90*time.Second), renewed.Until)
	nothingDue(t, db, now.Add(80*time.Second))

	// It ran out, but nobody took it: the work done is not thrown away.
	later := now.Add(2 * time.Minute)
	renewed, err = db.RenewClaim(ctx, renewed, later, time.Minute)
	noError(t, err)

	c := claim(t, db, "fast", later.Add(time.Minute))
	same(t, "action", media.ActArchive, c.Action)
	same(t, "epoch", old.Epoch+1, c.Epoch)
	same(t, "attempts", 1, c.Recording.Attempts)
	if !strings.Contains(c.Recording.LastError, "slow") {
		t.Errorf("last error %q does not name who stopped", c.Recording.LastError)
	}
	before := read(t, db, c.Recording.ID)
	_, err = db.RenewClaim(ctx, renewed, later.Add(time.Minute), time.Hour)
	wantError(t, err, media.ErrFenced, "archive", string(c.Recording.ID))
	wantError(t, db.FinishClaim(ctx, renewed, time.Time{}), media.ErrFenced)
	wantError(t, db.FailClaim(ctx, renewed, errTest, later), media.ErrFenced)
	same(t, "row after the fenced", before, read(t, db, c.Recording.ID))

	noError(t, db.FinishClaim(ctx, c, time.Time{}))
	after := read(t, db, c.Recording.ID)
	same(t, "attempts after success", 0, after.Attempts)
	same(t, "last error after success", "", after.LastError)
	// What is finished is given back.
	wantError(t, db.FinishClaim(ctx, c, time.Time{}), media.ErrFenced)
	wantError(t, db.FailClaim(ctx, c, errTest, later), media.ErrFenced)
	_, err = db.RenewClaim(ctx, c, later, time.Minute)
	wantError(t, err, media.ErrFenced)
	same(t, "row after that", after, read(t, db, c.Recording.ID))
	wantError(t, db.FinishClaim(ctx, media.Claim{Recording: after, Action: "juggle"}, time.Time{}), media.ErrInvalid)
}

func (s suite) testFailClaim(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	now := start.Add(time.Hour)
	save(t, db, ended(0))
	fail := func(action media.Action, back media.State, attempt int) {
		t.Helper()
		c := claim(t, db, "a", now)
		same(t, "action", action, c.Action)
		retry := now.Add(10 * time.Minute)
		noError(t, db.FailClaim(ctx, c, errTest, retry))
		r := read(t, db, c.Recording.ID)
		same(t, "state", back, r.State)
		same(t, "attempts", attempt, r.Attempts)
		same(t, "last error", errTest.Error(), r.LastError)
		nothingDue(t, db, retry.Add(-time.Millisecond))
		now = retry
	}
	finish := func(drop time.Time) {
		t.Helper()
		noError(t, db.FinishClaim(ctx, claim(t, db, "a", now), drop))
	}
	fail(media.ActArchive, media.Ended, 1)
	fail(media.ActArchive, media.Ended, 2)
	finish(now)
	fail(media.ActDropLocal, media.Archived, 1)
	finish(time.Time{})
	_, err := db.RequestDelete(ctx, recordingID(0))
	noError(t, err)
	fail(media.ActDelete, media.Deleting, 1)
	fail(media.ActDelete, media.Deleting, 2)
	finish(time.Time{})
	same(t, "state", media.Deleted, read(t, db, recordingID(0)).State)

	// The error's text is bounded, and fit for every database.
	save(t, db, ended(1))
	noError(t, db.FailClaim(ctx, claim(t, db, "a", now), errors.New("\x00\xff"+strings.Repeat("é", 5000)), now))
	text := read(t, db, recordingID(1)).LastError
	if len(text) > 1010 || !utf8.ValidString(text) || !strings.HasPrefix(text, "?é") {
		t.Errorf("last error has %d bytes: %q", len(text), text)
	}
}

func (s suite) testClaimOrder(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	now := start.Add(time.Hour)
	save(t, db, ended(0))
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", now), start.Add(7*time.Minute))) // local copy due at 7
	save(t, db, ended(3))                                                             // due at 8
	save(t, db, ended(1))                                                             // due at 6
	save(t, db, ended(2))
	db.now = func() time.Time { return start.Add(9 * time.Minute) }
	_, err := db.RequestDelete(ctx, recordingID(2)) // due at 9
	noError(t, err)
	type work struct {
		ID     media.RecordingID
		Action media.Action
	}
	var got []work
	for range 4 {
		c := claim(t, db, "a", now)
		got = append(got, work{c.Recording.ID, c.Action})
	}
	same(t, "order of claims", []work{
		{recordingID(1), media.ActArchive}, {recordingID(0), media.ActDropLocal}, {recordingID(3), media.ActArchive},
		{recordingID(2), media.ActDelete},
	}, got)
	nothingDue(t, db, now)
}

func (s suite) testExpiry(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.UpdateStream(ctx, show, media.SettingsPatch{Retention: span(time.Minute), ArchiveDelay: span(time.Hour)})
	noError(t, err)
	long := start.Add(1000 * time.Hour)
	save(t, db, growing(ended(0), media.Live))
	save(t, db, growing(ended(1), media.Interrupted))
	nothingDue(t, db, long)

	// Expired before it was archived: there is no use in archiving it.
	save(t, db, ended(0))
	c := claim(t, db, "a", start.Add(time.Minute))
	same(t, "action", media.ActDelete, c.Action)
	noError(t, db.FinishClaim(ctx, c, time.Time{}))

	// Kept: archived all the same, and not deleted until it is let go.
	save(t, db, ended(1))
	_, err = db.SetKeep(ctx, recordingID(1), true)
	noError(t, err)
	c = claim(t, db, "a", long)
	same(t, "action", media.ActArchive, c.Action)
	// Being archived: it does not expire, even let go, and even when the claim runs out.
	_, err = db.SetKeep(ctx, recordingID(1), false)
	noError(t, err)
	nothingDue(t, db, long)
	c = claim(t, db, "a", long.Add(time.Hour))
	same(t, "action", media.ActArchive, c.Action)
	_, err = db.SetKeep(ctx, recordingID(1), true)
	noError(t, err)
	noError(t, db.FinishClaim(ctx, c, time.Time{}))
	nothingDue(t, db, long)
	_, err = db.SetKeep(ctx, recordingID(1), false)
	noError(t, err)
	same(t, "action", media.ActDelete, claim(t, db, "a", long).Action)
}

func (s suite) testDeleteUnderClaim(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	now := start.Add(time.Hour)
	save(t, db, ended(0))
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", now), start))
	drop := claim(t, db, "a", now)
	same(t, "action", media.ActDropLocal, drop.Action)
	_, err := db.RequestDelete(ctx, recordingID(0))
	noError(t, err)
	nothingDue(t, db, now) // one worker at a time
	noError(t, db.FinishClaim(ctx, drop, time.Time{}))
	r := read(t, db, recordingID(0))
	if r.State != media.Deleting || r.Local {
		t.Errorf("after dropping under a deletion: %+v, want it deleting and not local", r)
	}
	same(t, "action", media.ActDelete, claim(t, db, "a", now).Action)
}

func (s suite) testUploads(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	save(t, db, ended(0))
	save(t, db, ended(1))
	id := recordingID(0)
	want := []media.Upload{
		{Recording: id, Object: "a/audio.mp4", UploadID: "u2"},
		{Recording: id, Object: "b/video.mp4", UploadID: "u1"},
		{Recording: id, Object: "b/video.mp4", UploadID: "u0", Store: "eu"},
	}
	noError(t, db.SaveUpload(ctx, want[1]))
	noError(t, db.SaveUpload(ctx, want[1]))
	db.now = func() time.Time { return start.Add(time.Second) }
	noError(t, db.SaveUpload(ctx, want[2]))
	noError(t, db.SaveUpload(ctx, want[0]))
	noError(t, db.SaveUpload(ctx, media.Upload{Recording: recordingID(1), Object: "c", UploadID: "u3"}))
	got, err := db.Uploads(ctx, id)
	noError(t, err)
	same(t, "uploads", want, got)
	noError(t, db.RemoveUpload(ctx, want[1]))
	noError(t, db.RemoveUpload(ctx, want[1]))
	elsewhere := want[2]
	elsewhere.Store = "us"
	noError(t, db.RemoveUpload(ctx, elsewhere))
	got, err = db.Uploads(ctx, id)
	noError(t, err)
	same(t, "uploads left", []media.Upload{want[0], want[2]}, got)
	wantError(t, db.SaveUpload(ctx, media.Upload{Recording: recordingID(9), Object: "o", UploadID: "u"}), media.ErrNotFound)
	none, err := db.Uploads(ctx, recordingID(9))
	noError(t, err)
	same(t, "uploads of nothing", 0, len(none))
}

func (s suite) testLapseClaims(t *testing.T) {
	db := s.furnished(t)
	due := start.Add(6 * time.Minute)
	mine := save(t, db, ended(0))
	save(t, db, ended(1))
	before := claim(t, db, "archiver-1", due)
	other := claim(t, db, "archiver-2", due)
	if n, err := db.LapseClaims(t.Context(), "archiver-1", due.Add(time.Second)); err != nil || n != 1 {
		t.Fatalf("LapseClaims = %d, %v, want 1", n, err)
	}
	again := claim(t, db, "archiver-1", due.Add(time.Second))
	if again.Recording.ID != mine.ID || again.Recording.Attempts != 1 {
		t.Errorf("claimed %+v, want %s after one attempt", again.Recording, mine.ID)
	}
	wantError(t, db.FinishClaim(t.Context(), before, time.Time{}), media.ErrFenced)
	noError(t, db.FinishClaim(t.Context(), other, time.Time{}))
	if n, err := db.LapseClaims(t.Context(), "archiver-3", due); err != nil || n != 0 {
		t.Errorf("claims of nobody: %d, %v", n, err)
	}
}
