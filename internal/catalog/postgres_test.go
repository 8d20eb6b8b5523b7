package catalog

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
)

// pgCluster is a server for the tests of a function, with a database for each.
type pgCluster struct {
	*catalogtest.Postgres
	databases atomic.Int32
}

func newCluster(tb testing.TB) *pgCluster {
	tb.Helper()
	return &pgCluster{Postgres: catalogtest.MustStartPostgres(tb)}
}

// database makes an empty database and gives its URL.
func (c *pgCluster) database(tb testing.TB) string {
	tb.Helper()
	url, err := c.CreateDatabase(tb.Context(), fmt.Sprintf("test_%d", c.databases.Add(1)))
	noError(tb, err)
	return url
}

// migrated is database with the schema.
func (c *pgCluster) migrated(tb testing.TB) string {
	tb.Helper()
	url := c.database(tb)
	_, err := Migrate(tb.Context(), url, silentLogger())
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

func TestPostgres(t *testing.T) {
	cluster := newCluster(t)
	conformance(t, func(tb testing.TB) *DB { return openURL(tb, cluster.migrated(tb)) })
}

var _ = context.Background
