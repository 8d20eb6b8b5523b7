package catalog

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
)

// list gives the ids of every page of a listing.
func list(tb testing.TB, db *DB, f media.RecordingFilter) []media.RecordingID {
	tb.Helper()
	var ids []media.RecordingID
	for {
		page, next, err := db.Recordings(tb.Context(), f)
		noError(tb, err)
		for _, r := range page {
			ids = append(ids, r.ID)
		}
		if next == "" {
			return ids
		}
		if f.Limit > 0 && len(page) != f.Limit {
			tb.Fatalf("a page of %d with a next one, want %d", len(page), f.Limit)
		}
		f.Cursor = next
	}
}

func (s suite) testListing(t *testing.T) {
	db := s.furnished(t)
	same(t, "empty listing", 0, len(list(t, db, media.RecordingFilter{})))
	var want []media.RecordingID
	for n := range 7 {
		r := ended(n)
		if n%3 > 0 {
			r.StartedAt = start // ties, which the ids break
		}
		save(t, db, r)
	}
	for _, n := range []int{5, 4, 2, 1, 6, 3, 0} {
		want = append(want, recordingID(n))
	}
	for limit := range 8 {
		same(t, "listing", want, list(t, db, media.RecordingFilter{Limit: limit}))
	}
	page, next, err := db.Recordings(t.Context(), media.RecordingFilter{Limit: 7})
	noError(t, err)
	if len(page) != 7 || next != "" {
		t.Errorf("a page that takes all has %d items and next %q, want 7 and none", len(page), next)
	}
	same(t, "listed recording", read(t, db, recordingID(0)), page[6])
}

func (s suite) testFilters(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	listed := media.StreamPath{Publisher: "acme", Stream: "listed"}
	_, err := db.CreateStream(ctx, listed, media.SettingsPatch{Listed: new(true)})
	noError(t, err)
	save(t, db, ended(0))
	save(t, db, growing(ended(1), media.Interrupted))
	r := growing(ended(2), media.Live)
	r.Path = listed
	save(t, db, r)
	r = ended(3)
	r.Path.Publisher = "other"
	save(t, db, r)
	save(t, db, ended(4))
	_, err = db.RequestDelete(ctx, recordingID(4))
	noError(t, err)
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", start), time.Time{}))
	save(t, db, ended(5))
	_, err = db.RequestDelete(ctx, recordingID(5))
	noError(t, err)

	want := func(what string, f media.RecordingFilter, numbers ...int) {
		t.Helper()
		var ids []media.RecordingID
		for _, n := range numbers {
			ids = append(ids, recordingID(n))
		}
		same(t, what, ids, list(t, db, f))
		f.Limit = 1
		same(t, what+" one by one", ids, list(t, db, f))
	}
	started := func(n int) time.Time { return ended(n).StartedAt }
	growingStates := []media.State{media.Live, media.Interrupted}
	want("all", media.RecordingFilter{}, 5, 3, 2, 1, 0)
	want("publisher", media.RecordingFilter{Publisher: "acme"}, 5, 2, 1, 0)
	want("stream", media.RecordingFilter{Publisher: "acme", Stream: "show"}, 5, 1, 0)
	want("stream of any publisher", media.RecordingFilter{Stream: "show"}, 5, 3, 1, 0)
	want("growing", media.RecordingFilter{States: growingStates}, 2, 1)
	want("growing, twice and turned", media.RecordingFilter{
		States: append(slices.Clone(growingStates), media.Live),
	}, 2, 1)
	want("deleted", media.RecordingFilter{States: []media.State{media.Deleted}}, 4)
	want("every state", media.RecordingFilter{States: media.States()}, 5, 4, 3, 2, 1, 0)
	want("since and until", media.RecordingFilter{Since: started(1), Until: started(3)}, 2, 1)
	want("nobody", media.RecordingFilter{Publisher: "nobody"})
	want("listed", media.RecordingFilter{Listed: true}, 2)

	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Listed: new(true)})
	noError(t, err)
	want("listed by publisher", media.RecordingFilter{Listed: true}, 5, 2, 1, 0)
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Listed: new(false)})
	noError(t, err)
	want("unlisted by stream", media.RecordingFilter{Listed: true}, 2)
}

