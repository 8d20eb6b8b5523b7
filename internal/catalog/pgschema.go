package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/oxbow-video/oxbow/internal/media"
)

// errOldSchema: the database answers, and must be migrated first.
var errOldSchema = fmt.Errorf("%w: run: oxbow migrate --catalog URL", media.ErrUnavailable)

// schemaCheck refuses connections to a schema that this binary does not fit.
type schemaCheck struct {
	known  int64
	logger *slog.Logger
	// fitted is set once a connection was good, and newer once a newer schema was told of.
	fitted, newer atomic.Bool
}

func newSchemaCheck(logger *slog.Logger) (*schemaCheck, error) {
	known, err := knownVersion()
	if err != nil {
		return nil, err
	}
	return &schemaCheck{known: known, logger: logger}, nil
}

// check looks at the schema's version. A process that began on a schema that fits goes on when it finds a newer one: a
// cluster is migrated first, and its nodes are restarted one after the other. A migration only adds.
func (s *schemaCheck) check(ctx context.Context, conn *pgx.Conn) error {
	has, err := schemaVersion(conn.QueryRow(ctx, askVersion))
	switch {
	case err != nil:
		return fmt.Errorf("read schema version: %w", err)
	case has < s.known:
		return fmt.Errorf("its schema has version %d and this oxbow needs %d: %w", has, s.known, errOldSchema)
	case has > s.known && !s.fitted.Load():
		return newerSchema(has, s.known)
	case has > s.known:
		if !s.newer.Swap(true) {
			s.logger.WarnContext(ctx, "catalog has a newer schema: restart with the newer oxbow", "has", has, "known", s.known)
		}
	}
	s.fitted.Store(true)
	return nil
}

const askVersion = `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`

// schemaVersion reads the answer to askVersion: 0 where nothing was ever migrated.
func schemaVersion(row scanner) (version int64, err error) {
	err = row.Scan(&version)
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "42P01" { // undefined_table
		return 0, nil
	}
	return version, err
}
