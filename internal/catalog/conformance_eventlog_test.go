package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// told lists what the log has of a recording: types, in order.
func told(tb testing.TB, db *DB, id media.RecordingID) []string {
	tb.Helper()
	events, err := db.RecordingEvents(tb.Context(), id)
	noError(tb, err)
	types := []string{}
	for _, e := range events {
		types = append(types, e.Type)
	}
	return types
}

// lastData reads the data of a recording's newest event.
func lastData[T any](tb testing.TB, db *DB, id media.RecordingID) (data T) {
	tb.Helper()
	e, err := db.LastEvent(tb.Context(), media.LogFilter{Recording: id})
	noError(tb, err)
	noError(tb, json.Unmarshal(e.Data, &data))
	return data
}

func liveEvent(r media.Recording, kind string, take int) media.LogEvent {
	return media.LiveEvent(kind, r.Path, r.ID, media.DefaultCluster, start, media.LiveData{Take: take})
}

// testEventsWithRows follows a recording's life: each thing is told once, however often it is saved.
func (s suite) testEventsWithRows(t *testing.T) {
	db, ctx := s.furnished(t), t.Context()
	r := ended(0)
	live, cut := liveEvent(r, media.EventLive, 1), liveEvent(r, media.EventInterrupted, 1)
	for range 2 { // a commit that nobody heard of is tried again
		noError(t, db.SaveRecording(ctx, growing(r, media.Live), live))
	}
	noError(t, db.SaveRecording(ctx, growing(r, media.Interrupted), live, cut))
	for range 2 {
		noError(t, db.SaveRecording(ctx, r, live, cut, liveEvent(r, media.EventLive, 2)))
	}
	want := []string{media.EventLive, media.EventInterrupted, media.EventLive, media.EventEnded}
	same(t, "ended", want, told(t, db, r.ID))
	same(t, "data", media.EndedData{
		StartedAt: r.StartedAt, EndedAt: r.EndedAt, DurationMS: r.Duration.Milliseconds(), Bytes: r.Bytes,
	}, lastData[media.EndedData](t, db, r.ID))

	due := start.Add(24 * time.Hour)
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", due), time.Time{}))
	noError(t, db.SaveRecording(ctx, r, liveEvent(r, media.EventLive, 3))) // the row is past that
	_, err := db.RequestDelete(ctx, r.ID)
	noError(t, err)
	c := claim(t, db, "a", due)
	noError(t, db.FinishClaim(ctx, c, time.Time{}))
	wantError(t, db.FinishClaim(ctx, c, time.Time{}), media.ErrFenced)
	same(t, "deleted", append(want, media.EventArchived, media.EventExpired), told(t, db, r.ID))
	same(t, "data", media.ExpiredData{
		Reason: media.ReasonRequest, DurationMS: r.Duration.Milliseconds(), Bytes: r.Bytes,
	}, lastData[media.ExpiredData](t, db, r.ID))
}

// testEventsOfLoss has storage lose recordings, and clips that can't be made.
func (s suite) testEventsOfLoss(t *testing.T) {
	db, ctx := s.furnished(t), t.Context()
	r := growing(ended(0), media.Live)
	noError(t, db.SaveRecording(ctx, r, liveEvent(r, media.EventLive, 1)))
	_, err := db.CloseLost(ctx, r.ID, "gone with its disk")
	noError(t, err)
	same(t, "lost", []string{media.EventLive, media.EventEnded, media.EventFailed}, told(t, db, r.ID))
	same(t, "data", media.FailedData{Action: media.ActRecord, Error: "gone with its disk", Attempts: 1},
		lastData[media.FailedData](t, db, r.ID))
	back := ended(0)
	noError(t, db.SaveRecording(ctx, back)) // its storage came back
	same(t, "back", media.EventEnded, told(t, db, r.ID)[3])

	source := save(t, db, ended(1))
	for _, tt := range []struct {
		change func(*media.Recording)
		want   []string
	}{
		{local, []string{media.EventEnded}},
		{func(r *media.Recording) { r.State, r.ArchivedAt = media.Archived, start },
			[]string{media.EventEnded, media.EventArchived}},
		{func(r *media.Recording) { r.LastError = "no media there" }, []string{media.EventFailed}},
	} {
		made := clip(t, db, source.ID)
		same(t, "asked for", []string{}, told(t, db, made.ID))
		c := clipClaim(t, db, false, start)
		r := c.Recording
		tt.change(&r)
		noError(t, db.FinishClip(ctx, c, r, false))
		same(t, "clip", tt.want, told(t, db, made.ID))
	}
}

