package doctor

import (
	"bufio"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	serviceTimeout = 10 * time.Second
	// slowTrip is a round trip past which renewals of leases come late.
	slowTrip = 100 * time.Millisecond
	// leastRedis is the first major version that has what the scripts use.
	leastRedis = 7
)

// Registry is Redis as its adapter shows it. Functions that are nil are not checked.
type Registry struct {
	// Name is how the report calls it, without secrets: "redis host:6379".
	Name string
	Ping func(ctx context.Context) error
	// Time is the server's clock (TIME).
	Time func(ctx context.Context) (time.Time, error)
	// Info is the text of INFO, by the address of every server that takes writes.
	Info func(ctx context.Context) (map[string]string, error)
	// Rights runs each command that the adapter needs, on scratch keys, and gives those that the ACL refuses.
	Rights func(ctx context.Context) error
}

func (s *Registry) check(ctx context.Context, r *Report) {
	if s == nil || s.Ping == nil || !reach(ctx, r, "registry", s.Name, s.Ping) {
		return
	}
	if s.Info != nil {
		texts, err := limited(ctx, s.Info)
		if err != nil {
			r.add(Warn, "registry settings", "allow INFO to this user: +info", "%s", reason(err))
		}
		for _, address := range slices.Sorted(maps.Keys(texts)) {
			where := ""
			if len(texts) > 1 {
				where = address + ": "
			}
			judgeRedis(r, where, texts[address])
		}
	}
	checkRights(ctx, r, "registry rights", "allow it in the ACL of this user", s.Rights)
}

// judgeRedis says what INFO means for leases. Where is put before what it says.
func judgeRedis(r *Report, where, text string) {
	info := map[string]string{}
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		if key, value, ok := strings.Cut(scanner.Text(), ":"); ok {
			info[key] = strings.TrimSpace(value)
		}
	}
	version := info["redis_version"]
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < leastRedis {
		r.add(Fail, "registry version", "install Redis 7 or newer", "%sit is %q", where, version)
	} else {
		r.ok("registry version", "%s%s", where, version)
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		r.add(Fail, "registry eviction", "set maxmemory-policy noeviction",
			"%sit is %s: leases and events may be thrown out", where, policy)
	} else {
		r.ok("registry eviction", "%snoeviction", where)
	}
	if info["aof_enabled"] != "1" {
		r.add(Warn, "registry persistence", "set appendonly yes",
			"%sno append-only file: after its restart nobody can take over until the owners have asserted their leases", where)
	} else {
		r.ok("registry persistence", "%sappend-only file", where)
	}
	if role := info["role"]; role != "" && role != "master" {
		r.add(Fail, "registry role", "name the primary, or use a Sentinel URL",
			"%sit is a %s, which takes no writes", where, role)
	}
}

// Catalog is the SQL server, or SQLite's file, as its adapter shows it. Functions that are nil are not checked.
type Catalog struct {
	// Name is how the report calls it, without secrets.
	Name string
	Ping func(ctx context.Context) error
	Time func(ctx context.Context) (time.Time, error)
	// Server is the server's version, for the report.
	Server func(ctx context.Context) (string, error)
	// Versions are the schema's version and the one that this binary knows.
	Versions func(ctx context.Context) (has, knows int64, err error)
	// Rights tries what the roles do, and takes it back.
	Rights func(ctx context.Context) error
}

func (s *Catalog) check(ctx context.Context, r *Report) {
	if s == nil || s.Ping == nil || !reach(ctx, r, "catalog", s.Name, s.Ping) {
		return
	}
	if s.Server != nil {
		if text, err := limited(ctx, s.Server); err != nil {
			r.add(Warn, "catalog version", "look at the server", "%s", reason(err))
		} else {
			r.ok("catalog version", "%s", text)
		}
	}
	if s.Versions != nil && !s.checkSchema(ctx, r) {
		return // there may be no tables yet
	}
	checkRights(ctx, r, "catalog rights", "grant SELECT, INSERT, UPDATE and DELETE on all tables to this user", s.Rights)
}

func (s *Catalog) checkSchema(ctx context.Context, r *Report) (fits bool) {
	const name = "catalog schema"
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	has, knows, err := s.Versions(ctx)
	switch {
	case err != nil:
		r.add(Fail, name, "look at the server", "%s", reason(err))
	case has < knows:
		r.add(Fail, name, "run oxbow migrate", "it has version %d, and this oxbow needs %d", has, knows)
	case has > knows:
		r.add(Fail, name, "run the newer oxbow that migrated it", "it has version %d, and this oxbow knows %d", has, knows)
	default:
		r.ok(name, "version %d", has)
		return true
	}
	return false
}

// reach asks a service three times, so that the first connection's set-up is told apart from a round trip.
func reach(ctx context.Context, r *Report, name, what string, ping func(context.Context) error) bool {
	best := time.Hour
	for range 3 {
		begun := time.Now()
		_, err := limited(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, ping(ctx) })
		if err != nil {
			r.add(Fail, name, "start it, or correct --"+name, "%s: %s", what, reason(err))
			return false
		}
		best = min(best, time.Since(begun))
	}
	text := what + " answers in " + best.Round(10*time.Microsecond).String()
	if best > slowTrip {
		r.add(Warn, name, "put it nearer: leases are renewed each second", "%s", text)
	} else {
		r.ok(name, "%s", text)
	}
	return true
}

func checkRights(ctx context.Context, r *Report, name, do string, try func(context.Context) error) {
	if try == nil {
		return
	}
	if _, err := limited(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, try(ctx) }); err != nil {
		r.add(Fail, name, do, "%s", reason(err))
		return
	}
	r.ok(name, "enough")
}

func limited[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	return ask(ctx)
}
