package catalog

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testSaveRoundTrip(t *testing.T) {
	db := s.furnished(t)
	want := ended(0)
	want.Continues = recordingID(-1)
	want.StartedAt = want.StartedAt.Add(123 * time.Millisecond)
	got := save(t, db, want)
	want.Local, want.Revision = true, 1
	want.ArchiveDue = start.Add(5 * time.Minute)
	same(t, "ended recording", want, got)

	live := growing(ended(1), media.Live)
	got = save(t, db, live)
	live.Local, live.Revision = true, 1
	same(t, "live recording", live, got)

	_, err := db.Recording(t.Context(), recordingID(2))
	wantError(t, err, media.ErrNotFound)
	_, err = db.Recording(t.Context(), "no id \x01")
	wantError(t, err, media.ErrNotFound)

	// An end that was not told is now.
	untold := ended(3)
	untold.EndedAt = time.Time{}
	same(t, "end", start, save(t, db, untold).EndedAt)
}

func (s suite) testSaveOrder(t *testing.T) {
	db := s.furnished(t)
	r := ended(0)
	r.Continues = recordingID(-1)
	early := growing(r, media.Live)
	early.Duration, early.Bytes, early.Continues = time.Minute, 100, ""
	grown := growing(r, media.Live)

	for _, step := range []struct {
		save media.Recording
		want media.State
	}{
		{grown, media.Live},
		{early, media.Live},
		{growing(r, media.Interrupted), media.Interrupted},
		{growing(r, media.Interrupted), media.Interrupted},
		{grown, media.Live},
		{growing(early, media.Interrupted), media.Interrupted},
	} {
		got := save(t, db, step.save)
		if got.State != step.want || got.Duration != r.Duration || got.Bytes != r.Bytes || !got.EndedAt.IsZero() {
			t.Errorf("after saving %s: %+v, want state %s and nothing lost", step.save.State, got, step.want)
		}
	}
	first := save(t, db, r)
	same(t, "state", media.Ended, first.State)
	same(t, "what it continues", r.Continues, first.Continues)
	for _, late := range []media.Recording{grown, early, growing(r, media.Interrupted), r} {
		same(t, "row after a late save", first, save(t, db, late))
	}
	// Of two endings the later is true, and it may tell less: a torn tail was cut off.
	zombies := r
	zombies.EndedAt = r.EndedAt.Add(-time.Second)
	same(t, "row after an earlier ending", first, save(t, db, zombies))
	later := r
	later.EndedAt, later.Bytes = r.EndedAt.Add(time.Second), 5
	want := first
	want.EndedAt, want.Bytes, want.ArchiveDue = later.EndedAt, 5, first.ArchiveDue.Add(time.Second)
	same(t, "row after a later ending", want, save(t, db, later))
	// The path and the start are fixed by the first save.
	moved := later
	moved.StartedAt = start
	same(t, "row after a save with another start", want, save(t, db, moved))
	moved.Path.Stream = "other"
	wantError(t, db.SaveRecording(t.Context(), moved), media.ErrConflict, "acme/show", "acme/other")
}

func (s suite) testSaveNeverResurrects(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	r := ended(0)
	save(t, db, r)
	unchanged := func(state media.State) {
		t.Helper()
		before := read(t, db, r.ID)
		same(t, "state", state, before.State)
		later := r
		later.EndedAt = r.EndedAt.Add(time.Hour)
		for _, late := range []media.Recording{r, later, growing(r, media.Live), growing(r, media.Interrupted)} {
			same(t, "row after a late save", before, save(t, db, late))
		}
	}
	_, err := db.SetKeep(ctx, r.ID, true)
	noError(t, err)
	same(t, "keep after a save", true, save(t, db, r).Keep)
	_, err = db.SetKeep(ctx, r.ID, false)
	noError(t, err)

	archive := claim(t, db, "a", start.Add(time.Hour))
	unchanged(media.Archiving)
	noError(t, db.FinishClaim(ctx, archive, time.Time{}))
	unchanged(media.Archived)
	_, err = db.RequestDelete(ctx, r.ID)
	noError(t, err)
	unchanged(media.Deleting)
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", start.Add(time.Hour)), time.Time{}))
	unchanged(media.Deleted)
}

func (s suite) testSaveRefusals(t *testing.T) {
	db := s.furnished(t)
	for name, spoil := range map[string]func(r *media.Recording){
		"state archived": func(r *media.Recording) { r.State = media.Archived },
		"no state":       func(r *media.Recording) { r.State = "" },
		"no start":       func(r *media.Recording) { r.StartedAt = time.Time{} },
		"negative bytes": func(r *media.Recording) { r.Bytes = -1 },
		"negative span":  func(r *media.Recording) { r.Duration = -1 },
	} {
		r := ended(0)
		spoil(&r)
		if err := db.SaveRecording(t.Context(), r); err == nil {
			t.Errorf("%s: saved", name)
		} else {
			wantError(t, err, media.ErrInvalid, string(r.ID))
		}
	}
	for name, spoil := range map[string]func(r *media.Recording){
		"id":        func(r *media.Recording) { r.ID = "live" },
		"continues": func(r *media.Recording) { r.Continues = "live" },
		"publisher": func(r *media.Recording) { r.Path.Publisher = "../up" },
		"stream":    func(r *media.Recording) { r.Path.Stream = "" },
	} {
		r := ended(0)
		spoil(&r)
		if err := db.SaveRecording(t.Context(), r); err == nil {
			t.Errorf("bad %s: saved", name)
		} else {
			wantError(t, err, media.ErrBadName)
		}
	}
}

