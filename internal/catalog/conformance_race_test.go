package catalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// testClaimRace has eight archivers work off what is due: each row is archived once, then dropped once.
func (s suite) testClaimRace(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	const rows, archivers = 40, 8
	for n := range rows {
		save(t, db, ended(n))
	}
	now := start.Add(24 * time.Hour)
	var mu sync.Mutex
	done := map[media.RecordingID][]media.Action{}
	var wg sync.WaitGroup
	for a := range archivers {
		wg.Go(func() {
			for {
				c, err := db.ClaimDue(ctx, fmt.Sprint(a), media.Due{Cluster: media.DefaultCluster}, now, time.Minute)
				if errors.Is(err, media.ErrNotFound) {
					mu.Lock()
					left := 2*rows - actions(done)
					mu.Unlock()
					if left == 0 {
						return
					}
					continue // others hold what is left, or were faster
				}
				if err == nil {
					err = db.FinishClaim(ctx, c, now)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				done[c.Recording.ID] = append(done[c.Recording.ID], c.Action)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for n := range rows {
		got := done[recordingID(n)]
		same(t, "number of actions", 2, len(got))
		r := read(t, db, recordingID(n))
		if r.State != media.Archived || r.Local {
			t.Errorf("row %d is %+v", n, r)
		}
	}
}

func actions(done map[media.RecordingID][]media.Action) (n int) {
	for _, list := range done {
		n += len(list)
	}
	return n
}

// testEverythingAtOnce ends shows while their settings change and archivers claim: whatever the order, the dues are
// those of the settings in the end, and nothing is lost.
func (s suite) testEverythingAtOnce(t *testing.T) {
	db := s.furnished(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	const shows, changes = 12, 10
	var work, background sync.WaitGroup
	for n := range shows {
		work.Go(func() {
			r := ended(n)
			for _, step := range []media.Recording{
				growing(r, media.Live), growing(r, media.Interrupted), growing(r, media.Live), r, growing(r, media.Live), r,
			} {
				if err := db.SaveRecording(t.Context(), step); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Go(func() {
		for n := 1; n <= changes; n++ {
			_, err := db.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{Retention: span(time.Duration(n) * time.Hour)})
			if err != nil {
				t.Error(err)
			}
			_, err = db.UpdateStream(t.Context(), show, media.SettingsPatch{ArchiveDelay: span(time.Duration(n) * time.Minute)})
			if err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		background.Go(func() { // claims what is due after a minute, and gives it back
			for ctx.Err() == nil {
				c, err := db.ClaimDue(ctx, "a", media.Due{Cluster: media.DefaultCluster}, start.Add(2*time.Minute), time.Minute)
				if err == nil {
					err = db.FailClaim(ctx, c, errTest, start)
				}
				if err != nil && !errors.Is(err, media.ErrNotFound) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
		background.Go(func() {
			for ctx.Err() == nil {
				_, _, err := db.Recordings(ctx, media.RecordingFilter{Publisher: "acme"})
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	stop()
	background.Wait()
	rows, _, err := db.Recordings(t.Context(), media.RecordingFilter{Limit: 1000})
	noError(t, err)
	same(t, "number of rows", shows, len(rows))
	for _, r := range rows {
		same(t, "expire due", r.EndedAt.Add(changes*time.Hour), r.ExpireDue)
		if r.State == media.Ended && r.Attempts == 0 {
			same(t, "archive due", r.EndedAt.Add(changes*time.Minute), r.ArchiveDue)
		}
	}
}

// testSaveDeleteRace has owners save while somebody deletes: a deleted row stays deleted, and a stream that is gone had
// no row that was not deleted.
func (s suite) testSaveDeleteRace(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	const shows = 12
	var wg sync.WaitGroup
	for n := range shows {
		r := ended(n)
		save(t, db, r)
		wg.Go(func() {
			for range 10 {
				if err := db.SaveRecording(ctx, r); err != nil {
					t.Error(err)
				}
				if err := db.SaveRecording(ctx, growing(r, media.Live)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			if _, err := db.RequestDelete(ctx, r.ID); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := db.DeleteStream(ctx, show); err != nil && !errors.Is(err, media.ErrConflict) &&
				!errors.Is(err, media.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for n := range shows {
		same(t, "state", media.Deleting, read(t, db, recordingID(n)).State)
	}
	if err := db.DeleteStream(ctx, show); err != nil && !errors.Is(err, media.ErrNotFound) {
		t.Error(err)
	}
}

// testHastenRace changes many rows at a time from both sides: nobody waits for ever, or loses for it.
func (s suite) testHastenRace(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	const shows, rounds = 40, 15
	for n := range shows {
		save(t, db, ended(n))
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range rounds {
				if _, err := db.HastenArchive(ctx, media.DefaultCluster, start, shows); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for n := range rounds {
			delay := time.Duration(n+1) * time.Hour
			if _, err := db.UpdateStream(ctx, show, media.SettingsPatch{ArchiveDelay: span(delay)}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	n, err := db.HastenArchive(ctx, media.DefaultCluster, start, shows)
	noError(t, err)
	for range shows {
		noError(t, db.FinishClaim(ctx, claim(t, db, "a", start), time.Time{}))
	}
	if n > shows {
		t.Errorf("%d of %d hastened", n, shows)
	}
}

// testFirstTokenRace starts processes at a time, each of which would make the first token: one does, and its token
// stands.
func (s suite) testFirstTokenRace(t *testing.T) {
	db := s.furnished(t)
	const processes = 8
	var first sync.Map
	var wg sync.WaitGroup
	for n := range processes {
		wg.Go(func() {
			token := fmt.Sprint("token-", n)
			added, err := db.AddFirstToken(t.Context(), "admin", token)
			if err != nil {
				t.Error(err)
			}
			if added {
				first.Store(token, true)
			}
		})
	}
	wg.Wait()
	made := 0
	first.Range(func(token, _ any) bool {
		made++
		_, err := db.CheckToken(t.Context(), token.(string))
		noError(t, err)
		return true
	})
	same(t, "first tokens", 1, made)
	_, err := db.ReplaceToken(t.Context(), "admin", "chosen")
	noError(t, err)
	added, err := db.AddFirstToken(t.Context(), "admin", "late")
	noError(t, err)
	same(t, "added beside another", false, added)
}
