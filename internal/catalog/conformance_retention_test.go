package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

var sibling = media.StreamPath{Publisher: "acme", Stream: "sibling"}

func ptr[T any](v T) *T { return &v }

// apply has the bounds judged at a time, all of them.
func apply(tb testing.TB, db *DB, now time.Time) int {
	tb.Helper()
	n, err := db.ApplyRetention(tb.Context(), now, 1000)
	noError(tb, err)
	return n
}

// archived saves recording n and has it archived at its archive due, for the copy to go at grace.
func archived(tb testing.TB, db *DB, r media.Recording, grace time.Time) media.Recording {
	tb.Helper()
	c := claim(tb, db, "a", save(tb, db, r).ArchiveDue)
	same(tb, "claimed", r.ID, c.Recording.ID)
	noError(tb, db.FinishClaim(tb.Context(), c, grace))
	return read(tb, db, r.ID)
}

func recordedFor(path media.StreamPath, r media.Recording) media.Recording {
	r.Path = path
	return r
}

// verdicts tells why each recording expires, oldest first: "-" not at all.
func verdicts(tb testing.TB, db *DB, n int) string {
	tb.Helper()
	var list []string
	for i := range n {
		r := read(tb, db, recordingID(i))
		switch {
		case r.ExpireDue.IsZero() && r.ExpireReason == "":
			list = append(list, "-")
		default:
			list = append(list, strings.TrimPrefix(r.ExpireReason, "retention_"))
		}
	}
	return strings.Join(list, " ")
}

func (s suite) testBounds(t *testing.T) {
	now := start.Add(time.Hour)
	for _, c := range []struct {
		name              string
		publisher, stream media.SettingsPatch
		prepare           func(t *testing.T, db *DB)
		want              string
	}{
		{name: "none", want: "- - - - - -"},
		{
			name: "a publisher's count bounds all its streams together", publisher: media.SettingsPatch{RetentionCount: ptr(4)},
			want: "count count - - - -",
		},
		{
			name: "a stream's count bounds the stream", stream: media.SettingsPatch{RetentionCount: ptr(1)},
			want: "count - count - - -", // even ones are the stream's
		},
		{
			name: "both", publisher: media.SettingsPatch{RetentionCount: ptr(5)},
			stream: media.SettingsPatch{RetentionCount: ptr(2)}, want: "count - - - - -",
		},
		{
			name: "a stream's zero is no way around its publisher's", publisher: media.SettingsPatch{RetentionCount: ptr(5)},
			stream: media.SettingsPatch{RetentionCount: ptr(0)}, want: "count - - - - -",
		},
		{
			name: "bytes", publisher: media.SettingsPatch{RetentionBytes: ptr(int64(2<<20 + 5))},
			want: "bytes bytes bytes bytes - -",
		},
		{
			name: "the newest stays, however large", publisher: media.SettingsPatch{RetentionBytes: ptr(int64(1))},
			want: "bytes bytes bytes bytes bytes -",
		},
		{
			name: "kept and held ones count at their age and stay", publisher: media.SettingsPatch{RetentionCount: ptr(2)},
			prepare: func(t *testing.T, db *DB) {
				for _, n := range []int{0, 4} {
					_, err := db.SetKeep(t.Context(), recordingID(n), true)
					noError(t, err)
				}
			},
			want: "- count count count - -",
		},
		{
			name: "what is being deleted does not count", publisher: media.SettingsPatch{RetentionCount: ptr(4)},
			prepare: func(t *testing.T, db *DB) {
				_, err := db.RequestDelete(t.Context(), recordingID(5))
				noError(t, err)
			},
			want: "count - - - - deleted",
		},
		{
			name: "what goes by its age does not count", publisher: media.SettingsPatch{RetentionCount: ptr(5)},
			stream: media.SettingsPatch{Retention: span(time.Minute)}, want: "retention - retention - retention -",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := s.furnished(t)
			_, err := db.CreateStream(t.Context(), sibling, media.SettingsPatch{})
			noError(t, err)
			if c.name != "none" {
				_, err = db.UpdatePublisher(t.Context(), "acme", c.publisher)
				noError(t, err)
				_, err = db.UpdateStream(t.Context(), show, c.stream)
				noError(t, err)
			}
			for n := range 6 {
				save(t, db, recordedFor([]media.StreamPath{show, sibling}[n%2], ended(n)))
			}
			save(t, db, growing(ended(9), media.Live)) // does not count
			if c.prepare != nil {
				c.prepare(t, db)
			}
			apply(t, db, now)
			same(t, "verdicts", c.want, verdicts(t, db, 6))
			same(t, "changes when nothing changed", 0, apply(t, db, now.Add(2*judgeAgain)))
			same(t, "verdicts again", c.want, verdicts(t, db, 6))
		})
	}
}

