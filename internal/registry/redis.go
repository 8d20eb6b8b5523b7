package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	retryPause = 20 * time.Millisecond
	// maxEntry bounds what is stored of a node, a lease or an event, in bytes of JSON.
	maxEntry = 16 << 10
)

// Variables for tests, which run on machines that stand still for longer.
var (
	// callTimeout is the most that a call takes, with its second try, before Redis counts as away.
	callTimeout = 1800 * time.Millisecond
	// netTimeout bounds every dial, read and write of a call.
	netTimeout = time.Second
)

var errClosed = fmt.Errorf("%w: the registry was closed", media.ErrUnavailable)

// RedisConfig says which Redis, and with what times and sizes.
type RedisConfig struct {
	// URL is redis://user:password@host:port/db, redis+sentinel://user:password@host:port,host:port/master/db or
	// redis+cluster://user:password@host:port,host:port; with rediss in the place of redis they use TLS. Parameters:
	// prefix is the first part of every key, "oxbow" if left out; ca, cert and key are PEM files, for TLS, and
	// insecure_skip_verify=true trusts any server; sentinel_username and sentinel_password are for the sentinels.
	URL string
	Config
}

// Redis is the registry of many processes, kept by a Redis of version 7.0 or newer. It is safe for concurrent use.
type Redis struct {
	cfg    Config
	prefix string
	client redis.UniversalClient
	logger *slog.Logger
	// shift is added to Redis's clock, in microseconds: tests let time go by with it.
	shift *atomic.Int64

	mu struct {
		sync.Mutex
		closed bool
		follow follower
		// bad is when an entry was last told of that is none of ours.
		bad map[string]time.Time
	}
	running sync.WaitGroup // the follower's goroutine
}

// OpenRedis makes a registry on a Redis. One that is away is no error: that is logged, Ping tells, and what is asked of
// the registry fails with media.ErrUnavailable until Redis is there. One that refuses us, or that is not the one that
// the URL's certificates vouch for, is an error.
func OpenRedis(ctx context.Context, cfg RedisConfig, logger *slog.Logger) (*Redis, error) {
	u, err := parseRedisURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	client, err := u.client()
	if err != nil {
		return nil, err
	}
	redis.SetLogger(libraryLog{logger}) // for all of the process: nothing else uses the library
	r := &Redis{
		cfg: cfg.withDefaults(), prefix: u.prefix, client: client, logger: logger, shift: new(atomic.Int64),
	}
	if err := r.ping(ctx); err != nil {
		if refused(err) {
			return nil, errors.Join(fmt.Errorf("open registry at %v: %w", u.addrs, err), client.Close())
		}
		logger.Warn("registry away", "addrs", u.addrs, "err", err)
	}
	return r, nil
}

// libraryLog takes what the Redis library has to say of connections: it is said again by the errors of calls.
type libraryLog struct{ *slog.Logger }

// Printf is what the library calls.
func (l libraryLog) Printf(ctx context.Context, format string, args ...any) {
	if l.Enabled(ctx, slog.LevelDebug) {
		l.DebugContext(ctx, "redis library", "text", fmt.Sprintf(format, args...))
	}
}

// refused tells a Redis that will not have us from one that is away, or not ready yet.
func refused(err error) bool {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return true
	}
	for _, prefix := range []string{"WRONGPASS", "NOAUTH", "NOPERM", "ERR"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

func (r *Redis) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.client.Ping(ctx).Err()
}

const (
	// badAgain is how often it is told of an entry that is none of ours, and maxBad of how many it is.
	badAgain = time.Minute
	maxBad   = 100
)

// bad tells of an entry that is none of ours: lists are asked for each second, and are not told of as often.
func (r *Redis) bad(what, name string, err error) {
	name = fmt.Sprintf("%.130q", name)
	key, now := what+" "+name, time.Now()
	r.mu.Lock()
	last, known := r.mu.bad[key]
	if len(r.mu.bad) >= maxBad && !known {
		clear(r.mu.bad)
	}
	told := known && now.Sub(last) < badAgain
	if !told {
		if r.mu.bad == nil {
			r.mu.bad = make(map[string]time.Time)
		}
		r.mu.bad[key] = now
	}
	r.mu.Unlock()
	if !told {
		r.logger.Warn("bad "+what+" in registry", what, name, "err", err)
	}
}

// Ping implements Registry.
func (r *Redis) Ping(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		if err = r.ping(ctx); err != nil {
			err = away(ctx, err)
		}
	}
	if err != nil {
		return fmt.Errorf("ping registry: %w", err)
	}
	return nil
}

// Close implements Registry. It ends whoever waits in Read.
func (r *Redis) Close() error {
	r.mu.Lock()
	r.mu.closed = true
	r.mu.follow.wakeLocked(errClosed)
	r.mu.Unlock()
	err := r.client.Close() // ends the follower's wait too
	r.running.Wait()
	if err != nil {
		return fmt.Errorf("close registry: %w", err)
	}
	return nil
}

// call is one run of a script. Its first argument is always the shift of the clock.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
}

func (r *Redis) call(script *redis.Script, keys []string, args ...any) call {
	return call{script, keys, append([]any{r.shift.Load()}, args...)}
}

// run runs scripts in one round trip, each on the node that has its keys.
func (r *Redis) run(ctx context.Context, calls ...call) []*redis.Cmd {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	cmds := make([]*redis.Cmd, len(calls))
	pipe := r.client.Pipeline()
	for i, c := range calls {
		cmds[i] = c.script.EvalSha(ctx, pipe, c.keys, c.args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	// A Redis that started since, or another one after a fail-over, does not have the scripts yet.
	for i, c := range calls {
		if redis.HasErrorPrefix(cmds[i].Err(), "NOSCRIPT") {
			cmds[i] = c.script.Eval(ctx, pipe, c.keys, c.args...)
		}
	}
	if pipe.Len() > 0 {
		_, _ = pipe.Exec(ctx)
	}
	return cmds
}

// texts runs one script that answers with a list of texts, of at least n.
func (r *Redis) texts(ctx context.Context, n int, c call) ([]string, error) {
	return list(ctx, r.run(ctx, c)[0], n)
}

// list reads a script's answer: a list of texts, of at least n.
func list(ctx context.Context, cmd *redis.Cmd, n int) ([]string, error) {
	texts, err := cmd.StringSlice()
	if err != nil {
		return nil, away(ctx, err)
	}
	if len(texts) < n {
		return nil, fmt.Errorf("%w: answer of %d texts, want %d", media.ErrCorrupt, len(texts), n)
	}
	return texts, nil
}

// away makes an error of Redis that of a registry that can't serve us now, unless it was the caller who had no time.
func away(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// The connection may see a deadline before the context's own timer does.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	// As text: the end of our own timeout is not to be taken for that of the caller's.
	return fmt.Errorf("%w: Redis: %s", media.ErrUnavailable, err.Error())
}

// prelude begins every script. Times are microseconds since 1970, as Redis has them: a double holds them, and epochs
// and ids of events, exactly.
const prelude = `
local function whole(n) return string.format('%.0f', n) end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + ARGV[1]
-- Which server this is, and since which start: another one may lack what the one before had answered for last.
local function server() return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '?' end
`
