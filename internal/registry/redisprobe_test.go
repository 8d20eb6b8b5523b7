package registry

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Every word of the ACL rule but those of the connection itself is missed when it is not there, by its name.
func TestRedisRights(t *testing.T) {
	s := MustRedis(t)
	rights := func(t *testing.T, rule string) string {
		mustUser(s, "probe", "reset on >hunter2 "+rule)
		r := MustOpenRedis(t, "redis://probe:hunter2@"+s.addr+"/2", Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := r.Rights(ctx); err != nil {
			return err.Error()
		}
		return ""
	}
	if err := rights(t, redisACL); err != "" {
		t.Errorf("with the rule of the package's doc: %s", err)
	}
	for word := range strings.FieldsSeq(redisACL) {
		if !strings.HasPrefix(word, "+") || word == "+ping" || word == "+select" {
			continue
		}
		text := rights(t, strings.Replace(redisACL+" ", word+" ", "", 1))
		if !strings.HasSuffix(text, "lacks "+word) {
			t.Errorf("without %s: %q", word, text)
		}
	}
	if text := rights(t, strings.Replace(redisACL, "~oxbow:", "~other:", 1)); !strings.Contains(text, "keys that begin with oxbow") {
		t.Errorf("without the keys: %q", text)
	}
	text := rights(t, strings.NewReplacer("+zadd ", "", "+hget ", "").Replace(redisACL))
	if !strings.HasSuffix(text, "lacks +hget +zadd") {
		t.Errorf("without two: %q", text)
	}
	for db := range 3 {
		c, err := parseRedisURL(fmt.Sprintf("redis://%s/%d", s.addr, db))
		noError(t, err)
		client, err := c.client()
		noError(t, err)
		if n, err := client.DBSize(t.Context()).Result(); n != 0 || err != nil {
			t.Errorf("database %d: %d keys are left, %v", db, n, err)
		}
		noError(t, client.Close())
	}
}

func TestRedisTellsTimeAndSettings(t *testing.T) {
	s := MustRedis(t)
	r := MustOpenRedis(t, "redis://"+s.addr, Config{})
	begun := time.Now()
	now, err := r.Time(t.Context())
	noError(t, err)
	if now.Before(begun.Add(-time.Second)) || now.After(time.Now().Add(time.Second)) {
		t.Errorf("the time is %v, asked for at %v", now, begun)
	}
	info, err := r.Info(t.Context())
	noError(t, err)
	if len(info) != 1 || !strings.Contains(info[s.addr], "redis_version:") || !strings.Contains(info[s.addr], "role:master") {
		t.Errorf("INFO: %.200q", info)
	}
	s.kill()
	if _, err := r.Time(t.Context()); err == nil {
		t.Error("a Redis that is away tells the time")
	}
	if _, err := r.Info(t.Context()); err == nil {
		t.Error("a Redis that is away tells its settings")
	}
	if err := r.Rights(t.Context()); err == nil || strings.Contains(err.Error(), "lacks") {
		t.Errorf("rights at a Redis that is away: %v", err)
	}
}

func TestRedisNameHasNoSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"redis://a":                         "a:6379",
		"rediss://u:hunter2@a:1/2?prefix=x": "a:1 (TLS)",
		"redis+sentinel://u:hunter2@a,b:1/main/3?sentinel_password=hunter3": "main of sentinels a:26379,b:1",
		"rediss+cluster://:hunter2@a,b":                                     "cluster a:6379,b:6379 (TLS)",
	} {
		if got, err := RedisName(text); got != want || err != nil {
			t.Errorf("%s is %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := RedisName("redis://u:hunter2@a:x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}