func (s suite) testBoundsInSteps(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{RetentionCount: ptr(1), ArchiveDelay: span(9 * time.Hour)})
	noError(t, err)
	for n := range 6 {
		save(t, db, ended(n))
	}
	now := start.Add(time.Hour)
	for _, want := range []string{"count count - - - -", "count count count count - -", "count count count count count -"} {
		_, err := db.ApplyRetention(ctx, now, 2)
		noError(t, err)
		same(t, "verdicts", want, verdicts(t, db, 6)) // the oldest first
	}
	_, err = db.ApplyRetention(ctx, now, 0)
	wantField(t, err, "limit")

	// What is marked is deleted, the first claimed first, and what a claim has begun to delete is gone for good.
	_, err = db.SetKeep(ctx, recordingID(0), true)
	noError(t, err)
	c := claim(t, db, "a", now)
	same(t, "claimed", media.ActDelete, c.Action)
	same(t, "claimed", recordingID(1), c.Recording.ID)
	_, err = db.SetKeep(ctx, c.Recording.ID, true)
	wantError(t, err, media.ErrGone, "begun")
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{RetentionCount: ptr(0), Keep: ptr(true)})
	noError(t, err)
	same(t, "verdicts when loosened", "- count - - - -", verdicts(t, db, 6))
	same(t, "state", media.Deleting, read(t, db, c.Recording.ID).State)
}

// testHolds has keep, of a recording and of settings, beat bounds and age, and let go again.
func (s suite) testHolds(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	now := start.Add(time.Hour)
	for n := range 3 {
		archived(t, db, ended(n), time.Time{})
	}
	_, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{RetentionCount: ptr(1)})
	noError(t, err)
	same(t, "verdicts", "count count -", verdicts(t, db, 3)) // at once, by the change itself
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Keep: ptr(true)})
	noError(t, err)
	same(t, "verdicts when held", "- - -", verdicts(t, db, 3))
	same(t, "held", true, read(t, db, recordingID(0)).Held)
	nothingDue(t, db, now)
	_, err = db.RequestDelete(ctx, recordingID(0))
	wantError(t, err, media.ErrConflict, "setting keep")
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Keep: ptr(false)})
	noError(t, err)
	same(t, "verdicts when let go", "count count -", verdicts(t, db, 3))

	// Kept after it was marked: the mark goes, and comes back with the end of the hold.
	_, err = db.SetKeep(ctx, recordingID(1), true)
	noError(t, err)
	apply(t, db, now)
	same(t, "verdicts when one is kept", "count - -", verdicts(t, db, 3))
	_, err = db.SetKeep(ctx, recordingID(1), false)
	noError(t, err)
	apply(t, db, now)
	same(t, "verdicts when it is let go", "count count -", verdicts(t, db, 3))
}

// testRecordOff: to stop recording deletes what was not archived, and nothing that was.
func (s suite) testRecordOff(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	archived(t, db, ended(0), time.Time{})
	save(t, db, ended(1))
	_, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Record: ptr(media.RecordOff)})
	noError(t, err)
	same(t, "verdicts", "- record", verdicts(t, db, 2))
	r := read(t, db, recordingID(1))
	same(t, "archive due", time.Time{}, r.ArchiveDue)
	same(t, "expire due", r.EndedAt.Add(2*time.Minute), r.ExpireDue)
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Record: ptr(media.RecordOn)})
	noError(t, err)
	same(t, "verdicts", "- -", verdicts(t, db, 2))
	same(t, "archive due", r.EndedAt.Add(5*time.Minute), read(t, db, recordingID(1)).ArchiveDue)
}

func drops(tb testing.TB, db *DB, n int) string {
	tb.Helper()
	var list []string
	for i := range n {
		r := read(tb, db, recordingID(i))
		var reason string
		noError(tb, db.reads.QueryRowContext(tb.Context(), `SELECT drop_reason FROM recordings WHERE id = $1`, r.ID).
			Scan(&reason))
		if r.DropDue.IsZero() {
			reason += "-"
		}
		list = append(list, reason)
	}
	return strings.Join(list, " ")
}

