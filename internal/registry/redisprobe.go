package registry

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oxbow-video/oxbow/internal/media"
)

// RedisName says which servers a URL that OpenRedis takes names, without its secrets.
func RedisName(text string) (string, error) {
	u, err := parseRedisURL(text)
	if err != nil {
		return "", err
	}
	name := strings.Join(u.addrs, ",")
	switch u.kind {
	case "sentinel":
		name = u.master + " of sentinels " + name
	case "cluster":
		name = "cluster " + name
	}
	if u.secure {
		name += " (TLS)"
	}
	return name, nil
}

// Time is the clock of Redis.
func (r *Redis) Time(ctx context.Context) (time.Time, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now, err := r.client.Time(limited).Result()
	if err != nil {
		return time.Time{}, fmt.Errorf("time of registry: %w", away(ctx, err))
	}
	return now.Add(time.Duration(r.shift.Load()) * time.Microsecond), nil
}

// Info is the text of INFO, by the server's address: of one, or of every primary of a Redis Cluster.
func (r *Redis) Info(ctx context.Context) (map[string]string, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var mu sync.Mutex
	texts := make(map[string]string)
	ask := func(ctx context.Context, server *redis.Client) error {
		text, err := server.Info(ctx).Result()
		if err == nil {
			mu.Lock()
			texts[server.Options().Addr] = text
			mu.Unlock()
		}
		return err
	}
	err := errors.ErrUnsupported
	switch client := r.client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(limited, ask)
	case *redis.Client:
		err = ask(limited, client)
	}
	if err != nil {
		return nil, fmt.Errorf("settings of registry: %w", away(ctx, err))
	}
	return texts, nil
}

// Rights runs every command that the scripts and readers use, beside each group of keys that they use, on a key of its
// own that it removes. An error names all that the ACL refuses.
func (r *Redis) Rights(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pipe := r.client.Pipeline()
	tried := make(map[string][]redis.Cmder)
	for _, tag := range r.tags() {
		for name, cmd := range tryAll(limited, pipe, tag+"doctor-"+rand.Text()) {
			tried[name] = append(tried[name], cmd)
		}
	}
	_, _ = pipe.Exec(limited) // each command has its own error
	var refused []string
	var failed error
	for name, cmds := range tried {
		for _, cmd := range cmds {
			switch err := cmd.Err(); {
			case err == nil, errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "NOSCRIPT"):
				continue
			case redis.HasErrorPrefix(err, "NOPERM") && strings.Contains(err.Error(), "key"):
				failed = cmp.Or(failed, fmt.Errorf("%w: keys that begin with %s: %s", media.ErrDenied, r.prefix, err.Error()))
			case redis.HasErrorPrefix(err, "NOPERM"):
				refused = append(refused, "+"+name)
			default:
				failed = cmp.Or(failed, fmt.Errorf("%s: %w", name, away(ctx, err)))
			}
			break
		}
	}
	if len(refused) > 0 {
		slices.Sort(refused)
		failed = errors.Join(fmt.Errorf("%w: the user lacks %s", media.ErrDenied, strings.Join(refused, " ")), failed)
	}
	if failed != nil {
		return fmt.Errorf("rights in registry: %w", failed)
	}
	return nil
}

// tags are what the keys of all groups begin with.
func (r *Redis) tags() []string {
	tags := []string{r.prefix + ":{nodes}:", r.prefix + ":{events}:"}
	for b := range leaseBuckets {
		tags = append(tags, fmt.Sprintf("%s:{leases-%02d}:", r.prefix, b))
	}
	return tags
}

// tryAll queues every command that the registry uses, in the order in which they stand here. Only HSET makes a key, and
// any of three others removes it.
func tryAll(ctx context.Context, pipe redis.Pipeliner, key string) map[string]redis.Cmder {
	const nothing = "return 1"
	set, log := key+"-set", key+"-log"
	return map[string]redis.Cmder{
		"hset":          pipe.HSet(ctx, key, "a", "b"),
		"pexpire":       pipe.PExpire(ctx, key, 10*time.Second),
		"hget":          pipe.HGet(ctx, key, "a"),
		"hmget":         pipe.HMGet(ctx, key, "a"),
		"hdel":          pipe.HDel(ctx, key, "a"),
		"del":           pipe.Del(ctx, key),
		"zadd":          pipe.ZAddXX(ctx, set, redis.Z{Member: "a"}),
		"zcard":         pipe.ZCard(ctx, set),
		"zscore":        pipe.ZScore(ctx, set, "a"),
		"zrangebyscore": pipe.ZRangeByScore(ctx, set, &redis.ZRangeBy{Min: "-inf", Max: "+inf"}),
		"zrem":          pipe.ZRem(ctx, set, "a"),
		"xadd":          pipe.XAdd(ctx, &redis.XAddArgs{Stream: log, NoMkStream: true, Values: []string{"a", "b"}}),
		"xlen":          pipe.XLen(ctx, log),
		"xrange":        pipe.XRange(ctx, log, "-", "+"),
		"xrevrange":     pipe.XRevRange(ctx, log, "+", "-"),
		"xread":         pipe.XRead(ctx, &redis.XReadArgs{Streams: []string{log, "0"}, Block: -1}),
		"xtrim":         pipe.XTrimMaxLen(ctx, log, 0),
		"eval":          pipe.Eval(ctx, nothing, []string{key}),
		"evalsha":       pipe.EvalSha(ctx, redis.NewScript(nothing).Hash(), []string{key}),
		"time":          pipe.Time(ctx),
		"info":          pipe.Info(ctx, "server"),
	}
}
