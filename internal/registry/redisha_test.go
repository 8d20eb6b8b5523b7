package registry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A Redis Cluster of three: the groups of streams are spread over all of them.
func TestRedisCluster(t *testing.T) {
	needRedis(t)
	slots := [][2]int{{0, 5460}, {5461, 10922}, {10923, 16383}}
	var servers []*redisServer
	var buses []string
	for i, part := range slots {
		bus := strings.TrimPrefix(freeAddr(t), "127.0.0.1:")
		s := MustRedis(t, "--cluster-enabled", "yes", "--cluster-config-file", fmt.Sprintf("nodes-%d.conf", i),
			"--cluster-port", bus, "--cluster-require-full-coverage", "no")
		mustUser(s, "oxbow", "on >hunter2 "+redisACL+clusterACL)
		s.mustDo("CLUSTER", "ADDSLOTSRANGE", part[0], part[1])
		servers, buses = append(servers, s), append(buses, bus)
	}
	for i, s := range servers[1:] {
		servers[0].mustDo("CLUSTER", "MEET", "127.0.0.1", s.port, buses[i+1])
	}
	for _, s := range servers {
		eventually(t, "the cluster forms", func() error {
			info := fmt.Sprint(s.mustDo("CLUSTER", "INFO"))
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") {
				return errors.New(info)
			}
			return nil
		})
	}
	hosts := servers[1].addr + "," + servers[0].addr
	t.Run("conformance", func(t *testing.T) {
		conformance(t, (&redisBench{url: "redis+cluster://" + hosts + "?"}).bench())
	})
	t.Run("the access rule suffices", func(t *testing.T) {
		useAll(t, MustOpenRedis(t, "redis+cluster://oxbow:hunter2@"+hosts, Config{Events: 2}))
	})
	t.Run("every part is looked at", func(t *testing.T) {
		r := MustOpenRedis(t, "redis+cluster://oxbow:hunter2@"+hosts, Config{})
		noError(t, r.Rights(t.Context()))
		info, err := r.Info(t.Context())
		noError(t, err)
		_, err = r.Time(t.Context())
		noError(t, err)
		for _, s := range servers {
			if !strings.Contains(info[s.addr], "redis_version:") {
				t.Errorf("INFO of %s: %.100q", s.addr, info[s.addr])
			}
		}
		mustUser(servers[2], "oxbow", "-xtrim")
		if err := r.Rights(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "lacks +xtrim") {
			t.Errorf("without +xtrim in one part: %v", err)
		}
		mustUser(servers[2], "oxbow", "+xtrim")
	})
	t.Run("a part is away and comes back empty", func(t *testing.T) {
		ctx := t.Context()
		r := MustOpenRedis(t, "redis+cluster://"+hosts+"?prefix=part", Config{})
		pass(r, 7*time.Second)
		const n = 4 * leaseBuckets
		streams := map[bool][]media.Lease{} // by whether their part is there
		servers[2].kill()
		for i := range n {
			lease := owned(media.StreamPath{Publisher: fmt.Sprintf("p%d", i), Stream: "s"}, "a", 3)
			err := r.Renew(ctx, lease)
			streams[err == nil] = append(streams[err == nil], lease)
			if err != nil {
				wantError(t, err, media.ErrUnavailable)
			}
			if len(streams[true]) > 0 && len(streams[false]) > 0 {
				break
			}
		}
		if len(streams[true]) == 0 || len(streams[false]) == 0 {
			t.Fatalf("streams by whether they could be renewed: %v", streams)
		}
		lost, kept := streams[false][0], streams[true][0]
		errs := r.RenewAll(ctx, []media.Lease{lost, kept})
		wantError(t, errs[0], media.ErrUnavailable)
		noError(t, errs[1])
		_, err := r.Leases(ctx, "")
		wantError(t, err, media.ErrUnavailable)

		// Its file of the cluster's nodes says who it is; its keys are gone.
		servers[2].start("Ready to accept connections")
		eventually(t, "the part is back", func() error { _, _, err := r.Owner(ctx, lost.Path); return err })
		_, err = r.Claim(ctx, owned(lost.Path, "b", 0), 2)
		wantError(t, err, media.ErrUnavailable)
		noError(t, r.Renew(ctx, lost))
		_, err = r.Claim(ctx, owned(lost.Path, "b", 0), 2)
		wantError(t, err, media.ErrConflict)
	})
}

