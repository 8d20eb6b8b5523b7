package catalog

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func viewingRow(minute int64, stream string, viewers int64) media.ViewingRow {
	return media.ViewingRow{
		ViewingKey: media.ViewingKey{Minute: minute, Stream: stream, Recording: "01kamf8v5v7yh6a8q1r0h3vk7e"},
		Samples:    []int64{viewers, viewers + 1, viewers},
		Viewing: media.Viewing{
			Starts: viewers, WatchMS: viewers * 60_000, Bytes: 1 << 40, StartupOf: media.Histogram{0, 0, viewers},
		},
	}
}

// viewed gives what a filter selects, in order.
func viewed(t *testing.T, db *DB, f media.ViewingFilter) (rows []media.EdgeViewing) {
	t.Helper()
	noError(t, db.Viewing(t.Context(), f, func(v media.EdgeViewing) error {
		rows = append(rows, v)
		return nil
	}))
	slices.SortFunc(rows, func(a, b media.EdgeViewing) int { return media.CompareViewingKeys(a.ViewingKey, b.ViewingKey) })
	return rows
}

func (s suite) testViewing(t *testing.T) {
	ctx, db := t.Context(), s.fresh(t)
	first, second := viewingRow(600, "acme/show", 3), viewingRow(660, "acme/show", 4)
	noError(t, db.AddViewing(ctx, "e1", "r1", []media.ViewingRow{first, second}))
	first.Starts = 5
	noError(t, db.AddViewing(ctx, "e1", "r1", []media.ViewingRow{first})) // again, for nobody heard the answer
	noError(t, db.AddViewing(ctx, "e1", "r2", []media.ViewingRow{viewingRow(600, "acme/show", 1)}))
	noError(t, db.AddViewing(ctx, "e2", "r1", []media.ViewingRow{viewingRow(720, "acme/other", 1)}))
	show := media.ViewingFilter{Stream: media.StreamPath{Publisher: "acme", Stream: "show"}}
	rows := viewed(t, db, show)
	slices.SortFunc(rows, func(a, b media.EdgeViewing) int { return int(a.Minute*100+a.Starts) - int(b.Minute*100+b.Starts) })
	same(t, "rows of a stream", 3, len(rows))
	same(t, "the row that was sent twice",
		media.EdgeViewing{Edge: "e1", Run: "r1", Span: time.Minute, ViewingRow: first}, rows[1])
	same(t, "a later run's", "r2", rows[0].Run)
	until := show
	until.Since, until.Until = time.Unix(660, 0), time.Unix(720, 0)
	same(t, "of a minute", []media.EdgeViewing{{Edge: "e1", Run: "r1", Span: time.Minute, ViewingRow: second}},
		viewed(t, db, until))
	same(t, "of a recording", 4, len(viewed(t, db, media.ViewingFilter{Recording: first.Recording})))
	same(t, "of another", 0, len(viewed(t, db, media.ViewingFilter{Recording: "01kamf8v5v7yh6a8q1r0h3vk7f"})))
	if db.AddViewing(ctx, "e1", "r1", []media.ViewingRow{viewingRow(780, "acme/show", 1), {}}) == nil {
		t.Error("a row of no stream was taken")
	}
	same(t, "all or none", 3, len(viewed(t, db, show)))

	noError(t, db.CreatePublisher(ctx, media.Publisher{Name: "acme"}))
	_, err := db.CreateStream(ctx, show.Stream, media.SettingsPatch{})
	noError(t, err)
	noError(t, db.DeleteStream(ctx, show.Stream))
	same(t, "of a stream that was deleted", 0, len(viewed(t, db, show)))
	same(t, "of the others", 1, len(viewed(t, db, media.ViewingFilter{})))
}

func (s suite) testViewingFolds(t *testing.T) {
	ctx, db := t.Context(), s.fresh(t)
	for edge, viewers := range map[string]int64{"e1": 3, "e2": 10} {
		for _, minute := range []int64{3600, 3660, 7200} {
			noError(t, db.AddViewing(ctx, edge, "r", []media.ViewingRow{viewingRow(minute, "acme/show", viewers)}))
		}
	}
	// Two processes fold at the same time: each minute is folded once.
	var folding sync.WaitGroup
	for range 2 {
		folding.Go(func() {
			for {
				n, err := db.FoldViewing(ctx, time.Unix(7200, 0))
				if err != nil {
					t.Error(err)
				}
				if n == 0 {
					return
				}
			}
		})
	}
	folding.Wait()
	rows := viewed(t, db, media.ViewingFilter{})
	same(t, "rows", 3, len(rows))
	hour := rows[0]
	same(t, "the hour", []any{int64(3600), time.Hour, "", []int64{15}},
		[]any{hour.Minute, hour.Span, hour.Edge, hour.Samples})
	same(t, "its sums", []any{int64(26), int64(26 * 60_000), media.Histogram{0, 0, 26}},
		[]any{hour.Starts, hour.WatchMS, hour.StartupOf})
	n, err := db.PruneViewing(ctx, time.Unix(7200, 0))
	noError(t, err)
	same(t, "pruned", 1, n)
	same(t, "left", 2, len(viewed(t, db, media.ViewingFilter{})))
}
