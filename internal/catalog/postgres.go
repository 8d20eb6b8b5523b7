package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Open opens the catalog that a URL names: postgres://USER:PASSWORD@HOST:5432/DATABASE, also spelled postgresql://,
// or sqlite:FILE.
func Open(ctx context.Context, catalogURL string, logger *slog.Logger) (*DB, error) {
	scheme, file, _ := strings.Cut(catalogURL, ":")
	switch scheme {
	case "postgres", "postgresql":
		return OpenPostgres(ctx, catalogURL, logger)
	case "sqlite":
		return OpenSQLite(ctx, file, logger)
	}
	return nil, fmt.Errorf("open catalog: %w", errScheme)
}

// errScheme does not repeat the URL, which may have a password in it.
var errScheme = fmt.Errorf("%w: the URL's scheme is unknown: use postgres://USER:PASSWORD@HOST:5432/DATABASE or "+
	"sqlite:FILE", media.ErrInvalid)

// What bounds the time that PostgreSQL may take. The server ends a statement itself; only a server that hangs, or a
// network that swallows everything, is given up by silence.
const (
	pgConnectTimeout   = 2 * time.Second
	pgStatementTimeout = 8 * time.Second
	pgLockTimeout      = 5 * time.Second
	pgIdleInTx         = 10 * time.Second
	pgSilence          = 10 * time.Second
)

// pgPool is how many connections a process has at most, unless the URL's pool_max_conns says otherwise.
const pgPool = 16

// OpenPostgres opens the catalog in a PostgreSQL database, whose schema Migrate has brought up to date. A schema
// that is older than this binary is an error that says what to run, a newer one media.ErrUnsupported.
//
// A server that does not answer is no error: it is logged, and every call is media.ErrUnavailable until it answers,
// so that nodes can be started while SQL is away. The schema is checked on every new connection. What a wrong
// password or a missing database is answered with, is an error here.
//
// The URL is libpq's, with several hosts if need be. pool_max_conns bounds the connections (16); statement_timeout,
// lock_timeout, connect_timeout and target_session_attrs may be set in it.
func OpenPostgres(ctx context.Context, catalogURL string, logger *slog.Logger) (*DB, error) {
	return openPostgres(ctx, catalogURL, pgSilence, logger)
}

func openPostgres(ctx context.Context, catalogURL string, silence time.Duration, logger *slog.Logger) (*DB, error) {
	schema, err := newSchemaCheck(logger)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return openChecked(ctx, catalogURL, silence, logger, schema.check)
}

// openChecked has every connection checked before it is used.
func openChecked(
	ctx context.Context, catalogURL string, silence time.Duration, logger *slog.Logger,
	check func(context.Context, *pgx.Conn) error,
) (*DB, error) {
	config, most, err := parsePostgres(catalogURL)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	for name, limit := range map[string]time.Duration{
		"statement_timeout":                   pgStatementTimeout,
		"lock_timeout":                        pgLockTimeout,
		"idle_in_transaction_session_timeout": pgIdleInTx,
	} {
		if config.RuntimeParams[name] == "" {
			config.RuntimeParams[name] = strconv.FormatInt(limit.Milliseconds(), 10)
		}
	}
	boundSilence(config, silence)
	server := newPGServer(config, check)
	pool := sql.OpenDB(server)
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(most)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	pool.SetConnMaxLifetime(30 * time.Minute) // so that connections spread again over servers that came back
	db := &DB{
		reads: pool, writes: pool, sentinel: server.sentinel, skipLocked: " FOR UPDATE SKIP LOCKED",
		logger: logger, now: time.Now,
	}
	err = db.Ping(ctx)
	switch {
	case err == nil:
	case errors.Is(err, media.ErrUnavailable) && !errors.Is(err, errOldSchema):
		logger.WarnContext(ctx, "catalog is away: going on without it", "catalog", pgName(config), "err", err)
	default:
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", pgName(config), err), db.Close())
	}
	return db, nil
}

// pgName names a database in errors, without the password.
func pgName(config *pgx.ConnConfig) string {
	return fmt.Sprintf("%s on %s", config.Database, net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))))
}

