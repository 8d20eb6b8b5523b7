package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// TestSQLitePlans holds the frequent queries to their indexes: a catalog keeps every tombstone, and must not read them
// all to find the one row that is due.
func TestSQLitePlans(t *testing.T) {
	db := openFile(t, migratedFile(t))
	listing := func(f media.RecordingFilter) string {
		query, _, err := listingQuery(f, 50)
		noError(t, err)
		return query
	}
	cursor := cursorAfter(ended(0))
	for _, c := range []struct {
		name, query string
		indexes     []string
	}{
		{
			"claim", claimDue(dueKinds(), "", false), []string{
				"recordings_to_delete ", "recordings_to_drop ", "recordings_to_archive ", "recordings_to_salvage ",
			},
		},
		{
			"claim of a publisher", claimDue(dueKinds(), "", true), []string{
				"recordings_to_delete_of", "recordings_to_drop_of", "recordings_to_archive_of", "recordings_to_salvage_of",
			},
		},
		{
			"publishers with something due", duePublishers(dueKinds()), []string{
				"recordings_to_delete_of", "recordings_to_drop_of", "recordings_to_archive_of", "recordings_to_salvage_of",
			},
		},
		{"claim of a clip", claimClip(clipNew, ""), []string{"recordings_to_clip"}},
		{"clips", listing(media.RecordingFilter{ClipOf: "x"}), []string{"recordings_clips"}},
		{"claim of an upload", claimUpload(""), []string{"recordings_to_upload"}},
		{"growing of a cluster", growingQuery, []string{"recordings_growing_of"}},
		{"what bounds are judged", boundsDueQuery, []string{"retention_bounds_due"}},
		{"over a bound", markDelete, []string{"recordings_bounded"}},
		{"over a bound no more", unmarkedDelete, []string{"recordings_bounded"}},
		{"copies over a bound", markDrop, []string{"recordings_bounded_local"}},
		{"plan", planOf(t, media.PlanFilter{Limit: 50}), []string{
			"recordings_to_archive", "recordings_to_drop", "recordings_to_expire"}},
		{"plan of a publisher", planOf(t, media.PlanFilter{Publisher: "acme"}), []string{"recordings_by"}},
		{"tokens of a publisher", tokensOfQuery, []string{"tokens_of_publisher"}},
		{"audit log", auditOf(t, media.AuditFilter{}), []string{"audit_by_time"}},
		{"audit log of a publisher", auditOf(t, media.AuditFilter{Publisher: "a"}), []string{"audit_of_publisher"}},
		{"audit log of a token", auditOf(t, media.AuditFilter{TokenID: "a"}), []string{"audit_of_token"}},
		{"old audit log", pruneAuditQuery, []string{"audit_by_time"}},
		{"webhooks of an event", `SELECT COUNT(*) FROM webhooks w WHERE ` + subscribed, []string{"webhooks_of_publisher"}},
		{"webhooks with something due", dueWebhooksQuery, []string{"delivery_queues_next", "delivery_queues_due"}},
		{"claim of deliveries", claimDeliveries(""), []string{"delivery_queues_due"}},
		{"oldest of a subject", headQuery, []string{"deliveries_waiting"}},
		{"event log", eventsOf(media.LogFilter{}), []string{"SEARCH events USING INDEX sqlite_autoindex_events_1"}},
		{"event log of a publisher", eventsOf(media.LogFilter{Publisher: "a"}), []string{"events_of_publisher"}},
		{"event log of a recording", eventsOf(media.LogFilter{Recording: recordingID(0)}), []string{"events_of_recording"}},
		{"members of a group", membersQuery, []string{"streams_members"}},
		{"by label", listing(media.RecordingFilter{
			Publisher: "acme", Labels: []media.LabelFilter{{Name: "season", Value: "2026"}},
		}), []string{"recording_labels_value"}},
		{"by name", listing(media.RecordingFilter{Name: "final"}), []string{"recordings_named"}},
		{"longest", listing(media.RecordingFilter{Sort: media.SortLong}), []string{"recordings_by_duration"}},
		{"last ended", listing(media.RecordingFilter{Sort: media.SortEndDown}), []string{"recordings_by_end"}},
		{
			"biggest of a publisher, archived", listing(media.RecordingFilter{
				Publisher: "acme", Sort: media.SortBig, States: []media.State{media.Archived},
				Cursor: sortCursor(media.SortBig, ended(0)),
			}), []string{"recordings_by_bytes_of"},
		},
		{"all", listing(media.RecordingFilter{}), []string{"recordings_by_start"}},
		{"next page", listing(media.RecordingFilter{Cursor: cursor}), []string{"recordings_by_start"}},
		{
			"publisher", listing(media.RecordingFilter{Publisher: "acme", Cursor: cursor}),
			[]string{"recordings_by_publisher"},
		},
		{
			"stream", listing(media.RecordingFilter{Publisher: "acme", Stream: "show", Cursor: cursor}),
			[]string{"recordings_by_stream"},
		},
		{
			"live", listing(media.RecordingFilter{States: []media.State{media.Live, media.Interrupted}}),
			[]string{"recordings_growing"},
		},
		{
			"live of a stream", listing(media.RecordingFilter{
				Publisher: "acme", Stream: "show", States: []media.State{media.Live, media.Interrupted},
			}), []string{"recordings_growing"},
		},
		{
			"finished of a stream", listing(media.RecordingFilter{
				Publisher: "acme", Stream: "show", States: []media.State{media.Ended, media.Archiving, media.Archived},
			}), []string{"recordings_by_stream"},
		},
	} {
		args := []any{1, "a", 2, "main", "acme"}
		if strings.HasPrefix(c.name, "claim of del") {
			args = []any{"a", 1, 2, "b", 3}
		} else if strings.HasPrefix(c.name, "webhooks with") {
			args = []any{1, "a", 2}
		} else if !strings.HasPrefix(c.name, "claim") {
			args = []any{"a", "b", "c", "d"}
		}
		args = args[:placeholders(c.query)]
		steps, err := all(t.Context(), db.reads, func(row scanner) (string, error) {
			var id, parent, unused int
			var detail string
			err := row.Scan(&id, &parent, &unused, &detail)
			return detail, err
		}, `EXPLAIN QUERY PLAN `+c.query, args...)
		noError(t, err)
		plan := strings.Join(steps, "\n")
		for _, index := range c.indexes {
			if !strings.Contains(plan, index) {
				t.Errorf("%s does not use %s:\n%s", c.name, index, plan)
			}
		}
		for _, step := range steps {
			if step == "SCAN recordings" || step == "SCAN r" {
				t.Errorf("%s reads the whole table:\n%s", c.name, plan)
			}
		}
	}
}

