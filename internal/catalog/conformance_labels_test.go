package catalog

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testChangeRecording(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	id := save(t, db, ended(0)).ID
	labels := media.Labels{"season": "2026", "league": "Ärste Liga"}
	r, err := db.ChangeRecording(ctx, id, media.RecordingChange{Name: new("Größe 100%"), Labels: labels})
	noError(t, err)
	same(t, "name", "Größe 100%", r.Name)
	same(t, "labels", labels, r.Labels)
	same(t, "stored", r, read(t, db, id))
	save(t, db, ended(0)) // an owner's late save leaves them
	same(t, "labels after a save", labels, read(t, db, id).Labels)

	r, err = db.ChangeRecording(ctx, id, media.RecordingChange{Keep: new(true)})
	noError(t, err)
	if !r.Keep || r.Name != "Größe 100%" || len(r.Labels) != 2 {
		t.Errorf("after a change of keep: %+v", r)
	}
	find := func(f media.RecordingFilter) int { return len(list(t, db, f)) }
	for _, c := range []struct {
		name  string
		f     media.RecordingFilter
		found int
	}{
		{"label", media.RecordingFilter{Labels: []media.LabelFilter{{Name: "season", Any: true}}}, 1},
		{"value", media.RecordingFilter{Labels: []media.LabelFilter{{Name: "season", Value: "2026"}}}, 1},
		{"other value", media.RecordingFilter{Labels: []media.LabelFilter{{Name: "season", Value: "2025"}}}, 0},
		{"both", media.RecordingFilter{Labels: []media.LabelFilter{{Name: "season", Any: true}, {Name: "league", Any: true}}}, 1},
		{"one of two", media.RecordingFilter{Labels: []media.LabelFilter{{Name: "season", Any: true}, {Name: "cup", Any: true}}}, 0},
		{"name", media.RecordingFilter{Name: "GRÖSSE"}, 0},
		{"name in capitals", media.RecordingFilter{Name: "GRÖß"}, 1},
		{"percent is a percent", media.RecordingFilter{Name: "0%"}, 1},
		{"percent is no pattern", media.RecordingFilter{Name: "g%1"}, 0},
		{"underscore is no pattern", media.RecordingFilter{Name: "gr_"}, 0},
		{"at least", media.RecordingFilter{MinDuration: 10 * time.Minute}, 1},
		{"longer", media.RecordingFilter{MinDuration: 10*time.Minute + 1e6}, 0},
		{"at most", media.RecordingFilter{MaxDuration: 10 * time.Minute}, 1},
		{"shorter", media.RecordingFilter{MaxDuration: 10*time.Minute - 1e6}, 0},
		{"clips", media.RecordingFilter{Clips: true}, 0},
		{"no clips", media.RecordingFilter{Shows: true}, 1},
	} {
		if got := find(c.f); got != c.found {
			t.Errorf("%s: found %d, want %d", c.name, got, c.found)
		}
	}
	_, err = db.ChangeRecording(ctx, id, media.RecordingChange{Labels: media.Labels{}, Keep: new(false)})
	noError(t, err)
	same(t, "found by a label that it has no more", 0,
		find(media.RecordingFilter{Labels: []media.LabelFilter{{Name: "season", Any: true}}}))

	clip, err := db.CreateClip(ctx, media.Recording{ClipOf: id, ClipEnd: time.Minute, Name: "goal", Labels: labels})
	noError(t, err)
	same(t, "labels of a clip", labels, clip.Labels)
	same(t, "clips of a label", []media.RecordingID{clip.ID}, list(t, db, media.RecordingFilter{
		Clips: true, Name: "GOAL", Labels: []media.LabelFilter{{Name: "season", Any: true}},
	}))
	_, err = db.RequestDelete(ctx, clip.ID)
	noError(t, err)
	_, err = db.ChangeRecording(ctx, clip.ID, media.RecordingChange{Name: new("x")}, 99)
	wantError(t, err, media.ErrGone)
	_, err = db.ChangeRecording(ctx, recordingID(9), media.RecordingChange{Name: new("x")}, 99)
	wantError(t, err, media.ErrNotFound)
}

func (s suite) testChangeRefusals(t *testing.T) {
	db := s.furnished(t)
	id := save(t, db, ended(0)).ID
	many := media.Labels{}
	for n := range media.MaxLabels + 1 {
		many[strings.Repeat("a", n+1)] = ""
	}
	for _, c := range []struct {
		field  string
		change media.RecordingChange
	}{
		{"keep", media.RecordingChange{}},
		{"name", media.RecordingChange{Name: new("a\x00b")}},
		{"name", media.RecordingChange{Name: new(strings.Repeat("a", media.MaxClipName+1))}},
		{"labels", media.RecordingChange{Labels: many}},
		{"labels", media.RecordingChange{Labels: media.Labels{"": "x"}}},
		{"labels", media.RecordingChange{Labels: media.Labels{"Season": "x"}}},
		{"labels", media.RecordingChange{Labels: media.Labels{"-a": "x"}}},
		{"labels", media.RecordingChange{Labels: media.Labels{strings.Repeat("a", 64): "x"}}},
		{"labels", media.RecordingChange{Labels: media.Labels{"a": "x\n"}}},
		{"labels", media.RecordingChange{Labels: media.Labels{"a": strings.Repeat("ä", 201)}}},
	} {
		_, err := db.ChangeRecording(t.Context(), id, c.change)
		wantField(t, err, c.field)
		if c.field == "labels" {
			_, err = db.CreateClip(t.Context(), media.Recording{ClipOf: id, ClipEnd: time.Minute, Labels: c.change.Labels})
			wantField(t, err, "labels")
		}
	}
	delete(many, "a")
	r, err := db.ChangeRecording(t.Context(), id, media.RecordingChange{Labels: many})
	noError(t, err)
	same(t, "as many as there may be", media.MaxLabels, len(r.Labels))
}