// parsePostgres reads the URL and sets what all connections have in common; most is the size of the pool.
func parsePostgres(catalogURL string) (config *pgx.ConnConfig, most int, err error) {
	if scheme, _, ok := strings.Cut(catalogURL, "://"); !ok || (scheme != "postgres" && scheme != "postgresql") {
		return nil, 0, errScheme
	}
	config, err = pgx.ParseConfig(catalogURL)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %s", media.ErrInvalid, withoutSecrets(err, catalogURL))
	}
	most = pgPool
	if text := config.RuntimeParams["pool_max_conns"]; text != "" {
		most, err = strconv.Atoi(text)
		if err != nil || most < 1 || most > 1000 {
			return nil, 0, fmt.Errorf("%w: pool_max_conns is %.20q: use 1 to 1000", media.ErrInvalid, text)
		}
		delete(config.RuntimeParams, "pool_max_conns")
	}
	if config.ConnectTimeout == 0 || !strings.Contains(catalogURL, "connect_timeout=") {
		config.ConnectTimeout = pgConnectTimeout
	}
	if config.ConnectTimeout < 0 || config.ConnectTimeout > time.Hour { // as nanoseconds a large one is below zero
		return nil, 0, fmt.Errorf("%w: connect_timeout is too large: use 1 to 3600 seconds", media.ErrInvalid)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "oxbow"
	}
	if config.ValidateConnect == nil {
		// A server that has become a standby takes no writes: look for the one that does.
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return config, most, nil
}

// withoutSecrets tells what is wrong with a URL. The parser's own text repeats the URL, and where that is malformed
// nobody can tell which part is the password; so it is told only for one that net/url takes apart, without the URL.
func withoutSecrets(err error, catalogURL string) string {
	const hint = "use postgres://USER:PASSWORD@HOST:5432/DATABASE, with @ : / ? # % in the password percent-encoded"
	u, bad := url.Parse(catalogURL)
	inner := errors.Unwrap(err)
	if bad != nil || inner == nil || tells(inner.Error(), catalogURL) {
		return "the URL does not parse: " + hint
	}
	text := inner.Error()
	secrets := []string{u.Query().Get("password"), u.Query().Get("sslpassword"), catalogURL}
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password, url.QueryEscape(password), url.PathEscape(password))
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			return "the URL does not parse: " + hint
		}
	}
	return "the URL does not parse: " + text + ": " + hint
}

// tells says whether a text may tell of a password that is not where passwords are: who forgets to encode a "/", "?" or
// "#" in one has the rest of it behind the host, as a name, a value or a fragment. Six bytes in a row are too many.
func tells(text, catalogURL string) bool {
	const piece = 6
	_, behind, _ := strings.Cut(catalogURL, "://")
	behind = behind[max(0, strings.IndexAny(behind, "/?#")):]
	path, query, _ := strings.Cut(behind, "?")
	values := []string{path}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, named := strings.Cut(pair, "=")
		if pair != "" && (!named || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "") {
			return true // no parameter is called so
		}
		plain, _ := url.QueryUnescape(value)
		values = append(values, value, plain)
	}
	for _, value := range values {
		for i := range len(value) - piece + 1 {
			if strings.Contains(text, value[i:i+piece]) {
				return true
			}
		}
	}
	return strings.Contains(behind, "#")
}

// pgAway are the classes and codes of SQLSTATE that say: not now.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func pgAway(code string) bool {
	switch code {
	case "25006", // read_only_sql_transaction: it has become a standby
		"40001", "40P01", // a lost race, a deadlock
		"25P03", // idle_in_transaction_session_timeout
		"55P03", // lock_not_available
		"57014", // query_canceled: by statement_timeout
		"72000": // snapshot_too_old
		return true
	}
	if len(code) != 5 {
		return false
	}
	switch code[:2] {
	case "08", // connection exception
		"53", // insufficient resources: connections, disk, memory
		"58": // system error
		return true
	}
	return strings.HasPrefix(code, "57P0") // shut down, crashed, starting up
}

// pgSentinel tells a server that is away, or can't just now, from one that refused.
func pgSentinel(err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		switch {
		case pgAway(answer.Code):
			return media.ErrUnavailable
		case answer.Code == "XX001" || answer.Code == "XX002":
			return media.ErrCorrupt
		}
		return nil
	}
	var network net.Error
	var connecting *pgconn.ConnectError
	switch {
	case errors.As(err, &connecting), errors.As(err, &network), pgconn.SafeToRetry(err), pgconn.Timeout(err),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, pgconn.ErrConnClosed), errors.Is(err, sql.ErrConnDone), isBadConn(err):
		return media.ErrUnavailable
	}
	return nil
}