func (s suite) testLocalTier(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	grace := start.Add(2000 * time.Hour)
	for n := range 3 {
		archived(t, db, ended(n), grace)
	}
	archived(t, db, ended(3), time.Time{}) // its archiver keeps copies
	save(t, db, ended(4))                  // not archived: never
	same(t, "drops by the grace", "grace grace grace - -", drops(t, db, 5))
	same(t, "drop due", grace, read(t, db, recordingID(0)).DropDue)

	for _, c := range []struct {
		name  string
		patch media.SettingsPatch
		want  string
	}{
		{
			"local_retention", media.SettingsPatch{LocalRetention: span(time.Hour)},
			"local_retention local_retention local_retention local_retention -",
		},
		{"back to the grace", media.SettingsPatch{LocalRetention: span(0)}, "grace grace grace - -"},
		{"count", media.SettingsPatch{LocalCount: ptr(1)}, "local_count local_count local_count - -"},
		{"looser", media.SettingsPatch{LocalCount: ptr(3)}, "local_count grace grace - -"},
		{
			"bytes", media.SettingsPatch{LocalCount: ptr(0), LocalBytes: ptr(int64(2 << 20))},
			"local_bytes local_bytes grace - -",
		},
		{"bytes below one", media.SettingsPatch{LocalBytes: ptr(int64(1))}, "local_bytes local_bytes local_bytes local_bytes -"},
		{"none", media.SettingsPatch{LocalBytes: ptr(int64(0))}, "grace grace grace - -"},
	} {
		_, err := db.UpdatePublisher(ctx, "acme", c.patch)
		noError(t, err)
		same(t, c.name, c.want, drops(t, db, 5))
	}
	// A hold is about deletion: the archive has it.
	_, err := db.UpdateStream(ctx, show, media.SettingsPatch{Keep: ptr(true), LocalCount: ptr(3)})
	noError(t, err)
	same(t, "drops of held ones", "local_count grace grace - -", drops(t, db, 5))
	c := claim(t, db, "a", start.Add(time.Minute))
	same(t, "action", media.ActDropLocal, c.Action)
	noError(t, db.FinishClaim(ctx, c, time.Time{}))
	same(t, "after it is dropped", "- grace grace - -", drops(t, db, 5))

	// What is archived from now on goes by the setting, not by the archiver's grace.
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{
		Keep: ptr(false), LocalCount: ptr(0), LocalRetention: span(time.Minute), ArchiveDelay: span(0),
	})
	noError(t, err)
	for range 3 {
		claim(t, db, "a", start.Add(4*time.Minute)) // those that are due before
	}
	c = claim(t, db, "a", start.Add(4*time.Minute))
	same(t, "action", media.ActArchive, c.Action)
	noError(t, db.FinishClaim(ctx, c, grace))
	same(t, "drop due", start.Add(time.Minute), read(t, db, recordingID(4)).DropDue)
}

func (s suite) testLocalFree(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.CreateStream(ctx, sibling, media.SettingsPatch{LocalFree: ptr(0)}) // an exception from its publisher's
	noError(t, err)
	for n := range 6 {
		archived(t, db, recordedFor([]media.StreamPath{show, sibling}[n%2], ended(n)), time.Time{})
	}
	hasten := func(free, want int) {
		t.Helper()
		n, err := db.HastenLocalFree(ctx, media.DefaultCluster, free, start, 2)
		noError(t, err)
		same(t, fmt.Sprintf("hastened at %d %% free", free), want, n)
	}
	hasten(1, 0)
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{LocalFree: ptr(30)})
	noError(t, err)
	hasten(30, 0)
	hasten(29, 2)
	same(t, "drops", "local_free - local_free - - -", drops(t, db, 6))
	hasten(29, 1)
	hasten(29, 0)
	n, err := db.HastenLocalFree(ctx, "west", 1, start, 2)
	noError(t, err)
	same(t, "of another cluster", 0, n)
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{LocalFree: ptr(0)})
	noError(t, err)
	same(t, "drops when loosened", "- - - - - -", drops(t, db, 6))
}

