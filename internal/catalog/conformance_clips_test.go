package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// clip asks for one of a minute.
func clip(t *testing.T, db *DB, of media.RecordingID) media.Recording {
	t.Helper()
	r, err := db.CreateClip(t.Context(), media.Recording{
		ClipOf: of, ClipStart: time.Minute, ClipEnd: 2 * time.Minute, Name: "goal",
	})
	noError(t, err)
	return r
}

// clipClaim claims the clip that is due; without one the claim is empty.
func clipClaim(t *testing.T, db *DB, made bool, now time.Time) media.Claim {
	t.Helper()
	c, err := db.ClaimClip(t.Context(), "archiver-1", media.DefaultCluster, made, now, time.Minute)
	if !errors.Is(err, media.ErrNotFound) {
		noError(t, err)
	}
	return c
}

func finishClip(t *testing.T, db *DB, c media.Claim, own bool, change func(r *media.Recording)) media.Recording {
	t.Helper()
	change(&c.Recording)
	noError(t, db.FinishClip(t.Context(), c, c.Recording, own))
	return read(t, db, c.Recording.ID)
}

func local(r *media.Recording) { r.Local, r.Bytes = true, 500 }

func (s suite) testClips(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.UpdateStream(ctx, show, media.SettingsPatch{Retention: span(time.Hour)})
	noError(t, err)
	source := save(t, db, ended(-5))
	made := clip(t, db, source.ID)
	want := media.Recording{
		ID: made.ID, Path: show, Cluster: media.DefaultCluster, State: media.Ended, Name: "goal",
		StartedAt: source.StartedAt.Add(time.Minute), EndedAt: start, Duration: time.Minute,
		ArchiveDue: start.Add(5 * time.Minute), ExpireDue: start.Add(time.Hour), ExpireReason: media.ReasonAge,
		ClipOf: source.ID, ClipStart: time.Minute, ClipEnd: 2 * time.Minute, Revision: 1,
	}
	same(t, "created", want, made)
	same(t, "read", want, read(t, db, made.ID))

	// It is made once, and not archived before.
	if c := clipClaim(t, db, true, start); c.Epoch != 0 {
		t.Errorf("it is copied before it is made: %+v", c)
	}
	c := clipClaim(t, db, false, start)
	same(t, "claim", media.Claim{
		Recording: want, Action: media.ActClip, Owner: "archiver-1", Epoch: 1, Until: start.Add(time.Minute),
	}, c)
	if again := clipClaim(t, db, false, start); again.Epoch != 0 {
		t.Errorf("claimed twice: %+v", again)
	}
	noError(t, db.PostponeClaim(ctx, c, "waits", start.Add(time.Second)))
	want.LastError = "waits"
	same(t, "postponed", want, read(t, db, made.ID))
	want.LastError = ""
	if again := clipClaim(t, db, false, start); again.Epoch != 0 {
		t.Errorf("claimed before its time: %+v", again)
	}
	c = clipClaim(t, db, false, start.Add(time.Second))
	c.Recording.LastError = ""
	want.Local, want.Bytes = true, 500
	same(t, "made", want, finishClip(t, db, c, false, local))
	if c := clipClaim(t, db, false, start.Add(time.Hour)); c.Epoch != 0 {
		t.Errorf("it is made again: %+v", c)
	}

	if latest, err := db.LatestRecording(ctx, show); err != nil || latest.ID != source.ID {
		t.Errorf("latest is %s, %v", latest.ID, err)
	}
	for _, tt := range []struct {
		filter media.RecordingFilter
		want   []media.RecordingID
	}{
		{media.RecordingFilter{ClipOf: source.ID}, []media.RecordingID{made.ID}},
		{media.RecordingFilter{ClipOf: made.ID}, nil},
		{media.RecordingFilter{Shows: true}, []media.RecordingID{source.ID}},
		{media.RecordingFilter{}, []media.RecordingID{made.ID, source.ID}},
	} {
		items, _, err := db.Recordings(ctx, tt.filter)
		noError(t, err)
		var ids []media.RecordingID
		for _, r := range items {
			ids = append(ids, r.ID)
		}
		same(t, "listed", tt.want, ids)
	}

	// A clip of a clip is one of the source.
	second, err := db.CreateClip(ctx, media.Recording{ClipOf: made.ID, ClipStart: 10 * time.Second, ClipEnd: 20 * time.Second})
	noError(t, err)
	if second.ClipOf != source.ID || second.ClipStart != 70*time.Second || second.ClipEnd != 80*time.Second {
		t.Errorf("clip of a clip: %+v", second)
	}
}