// testEventsOfFailures tells the first failure of a row of them, and one an hour.
func (s suite) testEventsOfFailures(t *testing.T) {
	db, ctx := s.furnished(t), t.Context()
	now := start.Add(time.Hour)
	db.now = func() time.Time { return now }
	r := save(t, db, ended(0))
	due := start.Add(24 * time.Hour)
	fail := func(cause error) []string {
		t.Helper()
		noError(t, db.FailClaim(ctx, claim(t, db, "a", due), cause, due))
		return told(t, db, r.ID)
	}
	one := []string{media.EventEnded, media.EventFailed}
	same(t, "a stop", one[:1], fail(fmt.Errorf("archive: %w", media.ErrStopped)))
	same(t, "first", one, fail(errTest))
	retry := due.UTC()
	same(t, "data", media.FailedData{Action: media.ActArchive, Error: errTest.Error(), Attempts: 2, RetryAt: &retry},
		lastData[media.FailedData](t, db, r.ID))
	for range 5 {
		same(t, "soon", one, fail(errTest))
	}
	now = now.Add(time.Hour)
	same(t, "an hour later", append(slices.Clone(one), media.EventFailed), fail(errTest))
	noError(t, db.FinishClaim(ctx, claim(t, db, "a", due), due)) // and dropping begins anew
	same(t, "another row of failures", append(slices.Clone(one), media.EventFailed, media.EventArchived, media.EventFailed),
		fail(errTest))
}

