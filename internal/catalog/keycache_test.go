package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

// quick is a cache that asks again soon, for tests in which SQL is away, and is patient with one that is slow.
func quick(tb testing.TB, db *DB, cfg KeyCacheConfig) (*KeyCache, *prometheus.Registry) {
	tb.Helper()
	cfg.Wait, cfg.Pause = 30*time.Second, max(cfg.Pause, 50*time.Millisecond)
	metrics := prometheus.NewRegistry()
	return NewKeyCache(db, cfg, testLogger(tb), metrics), metrics
}

// tenants makes streams acme/s0 and on, each with a key named after it.
func tenants(tb testing.TB, db *DB, streams int) {
	tb.Helper()
	noError(tb, db.CreatePublisher(tb.Context(), media.Publisher{Name: "acme"}))
	for n := range streams {
		_, err := db.CreateStream(tb.Context(), numbered(n), media.SettingsPatch{})
		noError(tb, err)
		_, err = db.AddKey(tb.Context(), numbered(n), "", "key-"+numbered(n).Stream)
		noError(tb, err)
	}
}

func numbered(n int) media.StreamPath {
	return media.StreamPath{Publisher: "acme", Stream: fmt.Sprint("s", n)}
}

// Known publishers start while SQL is away, with all that their streams have set; nobody is denied for its being away.
func TestKeyCacheWithoutSQL(t *testing.T) {
	cluster := newCluster(t)
	cluster.fallen(t)
	db := openPatient(t, cluster.migrated(t))
	ctx := t.Context()
	tenants(t, db, 4)
	_, err := db.UpdateStream(ctx, numbered(1), media.SettingsPatch{Group: new("s0")})
	noError(t, err)
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{ReconnectWindow: span(90 * time.Second)})
	noError(t, err)
	_, err = db.SetSRTPassphrase(ctx, numbered(2), "a long passphrase")
	noError(t, err)
	cache, metrics := quick(t, db, KeyCacheConfig{})
	noError(t, cache.Refresh(ctx))

	// Between the last refresh and the outage: a key that was used, and one that was denied.
	_, err = db.AddKey(ctx, numbered(3), "", "another")
	noError(t, err)
	_, err = cache.AuthorizeKey(ctx, "another")
	noError(t, err)
	keys, err := db.Keys(ctx, numbered(3))
	noError(t, err)
	noError(t, db.RemoveKey(ctx, numbered(3), keys[0].ID))
	_, err = cache.AuthorizeKey(ctx, "key-s3")
	wantError(t, err, media.ErrDenied)
	same(t, "answers from memory", 0.0, gathered(t, metrics, "oxbow_catalog_cache_answers_total"))

	want, err := db.Stream(ctx, numbered(2))
	noError(t, err)
	noError(t, cluster.Kill())
	got, err := cache.AuthorizeKey(ctx, "key-s2")
	noError(t, err)
	want.Key = media.KeyGrant{ID: got.Key.ID}
	same(t, "stream", want, got)
	same(t, "window", 90*time.Second, got.Settings.ReconnectWindow.D())
	same(t, "passphrase", "a long passphrase", got.SRTPassphrase)
	_, err = cache.AuthorizePath(ctx, numbered(2), "key-s2")
	noError(t, err)
	_, err = cache.AuthorizePath(ctx, numbered(1), "key-s2")
	wantError(t, err, media.ErrDenied)
	_, err = cache.AuthorizeKey(ctx, "another")
	noError(t, err)
	_, err = cache.Stream(ctx, numbered(0))
	noError(t, err)
	names, err := cache.Members(ctx, numbered(0))
	noError(t, err)
	same(t, "members", "s1", strings.Join(names, " "))
	names, err = cache.Members(ctx, numbered(1))
	noError(t, err)
	same(t, "members of no group", 0, len(names))
	for name, err := range map[string]error{
		"a key that was removed": second(cache.AuthorizeKey(ctx, "key-s3")),
		"an unknown key":         second(cache.AuthorizeKey(ctx, "nobody's")),
		"an unknown stream":      second(cache.Stream(ctx, numbered(9))),
	} {
		if !errors.Is(err, media.ErrUnavailable) || errors.Is(err, media.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	same(t, "away", 1.0, gathered(t, metrics, "oxbow_catalog_away"))
	same(t, "answers from memory", 6.0, gathered(t, metrics, "oxbow_catalog_cache_answers_total"))

	noError(t, cluster.Start(ctx))
	eventually(t, "the unknown key is denied again", func() bool {
		_, err := cache.AuthorizeKey(ctx, "nobody's")
		return errors.Is(err, media.ErrDenied)
	})
	same(t, "away", 0.0, gathered(t, metrics, "oxbow_catalog_away"))
}

func second[T any](_ T, err error) error { return err }

func gathered(tb testing.TB, metrics *prometheus.Registry, name string) float64 {
	tb.Helper()
	families, err := metrics.Gather()
	noError(tb, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	tb.Fatalf("no metric %s", name)
	return 0
}

// A server that hangs costs one publisher the wait, and now and then another: not each of them.
func TestKeyCacheWhileSQLHangs(t *testing.T) {
	cluster := newCluster(t)
	cluster.fallen(t)
	db := openURL(t, cluster.migrated(t)+"&connect_timeout=60")
	tenants(t, db, 1)
	cache, _ := quick(t, db, KeyCacheConfig{Pause: time.Hour})
	noError(t, cache.Refresh(t.Context()))
	cache.cfg.Wait = 300 * time.Millisecond
	noError(t, cluster.Pause())
	var asked int
	for range 1000 {
		if cache.mayAsk() {
			asked++
		}
		_, err := cache.AuthorizeKey(t.Context(), "key-s0")
		noError(t, err)
	}
	same(t, "questions that SQL was asked", 1, asked)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := cache.AuthorizeKey(ctx, "key-s0")
	noError(t, err) // from memory: nothing waits
	noError(t, cluster.Resume())
}

// Run learns of what changed, notices an outage and its end, and leaves when told.
func TestKeyCacheRuns(t *testing.T) {
	cluster := newCluster(t)
	cluster.fallen(t)
	db := openPatient(t, cluster.migrated(t))
	tenants(t, db, 2)
	cache, metrics := quick(t, db, KeyCacheConfig{Refresh: 50 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { noError(t, cache.Run(ctx)) })
	known := func(n int) func() bool {
		return func() bool { return gathered(t, metrics, "oxbow_catalog_cache_keys") == float64(n) }
	}
	eventually(t, "both keys are known", known(2))
	_, err := db.AddKey(t.Context(), numbered(1), "", "third")
	noError(t, err)
	eventually(t, "the third key is known", known(3))
	keys, err := db.Keys(t.Context(), numbered(0))
	noError(t, err)
	noError(t, db.RemoveKey(t.Context(), numbered(0), keys[0].ID))
	eventually(t, "a removed key is forgotten", known(2))
	_, err = db.UpdatePublisher(t.Context(), "acme", media.SettingsPatch{ReconnectWindow: span(99 * time.Second)})
	noError(t, err)
	eventually(t, "changed settings are known", func() bool {
		cache.mu.Lock()
		defer cache.mu.Unlock()
		return cache.mu.known.streams[numbered(1)].Settings.ReconnectWindow.D() == 99*time.Second
	})
	noError(t, cluster.Kill())
	eventually(t, "the outage is noticed", cache.Away)
	noError(t, cluster.Start(t.Context()))
	eventually(t, "its end is noticed", func() bool { return !cache.Away() })
	stop()
	wg.Wait()
}

// With more keys than it may have, the cache knows those that were used last.
func TestKeyCacheIsBounded(t *testing.T) {
	db := openFile(t, migratedFile(t))
	tenants(t, db, 6)
	cache, metrics := quick(t, db, KeyCacheConfig{MaxKeys: 3})
	noError(t, cache.Refresh(t.Context()))
	same(t, "known keys", 0.0, gathered(t, metrics, "oxbow_catalog_cache_keys"))
	for n := range 6 {
		_, err := cache.AuthorizeKey(t.Context(), fmt.Sprint("key-s", n))
		noError(t, err)
		_, err = cache.Members(t.Context(), numbered(n))
		noError(t, err)
	}
	same(t, "known keys", 3.0, gathered(t, metrics, "oxbow_catalog_cache_keys"))
	same(t, "known streams", 3, len(cache.mu.known.streams))
	same(t, "known groups", 3, len(cache.mu.known.members))
	cache.failed(errTest)
	cache.mu.until = time.Now().Add(time.Hour)
	_, err := cache.AuthorizeKey(t.Context(), "key-s5")
	noError(t, err)
}

// What is answered while a refresh reads is not lost to what it read before.
func TestKeyCacheKeepsAnswersOfARefresh(t *testing.T) {
	db := openFile(t, migratedFile(t))
	tenants(t, db, 2)
	cache, _ := quick(t, db, KeyCacheConfig{})
	var wg sync.WaitGroup
	const added = 40
	for n := range added {
		wg.Go(func() {
			key := fmt.Sprint("late-", n)
			_, err := db.AddKey(t.Context(), numbered(n%2), "", key)
			if err == nil {
				_, err = cache.AuthorizeKey(t.Context(), key)
			}
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := cache.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	cache.failed(errTest)
	cache.mu.until = time.Now().Add(time.Hour)
	for n := range added {
		_, err := cache.AuthorizeKey(t.Context(), fmt.Sprint("late-", n))
		noError(t, err)
	}
	if n := testutil.ToFloat64(cache.answers); n != added {
		t.Errorf("%v answers from memory, want %d", n, added)
	}
}

func BenchmarkKeyCacheAway(b *testing.B) {
	db := benchmarkDB(b)
	_, err := db.AddKey(b.Context(), show, "", "key")
	noError(b, err)
	cache := NewKeyCache(db, KeyCacheConfig{}, silentLogger(), prometheus.NewRegistry())
	noError(b, cache.Refresh(b.Context()))
	cache.failed(errTest)
	cache.mu.until = time.Now().Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		_, err := cache.AuthorizeKey(b.Context(), "key")
		noError(b, err)
	}
}

// A key that expired is denied while SQL is away too, and those that were used meanwhile are noted when it is back.
func TestKeyCacheKnowsExpiries(t *testing.T) {
	cluster := newCluster(t)
	cluster.fallen(t)
	db := openPatient(t, cluster.migrated(t))
	ctx := t.Context()
	tenants(t, db, 1)
	yesterday := time.Now().Add(-24 * time.Hour)
	db.now = func() time.Time { return yesterday }
	_, err := db.AddKeyUntil(ctx, numbered(0), "", "expired", yesterday.Add(time.Hour))
	noError(t, err)
	_, err = db.AddKeyUntil(ctx, numbered(0), "", "learnt", yesterday.Add(2*time.Hour))
	noError(t, err)
	valid, err := db.AddKeyUntil(ctx, numbered(0), "", "valid", yesterday.Add(48*time.Hour))
	noError(t, err)
	cache, _ := quick(t, db, KeyCacheConfig{})
	noError(t, cache.Refresh(ctx))
	_, err = cache.AuthorizeKey(ctx, "learnt")
	noError(t, err)
	db.now = time.Now
	_, err = cache.AuthorizeKey(ctx, "expired") // is no reason to forget it
	wantError(t, err, media.ErrKeyExpired)

	noError(t, cluster.Kill())
	for _, key := range []string{"expired", "learnt"} {
		_, err = cache.AuthorizeKey(ctx, key)
		wantError(t, err, media.ErrKeyExpired)
		wantError(t, err, media.ErrDenied)
		_, err = cache.AuthorizePath(ctx, numbered(0), key)
		wantError(t, err, media.ErrKeyExpired)
	}
	got, err := cache.AuthorizeKey(ctx, "valid")
	noError(t, err)
	same(t, "key", valid.ID, got.Key.ID)
	plain, err := cache.Stream(ctx, numbered(0))
	noError(t, err)
	same(t, "key of a stream that nobody publishes", media.KeyGrant{}, plain.Key)
	noError(t, cache.WriteUses(ctx)) // not before it is back

	noError(t, cluster.Start(ctx))
	eventually(t, "the use is noted", func() bool {
		_ = cache.Refresh(ctx)
		if cache.WriteUses(ctx) != nil {
			return false
		}
		keys, err := db.Keys(ctx, numbered(0))
		return err == nil && slices.ContainsFunc(keys, func(k media.StreamKey) bool {
			return k.ID == valid.ID && time.Since(k.LastUsedAt) < time.Minute
		})
	})
}