func planOf(tb testing.TB, f media.PlanFilter) string {
	query, _, err := planQuery(f, 51)
	noError(tb, err)
	return query
}

func auditOf(tb testing.TB, f media.AuditFilter) string {
	query, _, err := auditQuery(f, 51)
	noError(tb, err)
	return query
}

// eventsOf asks for what comes after an event.
func eventsOf(f media.LogFilter) string {
	query, _ := eventsQuery(f, media.LogPage{After: 7}, 51)
	return query
}

// placeholders is the number of a query's arguments.
func placeholders(query string) (n int) {
	for i := range 9 {
		if strings.Contains(query, fmt.Sprint("$", i)) {
			n = i
		}
	}
	return n
}

func benchmarkDB(b *testing.B) *DB {
	db := openFile(b, migratedFile(b))
	db.logger = silentLogger()
	noError(b, db.CreatePublisher(b.Context(), media.Publisher{Name: "acme"}))
	_, err := db.CreateStream(b.Context(), show, media.SettingsPatch{})
	noError(b, err)
	return db
}

func BenchmarkSaveRecording(b *testing.B) {
	db := benchmarkDB(b)
	r := growing(ended(0), media.Live)
	b.ReportAllocs()
	for b.Loop() {
		r.Bytes++
		noError(b, db.SaveRecording(b.Context(), r))
	}
}