// testEventOrder has eight writers, some of whose transactions fail, and readers that follow by id: none misses any.
func (s suite) testEventOrder(t *testing.T) {
	db := s.furnished(t)
	const writers, each = 8, 25
	var writing, reading sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	seen := make([][]media.LogEvent, 2)
	written := make(chan struct{})
	for i := range seen {
		reading.Go(func() {
			for last, done := int64(0), false; ; {
				events, err := db.Events(ctx, media.LogFilter{}, media.LogPage{After: last, Limit: 7})
				if err != nil {
					t.Error(err)
					return
				}
				if len(events) > 0 {
					last = events[len(events)-1].ID
					seen[i] = append(seen[i], events...)
					continue
				}
				if done {
					return
				}
				select {
				case <-written:
					done = true
				default:
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				e := media.LogEvent{Type: media.EventIngestWarning, Key: fmt.Sprintf("%d:%d", w, n)}
				var err error
				switch n % 5 {
				case 0: // its ids stay unused
					err = db.write(ctx, func(tx *sql.Tx) error {
						return errors.Join(db.logEvents(ctx, tx, media.LogEvent{Type: media.EventPressure}), errTest)
					})
					if errors.Is(err, errTest) {
						err = db.AddEvents(ctx, e)
					}
				case 1: // twice
					err = errors.Join(db.AddEvents(ctx, e), db.AddEvents(ctx, e))
				default:
					err = db.AddEvents(ctx, e)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	close(written)
	reading.Wait()
	for i := range seen {
		ids := map[int64]bool{}
		for n, e := range seen[i] {
			ids[e.ID] = true
			if n > 0 && e.ID <= seen[i][n-1].ID {
				t.Errorf("reader %d: id %d behind %d", i, e.ID, seen[i][n-1].ID)
			}
		}
		if len(ids) != writers*each {
			t.Errorf("reader %d saw %d of %d events", i, len(ids), writers*each)
		}
	}
}

// testEventPages selects, pages and prunes.
func (s suite) testEventPages(t *testing.T) {
	db, ctx := s.furnished(t), t.Context()
	for n := range 10 {
		e := media.LogEvent{
			Type: media.EventIngestWarning, Time: start.Add(time.Duration(n) * time.Minute), Publisher: "acme",
			Stream: fmt.Sprint("show", n%2), Cluster: "main", Data: json.RawMessage(`{"code":"x"}`),
		}
		if n == 3 {
			e.Type, e.Recording = media.EventArchived, "r"
		}
		noError(t, db.AddEvents(ctx, e))
	}
	noError(t, db.AddEvents(ctx, media.LogEvent{Type: media.EventPressure, Time: start, Cluster: "other"}))
	for _, tt := range []struct {
		f    media.LogFilter
		p    media.LogPage
		want string
	}{
		{media.LogFilter{}, media.LogPage{}, "1 2 3 4 5 6 7 8 9 10 11"},
		{media.LogFilter{}, media.LogPage{After: 4, Limit: 3}, "5 6 7"},
		{media.LogFilter{}, media.LogPage{Newest: true, Limit: 3}, "11 10 9"},
		{media.LogFilter{}, media.LogPage{Newest: true, Before: 9, After: 5}, "8 7 6"},
		{media.LogFilter{Publisher: "acme", Stream: "show1"}, media.LogPage{}, "2 4 6 8 10"},
		{media.LogFilter{Publisher: "other"}, media.LogPage{}, ""},
		{media.LogFilter{Cluster: "other"}, media.LogPage{}, "11"},
		{media.LogFilter{Recording: "r"}, media.LogPage{}, "4"},
		{media.LogFilter{Types: []string{media.EventArchived, media.EventPressure}}, media.LogPage{}, "4 11"},
		{media.LogFilter{Since: start.Add(time.Minute), Until: start.Add(3 * time.Minute)}, media.LogPage{}, "2 3"},
	} {
		events, err := db.Events(ctx, tt.f, tt.p)
		noError(t, err)
		var ids []string
		for _, e := range events {
			ids = append(ids, fmt.Sprint(e.ID))
		}
		same(t, fmt.Sprintf("%+v %+v", tt.f, tt.p), tt.want, strings.Join(ids, " "))
	}
	_, err := db.Events(ctx, media.LogFilter{}, media.LogPage{Limit: 1001})
	wantError(t, err, media.ErrInvalid)
	_, err = db.LastEvent(ctx, media.LogFilter{Publisher: "nobody"})
	wantError(t, err, media.ErrNotFound)

	prune := func(before time.Duration, limit, want int, ends media.LogEnds) {
		t.Helper()
		n, err := db.PruneEvents(ctx, start.Add(before), limit)
		noError(t, err)
		got, err := db.EventEnds(ctx)
		noError(t, err)
		same(t, "pruned", want, n)
		same(t, "ends", ends, got)
	}
	prune(0, 10, 0, media.LogEnds{Last: 11})
	prune(4*time.Minute, 3, 3, media.LogEnds{Pruned: 3, Last: 11})
	prune(4*time.Minute, 3, 1, media.LogEnds{Pruned: 4, Last: 11}) // one that came late, of an old time, waits for its turn
	prune(4*time.Minute, 3, 0, media.LogEnds{Pruned: 4, Last: 11})
}

func (s suite) testEventRefusals(t *testing.T) {
	db := s.furnished(t)
	long := strings.Repeat("x", maxEventNames+1)
	for name, e := range map[string]media.LogEvent{
		"no type":      {},
		"unknown type": {Type: "stream.gone"},
		"long name":    {Type: media.EventLive, Stream: long},
		"long key":     {Type: media.EventLive, Key: long},
		"no object":    {Type: media.EventLive, Data: json.RawMessage(`[]`)},
		"no JSON":      {Type: media.EventLive, Data: json.RawMessage(`{`)},
		"empty data":   {Type: media.EventLive, Data: json.RawMessage{}},
		"much data":    {Type: media.EventLive, Data: json.RawMessage(`{"a":"` + strings.Repeat("x", maxEventData) + `"}`)},
	} {
		wantError(t, db.AddEvents(t.Context(), media.LogEvent{Type: media.EventLive}, e), media.ErrInvalid)
		if err := db.SaveRecording(t.Context(), growing(ended(0), media.Live), e); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%s is saved with a row: %v", name, err)
		}
	}
	events, err := db.Events(t.Context(), media.LogFilter{}, media.LogPage{})
	noError(t, err)
	if len(events) != 0 {
		t.Errorf("logged: %+v", events)
	}
}