// After a fail-over epochs grow on above what storage knows, and the owner goes on.
func TestRedisSentinel(t *testing.T) {
	ctx := t.Context()
	first := MustRedis(t, "--requirepass", "hunter2", "--masterauth", "hunter2")
	second := MustRedis(t, "--requirepass", "hunter2", "--masterauth", "hunter2", "--replicaof", "127.0.0.1 "+first.port)
	dir := t.TempDir()
	conf := filepath.Join(dir, "sentinel.conf")
	noError(t, os.WriteFile(conf, []byte("sentinel monitor main 127.0.0.1 "+first.port+" 1\n"+
		"sentinel auth-pass main hunter2\n"+
		"sentinel down-after-milliseconds main 500\n"+
		"sentinel failover-timeout main 3000\n"+
		"requirepass s-hunter2\n"), 0o600))
	addr := freeAddr(t)
	sentinel := &redisServer{tb: t, addr: addr, args: []string{
		conf, "--sentinel", "--port", strings.TrimPrefix(addr, "127.0.0.1:"), "--bind", "127.0.0.1", "--dir", dir,
	}}
	sentinel.start("+monitor")

	user := []any{"ACL", "SETUSER", "oxbow", "on", ">s-hunter3"}
	for _, word := range strings.Fields(sentinelACL) {
		user = append(user, word)
	}
	noError(t, mustPass(t, addr, "s-hunter2").Do(ctx, user...).Err())

	r := MustOpenRedis(t, "redis+sentinel://:hunter2@"+addr+
		"/main/0?sentinel_username=oxbow&sentinel_password=s-hunter3", Config{})
	eventually(t, "the registry is there", func() error { return r.Ping(ctx) })
	noError(t, r.Rights(ctx))
	if info, err := r.Info(ctx); err != nil || len(info) != 1 {
		t.Errorf("INFO of %d servers, %v, want the primary's", len(info), err)
	}
	useAll(t, r)
	lease := owned(show, "a", acquire(t, r, show, "a", 6))
	eventually(t, "the sentinel knows the replica", func() error {
		answer, err := mustPass(t, addr, "s-hunter2").Do(ctx, "INFO", "sentinel").Text()
		if err == nil && !strings.Contains(answer, "slaves=1") {
			err = errors.New(answer)
		}
		return err
	})
	eventually(t, "the replica has the lease", func() error {
		answer, err := mustPass(t, second.addr, "hunter2").Do(ctx, "HGET",
			fmt.Sprintf("oxbow:{leases-%02d}:held", bucket(show.Publisher)), show.String()).Text()
		if err == nil && !strings.Contains(answer, fmt.Sprintf(" %d given a ", lease.Epoch)) {
			err = errors.New(answer)
		}
		return err
	})
	if denied, err := mustPass(t, addr, "s-hunter2").Do(ctx, "ACL", "LOG").Slice(); err != nil || len(denied) > 0 {
		t.Errorf("what the sentinel denied: %v, %v", denied, err)
	}
	first.kill()
	wantError(t, r.Renew(ctx, lease), media.ErrUnavailable)
	eventually(t, "the owner goes on at the new master", func() error { return r.Renew(ctx, lease) })
	wantOwner(t, r, show, "a", lease.Epoch)
	if epoch := acquire(t, r, show, "b", lease.Epoch); epoch != lease.Epoch+1 {
		t.Errorf("epoch after the fail-over = %d, want %d", epoch, lease.Epoch+1)
	}
	wantError(t, r.Renew(ctx, lease), media.ErrFenced)
	if epoch := acquire(t, r, media.StreamPath{Publisher: "acme", Stream: "lost"}, "b", 41); epoch != 42 {
		t.Errorf("epoch of a stream that replication lost = %d, want 42: above what storage knows", epoch)
	}
}