func (s suite) testSaveWithoutStream(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{ArchiveDelay: span(time.Minute)})
	noError(t, err)
	r := ended(0)
	r.Path.Stream = "gone"
	same(t, "due by its publisher", start.Add(time.Minute), save(t, db, r).ArchiveDue)
	r = ended(1)
	r.Path = media.StreamPath{Publisher: "gone", Stream: "gone"}
	same(t, "due by default", r.EndedAt.Add(5*time.Minute), save(t, db, r).ArchiveDue)

	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{ArchiveDelay: span(time.Hour)})
	noError(t, err)
	same(t, "due after its publisher's update", start.Add(time.Hour), read(t, db, recordingID(0)).ArchiveDue)
}

func (s suite) testDues(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Retention: span(24 * time.Hour)})
	noError(t, err)
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{ArchiveDelay: span(0)})
	noError(t, err)
	live := save(t, db, growing(ended(0), media.Live))
	same(t, "archive due while live", time.Time{}, live.ArchiveDue)
	same(t, "expire due while live", time.Time{}, live.ExpireDue)
	r := save(t, db, ended(0))
	same(t, "archive due", start, r.ArchiveDue)
	same(t, "expire due", start.Add(24*time.Hour), r.ExpireDue)
}

func (s suite) testDuesFollowSettings(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	other := media.StreamPath{Publisher: "acme", Stream: "other"}
	_, err := db.CreateStream(ctx, other, media.SettingsPatch{ArchiveDelay: span(7 * time.Minute)})
	noError(t, err)
	noError(t, db.CreatePublisher(ctx, media.Publisher{Name: "bystander"}))

	save(t, db, ended(0)) // to be archived before the change
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", start.Add(time.Hour)), time.Time{}))
	save(t, db, ended(-1)) // to be archiving at the change
	claim(t, db, "a", start.Add(time.Hour))
	waiting := save(t, db, ended(1))
	save(t, db, growing(ended(2), media.Live))
	others := ended(3)
	others.Path = other
	save(t, db, others)
	strangers := ended(4)
	strangers.Path = media.StreamPath{Publisher: "bystander", Stream: "show"}
	untouched := save(t, db, strangers)

	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{
		ArchiveDelay: span(time.Hour), Retention: span(48 * time.Hour),
	})
	noError(t, err)
	type due struct{ Archive, Expire time.Time }
	wantDues := func(what string, id media.RecordingID, want due) {
		t.Helper()
		r := read(t, db, id)
		same(t, "dues of "+what, want, due{r.ArchiveDue, r.ExpireDue})
	}
	expire := func(n int) time.Time { return ended(n).EndedAt.Add(48 * time.Hour) }
	wantDues("the archived", recordingID(0), due{start.Add(5 * time.Minute), expire(0)})
	wantDues("the archiving", recordingID(-1), due{ended(-1).EndedAt.Add(5 * time.Minute), expire(-1)})
	wantDues("the ended", waiting.ID, due{waiting.EndedAt.Add(time.Hour), expire(1)})
	wantDues("the live", recordingID(2), due{})
	wantDues("the overriding stream's", others.ID, due{others.EndedAt.Add(7 * time.Minute), expire(3)})
	same(t, "another publisher's", untouched, read(t, db, strangers.ID))

	_, err = db.UpdateStream(ctx, other, media.SettingsPatch{ArchiveDelay: span(0), Retention: span(0)})
	noError(t, err)
	wantDues("the updated stream's", others.ID, due{others.EndedAt, time.Time{}})
	wantDues("its sibling's", waiting.ID, due{waiting.EndedAt.Add(time.Hour), expire(1)})

	// A live one takes the settings of its end, not of its start.
	save(t, db, ended(2))
	wantDues("the formerly live", recordingID(2), due{ended(2).EndedAt.Add(time.Hour), expire(2)})
}

func (s suite) testLatest(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.LatestRecording(ctx, show)
	wantError(t, err, media.ErrNotFound, "acme/show")
	for n := range 3 {
		save(t, db, ended(n))
	}
	others := growing(ended(9), media.Live)
	others.Path.Stream = "other"
	save(t, db, others)
	for n := 2; n >= 0; n-- {
		r, err := db.LatestRecording(ctx, show)
		noError(t, err)
		same(t, "latest", recordingID(n), r.ID)
		_, err = db.RequestDelete(ctx, r.ID)
		noError(t, err)
	}
	_, err = db.LatestRecording(ctx, show)
	wantError(t, err, media.ErrNotFound)
}