// testSortedPages pages through every order while recordings are added, deleted and grow: what had ended is listed once.
func (s suite) testSortedPages(t *testing.T) {
	db := s.furnished(t)
	value := map[media.Sort]func(media.Recording) int64{
		media.SortOldest: func(r media.Recording) int64 { return r.StartedAt.UnixMilli() },
		media.SortEnd:    func(r media.Recording) int64 { return r.EndedAt.UnixMilli() },
		media.SortShort:  func(r media.Recording) int64 { return int64(r.Duration) },
		media.SortSmall:  func(r media.Recording) int64 { return r.Bytes },
	}
	number := 0
	rapid.Check(t, func(rt *rapid.T) {
		add := func() media.RecordingID {
			r := ended(number)
			number++
			little := func(what string) int { return rapid.IntRange(0, 2).Draw(rt, what) } // ties, which the ids break
			r.StartedAt = start.Add(time.Duration(little("start")) * time.Second)
			r.EndedAt = start.Add(time.Duration(little("end")) * time.Hour)
			r.Duration, r.Bytes = time.Duration(little("duration"))*time.Minute, int64(little("bytes"))
			noError(t, db.SaveRecording(t.Context(), r))
			return r.ID
		}
		grow := growing(ended(number), media.Live)
		number++
		noError(t, db.SaveRecording(t.Context(), grow))
		there := map[media.RecordingID]int{} // how often it was listed
		for range rapid.IntRange(0, 8).Draw(rt, "recordings") {
			there[add()] = 0
		}
		sort := rapid.SampledFrom(media.Sorts()).Draw(rt, "sort")
		key, down := value[media.Sort(strings.TrimPrefix(string(sort), "-"))], sort[0] == '-'
		f := media.RecordingFilter{Sort: sort, Limit: rapid.IntRange(1, 4).Draw(rt, "limit")}
		if rapid.Bool().Draw(rt, "of a publisher") {
			f.Publisher = "acme"
		}
		var last *media.Recording
		for {
			page, next, err := db.Recordings(t.Context(), f)
			noError(t, err)
			for i := range page {
				r := &page[i]
				if last != nil {
					a, b := key(*last), key(*r)
					if down {
						a, b = b, a
					}
					if a > b || a == b && (last.ID < r.ID) == down {
						rt.Fatalf("%s (%d) came after %s (%d) in order %s", r.ID, key(*r), last.ID, key(*last), sort)
					}
				}
				last = r
				if _, ok := there[r.ID]; ok {
					there[r.ID]++
				}
				if sort.Ended() && r.ID == grow.ID {
					rt.Fatalf("what grows is in order %s", sort)
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
				grow.Duration, grow.Bytes = grow.Duration+time.Minute, grow.Bytes+1
				noError(t, db.SaveRecording(t.Context(), grow))
			}
		}
		for id, n := range there {
			if n != 1 {
				rt.Errorf("%s was listed %d times in order %s", id, n, sort)
			}
		}
		_, err := db.writes.ExecContext(t.Context(), `DELETE FROM recordings`)
		noError(t, err)
	})
}

// testCursorsOfOrders offers each order the cursors of all others.
func (s suite) testCursorsOfOrders(t *testing.T) {
	db := s.furnished(t)
	save(t, db, ended(0))
	save(t, db, ended(1))
	cursors := map[media.Sort]string{}
	for _, sort := range media.Sorts() {
		_, next, err := db.Recordings(t.Context(), media.RecordingFilter{Sort: sort, Limit: 1})
		noError(t, err)
		cursors[sort] = next
	}
	same(t, "cursors", len(media.Sorts()), len(slices.Compact(slices.Sorted(maps.Values(cursors)))))
	for sort, cursor := range cursors {
		for _, other := range media.Sorts() {
			_, _, err := db.Recordings(t.Context(), media.RecordingFilter{Sort: other, Cursor: cursor})
			if other == sort {
				noError(t, err)
			} else {
				wantField(t, err, "cursor")
			}
		}
		_, _, err := db.Recordings(t.Context(), media.RecordingFilter{Sort: sort, Cursor: cursor + "A"})
		wantField(t, err, "cursor")
	}
	_, _, err := db.Recordings(t.Context(), media.RecordingFilter{Sort: "name"})
	wantField(t, err, "sort")
	_, _, err = db.Recordings(t.Context(), media.RecordingFilter{Sort: media.SortBig, States: []media.State{media.Live}})
	wantField(t, err, "sort")
}

func FuzzSortCursor(f *testing.F) {
	for _, sort := range media.Sorts() {
		f.Add(string(sort), sortCursor(sort, ended(0)))
	}
	f.Add("bytes", "")
	f.Fuzz(func(t *testing.T, sort, cursor string) {
		if !slices.Contains(media.Sorts(), media.Sort(sort)) {
			return
		}
		value, id, err := parseSortCursor(media.Sort(sort), cursor)
		if err != nil {
			wantField(t, err, "cursor")
			return
		}
		at := time.UnixMilli(value)
		same(t, "cursor", cursor, sortCursor(media.Sort(sort), media.Recording{
			ID: id, StartedAt: at, EndedAt: at, Duration: time.Duration(value) * time.Millisecond, Bytes: value,
		}))
	})
}