func (s suite) testPlan(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.UpdateStream(ctx, show, media.SettingsPatch{Retention: span(24 * time.Hour)})
	noError(t, err)
	archived(t, db, ended(0), start.Add(time.Hour)) // dropped at 1 h, deleted at 24 h
	save(t, db, ended(1))                           // archived at 6 min, deleted at 24 h and 1 min
	save(t, db, ended(2))
	_, err = db.SetKeep(ctx, recordingID(2), true)
	noError(t, err)
	save(t, db, ended(3))
	_, err = db.RequestDelete(ctx, recordingID(3)) // now
	noError(t, err)
	save(t, db, growing(ended(4), media.Live))
	others := ended(5)
	others.Path.Publisher = "other"
	save(t, db, others) // at 10 min
	want := []string{
		"3 delete deleted", "1 archive archive_delay", "2 archive archive_delay", "5 archive archive_delay",
		"0 drop_local grace", "0 delete retention", "1 delete retention", "2 delete retention held",
	}
	list := func(f media.PlanFilter) (got []string) {
		t.Helper()
		for pages := 0; ; pages++ {
			items, next, err := db.Plan(ctx, f)
			noError(t, err)
			for _, p := range items {
				n := p.Recording.EndedAt.Sub(start) / time.Minute
				text := fmt.Sprintf("%d %s %s", n, p.Action, p.Reason)
				if p.Held {
					text += " held"
				}
				got = append(got, text)
			}
			if f.Cursor = next; next == "" || pages > 20 {
				return got
			}
		}
	}
	same(t, "plan", want, list(media.PlanFilter{}))
	for limit := 1; limit < 4; limit++ {
		same(t, "plan in pages", want, list(media.PlanFilter{Limit: limit}))
	}
	same(t, "plan of another publisher", want[3:4], list(media.PlanFilter{Publisher: "other"}))
	same(t, "plan of no stream", []string(nil), list(media.PlanFilter{Publisher: "acme", Stream: "none"}))
	same(t, "plan of an hour", want[:5], list(media.PlanFilter{Until: start.Add(time.Hour)}))
	_, _, err = db.Plan(ctx, media.PlanFilter{Cursor: "MS4x"})
	wantField(t, err, "cursor")
	_, _, err = db.Plan(ctx, media.PlanFilter{Limit: 1001})
	wantField(t, err, "limit")

	// What expires before it is archived is not archived.
	_, err = db.UpdateStream(ctx, show, media.SettingsPatch{Retention: span(time.Second)})
	noError(t, err)
	same(t, "plan", []string{"3 delete deleted", "0 delete retention", "1 delete retention", "2 delete retention held"},
		list(media.PlanFilter{Until: start.Add(3 * time.Minute)}))
}

func (s suite) testPreview(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	for n := range 4 {
		archived(t, db, ended(n), start.Add(2000*time.Hour))
	}
	db.now = func() time.Time { return start.Add(time.Hour) }
	rows := func() (list []media.Recording) {
		for n := range 4 {
			list = append(list, read(t, db, recordingID(n)))
		}
		return list
	}
	before := rows()
	names := func(list []media.Planned) (got []string) {
		for _, p := range list {
			got = append(got, fmt.Sprintf("%d %s", p.Recording.EndedAt.Sub(start)/time.Minute, p.Reason))
		}
		return got
	}
	_, v, err := db.PreviewPublisher(ctx, "acme", media.SettingsPatch{RetentionCount: ptr(2), LocalCount: ptr(1)})
	noError(t, err)
	same(t, "deleted", []string{"0 retention_count", "1 retention_count"}, names(v.Delete))
	same(t, "dropped", []string{"2 local_count"}, names(v.Drop))
	same(t, "totals", []int64{2, 2 << 20, 1, 1 << 20, 0},
		[]int64{int64(v.Deletes), v.DeleteBytes, int64(v.Drops), v.DropBytes, int64(v.Spared)})
	same(t, "rows after the preview", before, rows())
	same(t, "work after the preview", 0, apply(t, db, start.Add(time.Hour)))
	p, err := db.Publisher(ctx, "acme")
	noError(t, err)
	same(t, "settings after the preview", media.SettingsPatch{}, p.Settings)

	// The preview is the truth: the change does just that.
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{RetentionCount: ptr(2), LocalCount: ptr(1)})
	noError(t, err)
	same(t, "verdicts", "count count - -", verdicts(t, db, 4))
	same(t, "drops", "local_count local_count local_count grace", drops(t, db, 4))

	st, v, err := db.PreviewStream(ctx, show, media.SettingsPatch{Keep: ptr(true)})
	noError(t, err)
	same(t, "settings of the preview", true, st.Settings.Keep)
	same(t, "of a hold", media.Preview{Spared: 2, Drop: v.Drop, Drops: 2, DropBytes: 2 << 20}, v)
	_, _, err = db.PreviewStream(ctx, sibling, media.SettingsPatch{})
	wantError(t, err, media.ErrNotFound)
	_, _, err = db.PreviewPublisher(ctx, "acme", media.SettingsPatch{RetentionCount: ptr(-1)})
	wantField(t, err, "retention_count")
}