func (s suite) testBadPages(t *testing.T) {
	db := s.furnished(t)
	save(t, db, ended(0))
	save(t, db, ended(1))
	_, good, err := db.Recordings(t.Context(), media.RecordingFilter{Limit: 1})
	noError(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	id := string(recordingID(0))
	for _, cursor := range []string{
		"x", "!", good[1:], good + "A", good + "=", good[:len(good)-1], strings.Repeat("A", 1<<16),
		encode([]byte("2.1." + id)), encode([]byte("1.1")), encode([]byte("1.x." + id)), encode([]byte("1.1.live")),
		encode([]byte("1.01." + id)), encode([]byte("1.+1." + id)), encode([]byte("1.99999999999999999999." + id)),
		encode([]byte("1.1." + id + ".")), encode([]byte("1.1.' OR 1=1 --")),
	} {
		_, _, err := db.Recordings(t.Context(), media.RecordingFilter{Cursor: cursor})
		wantField(t, err, "cursor")
	}
	for _, limit := range []int{-1, 1001} {
		_, _, err := db.Recordings(t.Context(), media.RecordingFilter{Limit: limit})
		wantField(t, err, "limit")
	}
	_, _, err = db.Recordings(t.Context(), media.RecordingFilter{States: []media.State{"live' OR 1=1 --"}})
	wantField(t, err, "state")
}

// testPagingProperty adds and deletes recordings between pages: what was there all the time is listed exactly once.
func (s suite) testPagingProperty(t *testing.T) {
	db := s.furnished(t)
	rapid.Check(t, func(rt *rapid.T) {
		number := 0
		add := func() media.RecordingID {
			r := ended(number)
			number++
			r.StartedAt = start.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "start")) * time.Second)
			noError(t, db.SaveRecording(t.Context(), r))
			return r.ID
		}
		remove := func(id media.RecordingID) {
			_, err := db.RequestDelete(t.Context(), id)
			noError(t, err)
			noError(t, db.FinishClaim(t.Context(), claim(t, db, "a", start), time.Time{}))
		}
		there := map[media.RecordingID]int{} // how often it was listed
		for range rapid.IntRange(0, 12).Draw(rt, "recordings") {
			there[add()] = 0
		}
		f := media.RecordingFilter{Limit: rapid.IntRange(1, 5).Draw(rt, "limit")}
		var last media.Recording
		for {
			page, next, err := db.Recordings(t.Context(), f)
			noError(t, err)
			for _, r := range page {
				tie := last.StartedAt.Equal(r.StartedAt)
				if last.ID != "" && (tie && last.ID <= r.ID || last.StartedAt.Before(r.StartedAt)) {
					rt.Fatalf("%s at %s came after %s at %s", r.ID, r.StartedAt, last.ID, last.StartedAt)
				}
				last = r
				if _, ok := there[r.ID]; ok {
					there[r.ID]++
				}
			}
			if next == "" {
				break
			}
			f.Cursor = next
			switch rapid.IntRange(0, 2).Draw(rt, "meanwhile") {
			case 0:
				add()
			case 1:
				for id := range there {
					remove(id)
					delete(there, id)
					break
				}
			}
		}
		for id, n := range there {
			if n != 1 {
				rt.Errorf("%s was listed %d times", id, n)
			}
		}
		_, err := db.writes.ExecContext(t.Context(), `DELETE FROM recordings`)
		noError(t, err)
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(cursorAfter(ended(0)))
	f.Add("")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte("1.-9223372036854775808." + string(recordingID(0)))))
	f.Fuzz(func(t *testing.T, cursor string) {
		started, id, err := parseCursor(cursor)
		if err != nil {
			wantField(t, err, "cursor")
			return
		}
		again := cursorAfter(media.Recording{ID: id, StartedAt: time.UnixMilli(started)})
		same(t, "cursor", cursor, again)
	})
}
