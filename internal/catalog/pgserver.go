package catalog

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/oxbow-video/oxbow/internal/media"
)

// pgServer makes the pool's connections. While the server is away, it has one caller at a time try to connect, and not
// again and again: the others get the last error at once, so that no queue of callers waits one after the other for a
// server that hangs.
type pgServer struct {
	driver.Connector
	// suspect is when a connection was last found dead, or its server to take no writes, in nanoseconds since began: the
	// connections from before are given up.
	suspect atomic.Int64
	began   time.Time

	mu struct {
		sync.Mutex
		err    error // of the last try; nil while all is well
		tried  time.Time
		trying bool
	}
}

// pgPause is how long a failed try to connect stands for the next.
const pgPause = 250 * time.Millisecond

// Where a connection has its time of birth, since pgServer.began, and when it was last taken from the pool.
const (
	bornKey = "born"
	usedKey = "used"
)

func newPGServer(config *pgx.ConnConfig, check func(context.Context, *pgx.Conn) error) *pgServer {
	s := &pgServer{began: time.Now()}
	s.suspect.Store(-1)
	s.Connector = stdlib.GetConnector(*config,
		stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
			data := conn.PgConn().CustomData()
			data[bornKey], data[usedKey] = time.Since(s.began), time.Now()
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(config.ConnectTimeout, pgConnectTimeout))
			defer cancel()
			if err := check(ctx, conn); err != nil {
				// The pool never gets it, so nobody else closes it.
				return errors.Join(err, closeNow(conn))
			}
			return nil
		}),
		stdlib.OptionShouldPing(func(context.Context, stdlib.ShouldPingParams) bool { return false }), // reuse does
		stdlib.OptionResetSession(s.reuse),
	)
	return s
}

// reuse looks at a connection that comes from the pool: one that lay idle may be dead, or its server hang.
func (s *pgServer) reuse(ctx context.Context, conn *pgx.Conn) error {
	const idle, patience = time.Second, time.Second
	data := conn.PgConn().CustomData()
	if born, _ := data[bornKey].(time.Duration); int64(born) <= s.suspect.Load() {
		return driver.ErrBadConn
	}
	if used, _ := data[usedKey].(time.Time); time.Since(used) > idle {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := conn.PgConn().Ping(limited); err != nil {
			if ctx.Err() == nil {
				s.distrust()
			}
			return driver.ErrBadConn
		}
	}
	data[usedKey] = time.Now()
	return nil
}

// distrust gives up all connections that are open now, each when it is next used.
func (s *pgServer) distrust() { s.suspect.Store(int64(time.Since(s.began))) }

// closeNow closes a connection without waiting long for its goodbye.
func closeNow(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return conn.Close(ctx)
}

// awayError is a failed connection, told without the chain of its cause: a timeout in there is ours and not that of the
// caller's context.
type awayError struct{ cause error }

// Error implements error.
func (e *awayError) Error() string { return e.cause.Error() }

// Unwrap implements error.
func (e *awayError) Unwrap() error { return media.ErrUnavailable }

// Connect implements driver.Connector.
func (s *pgServer) Connect(ctx context.Context) (driver.Conn, error) {
	if err := s.mayTry(); err != nil {
		return nil, err
	}
	began := time.Now()
	conn, err := s.Connector.Connect(ctx)
	if err == nil {
		s.tried(nil)
		return conn, nil
	}
	switch {
	case ctx.Err() != nil:
		// The caller went away. That says something of the server only if it had time to answer.
		if time.Since(began) < pgPause {
			s.release()
			return nil, err
		}
		s.tried(&awayError{err})
		return nil, err
	case pgRefused(err):
		s.release()
		return nil, err
	}
	away := &awayError{err}
	s.tried(away)
	return nil, away
}

// pgRefused says that the server answered, and that trying again is of no use: a wrong password, no such database, a
// schema that does not fit.
func pgRefused(err error) bool {
	var answer *pgconn.PgError
	return errors.Is(err, errOldSchema) || errors.Is(err, media.ErrUnsupported) ||
		errors.As(err, &answer) && !pgAway(answer.Code)
}

func (s *pgServer) mayTry() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.err == nil {
		return nil
	}
	if s.mu.trying || time.Since(s.mu.tried) < pgPause {
		return s.mu.err
	}
	s.mu.trying = true
	return nil
}

func (s *pgServer) tried(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.err, s.mu.tried, s.mu.trying = err, time.Now(), false
}

// release ends a try that told nothing.
func (s *pgServer) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.trying = false
}

// sentinel is pgSentinel that also remembers a server which hangs, or has become a standby.
func (s *pgServer) sentinel(err error) error {
	var away *awayError
	if errors.As(err, &away) {
		return media.ErrUnavailable
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "25006" || pgconn.Timeout(err) {
		s.distrust()
	}
	return pgSentinel(err)
}

func isBadConn(err error) bool { return errors.Is(err, driver.ErrBadConn) }

// boundSilence has every connection end that waits longer than limit for the server.
func boundSilence(config *pgx.ConnConfig, limit time.Duration) {
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &boundedConn{Conn: conn, limit: limit}, nil
	}
}

// boundedConn gives each read and write a deadline of its own, unless one is set from outside: the driver sets one when
// a context ends.
type boundedConn struct {
	net.Conn
	limit time.Duration

	mu sync.Mutex
	// outside says that the deadline is not ours.
	outside bool
}

// SetDeadline implements net.Conn.
func (c *boundedConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outside = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

// Read implements net.Conn.
func (c *boundedConn) Read(p []byte) (int, error) {
	if err := c.bound(c.SetReadDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *boundedConn) Write(p []byte) (int, error) {
	if err := c.bound(c.SetWriteDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *boundedConn) bound(set func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outside {
		return nil
	}
	return set(time.Now().Add(c.limit))
}