func (s suite) testDeleteMany(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	for n := range 5 {
		save(t, db, ended(n))
	}
	save(t, db, growing(ended(5), media.Live))
	_, err := db.SetKeep(ctx, recordingID(1), true)
	noError(t, err)
	c := claim(t, db, "a", start.Add(time.Hour)) // 0 is archiving
	same(t, "claimed", recordingID(0), c.Recording.ID)
	_, err = db.DeleteRecordings(ctx, media.RecordingFilter{Cluster: "main"}, time.Time{}, false)
	wantField(t, err, "publisher")
	for _, call := range []struct {
		dry  bool
		want []media.RecordingID
	}{{true, []media.RecordingID{recordingID(2), recordingID(3)}}, {false, []media.RecordingID{recordingID(2), recordingID(3)}}, {}} {
		done, err := db.DeleteRecordings(ctx, media.RecordingFilter{Publisher: "acme"}, start.Add(4*time.Minute), call.dry)
		noError(t, err)
		var left []string
		for _, l := range done.Left {
			wantError(t, l.Err, media.ErrConflict)
			left = append(left, string(l.Recording.State))
		}
		same(t, "left", []string{"archiving", "ended", "live"}, left)
		var deleted []media.RecordingID
		for _, r := range done.Deleted {
			deleted = append(deleted, r.ID)
		}
		same(t, "deleted", call.want, deleted)
	}
	for n, want := range []media.State{media.Archiving, media.Ended, media.Deleting, media.Deleting, media.Ended} {
		same(t, fmt.Sprint("state of ", n), want, read(t, db, recordingID(n)).State)
	}
	// In pages: what is left does not stand in the way of the rest.
	f := media.RecordingFilter{Publisher: "acme", Limit: 1}
	for pages := 0; ; pages++ {
		done, err := db.DeleteRecordings(ctx, f, time.Time{}, false)
		noError(t, err)
		if f.Cursor = done.Next; done.Next == "" || pages > 10 {
			break
		}
	}
	same(t, "state of the last", media.Deleting, read(t, db, recordingID(4)).State)

	_, err = db.PreviewDelete(ctx, recordingID(1))
	wantError(t, err, media.ErrConflict, "keep")
	_, err = db.PreviewDelete(ctx, recordingID(9))
	wantError(t, err, media.ErrNotFound)
	r, err := db.PreviewDelete(ctx, recordingID(4))
	noError(t, err)
	same(t, "state", media.Deleting, r.State)
}

// testHoldRace sets holds while bounds are judged and claims are made: what was held in time is never deleted, and who
// came too late was told so.
func (s suite) testHoldRace(t *testing.T) {
	db := s.furnished(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_, err := db.UpdatePublisher(ctx, "acme", media.SettingsPatch{RetentionCount: ptr(1), ArchiveDelay: span(time.Hour)})
	noError(t, err)
	const shows = 30
	for n := range shows {
		save(t, db, ended(n))
	}
	now := start.Add(30 * time.Minute)
	var work, background sync.WaitGroup
	background.Go(func() {
		for ctx.Err() == nil {
			if _, err := db.ApplyRetention(ctx, now, 3); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	background.Go(func() {
		for ctx.Err() == nil {
			c, err := db.ClaimDue(ctx, "a", media.Due{Cluster: media.DefaultCluster}, now, time.Minute)
			if err == nil {
				err = db.FinishClaim(ctx, c, time.Time{})
			}
			if err != nil && !errors.Is(err, media.ErrNotFound) && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	held := make([]bool, shows)
	for n := range shows {
		work.Go(func() {
			_, err := db.SetKeep(t.Context(), recordingID(n), true)
			held[n] = err == nil
			if err != nil && !errors.Is(err, media.ErrGone) {
				t.Error(err)
			}
		})
	}
	work.Wait()
	stop()
	background.Wait()
	for n := range shows {
		state := read(t, db, recordingID(n)).State
		if gone := state == media.Deleting || state == media.Deleted; gone == held[n] {
			t.Errorf("recording %d is %s, held in time: %v", n, state, held[n])
		}
	}
}

func (s suite) testStreamsNamed(t *testing.T) {
	db := s.furnished(t)
	_, err := db.CreateStream(t.Context(), sibling, media.SettingsPatch{DVRWindow: span(time.Hour)})
	noError(t, err)
	list, err := db.StreamsNamed(t.Context(), []media.StreamPath{show, {Publisher: "acme", Stream: "none"}, sibling})
	noError(t, err)
	windows := map[media.StreamPath]media.Span{}
	for _, st := range list {
		windows[st.Path] = st.Settings.DVRWindow
	}
	same(t, "windows", map[media.StreamPath]media.Span{show: *span(2 * time.Minute), sibling: *span(time.Hour)}, windows)
	list, err = db.StreamsNamed(t.Context(), nil)
	noError(t, err)
	same(t, "streams of no name", 0, len(list))
}
