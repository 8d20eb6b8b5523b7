package catalog

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// What oxbow doctor asks, of a database before and after its migration, and of a user who may do less and less.
func TestPostgresIsExamined(t *testing.T) {
	cluster := newCluster(t)
	url := cluster.database(t)
	examine := func(url string) *DB {
		db, err := Examine(t.Context(), url, testLogger(t))
		noError(t, err)
		t.Cleanup(func() { noError(t, db.Close()) })
		return db
	}
	db := examine(url)
	known, err := knownVersion()
	noError(t, err)
	versions := func(want int64) {
		t.Helper()
		has, knows, err := db.SchemaVersions(t.Context())
		noError(t, err)
		same(t, "the schema's version", want, has)
		same(t, "the binary's version", known, knows)
	}
	versions(0)
	if err := db.Rights(t.Context()); err == nil || !strings.Contains(err.Error(), "publishers") {
		t.Errorf("rights where nothing was migrated: %v", err)
	}
	_, err = Migrate(t.Context(), url, silentLogger())
	noError(t, err)
	versions(known)
	noError(t, db.Rights(t.Context()))
	begun := time.Now()
	now, err := db.Time(t.Context())
	noError(t, err)
	if now.Before(begun.Add(-time.Second)) || now.After(time.Now().Add(time.Second)) {
		t.Errorf("the time is %v, asked for at %v", now, begun)
	}
	server, err := db.Server(t.Context())
	noError(t, err)
	if !strings.HasPrefix(server, "PostgreSQL 1") {
		t.Errorf("version %q", server)
	}
	query := func(text string) string {
		t.Helper()
		answer, err := cluster.Query(context.WithoutCancel(t.Context()), nameOf(t, url), text) // in clean-up too
		noError(t, err)
		return strings.TrimSpace(answer)
	}
	same(t, "publishers that are left", "0", query("SELECT count(*) FROM publishers"))

	query(`CREATE ROLE examined LOGIN PASSWORD '` + catalogtest.Password + `'`)
	query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO examined`)
	t.Cleanup(func() { query(`DROP OWNED BY examined; DROP ROLE examined`) })
	less := examine(strings.Replace(url, "oxbow:", "examined:", 1))
	noError(t, less.Rights(t.Context()))
	query(`REVOKE INSERT ON goose_db_version FROM examined`)
	noError(t, less.Rights(t.Context()))
	query(`REVOKE DELETE ON uploads FROM examined; REVOKE UPDATE ON publishers FROM examined`)
	wantError(t, less.Rights(t.Context()), media.ErrDenied, "lacks UPDATE on publishers, DELETE on uploads")

	query(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`)
	versions(99999)
	query(`ALTER ROLE examined SET default_transaction_read_only = on`)
	query(`GRANT ALL ON ALL TABLES IN SCHEMA public TO examined`)
	wantError(t, examine(strings.Replace(url, "oxbow:", "examined:", 1)).Rights(t.Context()), media.ErrUnavailable, "read only")

	name, err := PostgresName(url)
	noError(t, err)
	if !strings.Contains(name, nameOf(t, url)) || strings.Contains(name, catalogtest.Password) {
		t.Errorf("name %q", name)
	}
}
