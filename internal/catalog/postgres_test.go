package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// pgCluster is the server that all tests of the package share, with a database for each. Whoever ends or stops it has it
// run again.
type pgCluster struct {
	*catalogtest.Postgres
	databases atomic.Int32
	template  string
}

var shared pgCluster

func newCluster(tb testing.TB) *pgCluster {
	tb.Helper()
	if shared.Postgres == nil {
		server, err := catalogtest.StartPostgres(tb.Context())
		if errors.Is(err, catalogtest.ErrMissing) && os.Getenv("OXBOW_TEST_REQUIRE") != "all" {
			tb.Skip(err)
		}
		noError(tb, err)
		shared.Postgres = server
	}
	return &shared
}

// tests runs the package's tests, and then ends the server.
type tests struct{ *testing.M }

// Run implements goleak.TestingM.
func (m tests) Run() int {
	code := m.M.Run()
	if shared.Postgres != nil {
		if err := shared.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// fallen starts the server again after a test that ended or stopped it, however that came out.
func (c *pgCluster) fallen(tb testing.TB) {
	tb.Cleanup(func() {
		noError(tb, c.Kill())
		noError(tb, c.Start(context.Background()))
	})
}

// database makes an empty database and gives its URL.
func (c *pgCluster) database(tb testing.TB) string {
	tb.Helper()
	url, err := c.CreateDatabase(tb.Context(), fmt.Sprintf("test_%d", c.databases.Add(1)))
	noError(tb, err)
	return url
}

// migrated is database with the schema, which is copied from the first one.
func (c *pgCluster) migrated(tb testing.TB) string {
	tb.Helper()
	if c.template == "" {
		url := c.database(tb)
		_, err := Migrate(tb.Context(), url, silentLogger())
		noError(tb, err)
		c.template = nameOf(tb, url)
	}
	url, err := c.CreateDatabase(tb.Context(), fmt.Sprintf("test_%d", c.databases.Add(1)), "-T", c.template)
	noError(tb, err)
	return url
}

func openURL(tb testing.TB, url string) *DB {
	tb.Helper()
	db, err := Open(tb.Context(), url, testLogger(tb))
	noError(tb, err)
	tb.Cleanup(func() { noError(tb, db.Close()) })
	return db
}

// patient is for a server's URL: a machine that stands still for seconds is no server that is away.
const patient = "&connect_timeout=60&lock_timeout=60000&statement_timeout=60000&idle_in_transaction_session_timeout=60000"

// openPatient opens the catalog of a server that answers, or refuses, however long that takes.
func openPatient(tb testing.TB, url string) *DB {
	tb.Helper()
	db, err := openPostgres(tb.Context(), url+patient, time.Minute, testLogger(tb))
	noError(tb, err)
	tb.Cleanup(func() { noError(tb, db.Close()) })
	return db
}

// nameOf gives the name of a URL's database.
func nameOf(tb testing.TB, catalogURL string) string {
	tb.Helper()
	config, _, err := parsePostgres(catalogURL)
	noError(tb, err)
	return config.Database
}

// eventually waits until f holds.
func eventually(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); <-tick.C {
		if f() {
			return
		}
	}
	tb.Fatalf("not in time: %s", what)
}

func TestPostgres(t *testing.T) {
	cluster := newCluster(t)
	conformance(t, func(tb testing.TB) *DB { return openPatient(tb, cluster.migrated(tb)) })
}

// A server that was away when the catalog was opened, and goes away again, is used whenever it is there.
func TestPostgresComesAndGoes(t *testing.T) {
	cluster := newCluster(t)
	cluster.fallen(t)
	url := cluster.migrated(t)
	noError(t, cluster.Kill())
	db := openPatient(t, url)
	wantError(t, db.SaveRecording(t.Context(), ended(0)), media.ErrUnavailable)
	wantError(t, db.Ping(t.Context()), media.ErrUnavailable)
	if err := db.Ping(t.Context()); strings.Contains(err.Error(), catalogtest.Password) {
		t.Errorf("the password is shown: %v", err)
	}
	for range 3 {
		noError(t, cluster.Start(t.Context()))
		eventually(t, "saved after the start", func() bool { return db.SaveRecording(t.Context(), ended(0)) == nil })
		read(t, db, recordingID(0))
		noError(t, cluster.Kill())
		wantError(t, db.SaveRecording(t.Context(), ended(1)), media.ErrUnavailable)
	}
}

// However many callers there are, a server that hangs holds none of them for long, and all of them work again after.
func TestPostgresHangs(t *testing.T) {
	cluster := newCluster(t)
	cluster.fallen(t)
	db, err := openPostgres(t.Context(), cluster.migrated(t), 2*time.Second, testLogger(t))
	noError(t, err)
	defer func() { noError(t, db.Close()) }()
	const callers = 200
	all := func(each func(err error)) {
		done := make(chan struct{})
		go func() {
			var wg sync.WaitGroup
			for n := range callers {
				wg.Go(func() { each(db.SaveRecording(context.Background(), ended(n))) })
			}
			wg.Wait()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(2 * time.Minute):
			t.Fatal("calls hang")
		}
	}
	var saved atomic.Int32
	all(func(err error) {
		if err == nil {
			saved.Add(1)
		}
	})
	if saved.Load() == 0 { // all of them would be on a machine that never stands still
		t.Error("nothing was saved by a server that answers")
	}
	for range 2 { // with connections that were in use, and with none
		noError(t, cluster.Pause())
		all(func(err error) { wantError(t, err, media.ErrUnavailable) })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := db.SaveRecording(ctx, ended(0)); err == nil {
			t.Error("saved by a server that hangs")
		}
		cancel()
		noError(t, cluster.Resume())
		eventually(t, "saved again", func() bool { return db.SaveRecording(t.Context(), ended(0)) == nil })
	}
}

func TestPostgresRefusals(t *testing.T) {
	cluster := newCluster(t)
	url := cluster.migrated(t)
	for name, c := range map[string]struct {
		url   string
		words []string
	}{
		"a wrong password": {strings.Replace(url, catalogtest.Password, "wrong-one", 1), []string{"password auth", "test_"}},
		"no database":      {cluster.URL("missing"), []string{`"missing" does not exist`}},
		"no schema":        {cluster.database(t), []string{"version 0", "run: oxbow migrate --catalog URL"}},
		"a bad pool":       {url + "&pool_max_conns=0", []string{"pool_max_conns", "1 to 1000"}},
		"a bad port":       {"postgres://u:wrong-one@h:port/x", []string{"does not parse"}},
		"a bad password":   {"postgres://u:wrong-one%zz@h/x", []string{"percent-encoded"}},
		"an open password": {"postgres://u:wrong-one/@#h/x", []string{"use postgres://"}},
		"a bad sslmode":    {url + "x&password=wrong-one", []string{"sslmode"}},
		"another scheme":   {"mysql://u:wrong-one@h/x", []string{"sqlite:FILE"}},
		"no scheme":        {"wrong-one", []string{"sqlite:FILE"}},
		"nothing":          {"", []string{"sqlite:FILE"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), c.url, testLogger(t))
			if err == nil {
				t.Fatal("opened")
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "wrong-one") || strings.Contains(err.Error(), catalogtest.Password) {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
}

// The schema is looked at whenever a connection is made.
func TestPostgresSchema(t *testing.T) {
	cluster := newCluster(t)
	cluster.fallen(t)
	url := cluster.database(t)
	noError(t, cluster.Kill())
	db := openPatient(t, url) // while SQL is away
	noError(t, cluster.Start(t.Context()))
	eventually(t, "the old schema is told", func() bool { return errors.Is(db.Ping(t.Context()), errOldSchema) })
	wantError(t, db.SaveRecording(t.Context(), ended(0)), media.ErrUnavailable, "version 0", "oxbow migrate")

	var wg sync.WaitGroup
	var migrations atomic.Int32
	for range 6 {
		wg.Go(func() {
			versions, err := Migrate(t.Context(), url, silentLogger())
			if err != nil {
				t.Error(err)
			}
			if versions.From != versions.To {
				migrations.Add(1)
			}
		})
	}
	wg.Wait()
	same(t, "migrations that did something", int32(1), migrations.Load())
	save(t, db, ended(0))

	_, err := cluster.Query(t.Context(), nameOf(t, url), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`)
	noError(t, err)
	_, err = Open(t.Context(), url, testLogger(t))
	wantError(t, err, media.ErrUnsupported, "99999", "start the newer oxbow")
	_, err = Migrate(t.Context(), url, silentLogger())
	wantError(t, err, media.ErrUnsupported, "99999")
	_, err = cluster.Query(t.Context(), nameOf(t, url), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	noError(t, err)
	// Who runs goes on, on new connections too.
	eventually(t, "saved on a new connection", func() bool { return db.SaveRecording(t.Context(), ended(1)) == nil })
}

// A server that becomes a standby is given up, and looked for again.
func TestPostgresReadOnly(t *testing.T) {
	cluster := newCluster(t)
	db := openPatient(t, cluster.migrated(t))
	save(t, db, ended(0))
	standby := func(value string) {
		for _, query := range []string{
			"ALTER SYSTEM SET default_transaction_read_only = " + value, "SELECT pg_reload_conf()",
		} {
			_, err := cluster.Query(t.Context(), "postgres", "SET default_transaction_read_only = off")
			noError(t, err)
			_, err = cluster.Query(t.Context(), "postgres", query)
			noError(t, err)
		}
	}
	standby("on")
	eventually(t, "it takes no writes", func() bool {
		return errors.Is(db.SaveRecording(t.Context(), ended(1)), media.ErrUnavailable)
	})
	_, err := db.Recording(t.Context(), recordingID(0)) // its connections are given up: another server may be the primary
	wantError(t, err, media.ErrUnavailable)
	standby("off")
	eventually(t, "it takes writes again", func() bool { return db.SaveRecording(t.Context(), ended(1)) == nil })
}

func TestPostgresTimeouts(t *testing.T) {
	cluster := newCluster(t)
	url := cluster.migrated(t)
	db := openURL(t, url+"&connect_timeout=60")
	noError(t, db.CreatePublisher(t.Context(), media.Publisher{Name: "acme"}))
	hasty := openURL(t, url+"&connect_timeout=60&lock_timeout=100")

	tx, err := db.writes.BeginTx(t.Context(), nil)
	noError(t, err)
	_, err = lockPublisher(t.Context(), tx, "acme")
	noError(t, err)
	_, err = hasty.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{})
	wantError(t, err, media.ErrUnavailable, "lock timeout")
	noError(t, tx.Rollback())
	_, err = hasty.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{})
	noError(t, err)

	hasty = openURL(t, url+"&connect_timeout=60&statement_timeout=1500")
	_, err = hasty.reads.ExecContext(t.Context(), `SELECT pg_sleep(20)`)
	wantError(t, hasty.failed("sleep", err), media.ErrUnavailable, "statement timeout")
	for name, want := range map[string]string{"statement_timeout": "8s", "lock_timeout": "5s", "application_name": "oxbow"} {
		var got string
		noError(t, db.reads.QueryRowContext(t.Context(), `SHOW `+name).Scan(&got))
		same(t, name, want, got)
	}
	same(t, "pool", pgPool, db.reads.Stats().MaxOpenConnections)
	same(t, "pool of the URL", 3, openURL(t, url+"&pool_max_conns=3").reads.Stats().MaxOpenConnections)
}

func TestPostgresSentinels(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{&pgconn.PgError{Code: "57P01"}, media.ErrUnavailable}, // admin_shutdown
		{&pgconn.PgError{Code: "57P03"}, media.ErrUnavailable}, // cannot_connect_now
		{&pgconn.PgError{Code: "57014"}, media.ErrUnavailable}, // query_canceled
		{&pgconn.PgError{Code: "53300"}, media.ErrUnavailable}, // too_many_connections
		{&pgconn.PgError{Code: "53100"}, media.ErrUnavailable}, // disk_full
		{&pgconn.PgError{Code: "25006"}, media.ErrUnavailable}, // read_only_sql_transaction
		{&pgconn.PgError{Code: "40001"}, media.ErrUnavailable}, // a lost race
		{&pgconn.PgError{Code: "40P01"}, media.ErrUnavailable}, // deadlock_detected
		{&pgconn.PgError{Code: "55P03"}, media.ErrUnavailable}, // lock_not_available
		{&pgconn.PgError{Code: "08006"}, media.ErrUnavailable}, // connection_failure
		{&pgconn.PgError{Code: "58030"}, media.ErrUnavailable}, // io_error
		{&pgconn.PgError{Code: "XX001"}, media.ErrCorrupt},     // data_corrupted
		{&pgconn.PgError{Code: "28P01"}, nil},                  // invalid_password
		{&pgconn.PgError{Code: "23505"}, nil},                  // unique_violation
		{&pgconn.PgError{Code: "42703"}, nil},                  // undefined_column
		{&pgconn.PgError{}, nil},
		{io.ErrUnexpectedEOF, media.ErrUnavailable},
		{&net.OpError{Op: "read", Err: errTest}, media.ErrUnavailable},
		{&awayError{context.DeadlineExceeded}, media.ErrUnavailable},
		{sql.ErrConnDone, media.ErrUnavailable},
		{sql.ErrNoRows, nil},
		{media.ErrConflict, nil},
	} {
		s := &pgServer{}
		if got := s.sentinel(fmt.Errorf("act: %w", c.err)); !errors.Is(got, c.want) || (c.want == nil) != (got == nil) {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// The queries for what is due and what grows can use their indexes.
func TestPostgresPlans(t *testing.T) {
	db := openPatient(t, newCluster(t).migrated(t))
	tx, err := db.reads.BeginTx(t.Context(), nil)
	noError(t, err)
	defer func() { noError(t, tx.Rollback()) }()
	_, err = tx.ExecContext(t.Context(), `SET LOCAL enable_seqscan = off`) // or it reads empty tables whole
	noError(t, err)
	for _, c := range []struct {
		query   string
		args    []any
		indexes []string
	}{
		{
			claimDue(dueKinds(), db.skipLocked, false), []any{1, "a", 2, "main"},
			[]string{"recordings_to_delete", "recordings_to_drop", "recordings_to_archive"},
		},
		{
			claimDue(dueKinds(), db.skipLocked, true), []any{1, "a", 2, "main", "acme"},
			[]string{"recordings_to_delete_of", "recordings_to_drop_of", "recordings_to_archive_of"},
		},
		{
			duePublishers(dueKinds()), []any{1, "main"},
			[]string{"recordings_to_delete_of", "recordings_to_drop_of", "recordings_to_archive_of"},
		},
		{growingQuery, []any{"main"}, []string{"recordings_growing_of"}},
		{membersQuery, []any{"acme", "show"}, []string{"streams_members"}},
		{boundsDueQuery, []any{1}, []string{"retention_bounds_due"}},
		{markDelete, []any{"acme", 1, 2}, []string{"recordings_bounded"}},
		{unmarkedDelete, []any{"acme", 1, 2}, []string{"recordings_b"}}, // of empty tables any of the publisher's
		{markDrop, []any{"acme", 1, 2}, []string{"recordings_bounded"}},
		{eventsOf(media.LogFilter{Recording: recordingID(0)}), []any{7, "a"}, []string{"events_"}},
		{claimDeliveries(db.skipLocked), []any{"a", 1, 2, "b", 3}, []string{"delivery_queues_"}},
		{headQuery, []any{"a", "b"}, []string{"deliveries_waiting"}},
		{pruneAuditQuery, []any{1, 2}, []string{"audit_"}},
	} {
		steps, err := all(t.Context(), tx, func(row scanner) (step string, err error) {
			err = row.Scan(&step)
			return step, err
		}, `EXPLAIN `+c.query, c.args...)
		noError(t, err)
		plan := strings.Join(steps, "\n")
		for _, index := range c.indexes {
			if !strings.Contains(plan, index) {
				t.Errorf("%s is not used:\n%s", index, plan)
			}
		}
		if strings.Contains(plan, "Seq Scan") {
			t.Errorf("a whole table is read:\n%s", plan)
		}
	}
}