func (s suite) testGrowing(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	none, err := db.Growing(ctx, media.DefaultCluster)
	noError(t, err)
	same(t, "growing recordings", 0, len(none))
	save(t, db, growing(ended(2), media.Live))
	save(t, db, growing(ended(1), media.Interrupted))
	save(t, db, ended(0))
	list, err := db.Growing(ctx, media.DefaultCluster)
	noError(t, err)
	same(t, "growing recordings", []media.Recording{read(t, db, recordingID(1)), read(t, db, recordingID(2))}, list)

	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Retention: span(time.Hour), ArchiveDelay: span(0)})
	noError(t, err)
	closed, err := db.CloseLost(ctx, recordingID(1), "its directory is gone")
	noError(t, err)
	same(t, "closed recording", read(t, db, recordingID(1)), closed)
	want := list[0]
	want.State, want.Local, want.LastError = media.Ended, false, "its directory is gone"
	want.EndedAt = want.StartedAt.Add(want.Duration)
	want.ArchiveDue, want.ExpireDue = want.EndedAt, want.EndedAt.Add(time.Hour)
	want.ExpireReason = media.ReasonAge
	same(t, "closed recording", want, closed)
	_, err = db.CloseLost(ctx, recordingID(1), "")
	wantError(t, err, media.ErrConflict, "ended")
	_, err = db.CloseLost(ctx, recordingID(7), "")
	wantError(t, err, media.ErrNotFound)

	// There is nothing to archive; its retention still ends.
	_, err = db.RequestDelete(ctx, recordingID(0))
	noError(t, err)
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", want.ArchiveDue.Add(time.Second)), time.Time{}))
	nothingDue(t, db, want.ArchiveDue.Add(time.Second))
	same(t, "action", media.ActDelete, claim(t, db, "a", want.ExpireDue).Action)

	// The storage came back: the owner's ending, even an earlier one, makes it whole.
	_, err = db.CloseLost(ctx, recordingID(2), "its directory is gone")
	noError(t, err)
	back := ended(2)
	back.EndedAt = back.EndedAt.Add(-time.Minute)
	r := save(t, db, back)
	if !r.Local || r.LastError != "" || !r.EndedAt.Equal(back.EndedAt) {
		t.Errorf("after its owner's save: %+v, want it whole", r)
	}
}

func (s suite) testKeepAndDelete(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	save(t, db, growing(ended(0), media.Live))
	_, err := db.RequestDelete(ctx, recordingID(0))
	wantError(t, err, media.ErrConflict, "live", "stop publishing")
	save(t, db, growing(ended(0), media.Interrupted))
	_, err = db.RequestDelete(ctx, recordingID(0))
	wantError(t, err, media.ErrConflict, "interrupted")
	kept, err := db.SetKeep(ctx, recordingID(0), true)
	noError(t, err)
	same(t, "kept recording", read(t, db, recordingID(0)), kept)
	same(t, "keep", true, kept.Keep)
	save(t, db, ended(0))
	_, err = db.RequestDelete(ctx, recordingID(0))
	wantError(t, err, media.ErrConflict, "set keep to false first")
	_, err = db.SetKeep(ctx, recordingID(0), false)
	noError(t, err)

	c := claim(t, db, "a", start.Add(time.Hour))
	_, err = db.RequestDelete(ctx, recordingID(0))
	wantError(t, err, media.ErrConflict, "being archived")
	noError(t, db.FailClaim(ctx, c, errTest, start.Add(2*time.Hour)))

	deleting, err := db.RequestDelete(ctx, recordingID(0))
	noError(t, err)
	same(t, "deleting recording", read(t, db, recordingID(0)), deleting)
	if deleting.State != media.Deleting || !deleting.ExpireDue.Equal(start) || deleting.LastError != "" {
		t.Errorf("deleting recording is %+v, want it due now", deleting)
	}
	again, err := db.RequestDelete(ctx, recordingID(0))
	noError(t, err)
	same(t, "after asking again", deleting, again)
	for _, keep := range []bool{true, false} {
		_, err = db.SetKeep(ctx, recordingID(0), keep)
		wantError(t, err, media.ErrGone)
	}
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", start), time.Time{}))
	deleted, err := db.RequestDelete(ctx, recordingID(0))
	noError(t, err)
	same(t, "deleted recording", read(t, db, recordingID(0)), deleted)
	_, err = db.SetKeep(ctx, recordingID(0), true)
	wantError(t, err, media.ErrGone)

	_, err = db.RequestDelete(ctx, recordingID(9))
	wantError(t, err, media.ErrNotFound)
	_, err = db.SetKeep(ctx, recordingID(9), true)
	wantError(t, err, media.ErrNotFound)
}