func BenchmarkAuthorizeKey(b *testing.B) {
	db := benchmarkDB(b)
	for n := range maxKeys {
		_, err := db.AddKey(b.Context(), show, "", fmt.Sprint("key-", n))
		noError(b, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, err := db.AuthorizeKey(b.Context(), "key-50")
		noError(b, err)
	}
}

// BenchmarkClaim finds and finishes the one row that is due among many that are not.
func BenchmarkClaim(b *testing.B) {
	db := benchmarkDB(b)
	_, err := db.writes.ExecContext(b.Context(), `
		INSERT INTO recordings (id, publisher, stream, state, started_at, ended_at, duration_ms, bytes, continues, keep,
			local, archive_due, expire_due, attempts, last_error, claim_action, claim_owner, claim_epoch, updated_at)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
		SELECT 'tombstone-' || i, 'acme', 'show', CASE i % 2 WHEN 0 THEN 'deleted' ELSE 'archived' END, i, i, 0, 0, '',
			FALSE, FALSE, i, CASE i % 2 WHEN 0 THEN i END, 0, '', '', '', 0, i FROM n`)
	noError(b, err)
	r := ended(0)
	noError(b, db.SaveRecording(b.Context(), r))
	now := start.Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		noError(b, db.FailClaim(b.Context(), claim(b, db, "a", now), errTest, start))
	}
}

// backlog adds rows that are all due for archiving, of some publishers.
func backlog(tb testing.TB, db *DB, rows, publishers int) {
	tb.Helper()
	_, err := db.writes.ExecContext(tb.Context(), `
		INSERT INTO recordings (id, publisher, stream, state, started_at, ended_at, duration_ms, bytes, continues, keep,
			local, archive_due, attempts, last_error, claim_action, claim_owner, claim_epoch, updated_at)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		SELECT 'due-' || i, 'p' || (i % $2), 'show', 'ended', i, i, 0, 0, '',
			FALSE, TRUE, i, 0, '', '', '', 0, i FROM n`, rows, publishers)
	noError(tb, err)
}

// BenchmarkClaimOfBacklog claims for one publisher, and asks which have something due, while 100,000 recordings wait.
func BenchmarkClaimOfBacklog(b *testing.B) {
	db := benchmarkDB(b)
	backlog(b, db, 100_000, 10)
	now := start.Add(time.Hour)
	of := media.Due{Cluster: media.DefaultCluster, Actions: []media.Action{media.ActArchive}}
	b.ReportAllocs()
	for b.Loop() {
		due, err := db.DuePublishers(b.Context(), of, now)
		noError(b, err)
		of.Publisher = due[len(due)-1].Publisher
		c, err := db.ClaimDue(b.Context(), "a", of, now, time.Minute)
		noError(b, err)
		noError(b, db.FailClaim(b.Context(), c, errTest, start))
	}
}

// BenchmarkJudge compares twenty thousand recordings of a publisher with its bounds, which all are within.
func BenchmarkJudge(b *testing.B) {
	db := benchmarkDB(b)
	_, err := db.writes.ExecContext(b.Context(), `
		INSERT INTO recordings (id, publisher, stream, state, started_at, ended_at, duration_ms, bytes, continues, keep,
			local, attempts, last_error, claim_action, claim_owner, claim_epoch, updated_at)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		SELECT 'recording-' || i, 'acme', 'show-' || (i % 10), 'archived', i, i, 0, 1000, '', FALSE, TRUE, 0, '', '', '', 0, i
		FROM n`)
	noError(b, err)
	db.now = func() time.Time { return start }
	_, err = db.UpdatePublisher(b.Context(), "acme",
		media.SettingsPatch{RetentionCount: ptr(100_000), LocalCount: ptr(100_000)})
	noError(b, err)
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(2 * judgeAgain)
		n, err := db.ApplyRetention(b.Context(), now, 100)
		noError(b, err)
		same(b, "changes", 0, n)
	}
}

// BenchmarkJudgeNothing is a step where nothing has changed.
func BenchmarkJudgeNothing(b *testing.B) {
	db := benchmarkDB(b)
	db.now = func() time.Time { return start }
	_, err := db.UpdatePublisher(b.Context(), "acme", media.SettingsPatch{RetentionCount: ptr(1)})
	noError(b, err)
	_, err = db.ApplyRetention(b.Context(), start, 100)
	noError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		n, err := db.ApplyRetention(b.Context(), start, 100)
		noError(b, err)
		same(b, "changes", 0, n)
	}
}