func (s suite) testClipRefusals(t *testing.T) {
	db := s.furnished(t)
	source := save(t, db, ended(0))
	live := save(t, db, growing(ended(1), media.Live))
	for name, tt := range map[string]struct {
		of         media.RecordingID
		start, end time.Duration
		want       error
		word       string
	}{
		"unknown":      {recordingID(99), 0, time.Second, media.ErrNotFound, ""},
		"before start": {source.ID, -time.Second, time.Second, media.ErrInvalid, "start"},
		"backwards":    {source.ID, time.Second, time.Second, media.ErrInvalid, "after start"},
		"behind":       {source.ID, 10 * time.Minute, 11 * time.Minute, media.ErrInvalid, "600.000 seconds long"},
		"too far":      {source.ID, 9 * time.Minute, 12 * time.Minute, media.ErrInvalid, "end"},
		"to come":      {live.ID, time.Minute, time.Hour, media.ErrInvalid, "end"},
	} {
		_, err := db.CreateClip(t.Context(), media.Recording{ClipOf: tt.of, ClipStart: tt.start, ClipEnd: tt.end})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
	unmade := clip(t, db, source.ID)
	if _, err := db.CreateClip(t.Context(), media.Recording{ClipOf: unmade.ID, ClipEnd: time.Second}); !errors.Is(err, media.ErrConflict) {
		t.Errorf("of one that is not made: %v", err)
	}
	_, err := db.RequestDelete(t.Context(), source.ID)
	noError(t, err)
	if _, err := db.CreateClip(t.Context(), media.Recording{ClipOf: source.ID, ClipEnd: time.Second}); !errors.Is(err, media.ErrGone) {
		t.Errorf("of one that is being deleted: %v", err)
	}
}

func (s suite) testClipsHoldMedia(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	source := save(t, db, ended(-5))
	pending := func(what string, want int) {
		t.Helper()
		if n, err := db.ReleaseClips(ctx, source.ID, start); n != want || err != nil {
			t.Errorf("%s: %d clips hold the media, %v, want %d", what, n, err, want)
		}
	}
	pending("no clips", 0)
	first, lost, gone := clip(t, db, source.ID), clip(t, db, source.ID), clip(t, db, source.ID)
	pending("none is made", 3)
	for c := clipClaim(t, db, false, start); c.Epoch != 0; c = clipClaim(t, db, false, start) {
		if c.Recording.ID == lost.ID {
			row := finishClip(t, db, c, false, func(r *media.Recording) { r.LastError = "nothing was recorded" })
			if row.Local || !row.ArchiveDue.IsZero() || row.LastError == "" {
				t.Errorf("lost: %+v", row)
			}
			continue
		}
		finishClip(t, db, c, false, local)
	}
	_, err := db.RequestDelete(ctx, gone.ID)
	noError(t, err)
	pending("one is made, one lost, one being deleted", 1)
	c := clipClaim(t, db, true, start)
	same(t, "to be copied", first.ID, c.Recording.ID)
	pending("while it is copied", 1)
	finishClip(t, db, c, true, func(*media.Recording) {})
	pending("it has a copy", 0)
	if c := clipClaim(t, db, true, start.Add(time.Hour)); c.Epoch != 0 {
		t.Errorf("copied again: %+v", c)
	}
}
